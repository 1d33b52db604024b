/**
 * Runs an effect as a script: Ctrl-C cleans up, a failure is one readable error, and the exit code shows the kind of
 * failure.
 *
 * The exit codes of the whole library are the tables `exitCodes`, `exitCodeOfReason` and `exitCodeOfError`.
 *
 * @since 0.2.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import type { InvalidPlan, StalePlan } from "./Plan.ts"
import { InvalidSpec, type ProviderError, reasonsOf } from "./ProviderError.ts"
import type { ReasonTag } from "./Reason.ts"

// -----------------------------------------------------------------------------
// Exit codes
// -----------------------------------------------------------------------------

/**
 * The exit codes with their meaning.
 *
 * @category exit codes
 * @since 0.2.0
 */
export const exitCodes = {
  /** Everything was done. */
  done: 0,
  /** The operation failed, or its nodes failed for different reasons. */
  failed: 1,
  /** The command line, the spec or the plan file is wrong. */
  invalid: 2,
  /** The backend cannot be reached. */
  unreachable: 3,
  /** The cluster does not exist. */
  noSuchCluster: 4,
  /** The credentials are missing, wrong or not sufficient. */
  credentials: 5,
  /** A quota or the capacity of the backend is exhausted. */
  quota: 6,
  /** A deadline passed. */
  deadline: 7,
  /** The cluster is not ready, and the caller requested an exit code. */
  notReady: 8,
  /** The plan is stale. */
  stalePlan: 9,
  /** SIGINT (Ctrl-C) ended it. */
  interrupted: 130,
  /** SIGTERM ended it. */
  terminated: 143
} as const

/**
 * @category exit codes
 * @since 0.2.0
 */
export type ExitCode = typeof exitCodes[keyof typeof exitCodes]

/**
 * The exit code of each reason.
 *
 * @category exit codes
 * @since 0.2.0
 */
export const exitCodeOfReason: { readonly [Tag in ReasonTag]: ExitCode } = {
  Unauthorized: exitCodes.credentials,
  ReadOnlyCredential: exitCodes.credentials,
  RateLimited: exitCodes.quota,
  CapacityUnavailable: exitCodes.quota,
  PlacementFailed: exitCodes.quota,
  QuotaExceeded: exitCodes.quota,
  NameTaken: exitCodes.failed,
  Differs: exitCodes.failed,
  AmbiguousCluster: exitCodes.invalid,
  Locked: exitCodes.failed,
  Conflict: exitCodes.failed,
  InUse: exitCodes.failed,
  InvalidInput: exitCodes.failed,
  NotFoundError: exitCodes.failed,
  Protected: exitCodes.failed,
  UnsupportedError: exitCodes.failed,
  Transport: exitCodes.unreachable,
  RequestTimeout: exitCodes.deadline,
  ServerFault: exitCodes.failed,
  InvalidResponse: exitCodes.failed,
  UnknownError: exitCodes.failed
}

/**
 * The exit code of each error. `"reason"`: that of its reason, if all its reasons are the same one, else 1.
 *
 * @category exit codes
 * @since 0.2.0
 */
export const exitCodeOfError: {
  readonly [Tag in (ProviderError | StalePlan | InvalidPlan)["_tag"]]: ExitCode | "reason"
} = {
  InvalidClusterName: exitCodes.invalid,
  ProviderUnavailable: exitCodes.unreachable,
  BackendError: "reason",
  NoNodes: exitCodes.noSuchCluster,
  ClusterNotFound: exitCodes.noSuchCluster,
  UnknownLabelScheme: exitCodes.invalid,
  SkipAction: exitCodes.failed,
  /** 5 if an issue concerns a credential. */
  InvalidSpec: exitCodes.invalid,
  NodesFailed: "reason",
  NodesNotCreated: "reason",
  ClustersNotDeleted: "reason",
  OperationTimeout: exitCodes.deadline,
  StalePlan: exitCodes.stalePlan,
  InvalidPlan: exitCodes.invalid
}

const tagOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : ""

/**
 * The exit code of an error. An `InvalidSpec` about a credential is 5. Errors that are not of kubelayer are 1, but a
 * `TimeoutError` of effect is 7 and a `ConfigError` is 2.
 *
 * @category exit codes
 * @since 0.2.0
 */
export const exitCodeOf = (error: unknown): ExitCode => {
  const tag = tagOf(error)
  if (tag === "TimeoutError") return exitCodes.deadline
  if (tag === "ConfigError") return exitCodes.invalid
  // Of a fleet: the database is away, or it is no store that this version can use.
  if (tag === "StoreError") {
    return (error as { readonly problem?: string }).problem === "unavailable"
      ? exitCodes.unreachable
      : exitCodes.invalid
  }
  if (error instanceof InvalidSpec && error.issues.some((issue) => issue.isCredential)) return exitCodes.credentials
  const code = Object.hasOwn(exitCodeOfError, tag)
    ? exitCodeOfError[tag as keyof typeof exitCodeOfError]
    : exitCodes.failed
  if (code !== "reason") return code
  const [first, ...others] = new Set(reasonsOf(error).map((reason) => reason._tag))
  return first === undefined || others.length > 0 ? exitCodes.failed : exitCodeOfReason[first]
}

