/**
 * The tables of the documents that the code itself knows: reasons with their advice, label schemes. Each stands between
 * two marks in its document, and is written anew from the code.
 */
import { isMade, type Scheme } from "../../src/docker/Scheme.ts"
import { schemes } from "../../src/docker/Schemes.ts"
import type { ClusterName } from "../../src/Model.ts"
import { reasons } from "../../src/Reason.ts"
import { commandSections, exitCodeRows, globalFlagRows } from "./cli.ts"

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n")

const code = (text: string): string => `\`${text}\``

const example = "dev" as ClusterName

/** By the name that stands in a document's marks. */
export const tables: Readonly<Record<string, () => string>> = {
  commands: commandSections,
  "global-flags": () => table(["flag", "meaning", "values"], globalFlagRows()),
  "exit-codes": () => table(["code", "meaning", "reasons"], exitCodeRows()),
  reasons: () =>
    table(
      ["reason", "tried again", "what to do"],
      Object.entries(reasons).map(([tag, { advice, isRetryable }]) => [code(tag), isRetryable ? "yes" : "no", advice])
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
        if (!isMade(scheme)) return [...first, "managed, not made", "", "", stop]
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
