/**
 * The command tree as plain data, with the global flags that every command takes.
 */
import * as Command from "effect/cli/Command"
import * as Completions from "effect/cli/Completions"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { root } from "./Root.ts"
import { globalFlags } from "./Settings.ts"

export type CommandNode = Completions.CommandDescriptor
export type FlagNode = Completions.FlagDescriptor

/** The global flags of kubelayer and of the parser. */
export const globals: ReadonlyArray<FlagNode> = Completions.fromCommand(
  Command.make(
    "globals",
    Object.fromEntries(
      [...globalFlags, GlobalFlag.LogLevel, GlobalFlag.Help, GlobalFlag.Version].map(
        ({ flag }, index) => [`flag${index}`, flag] as const
      )
    )
  )
).flags.map((flag) => flag.name === "help" || flag.name === "version" ? { ...flag, negation: false } : flag)

export const commands: ReadonlyArray<CommandNode> = Completions.fromCommand(root).subcommands
