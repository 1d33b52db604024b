/**
 * Every backend with promises instead of effects.
 *
 * A method of a service becomes a method that gives a promise, or an async iterable where it was a stream. Each takes
 * `{ signal, policy, onEvent }` as its last argument. `Option.none` is `undefined`. A promise is rejected with the error
 * of the service (`instanceof` and `_tag` work), and with an `AbortError` after an abort.
 *
 * @since 0.2.0
 */

// For `AsyncDisposable`, which a caller's `lib` may lack.
/// <reference lib="esnext.disposable" preserve="true" />
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Docker from "./layers/Docker.ts"
import type * as Hetzner from "./layers/Hetzner.ts"
import type * as Memory from "./layers/Memory.ts"
import type * as Mock from "./layers/Mock.ts"
import type * as Omni from "./layers/Omni.ts"
import type { NodeInfo } from "./Model.ts"
import * as Policy from "./Policy.ts"
import { type OperationEvent, Progress } from "./Progress.ts"
import type { NodeCreatorService, ProviderService } from "./Provider.ts"
import type { InvalidSpec, UnknownLabelScheme } from "./ProviderError.ts"

// -----------------------------------------------------------------------------
// Types
// -----------------------------------------------------------------------------

/**
 * The last argument of every method.
 *
 * @category models
 * @since 0.2.0
 */
export interface CallOptions {
  /** Interrupts the call. An interrupted create removes what it created before the promise is rejected. */
  readonly signal?: AbortSignal | undefined
  /** Overrides of the policy for this call. */
  readonly policy?: Policy.Overrides | undefined
  /** Gets the events of the operation. The operation waits for a promise that it returns, and ignores what it throws. */
  readonly onEvent?: ((event: OperationEvent) => unknown) | undefined
}

/**
 * A promise that also carries the type of its rejections, for `ErrorsOf`.
 *
 * @category models
 * @since 0.2.0
 */
export interface TypedPromise<A, E> extends Promise<A> {
  readonly "~errors"?: E
}

/**
 * The errors that a method can reject with: `ErrorsOf<typeof docker.startNodes>`.
 *
 * @category models
 * @since 0.2.0
 */
// A parameter of `never` takes the parameters of every method.
// oxlint-disable-next-line typescript/no-explicit-any
export type ErrorsOf<F> = F extends (...args: any) => TypedPromise<unknown, infer E> ? Exclude<E, undefined> : never

/**
 * Something that exists until it is disposed: what a scoped method gave.
 *
 * @category models
 * @since 0.2.0
 */
export interface Held<A> extends AsyncDisposable {
  readonly value: A
  /** The same as disposing. A scoped create deletes its cluster. */
  readonly close: () => Promise<void>
}

type Plain<A> = [A] extends [Option.Option<infer B>] ? B | undefined : A

// A generic method shows its requirements as `unknown`.
type NeedsScope<R> = unknown extends R ? false : Scope.Scope extends R ? true : false

type Given<A, E, R> = NeedsScope<R> extends true ? TypedPromise<Held<Plain<A>>, E | AbortError>
  : TypedPromise<Plain<A>, E | AbortError>

/** A gate of `replaceNodes` and `restartNodes`, which may give a promise here. */
type Gate = (nodes: ReadonlyArray<NodeInfo>) => PromiseLike<void> | Effect.Effect<void, unknown>

type Accepted<A> = A extends unknown ? "gate" extends keyof A ? Omit<A, "gate"> & { readonly gate?: Gate } : A
  : never

type AllAccepted<Args extends ReadonlyArray<unknown>> = { [Index in keyof Args]: Accepted<Args[Index]> }

// The parameters without the optional ones, since the options may come right after these.
type Required<Args extends ReadonlyArray<unknown>> = Args extends readonly [infer Head, ...infer Tail]
  ? [Head, ...Required<Tail>]
  : []

type Parameters<Args extends ReadonlyArray<unknown>> =
  | [...AllAccepted<Args>, options?: CallOptions]
  | [...Required<AllAccepted<Args>>, options?: CallOptions]

type Promised<M> =
  // Streams and effects are recognised first: a stream is no effect, and neither is a function.
  M extends Stream.Stream<infer A, unknown, unknown> ? (options?: CallOptions) => AsyncIterable<A>
    : M extends Effect.Effect<infer A, infer E, infer R> ? (options?: CallOptions) => Given<A, E, R>
    : M extends (...args: infer Args) => Stream.Stream<infer A, unknown, unknown>
      ? (...args: Parameters<Args>) => AsyncIterable<A>
    : M extends (...args: infer Args) => Effect.Effect<infer A, infer E, infer R>
      ? (...args: Parameters<Args>) => Given<A, E, R>
    : M extends string | number | boolean | undefined | ReadonlyArray<unknown> ? M
    : M extends object ? Facade<M>
    : never

