/**
 * A private Docker or Podman engine for as long as a scope lives: beside any other
 * engine, and with nothing left of it afterwards.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { readdirSync, rmdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { CommandFailed, CommandNotStarted } from "../lib/exec.ts"
import { type Daemon, type DaemonNotReady, dockerProgram, killDaemon, podmanProgram, startDaemon } from "./daemon.ts"
import { type Home, makeHome, readOwner, staleHomes } from "./home.ts"
import { locked, type LockNotTaken } from "./lock.ts"
import { returnNetwork, takeNetwork } from "./network.ts"
import { type EngineKind, installMissing, whyNotHere } from "./packages.ts"

/** The engines' names for people. */
export const engineNames: Readonly<Record<EngineKind, string>> = { docker: "Docker", podman: "Podman" }

class PrivateEngineImpossible extends Data.TaggedError("PrivateEngineImpossible")<{
  readonly kind: EngineKind
  readonly why: string
}> {
  override get message(): string {
    return `No private ${engineNames[this.kind]} engine can be started here: ${this.why}.`
  }
}

export type PrivateEngineError =
  | PrivateEngineImpossible
  | CommandNotStarted
  | CommandFailed
  | DaemonNotReady
  | LockNotTaken

export interface PrivateEngine {
  readonly dockerHost: string
  readonly socketPath: string
  readonly ended: Daemon["ended"]
}

export interface PrivateEngineOptions {
  /** Docker by default. */
  readonly kind?: EngineKind
  /** Receives plain lines about what takes time or goes wrong. */
  readonly say: (line: string) => void
}

const CGROUPS = "/sys/fs/cgroup"

const removeTree = (directory: string): void => {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(directory, entry.name))
  }
  rmdirSync(directory)
}

/**
 * The folder of the control groups of Podman's containers, of every engine on the machine. Only empty ones are removed.
 */
const PODMAN_CGROUP = "libpod_parent"

const removeEmpty = (directory: string): void => {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmpty(join(directory, entry.name))
  }
  try {
    rmdirSync(directory)
  } catch {
    // A container of another engine runs in it.
  }
}

/** Under version 1 each controller has its own tree, under version 2 there is one. */
const removeCgroups = (home: Home): void => {
  const roots = [
    CGROUPS,
    ...readdirSync(CGROUPS, { withFileTypes: true })
      .filter((entry) => entry.isDirectory()).map((entry) => join(CGROUPS, entry.name))
  ]
  for (const root of roots) {
    const present = readdirSync(root)
    if (present.includes(home.cgroup)) removeTree(join(root, home.cgroup))
    if (present.includes(PODMAN_CGROUP)) removeEmpty(join(root, PODMAN_CGROUP))
  }
}

/** To be called under the lock. Each step is tried whatever became of the others; what one leaves behind is said. */
const erase = Effect.fnUntraced(function*(home: Home, say: (line: string) => void) {
  const attempt = (what: string, step: Effect.Effect<unknown, { readonly message: string }>) =>
    Effect.catchCause(step, (cause) => Effect.sync(() => say(`${home.directory}: ${what}: ${Cause.pretty(cause)}`)))
  const sync = (step: () => void) => Effect.try({ try: step, catch: (error) => error as Error })

  const supervisor = readOwner(home)?.supervisor
  if (supervisor !== undefined && !(yield* killDaemon(supervisor))) {
    say(`${home.directory}: process ${supervisor.pid} does not end, so the rest is left as it is`)
    return
  }
  yield* attempt("its network is not all gone", returnNetwork(home))
  // A cgroup stays busy for a moment after its last process.
  const cgroupsGone = Effect.retry(
    sync(() => removeCgroups(home)),
    Schedule.upTo(Schedule.spaced("100 millis"), { times: 20 })
  )
  yield* attempt("its cgroups are not all gone", cgroupsGone)
  yield* attempt("its files are not all gone", sync(() => rmSync(home.directory, { recursive: true, force: true })))
})

const eraseStale = Effect.fnUntraced(function*(say: (line: string) => void) {
  for (const home of staleHomes()) {
    say(`Clearing up after a private engine whose starter died (${home.directory})`)
    yield* erase(home, say)
  }
})

const release = Effect.fnUntraced(function*(home: Home, say: (line: string) => void) {
  const supervisor = readOwner(home)?.supervisor
  // The engine ends, also if the lock fails.
  if (supervisor !== undefined) yield* killDaemon(supervisor)
  yield* Effect.catch(
    locked(erase(home, say)),
    (error) => Effect.sync(() => say(`${home.directory} is left behind; the next start clears it up. ${error.message}`))
  )
})

export const privateEngine = Effect.fnUntraced(function*(
  { kind = "docker", say }: PrivateEngineOptions
): Effect.fn.Return<PrivateEngine, PrivateEngineError, Scope.Scope> {
  const why = whyNotHere(kind)
  if (why !== undefined) return yield* new PrivateEngineImpossible({ kind, why })

  yield* locked(eraseStale(say))
  yield* locked(installMissing(kind, say))
  const home = yield* Effect.acquireRelease(Effect.sync(makeHome), (made) => release(made, say))
  if (kind === "podman") {
    const { ended } = yield* startDaemon(home, podmanProgram(home))
    return { dockerHost: `unix://${home.socketPath}`, socketPath: home.socketPath, ended }
  }
  const network = yield* locked(takeNetwork(home))
  if (network === undefined) {
    return yield* new PrivateEngineImpossible({ kind, why: "every address block it could use is taken" })
  }
  if (network.warning !== undefined) say(`Private engine: ${network.warning}`)
  const { ended } = yield* startDaemon(home, dockerProgram(home, network))
  return { dockerHost: `unix://${home.socketPath}`, socketPath: home.socketPath, ended }
})
