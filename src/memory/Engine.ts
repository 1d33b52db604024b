/**
 * The simulated backend under `layers/Memory.ts`: what exists, the calls that it answers, their latency and failures.
 *
 * It behaves as a remote engine does. A call takes its time on the Clock, and the state of a node shows a pending call.
 * A fiber of the layer's scope completes every call that was sent, also after an interruption of the caller. Two calls
 * on one node run one after the other. It has no waves, policies or reports.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { failWith, sendCall } from "../internal/Method.ts"
import type { NodeState } from "../Model.ts"
import { ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, InUse, NameTaken, NotFoundError } from "../Reason.ts"
import type {
  Call,
  CallName,
  Crash,
  FailNext,
  MemoryNode,
  MemoryResource,
  SetLatency,
  Unlabelled,
  World
} from "./World.ts"

export const backend = "memory"

/** The entries of a list: things of clusters, and things that no cluster owns. */
type Entry = MemoryNode | MemoryResource | Unlabelled

type CallFailure = BackendError | ProviderUnavailable

/** Emits after changes, once for any number of them, and ends when the stream is cut. */
export type Ticks = Queue.Queue<void, Cause.Done>

type New<A extends { readonly id: string }> = A extends unknown ? Omit<A, "id" | "address" | "createdAt"> : never

type Fate = "adopted" | "undone"

export interface Engine {
  // The calls.
  readonly ping: Effect.Effect<void, CallFailure>
  readonly listAll: Effect.Effect<ReadonlyArray<string>, CallFailure>
  /** The things of one kind, those of other clusters and what no cluster owns included. */
  readonly list: (
    kind: "node" | "network" | "volume",
    cluster: string | undefined
  ) => Effect.Effect<ReadonlyArray<Entry>, CallFailure>
  /** Opens a stream of changes; `opened` gets it in the same step, so that it cannot be lost. */
  readonly watch: (opened: (ticks: Ticks) => void) => Effect.Effect<void, CallFailure>
  readonly unwatch: (ticks: Ticks) => void
  /** Makes a node, which is then stopped, or another resource. */
  readonly create: (made: New<MemoryNode | MemoryResource>) => Effect.Effect<MemoryNode | MemoryResource, CallFailure>
  /** They return whether they changed something, and fail with NotFoundError if the thing does not exist. */
  readonly start: (node: MemoryNode) => Effect.Effect<boolean, CallFailure>
  readonly stop: (node: MemoryNode) => Effect.Effect<boolean, CallFailure>
  readonly delete: (one: MemoryNode | MemoryResource) => Effect.Effect<void, CallFailure>
  /** Connects a node to the network of its cluster. */
  readonly connect: (node: MemoryNode) => Effect.Effect<boolean, CallFailure>
  /** Replaces the labels of a node. */
  readonly update: (node: MemoryNode, labels: MemoryNode["labels"]) => Effect.Effect<boolean, CallFailure>
  /** Decides what becomes of the things of an operation. The first to ask decides. */
  readonly decideFate: (cluster: string, operation: string, fate: Fate) => Effect.Effect<Fate, CallFailure>
  readonly forgetFate: (operation: string) => Effect.Effect<void, CallFailure>

  // Changes without a call.
  readonly holderOf: (kind: "node" | "network" | "volume", name: string) => string | undefined
  readonly putNode: (made: New<MemoryNode>) => Effect.Effect<MemoryNode>
  readonly putResource: (made: New<MemoryResource>) => Effect.Effect<MemoryResource>
  readonly remove: (id: string) => void
  readonly setState: (node: MemoryNode, state: NodeState) => void
  readonly disconnect: (node: MemoryNode) => void
  readonly crashNext: (node: string, crash: Crash) => void
  /** Makes calls fail, until they are used up or what this gives is called. */
  readonly failNext: (failure: FailNext) => () => void
  readonly setLatency: (latency: SetLatency) => void
  readonly setAvailable: (available: boolean) => void
  readonly cutWatches: () => void
  readonly addUnlabelled: (unlabelled: Unlabelled) => void
  readonly removeUnlabelled: (name: string) => void
  readonly calls: Array<Call>
  readonly world: () => World
}

