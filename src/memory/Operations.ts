/**
 * Start, stop and delete of the simulated backend, in their waves.
 */
import * as Effect from "effect/Effect"
import { byRoleThenName, type Operation } from "../internal/Operation.ts"
import { retrying } from "../internal/Retry.ts"
import { NoNodes, type ProviderUnavailable } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import { AlreadyDone, Done, type Outcome, Skipped } from "../Report.ts"
import { clusterNames, listing, subjectOf, verifyRunning } from "./Calls.ts"
import { backend, type Engine } from "./Engine.ts"
import type { MemoryNode, MemoryResource } from "./World.ts"

type Subject = MemoryNode | MemoryResource
type Act<A> = (one: A) => Effect.Effect<Outcome, BackendError | ProviderUnavailable>

const isControlPlane = (node: MemoryNode) => node.role === "control-plane"
const isOther = (node: MemoryNode) => node.role !== "control-plane"
const outcome = (changed: boolean): Outcome => changed ? new Done({}) : new AlreadyDone({})

export const makeOperations = (engine: Engine) => {
  const nodesOfCluster = (operation: Operation) =>
    Effect.flatMap(
      listing(engine, operation.policy, operation.clusterName),
      ({ nodes }) =>
        nodes.length > 0
          ? Effect.succeed([...nodes].sort(byRoleThenName))
          : Effect.fail(
            new NoNodes({ provider: backend, clusterName: operation.clusterName, known: clusterNames(engine) })
          )
    )

  const wave = <A extends Subject>(
    operation: Operation,
    kind: "start" | "stop" | "delete",
    all: ReadonlyArray<A>,
    act: Act<A>
  ) =>
    operation.wave(all, {
      subject: subjectOf,
      timeout: operation.policy.nodeTimeout[kind],
      width: operation.policy.concurrency[kind]
    }, act)

  // All three are safe to send again: what is done already is not done twice.
  const sending = <A>(
    operation: Operation,
    call: "start" | "stop" | "delete",
    one: Subject,
    send: Effect.Effect<A, BackendError | ProviderUnavailable>
  ) =>
    retrying(operation.policy)(
      Effect.andThen(
        operation.emit({ _tag: "Sent", subject: subjectOf(one), call: `${call} ${one.kind} ${one.name}` }),
        send
      )
    )

  const start = Effect.fnUntraced(function*(operation: Operation) {
    const nodes = yield* nodesOfCluster(operation)
    yield* operation.schedule(nodes.map(subjectOf))
    const act: Act<MemoryNode> = (node) =>
      node.state === "running"
        ? Effect.succeed(new AlreadyDone({}))
        : Effect.map(sending(operation, "start", node, engine.start(node)), outcome)
    yield* wave(operation, "start", nodes.filter(isControlPlane), act)
    yield* wave(operation, "start", nodes.filter(isOther), act)
    yield* verifyRunning(engine, operation, nodes.map(subjectOf))
  })

  const stop = Effect.fnUntraced(function*(operation: Operation) {
    const nodes = yield* nodesOfCluster(operation)
    yield* operation.schedule(nodes.map(subjectOf))
    const act: Act<MemoryNode> = (node) =>
      node.state === "stopped"
        ? Effect.succeed(new AlreadyDone({}))
        : sending(operation, "stop", node, engine.stop(node)).pipe(
          Effect.map(outcome),
          Effect.catchReason("BackendError", "NotFoundError", () => Effect.succeed(new AlreadyDone({})))
        )
    yield* wave(operation, "stop", nodes.filter(isOther), act)
    yield* wave(operation, "stop", nodes.filter(isControlPlane), act)
  })

  const remove = Effect.fnUntraced(function*(operation: Operation) {
    const { nodes, resources } = yield* listing(engine, operation.policy, operation.clusterName)
    const sorted = [...nodes].sort(byRoleThenName)
    yield* operation.schedule([...sorted, ...resources].map(subjectOf))
    const act: Act<Subject> = (one) =>
      sending(operation, "delete", one, engine.delete(one)).pipe(
        Effect.map((): Outcome => new Done({})),
        Effect.catchReasons("BackendError", {
          NotFoundError: () => Effect.succeed(new AlreadyDone({})),
          InUse: ({ detail }) => Effect.succeed(new Skipped({ reason: detail }))
        })
      )
    yield* wave(operation, "delete", sorted, act)
    // A network cannot go before the nodes that are on it.
    yield* wave(operation, "delete", resources, act)
  })

  return { start, stop, delete: remove }
}
