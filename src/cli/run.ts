/**
 * Runs the command on arguments: parses them, runs the body, and gives the exit code.
 */
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import { Backends, type BackendsService } from "./Backends.ts"
import { exitCodes } from "../Script.ts"
import { root } from "./Root.ts"
import { ExitStatus } from "./RunBody.ts"
import { Screen, type ScreenService } from "./Screen.ts"

const unused = Effect.die("effect/cli does not use this here")

/** The parser touches no file, process or terminal for our flags, so that these stay out of the bundle. */
const parserServices = Layer.mergeAll(
  FileSystem.layerNoop({}),
  Path.layer,
  Stdio.layerTest({}),
  Layer.succeed(
    Terminal.Terminal,
    Terminal.make({
      columns: Effect.succeed(80),
      rows: Effect.succeed(24),
      size: unused,
      readInput: unused,
      readLine: unused,
      display: () => Effect.void
    })
  ),
  Layer.succeed(ChildProcessSpawner.ChildProcessSpawner, ChildProcessSpawner.make(() => unused))
)

/** Help goes to stdout. A wrong command line is said in a line on stderr, without the help. */
const presenter = (screen: ScreenService): CliOutput.Presenter => {
  const formatter = CliOutput.defaultFormatter({ colors: screen.outHasColor, globalFlags: "full" })
  return {
    present: (event) => {
      switch (event._tag) {
        case "Help":
          return Effect.ignore(screen.out(formatter.formatHelpDoc(event.helpDoc).trimEnd()))
        case "Version":
          return Effect.ignore(screen.out(`kubelayer ${event.version}`))
        case "InvalidInvocation": {
          const errors = event.errors.map((error) => `error: ${error.message}\n`).join("")
          return screen.err(`${errors}See: ${event.commandPath.join(" ")} --help\n`)
        }
      }
    }
  }
}

interface RunOptions {
  readonly args: ReadonlyArray<string>
  readonly version: string
  readonly screen: ScreenService
  readonly backends: BackendsService
}

/** What else people type for a command. */
const spoken: { readonly [word in string]?: ReadonlyArray<string> } = {
  version: ["--version"],
  help: ["--help"],
  list: ["clusters"]
}

/** Runs one command line. The exit code is in the table of `kubelayer/Script`; `exec` gives the command's own. */
export const run = Effect.fnUntraced(function*(options: RunOptions): Effect.fn.Return<number> {
  const { backends, screen } = options
  const [first = ""] = options.args
  const args = Object.hasOwn(spoken, first) ? [...spoken[first] ?? [], ...options.args.slice(1)] : options.args
  const status = { code: 0 }
  return yield* Command.runWith(root, { version: options.version })(args).pipe(
    Effect.as(0),
    Effect.map(() => status.code),
    Effect.catch((error) =>
      error instanceof CliError.ShowHelp
        ? Effect.succeed(error.errors.length > 0 ? exitCodes.invalid : 0)
        : Effect.as(screen.err(`error: ${error.message}\n`), exitCodes.invalid)
    ),
    Effect.provideService(ExitStatus, status),
    Effect.provideService(Screen, screen),
    Effect.provideService(Backends, backends),
    Effect.provide(Layer.mergeAll(
      parserServices,
      CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.LogLevel] }),
      CliOutput.layerPresenter(presenter(screen))
    ))
  )
})
