/**
 * The reference of the command, from its command tree and from the table of exit codes.
 */
import * as Effect from "effect/Effect"
import { backends } from "../../src/cli/Backends.ts"
import { run } from "../../src/cli/run.ts"
import type { ScreenService } from "../../src/cli/Screen.ts"
import { commands, type FlagNode, globals } from "../../src/cli/Tree.ts"
import { exitCodeOfReason, exitCodes } from "../../src/Script.ts"

/** The help of a command as a person sees it in a pipe, without the global flags. */
const helpOf = (command: string): string => {
  let text = ""
  const screen: ScreenService = {
    out: (line) =>
      Effect.sync(() => {
        text += `${line}\n`
      }),
    outBytes: () => Effect.void,
    err: () => Effect.void,
    errBytes: () => Effect.void,
    isLive: false,
    outIsLive: false,
    outHasColor: false,
    errHasColor: false,
    canAsk: false,
    size: () => ({ columns: 100, rows: 24 }),
    onResize: () => () => {},
    ask: () => Effect.sync(() => undefined),
    readInput: Effect.succeed("")
  }
  Effect.runSync(run({ args: [command, "--help"], version: "", screen, backends }))
  const sections = text.trimEnd().split(/\n\n(?=[A-Z][A-Z ]+\n)/)
  return sections.filter((section) => !/^(?:DESCRIPTION|GLOBAL FLAGS)\n/.test(section)).join("\n\n")
}

/** A name of a command whose entry is another one has the same description and flags. */
const isAlias = (name: string): boolean => {
  const index = commands.findIndex((command) => command.name === name)
  const before = commands[index - 1]
  return before !== undefined && before.description === commands[index]?.description
}

const aliasOf = (name: string): string => {
  const next = commands[commands.findIndex((command) => command.name === name) + 1]
  return next !== undefined && isAlias(next.name) ? `, \`${next.name}\`` : ""
}

/** One section a command. */
export const commandSections = (): string =>
  commands.filter(({ name }) => !isAlias(name)).map(({ description, name }) =>
    `### \`${name}\`${aliasOf(name)}\n\n${description}.\n\n\`\`\`text\n${helpOf(name)}\n\`\`\``
  ).join("\n\n")

const spelled = ({ aliases, name }: FlagNode): string =>
  [`--${name}`, ...aliases.map((alias) => `-${alias}`)].map((word) => `\`${word}\``).join(", ")

/** The rows of the flags that every command takes. */
export const globalFlagRows = (): ReadonlyArray<ReadonlyArray<string>> =>
  globals.map((flag) => [
    spelled(flag),
    (flag.description ?? "").replaceAll("|", "\\|"),
    flag.type._tag === "Choice" ? flag.type.values.map((value) => `\`${value}\``).join(", ") : ""
  ])

const meanings: { readonly [K in keyof typeof exitCodes]: string } = {
  done: "done",
  failed: "the operation failed, or nodes failed for different reasons, or the answer was no",
  invalid: "the command line, a document or a plan file is wrong; nothing was sent",
  unreachable: "the backend cannot be reached",
  noSuchCluster: "there is no such cluster",
  credentials: "credentials are missing, wrong or not sufficient",
  quota: "a quota or the capacity is exhausted",
  deadline: "a deadline passed",
  notReady: "with `--exit-code`: the cluster is not ready, or the plan is not empty",
  stalePlan: "the plan is stale",
  interrupted: "Ctrl-C",
  terminated: "SIGTERM"
}

/** The rows of the exit codes, with the reasons that end with each. */
export const exitCodeRows = (): ReadonlyArray<ReadonlyArray<string>> =>
  Object.entries(exitCodes).map(([name, code]) => [
    String(code),
    meanings[name as keyof typeof exitCodes],
    Object.entries(exitCodeOfReason).filter(([, of]) => of === code).map(([reason]) => `\`${reason}\``).join(", ")
  ])