/**
 * A service with promises: the mapped type of any service whose members are effects, streams, functions that give one,
 * and objects of these.
 *
 * @category models
 * @since 0.2.0
 */
export type Facade<S> = { readonly [K in keyof S]: Promised<S[K]> }

/**
 * A connected backend: its own service, with the methods of `Provider` and `NodeCreator` beside its own ones. A method
 * of the backend's own that has the same name wins, since it takes the wider spec. Disposing it interrupts the calls
 * that run, releases what scoped methods gave, and closes the connections.
 *
 * @category models
 * @since 0.2.0
 */
export type Connection<S> =
  & Facade<S>
  & Facade<Omit<ProviderService, keyof S>>
  & Facade<Omit<NodeCreatorService, keyof S>>
  & AsyncDisposable
  & {
    /** The same as disposing. */
    readonly close: () => Promise<void>
  }

/** The names of the methods that need a scope. */
type ScopedKeys<S> = {
  [K in keyof S]: S[K] extends (...args: never) => Effect.Effect<unknown, unknown, infer R>
    ? NeedsScope<R> extends true ? K : never
    : never
}[keyof S]

/** The methods that need a scope, by name. The compiler refuses a record that lacks one. */
export type ScopedMethods<S> = { readonly [K in ScopedKeys<S> | ScopedKeys<NodeCreatorService>]: true }

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/**
 * The rejection of a call that was aborted, or whose connection was closed. `cause` is the reason of the signal.
 *
 * @category errors
 * @since 0.2.0
 */
export class AbortError extends Error {
  override readonly name = "AbortError"
  /** As Node's own `AbortError` has it. */
  readonly code = "ABORT_ERR"

  constructor(message: string, reason?: unknown) {
    super(message, reason === undefined ? {} : { cause: reason })
  }
}

const aborted = (signal: AbortSignal | undefined): AbortError =>
  signal?.aborted === true
    ? new AbortError("the call was aborted", signal.reason)
    : new AbortError("the connection was closed")

const rejectionOf = (cause: Cause.Cause<unknown>, signal: AbortSignal | undefined): unknown =>
  Cause.hasInterruptsOnly(cause) ? aborted(signal) : Cause.squash(cause)

// -----------------------------------------------------------------------------
// Calls
// -----------------------------------------------------------------------------

const optionNames = new Set(["signal", "policy", "onEvent"])