const unavailable = new ProviderUnavailable({
  provider: backend,
  detail: "it was set to be unavailable",
  advice: "Memory.setAvailable(true) makes it answer again."
})

const pause = (latency: Duration.Duration): Effect.Effect<void> =>
  Duration.isZero(latency) ? Effect.void : Effect.sleep(latency)

const notFound = (kind: string, name: string) => failWith(new NotFoundError({ detail: `there is no ${kind} ${name}` }))

export const make = Effect.fnUntraced(function*(
  latencies: ReadonlyArray<SetLatency>
): Effect.fn.Return<Engine, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const things = new Map<string, MemoryNode | MemoryResource>()
  const unlabelled: Array<Unlabelled> = []
  const jobs = new Map<string, Deferred.Deferred<void>>()
  const crashes = new Map<string, Crash>()
  const failures: Array<FailNext & { times: number }> = []
  const slowness = [...latencies]
  const watches = new Set<Ticks>()
  const fates = new Map<string, Fate>()
  const calls: Array<Call> = []
  let available = true
  let count = 0

  // ---------------------------------------------------------------------------
  // State
  // ---------------------------------------------------------------------------

  const changed = () => {
    for (const ticks of watches) Queue.offerUnsafe(ticks, undefined)
  }

  const set = (thing: MemoryNode | MemoryResource) => {
    things.set(thing.id, thing)
    changed()
  }

  const remove = (id: string) => {
    if (things.delete(id)) changed()
  }

  const nodeOf = (id: string): MemoryNode | undefined => {
    const thing = things.get(id)
    return thing?.kind === "node" ? thing : undefined
  }

  const setState = ({ id }: MemoryNode, state: NodeState, crash?: Crash) => {
    const node = nodeOf(id)
    if (node === undefined) return
    const { crash: _, neverStarted: __, ...rest } = node
    set({ ...rest, state, ...(crash === undefined ? {} : { crash }) })
  }

  const add = <A extends MemoryNode | MemoryResource>(thing: A): A => {
    set(thing)
    return thing
  }

  const nextId = () => `memory-${++count}`

  const putNode: Engine["putNode"] = (made) =>
    Effect.map(
      Clock.currentTimeMillis,
      (now) => add({ ...made, id: nextId(), address: addressOf(count), createdAt: new Date(now).toISOString() })
    )

  const putResource: Engine["putResource"] = (made) =>
    Effect.map(
      Clock.currentTimeMillis,
      (now) => add({ ...made, id: nextId(), createdAt: new Date(now).toISOString() })
    )

  const find = (kind: string, name: string) => {
    for (const thing of things.values()) if (thing.kind === kind && thing.name === name) return thing
    return undefined
  }

  const holderOf = (kind: string, name: string): string | undefined => {
    const thing = find(kind, name)
    if (thing !== undefined) return `${kind} ${name} of cluster ${thing.cluster}`
    return unlabelled.some((one) => one.kind === kind && one.name === name)
      ? `the unlabelled ${kind} ${name}`
      : undefined
  }

  const usersOf = (resource: MemoryResource): ReadonlyArray<string> => [
    ...[...things.values()].flatMap((thing) =>
      thing.kind === "node" && thing.cluster === resource.cluster ? [`node ${thing.name}`] : []
    ),
    ...unlabelled.flatMap((one) => one.uses?.includes(resource.name) ? [`the unlabelled ${one.kind} ${one.name}`] : [])
  ]

  /** The resources that a node of a cluster needs and that do not exist. */
  const missingFor = (cluster: string) =>
    (["network", "volume"] as const).find((kind) =>
      ![...things.values()].some((thing) => thing.kind === kind && thing.cluster === cluster)
    )

  const world = (keep: (thing: MemoryNode | MemoryResource) => boolean = () => true): World => {
    const kept = [...things.values()].filter(keep)
    return {
      nodes: kept.filter((thing) => thing.kind === "node"),
      resources: kept.filter((thing) => thing.kind !== "node"),
      unlabelled: [...unlabelled]
    }
  }

  // ---------------------------------------------------------------------------
  // Calls
  // ---------------------------------------------------------------------------

  const latencyOf = (call: Call): Duration.Duration => {
    const rule = slowness.findLast(({ node, operation }) =>
      (operation === undefined || operation === call.operation) && (node === undefined || node === call.target)
    )
    return rule === undefined ? Duration.zero : Duration.fromInputUnsafe(rule.latency)
  }

  const failureOf = (call: Call): FailNext | undefined => {
    const failure = failures.find(({ cluster, node, operation, times }) =>
      times > 0 &&
      operation === call.operation &&
      (node === undefined || node === call.target) &&
      (cluster === undefined || cluster === call.cluster)
    )
    if (failure !== undefined) failure.times--
    return failure
  }

  const send = <A>(
    call: Call,
    // Sends the call; what it gives waits for the answer and can be interrupted.
    work: (latency: Duration.Duration) => Effect.Effect<Effect.Effect<A, BackendError>>
  ): Effect.Effect<A, CallFailure> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        calls.push(call)
        if (!available) return yield* unavailable
        const latency = latencyOf(call)
        const failure = failureOf(call)
        if (failure !== undefined && failure.takesEffect !== true) {
          yield* restore(pause(latency))
          return yield* failWith(failure.reason)
        }
        const answer = yield* Effect.flatMap(work(latency), restore)
        return failure === undefined ? answer : yield* failWith(failure.reason)
      })
    ).pipe(sendCall({ method: "memory", path: call.operation }))

  const read = <A>(call: Call, answer: () => A) =>
    send(call, (latency) => Effect.succeed(Effect.andThen(pause(latency), Effect.sync(answer))))

  // The work is forked, since the backend completes what was sent whatever becomes of the caller.
  const write = <A>(
    call: Call,
    id: string | undefined,
    begin: Effect.Effect<{ readonly id: string; readonly finish: Effect.Effect<A, BackendError> }, BackendError>
  ) =>
    send(call, (latency) =>
      Effect.gen(function*() {
        for (let job = jobs.get(id ?? ""); job !== undefined; job = jobs.get(id ?? "")) yield* Deferred.await(job)
        const begun = yield* begin
        if (Duration.isZero(latency)) return yield* begun.finish
        const job = Deferred.makeUnsafe<void>()
        jobs.set(begun.id, job)
        yield* Effect.sleep(latency)
        const exit = yield* Effect.exit(begun.finish)
        // A waiting fiber continues at once, so the work must be done before.
        jobs.delete(begun.id)
        Deferred.doneUnsafe(job, Exit.void)
        return yield* exit
      }).pipe(
        Effect.forkIn(scope, { startImmediately: true }),
        Effect.map(Fiber.join)
      ))

  /** A write on one node: `during` shows while it is worked on, `finish` runs if the node is still there after. */
  const act = <A>(
    operation: CallName,
    { cluster, id, name }: MemoryNode,
    begin: (node: MemoryNode) => { readonly during?: NodeState; readonly finish: (node: MemoryNode) => A }
  ) => {
    const present = Effect.suspend(() => {
      const node = nodeOf(id)
      return node === undefined ? notFound("node", name) : Effect.succeed(node)
    })
    return write(
      { operation, target: name, cluster },
      id,
      Effect.map(present, (node) => {
        const { during, finish } = begin(node)
        if (during !== undefined) setState(node, during)
        return { id, finish: Effect.map(present, finish) }
      })
    )
  }

  const start: Engine["start"] = (node) =>
    act("start", node, (found) =>
      found.state === "running" ? { finish: () => false } : {
        during: "starting",
        finish: (started) => {
          const crash = crashes.get(started.name)
          crashes.delete(started.name)
          setState(started, crash === undefined ? "running" : "failed", crash)
          return true
        }
      })

  const stop: Engine["stop"] = (node) =>
    act("stop", node, (found) =>
      found.state === "stopped" ? { finish: () => false } : {
        during: "stopping",
        finish: (stopped) => {
          setState(stopped, "stopped")
          return true
        }
      })

  const deleteOne: Engine["delete"] = (one) =>
    one.kind === "node"
      ? act("delete", one, () => ({ during: "deleting", finish: ({ id }) => remove(id) }))
      : write(
        { operation: "delete", target: one.name, cluster: one.cluster },
        one.id,
        Effect.suspend(() => {
          if (!things.has(one.id)) return notFound(one.kind, one.name)
          // Check again at the end: a new node may use it by now.
          const free = Effect.suspend(() => {
            const users = usersOf(one)
            return users.length === 0
              ? Effect.void
              : failWith(new InUse({ detail: `it is used by ${users.join(" and ")}` }))
          })
          return Effect.as(free, { id: one.id, finish: Effect.map(free, () => remove(one.id)) })
        })
      )

  const create: Engine["create"] = (made) =>
    write(
      { operation: "create", target: made.name, cluster: made.cluster },
      undefined,
      Effect.suspend(() => {
        const by = holderOf(made.kind, made.name)
        if (by !== undefined) {
          return failWith(new NameTaken({ detail: `the name ${made.name} is held by ${by}`, by }))
        }
        const missing = made.kind === "node" ? missingFor(made.cluster) : undefined
        if (missing !== undefined) return notFound(missing, `of cluster ${made.cluster}`)
        const put: Effect.Effect<MemoryNode | MemoryResource> = made.kind === "node"
          ? putNode({ ...made, state: "creating" })
          : putResource(made)
        return Effect.map(put, (thing) => ({
          id: thing.id,
          finish: Effect.sync(() => {
            const made = nodeOf(thing.id)
            if (made !== undefined) set({ ...made, state: "stopped", neverStarted: true })
            return thing
          })
        }))
      })
    )

  return {
    ping: read({ operation: "ping", target: "", cluster: "" }, () => undefined),
    listAll: read({ operation: "listAll", target: "", cluster: "" }, () => [
      ...new Set(world().nodes.map((node) => node.cluster))
    ]),
    list: (kind, cluster) =>
      read({ operation: "list", target: cluster ?? "", cluster: cluster ?? "" }, () => [
        ...[...things.values()].filter((thing) => thing.kind === kind),
        ...unlabelled.filter((one) => one.kind === kind)
      ]),
    watch: (opened) =>
      Effect.flatMap(
        Queue.sliding<void, Cause.Done>(1),
        (ticks) =>
          read({ operation: "watch", target: "", cluster: "" }, () => {
            watches.add(ticks)
            opened(ticks)
          })
      ),
    unwatch: (ticks) => {
      watches.delete(ticks)
    },
    create,
    start,
    stop,
    delete: deleteOne,
    connect: (node) =>
      act("connect", node, () => ({
        finish: (found) => {
          set({ ...found, isConnected: true })
          return !found.isConnected
        }
      })),
    update: (node, labels) =>
      act("update", node, () => ({
        finish: (found) => {
          set({ ...found, labels })
          return true
        }
      })),
    decideFate: (cluster, operation, fate) =>
      write(
        { operation: "decideFate", target: operation, cluster },
        undefined,
        Effect.sync(() => {
          const decided = fates.get(operation) ?? fate
          fates.set(operation, decided)
          return { id: operation, finish: Effect.succeed(decided) }
        })
      ),
    forgetFate: (operation) =>
      write(
        { operation: "forgetFate", target: operation, cluster: "" },
        undefined,
        Effect.sync(() => ({ id: operation, finish: Effect.sync(() => void fates.delete(operation)) }))
      ),
    disconnect: (node) => {
      const found = nodeOf(node.id)
      if (found !== undefined) set({ ...found, isConnected: false })
    },
    holderOf,
    putNode,
    putResource,
    remove,
    setState,
    crashNext: (node, crash) => crashes.set(node, crash),
    failNext: (failure) => {
      const rule = { ...failure, times: failure.times ?? 1 }
      failures.push(rule)
      return () => {
        rule.times = 0
      }
    },
    setLatency: (latency) => slowness.push(latency),
    setAvailable: (value) => {
      available = value
      if (!value) cutWatches()
    },
    cutWatches,
    addUnlabelled: (one) => unlabelled.push(one),
    removeUnlabelled: (name) => {
      unlabelled.splice(0, unlabelled.length, ...unlabelled.filter((one) => one.name !== name))
    },
    calls,
    world
  }

  function cutWatches() {
    const cut = [...watches]
    watches.clear()
    for (const ticks of cut) Queue.endUnsafe(ticks)
  }
})

/** An address of the private range, a different one for every node. */
const addressOf = (count: number): string => `10.${(count >> 16) & 255}.${(count >> 8) & 255}.${count & 255}`
