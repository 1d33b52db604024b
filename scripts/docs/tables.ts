/**
 * The tables of the documents that are generated from the code: reasons with their advice, label schemes. Each is
 * between two marks in its document.
 */
import * as Duration from "effect/Duration"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { isMade, type Scheme } from "../../src/docker/Scheme.ts"
import { schemes } from "../../src/docker/Schemes.ts"
import type { ClusterName } from "../../src/Model.ts"
import { defaults } from "../../src/Policy.ts"
import { reasons } from "../../src/Reason.ts"
import { ROOT } from "../lib/pack.ts"
import { commandSections, exitCodeRows, globalFlagRows } from "./cli.ts"

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n")

const code = (text: string): string => `\`${text}\``

const example = "dev" as ClusterName

/** The first sentence of the docstring of a class. */
const firstSentence = (path: string, name: string): string => {
  const text = readFileSync(join(ROOT, path), "utf8")
  const [, doc = ""] = new RegExp(`/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\nexport class ${name}\\b`).exec(text) ?? []
  return /^[\s\S]*?\.(?=\s|$)/.exec(doc.replaceAll(/\n? \* ?/g, " ").replaceAll(/\s+/g, " ").trim())?.[0] ?? ""
}

/** The docstrings of the fields of an interface. */
const fieldDocs = (path: string, name: string): ReadonlyArray<readonly [field: string, doc: string]> => {
  const text = readFileSync(join(ROOT, path), "utf8")
  const [, body = ""] = new RegExp(`export interface ${name} \\{\\n([\\s\\S]*?)\\n\\}`).exec(text) ?? []
  return [...body.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*readonly (\w+)/g)]
    .map(([, doc = "", field = ""]) => [field, doc.replaceAll(/\s*\n\s*\*\s?/g, " ").trim()])
}

const shown = (value: unknown): string =>
  Duration.isDuration(value)
    ? Duration.isFinite(value) ? Duration.format(value) : "none"
    : typeof value === "number"
    ? String(value)
    : Object.entries(value as object).map(([key, each]) => `${key} ${shown(each)}`).join(", ")

/** Schedules have no text of their own. */
const scheduleTexts: Readonly<Record<string, string>> = {
  retry: "exponential from 200 ms up to 5 s with jitter, 5 times, at most 30 s",
  poll: "exponential from 100 ms up to 2 s"
}

const policyRows = (): ReadonlyArray<ReadonlyArray<string>> =>
  fieldDocs("src/Policy.ts", "Policy").map(([field, doc]) => [
    code(field),
    doc,
    scheduleTexts[field] ?? shown(defaults[field as keyof typeof defaults])
  ])

/** The tables by the name in the marks. */
export const tables: Readonly<Record<string, () => string>> = {
  commands: commandSections,
  "global-flags": () => table(["flag", "meaning", "values"], globalFlagRows()),
  "exit-codes": () => table(["code", "meaning", "reasons"], exitCodeRows()),
  policies: () => table(["field", "meaning", "default"], policyRows()),
  reasons: () =>
    table(
      ["reason", "meaning", "retried", "advice"],
      Object.entries(reasons).map(([tag, { advice, isRetryable }]) => [
        code(tag),
        firstSentence("src/Reason.ts", tag),
        isRetryable ? "yes" : "no",
        advice
      ])
    ),
  schemes: () =>
    table(
      ["scheme", "a node of `dev` has", "control plane", "worker", "network", "grace at stop"],
      (Object.values(schemes) as ReadonlyArray<Scheme>).map((scheme) => {
        const grace = scheme.graceSeconds("control-plane")
        const stop = grace === undefined
          ? "the container's own"
          : scheme.graceSeconds("worker") === grace
          ? `${grace} s`
          : `${grace} s for control planes`
        const marks = Object.entries(scheme.filter(example)).flatMap(([kind, values]) =>
          values.map((value) => kind === "label" ? code(value) : `the ${kind} ${code(value)}`)
        )
        const first = [code(scheme.name), marks.join(" ")]
        if (!isMade(scheme)) return [...first, "managed, not created", "", "", stop]
        const node = (role: "control-plane" | "worker") =>
          code(scheme.template.nodeName({ cluster: example, role, index: 0 }))
        const network = scheme.template.network(example)
        return [
          ...first,
          node("control-plane"),
          node("worker"),
          `${code(network.name)}${network.shared ? ", shared" : ""}`,
          stop
        ]
      })
    )
}
