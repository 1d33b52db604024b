/**
 * Runs the command on arguments: parses them, runs the body, and gives the exit code.
 */
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import { exitCodes } from "../Script.ts"
import { Backends, type BackendsService } from "./Backends.ts"
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

/** Help goes to stdout. A wrong command line is one line on stderr, without the help. */
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

/** Log lines of the library go to stderr, where they do not disturb a result. `--log-level` selects them. */
const logger = (screen: ScreenService) =>
  Logger.make(({ logLevel, message }) => {
    const parts = (Array.isArray(message) ? message : [message]) as ReadonlyArray<unknown>
    const text = parts.map((part) => typeof part === "string" ? part : Formatter.format(part)).join(" ")
    Effect.runFork(screen.err(`${logLevel === "Warn" ? "warning" : logLevel.toLowerCase()}: ${text}\n`))
  })

/** Words that users of other tools type. */
const synonyms: { readonly [word in string]?: ReadonlyArray<string> } = {
  version: ["--version"],
  help: ["--help"],
  list: ["clusters"]
}

const verbs: ReadonlySet<string> = new Set(["create", "start", "stop", "delete", "rm", "get", "status"])

/** `cluster list` and `cluster create dev` are k3d's words for `clusters` and `create dev`. */
const translated = (first: string, rest: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [verb = "", ...others] = rest
  if ((first === "cluster" || first === "node") && (verb === "list" || verb === "ls")) return [`${first}s`, ...others]
  if (first === "cluster" && verbs.has(verb)) return rest
  return [...(Object.hasOwn(synonyms, first) ? synonyms[first] ?? [] : [first]), ...rest].filter((word, index) =>
    index > 0 || word !== ""
  )
}

/** The line of a person is not finished, so it is not parsed as one. */
const answerShell = Effect.fnUntraced(function*(words: ReadonlyArray<string>, { backends, screen }: RunOptions) {
  const { complete } = yield* Effect.promise(() => import("./Complete.ts"))
  const environment = yield* Effect.forEach(["backend", "instance", "scheme"], (name) =>
    Effect.map(
      Effect.orElseSucceed(Config.option(Config.NonEmptyString(`KUBELAYER_${name.toUpperCase()}`)), Option.none),
      (value) => Option.isSome(value) ? [[name, value.value] as const] : []
    ))
  const lines = yield* complete(words, new Map(environment.flat())).pipe(Effect.provideService(Backends, backends))
  if (lines.length > 0) yield* Effect.ignore(screen.out(lines.join("\n")))
  return 0
})

/** Runs one command line. The exit code is in the table of `kubelayer/Script`; `exec` gives the command's own. */
export const run = Effect.fnUntraced(function*(options: RunOptions): Effect.fn.Return<number> {
  const { backends, screen } = options
  const [first = "", ...rest] = options.args
  if (first === "__complete") return yield* answerShell(rest, options)
  const args = translated(first, rest)
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
      CliOutput.layerPresenter(presenter(screen)),
      Logger.layer([logger(screen)])
    ))
  )
})