// -----------------------------------------------------------------------------
// Scripts
// -----------------------------------------------------------------------------

/**
 * @category models
 * @since 0.2.0
 */
export interface ScriptOptions {
  /** Writes the stack and the spans of a failure too. Without it, KUBELAYER_STACK=1 in the environment does the same. */
  readonly stack?: boolean
}

const messageOf = (error: unknown): string =>
  typeof error === "string"
    ? error
    : error instanceof Error
    ? error.message === "" ? error.name : error.message
    : typeof error === "object" && error !== null && "message" in error && typeof error.message === "string"
    ? error.message
    : Formatter.format(error)

const textOf = (cause: Cause.Cause<unknown>, stack: boolean): string => {
  if (stack) return Cause.pretty(cause)
  const message = messageOf(Cause.squash(cause))
  return cause.reasons.some(Cause.isDieReason) && !Cause.hasFails(cause)
    ? `unexpected error: ${message}\nRun it again with KUBELAYER_STACK=1 to see where it was thrown.`
    : message
}

// Deno refuses to read a variable that the script has no permission for.
const wantsStack = (): boolean => {
  try {
    return process.env["KUBELAYER_STACK"] === "1"
  } catch {
    return false
  }
}

const signals = { SIGINT: exitCodes.interrupted, SIGTERM: exitCodes.terminated } as const
type Signal = keyof typeof signals

// `npm run` forwards the signal that the terminal has already sent: both are one key press.
const samePressMillis = 100

/**
 * Runs an effect as the process.
 *
 * - SIGINT (Ctrl-C) and SIGTERM interrupt the effect. Its clean-up runs, so an interrupted create removes what it
 *   created. The process then ends with exit code 130 or 143. A second signal ends the process at once.
 * - A failure is written to stderr as its message, without a stack, and the exit code is `exitCodeOf(error)`.
 * - A success leaves `process.exitCode` as it is, and the process ends when nothing is left to do.
 *
 * It works on Node, Bun and Deno, and needs no package beside `effect`.
 *
 * **Example** (A script that creates a cluster)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { NodeCreator } from "kubelayer/Provider"
 * import { runScript } from "kubelayer/Script"
 *
 * const program = Effect.gen(function*() {
 *   const creator = yield* NodeCreator
 *   const report = yield* creator.createNodes({ cluster: "dev", controlPlanes: 1, workers: 2 })
 *   console.log(`${report.clusterName} is created`)
 * })
 *
 * runScript(program.pipe(Effect.provide(Memory.layer())))
 * // => dev is created
 * ```
 *
 * @category running
 * @since 0.2.0
 */
export const runScript = (effect: Effect.Effect<unknown, unknown>, options: ScriptOptions = {}): void => {
  const { process } = globalThis
  // A fiber alone does not keep the process alive.
  const keepAlive = setInterval(() => {}, 2 ** 31 - 1)
  let received: { readonly code: ExitCode; readonly at: number } | undefined

  const interrupt = (signal: Signal): void => {
    const at = performance.now()
    if (received !== undefined) {
      if (at - received.at < samePressMillis) return
      process.exit(received.code)
    }
    received = { code: signals[signal], at }
    console.error(`Interrupted by ${signal}; cleaning up. A second signal ends it at once.`)
    fiber.interruptUnsafe(fiber.id)
  }
  const handlers = {
    SIGINT: () => interrupt("SIGINT"),
    SIGTERM: () => interrupt("SIGTERM")
  }
  process.on("SIGINT", handlers.SIGINT)
  process.on("SIGTERM", handlers.SIGTERM)
  // The effect runs at once, so a signal may come while this call is still running.
  const fiber = Effect.runFork(effect)

  const end = (code: ExitCode): void => {
    process.exitCode = code
    // The output may go into a pipe that is not read yet.
    process.stdout.write("", () => process.stderr.write("", () => process.exit(code)))
  }

  fiber.addObserver((exit) => {
    clearInterval(keepAlive)
    process.off("SIGINT", handlers.SIGINT)
    process.off("SIGTERM", handlers.SIGTERM)
    if (Exit.isSuccess(exit)) return
    const { cause } = exit
    if (Cause.hasInterruptsOnly(cause)) {
      if (received === undefined) console.error("Interrupted.")
      return end(received?.code ?? exitCodes.interrupted)
    }
    console.error(textOf(cause, options.stack ?? wantsStack()))
    end(received?.code ?? exitCodeOf(Cause.squash(cause)))
  })
}