/** Whether a last argument is the options of the call: it has some of their keys, and no other one. */
const isCallOptions = (value: unknown): value is CallOptions => {
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return false
  const keys = Object.keys(value)
  return keys.length > 0 && keys.every((key) => optionNames.has(key))
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && "then" in value

/** The options of a call as references that its effect finds. */
const referencesOf = ({ onEvent, policy }: CallOptions): Context.Context<never> => {
  let references = Context.empty() as Context.Context<never>
  if (policy !== undefined) references = Context.add(references, Policy.Current, policy) as Context.Context<never>
  if (onEvent !== undefined) {
    references = Context.add(references, Progress, (event) =>
      Effect.suspend(() => {
        const given = onEvent(event)
        return isThenable(given) ? Effect.asVoid(Effect.promise(() => Promise.resolve(given))) : Effect.void
      })) as Context.Context<never>
  }
  return references
}

/** An argument with a gate that may give a promise, as the service takes it. */
const withGate = (argument: unknown): unknown => {
  if (typeof argument !== "object" || argument === null || !("gate" in argument)) return argument
  const { gate } = argument
  if (typeof gate !== "function") return argument
  const asEffect = (...args: ReadonlyArray<unknown>): unknown => {
    const given: unknown = gate(...args)
    return Effect.isEffect(given)
      ? given
      : Effect.tryPromise({ try: () => Promise.resolve(given), catch: (error) => error })
  }
  return { ...argument, gate: asEffect }
}

const plain = (value: unknown): unknown => Option.isOption(value) ? Option.getOrUndefined(value) : value

// The compiler takes the property for a constant.
const isAborted = (signal: AbortSignal): boolean => signal.aborted

class Caller {
  private readonly fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  private readonly closed = Deferred.makeUnsafe<void>()
  private closing: Promise<void> | undefined

  private readonly scope: Scope.Closeable

  constructor(scope: Scope.Closeable) {
    this.scope = scope
  }

  /** Runs an effect as a promise. */
  run<A>(effect: Effect.Effect<A, unknown>, options: CallOptions): Promise<A> {
    const { signal } = options
    if (signal?.aborted === true || this.closing !== undefined) return Promise.reject(aborted(signal))
    return new Promise((resolve, reject) => {
      const fiber = Effect.runForkWith(referencesOf(options))(effect)
      const interrupt = () => fiber.interruptUnsafe()
      this.fibers.add(fiber)
      signal?.addEventListener("abort", interrupt, { once: true })
      // A sink of the caller may have aborted the call already, since a fiber starts at once.
      if (signal !== undefined && isAborted(signal)) interrupt()
      fiber.addObserver((exit) => {
        this.fibers.delete(fiber)
        signal?.removeEventListener("abort", interrupt)
        if (Exit.isSuccess(exit)) resolve(exit.value)
        else reject(rejectionOf(exit.cause, signal))
      })
    })
  }

  /** Runs an effect that needs a scope; what it gave lives until it is closed, at the latest with the connection. */
  hold<A>(effect: Effect.Effect<A, unknown, Scope.Scope>, options: CallOptions): Promise<Held<A>> {
    return this.run(
      Effect.uninterruptibleMask((restore) =>
        Effect.gen({ self: this }, function*() {
          const scope = yield* Scope.fork(this.scope)
          const value = yield* restore(Scope.provide(effect, scope)).pipe(
            Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit))
          )
          const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
          return { value, close, [Symbol.asyncDispose]: close }
        })
      ),
      options
    )
  }

  /** A stream as an async iterable; each iteration runs it again. */
  iterate<A>(stream: Stream.Stream<A, unknown>, options: CallOptions): AsyncIterable<A> {
    const { signal } = options
    const abort = Effect.callback<never, AbortError>((resume) => {
      const fail = () => resume(Effect.fail(aborted(signal)))
      if (signal !== undefined && isAborted(signal)) return fail()
      signal?.addEventListener("abort", fail, { once: true })
      return Effect.sync(() => signal?.removeEventListener("abort", fail))
    })
    const closed = Effect.andThen(Deferred.await(this.closed), Effect.suspend(() => Effect.fail(aborted(signal))))
    return Stream.toAsyncIterableWith(
      Stream.interruptWhen(stream, Effect.raceFirst(abort, closed)),
      referencesOf(options)
    )
  }

  close(): Promise<void> {
    this.closing ??= Effect.runPromise(
      Deferred.succeed(this.closed, undefined).pipe(
        Effect.andThen(Fiber.interruptAll(this.fibers)),
        Effect.andThen(Scope.close(this.scope, Exit.void))
      )
    )
    return this.closing
  }
}

const facadeOf = (service: object, caller: Caller, scoped: ReadonlySet<string>): Record<string, unknown> => {
  const answer = (name: string, given: unknown, options: CallOptions): unknown => {
    if (Stream.isStream(given)) return caller.iterate(given as Stream.Stream<unknown, unknown>, options)
    if (!Effect.isEffect(given)) return given
    return scoped.has(name)
      ? caller.hold(Effect.map(given as Effect.Effect<unknown, unknown, Scope.Scope>, plain), options)
      : caller.run(Effect.map(given as Effect.Effect<unknown, unknown>, plain), options)
  }
  const promised = (name: string, member: unknown): unknown => {
    if (Stream.isStream(member) || Effect.isEffect(member)) {
      return (options: CallOptions = {}) => answer(name, member, options)
    }
    if (typeof member === "function") {
      return (...args: ReadonlyArray<unknown>) => {
        const last = args.at(-1)
        const [own, options] = isCallOptions(last) ? [args.slice(0, -1), last] : [args, {}]
        return answer(name, member(...own.map(withGate)), options)
      }
    }
    return typeof member === "object" && member !== null && !Array.isArray(member)
      ? facadeOf(member, caller, scoped)
      : member
  }
  return Object.fromEntries(Object.entries(service).map(([name, member]) => [name, promised(name, member)]))
}

// -----------------------------------------------------------------------------
// Connections
// -----------------------------------------------------------------------------

interface BackendService {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
}

