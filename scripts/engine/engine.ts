/**
 * The one rule by which quickstart, verify, bench and soak get their Docker
 * engine: the one that answers, else a private one where that is requested.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createInterface } from "node:readline/promises"
import { type Attempt, findEngine, type Search } from "./find.ts"
import { type EngineKind, whyNotHere } from "./packages.ts"
import { engineNames, privateEngine, type PrivateEngineError } from "./private.ts"

/**
 * `private` starts a private Docker engine, `podman` a private Podman engine. `ask` takes an engine that answers, else
 * starts a private Docker engine if the user agrees, or on CI.
 */
export type Mode = "found" | "private" | "podman" | "none" | "ask"

export interface Engine {
  readonly kind: "found" | "private" | "none"
  /** A DOCKER_HOST value; empty where there is no engine. */
  readonly dockerHost: string
  /** One plain line for the user. */
  readonly why: string
  readonly tried: ReadonlyArray<Attempt>
  /** Completes when a private engine has ended before its time. */
  readonly ended?: Promise<string>
}

export class NoEngineFound extends Data.TaggedError("NoEngineFound")<{ readonly tried: ReadonlyArray<Attempt> }> {
  override get message(): string {
    return `No Docker engine answers. ${describe(this.tried)}`
  }
}

export class BadEngineOption extends Data.TaggedError("BadEngineOption")<{ readonly given: string }> {
  override get message(): string {
    return `--engine takes private, podman, found or none, not "${this.given}".`
  }
}

export interface EngineOptions {
  readonly mode: Mode
  readonly say?: (line: string) => void
}

const describe = (tried: ReadonlyArray<Attempt>): string =>
  `Tried: ${tried.map(({ dockerHost, outcome, source }) => `${dockerHost || source} (${outcome})`).join(", ")}.`

/** Reads `--engine` from a command line; without it the mode is `ask`. */
export const engineMode = (args: ReadonlyArray<string>): Effect.Effect<Mode, BadEngineOption> => {
  const index = args.findIndex((arg) => arg === "--engine" || arg.startsWith("--engine="))
  if (index < 0) return Effect.succeed("ask")
  const given = args[index]?.split("=")[1] ?? args[index + 1] ?? ""
  return given === "private" || given === "podman" || given === "found" || given === "none"
    ? Effect.succeed(given)
    : Effect.fail(new BadEngineOption({ given }))
}

export const onCi = (): boolean => ["true", "1"].includes(process.env["CI"] ?? "")

const confirm = (question: string): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume, signal) => {
    const terminal = createInterface({ input: process.stdin, output: process.stdout })
    // In raw mode a Ctrl-C is a key, not a signal: pass it on.
    terminal.on("SIGINT", () => process.kill(process.pid, "SIGINT"))
    terminal.on("close", () => resume(Effect.succeed(false)))
    signal.addEventListener("abort", () => terminal.close())
    terminal.question(question).then((answer) => {
      resume(Effect.succeed(/^y(es)?$/i.test(answer.trim())))
      terminal.close()
    }, () => {})
  })

const none = (why: string, search: Search): Engine => ({ kind: "none", dockerHost: "", why, tried: search.tried })

const startPrivate = Effect.fnUntraced(function*(
  reason: string,
  search: Search,
  say: (line: string) => void,
  kind: EngineKind = "docker"
) {
  const { dockerHost, ended } = yield* privateEngine({ kind, say })
  const engine: Engine = {
    kind: "private",
    dockerHost,
    why: `A private ${engineNames[kind]} engine, ${reason}.`,
    tried: search.tried,
    ended
  }
  return engine
})

export const withEngine = Effect.fnUntraced(function*(
  { mode, say = (line) => process.stderr.write(`${line}\n`) }: EngineOptions
): Effect.fn.Return<Engine, NoEngineFound | PrivateEngineError, Scope.Scope> {
  if (mode === "none") return none("No engine, as requested.", { tried: [] })
  if (mode === "private") return yield* startPrivate("as requested", { tried: [] }, say)
  if (mode === "podman") return yield* startPrivate("as requested", { tried: [] }, say, "podman")

  const search = yield* findEngine()
  if (search.found !== undefined) {
    const { dockerHost, source, version } = search.found
    return { kind: "found", dockerHost, why: `Docker ${version} at ${dockerHost} (${source}).`, tried: search.tried }
  }
  if (mode === "found") return yield* new NoEngineFound({ tried: search.tried })

  const obstacle = whyNotHere()
  const noEngine = `No Docker engine answers. ${describe(search.tried)}`
  if (obstacle !== undefined) return none(`${noEngine} A private one cannot be started here: ${obstacle}.`, search)
  if (onCi()) return yield* startPrivate("as none answers", search, say)
  if (process.stdin.isTTY && process.stdout.isTTY) {
    const question = "No Docker engine answers. Start a private one for this run? (root, installs docker.io) [y/N] "
    if (yield* confirm(question)) return yield* startPrivate("for this run", search, say)
    return none(noEngine, search)
  }
  return none(`${noEngine} "--engine private" starts one for this run.`, search)
})