const connectTo = async <I, S extends BackendService, E>(
  key: Context.Key<I, S>,
  layer: Layer.Layer<I, E>,
  scoped: ScopedMethods<S>
): Promise<Connection<S>> => {
  const scope = Scope.makeUnsafe()
  const built = await Effect.runPromiseExit(
    Layer.buildWithScope(layer, scope).pipe(
      Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit))
    )
  )
  if (Exit.isFailure(built)) throw Cause.squash(built.cause)
  const service = Context.get(built.value as Context.Context<I>, key)
  const caller = new Caller(scope)
  const close = () => caller.close()
  return {
    ...facadeOf({ ...service.provider, ...service.creator, ...service }, caller, new Set(Object.keys(scoped))),
    close,
    [Symbol.asyncDispose]: close
  } as unknown as Connection<S>
}

interface Connect {
  /**
   * Connects to the backend of any layer, with the key of its service. `scoped` names its methods that need a scope.
   */
  <I, S extends BackendService, E>(
    key: Context.Key<I, S>,
    layer: Layer.Layer<I, E>,
    scoped: ScopedMethods<S>
  ): TypedPromise<Connection<S>, E>
  /** Nodes in Docker containers. Options that are left out come from the environment, as in `Docker.layerConfig`. */
  readonly docker: (options?: Docker.Options) => TypedPromise<
    Connection<Docker.DockerService>,
    InvalidSpec | UnknownLabelScheme
  >
  /** Servers of the Hetzner Cloud. Options that are left out come from the environment, such as HCLOUD_TOKEN. */
  readonly hetzner: (
    options?: Partial<Hetzner.Options>
  ) => TypedPromise<Connection<Hetzner.HetznerService>, InvalidSpec>
  /** Talos machines under Omni. Options that are left out come from the environment, such as OMNI_ENDPOINT. */
  readonly omni: (options?: Partial<Omni.Options>) => TypedPromise<Connection<Omni.OmniService>, InvalidSpec>
  /** A simulator in memory. */
  readonly memory: (options?: Memory.Options) => TypedPromise<Connection<Memory.MemoryService>, InvalidSpec>
  /** Prepared answers, for tests. */
  readonly mock: (answers?: Mock.Answers, options?: Mock.Options) => TypedPromise<
    Connection<Mock.MockService>,
    never
  >
}

const createScoped = { createNodesScoped: true } as const

/**
 * Connects to a backend.
 *
 * **Example** (Create a cluster and delete it at the end of the block)
 *
 * ```ts run
 * import { connect } from "kubelayer/promise"
 *
 * await using memory = await connect.memory()
 * await using created = await memory.createNodesScoped({ cluster: "dev", controlPlanes: 1, workers: 1 })
 * console.log(created.value.clusterName, await memory.listAllClusters())
 *
 * const status = await memory.getClusterStatus("dev")
 * console.log(status?.phase)
 * // => dev [ 'dev' ]
 * // => running
 * ```
 *
 * **Example** (Start the nodes of a kind cluster, and stop waiting after a minute)
 *
 * ```ts
 * import { connect } from "kubelayer/promise"
 * import { NodesFailed } from "kubelayer/ProviderError"
 *
 * await using docker = await connect.docker({ scheme: "kind" })
 * try {
 *   const report = await docker.startNodes("dev", { signal: AbortSignal.timeout(60_000) })
 *   console.log(`${report.done.length} started`)
 * } catch (error) {
 *   if (!(error instanceof NodesFailed)) throw error
 *   for (const node of error.report.failed) console.error(node.name, node.problem)
 * }
 * ```
 *
 * @category constructors
 * @since 0.2.0
 */
export const connect: Connect = Object.assign(connectTo, {
  docker: async (options?: Docker.Options) => {
    const { Docker, layerServiceConfig } = await import("./layers/Docker.ts")
    return connectTo(Docker, layerServiceConfig(options), createScoped)
  },
  hetzner: async (options?: Partial<Hetzner.Options>) => {
    const { Hetzner, layerServiceConfig } = await import("./layers/Hetzner.ts")
    return connectTo(Hetzner, layerServiceConfig(options), createScoped)
  },
  omni: async (options?: Partial<Omni.Options>) => {
    const { layerServiceConfig, Omni } = await import("./layers/Omni.ts")
    return connectTo(Omni, layerServiceConfig(options), createScoped)
  },
  memory: async (options?: Memory.Options) => {
    const { layerServiceConfig, Memory } = await import("./layers/Memory.ts")
    return connectTo(Memory, layerServiceConfig(options), { ...createScoped, failWhile: true })
  },
  mock: async (answers?: Mock.Answers, options?: Mock.Options) => {
    const { layerServiceConfig, Mock } = await import("./layers/Mock.ts")
    return connectTo(Mock, layerServiceConfig(answers, options), createScoped)
  }
})
