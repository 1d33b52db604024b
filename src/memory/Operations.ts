/**
 * Start, stop and delete of the simulated backend, in their waves.
 */
import * as Effect from "effect/Effect"
import { byName, type Operation } from "../internal/Operation.ts"
import { retrying } from "../internal/Retry.ts"
import { AlreadyDone, Done, type Outcome, Skipped } from "../Model.ts"
import { type BackendError, NoNodes, type ProviderUnavailable } from "../ProviderError.ts"
import { listing, subjectOf, verifyRunning } from "./Calls.ts"
import { backend, type Engine } from "./Engine.ts"
import type { MemoryNode, MemoryResource } from "./World.ts"

type Act = (node: MemoryNode) => Effect.Effect<Outcome, BackendError | ProviderUnavailable>

export const makeOperations = (engine: Engine) => {
  const nodesOfCluster = (operation: Operation) =>
    Effect.flatMap(
      listing(engine, operation.policy, operation.clusterName),
      ({ nodes }) =>
        nodes.length > 0
          ? Effect.succeed([...nodes].sort((a, b) => byName(a.name, b.name)))
          : Effect.fail(new NoNodes({ provider: backend, clusterName: operation.clusterName }))
    )

  const wave = (
    operation: Operation,
    policy: "start" | "stop" | "delete",
    nodes: ReadonlyArray<MemoryNode>,
    act: Act
  ) =>
    operation.wave(nodes, {
      subject: subjectOf,
      timeout: operation.policy.nodeTimeout[policy],
      width: operation.policy.concurrency[policy]
    }, act)

  const sending = <A>(
    operation: Operation,
    call: "start" | "stop" | "delete",
    one: MemoryNode | MemoryResource,
    send: Effect.Effect<A, BackendError | ProviderUnavailable>
  ) =>
    retrying(operation.policy)(
      Effect.andThen(
        operation.emit({ _tag: "Sent", subject: subjectOf(one), call: `${call} ${one.kind} ${one.name}` }),
        send
      )
    )

  const isControlPlane = (node: MemoryNode) => node.role === "control-plane"
  const isOther = (node: MemoryNode) => node.role !== "control-plane"

  const start = Effect.fnUntraced(function*(operation: Operation) {
    const nodes = yield* nodesOfCluster(operation)
    yield* operation.schedule(nodes.map(subjectOf))
    const act: Act = (node) =>
      node.state === "running"
        ? Effect.succeed(new AlreadyDone({}))
        : Effect.map(
          sending(operation, "start", node, engine.start(node)),
          (changed) => changed ? new Done({}) : new AlreadyDone({})
        )
    yield* wave(operation, "start", nodes.filter(isControlPlane), act)
    yield* wave(operation, "start", nodes.filter(isOther), act)
    yield* verifyRunning(engine, operation, nodes.map(subjectOf))
  })

  const stop = Effect.fnUntraced(function*(operation: Operation) {
    const nodes = yield* nodesOfCluster(operation)
    yield* operation.schedule(nodes.map(subjectOf))
    const act: Act = (node) =>
      node.state === "stopped"
        ? Effect.succeed(new AlreadyDone({}))
        : sending(operation, "stop", node, engine.stop(node)).pipe(
          Effect.map((changed) => changed ? new Done({}) : new AlreadyDone({})),
          Effect.catchReason("BackendError", "NotFoundError", () => Effect.succeed(new AlreadyDone({})))
        )
    yield* wave(operation, "stop", nodes.filter(isOther), act)
    yield* wave(operation, "stop", nodes.filter(isControlPlane), act)
  })

  const remove = Effect.fnUntraced(function*(operation: Operation) {
    const { nodes, resources } = yield* listing(engine, operation.policy, operation.clusterName)
    const all = [...nodes, ...resources]
    yield* operation.schedule(all.map(subjectOf))
    for (const group of [nodes, resources]) {
      yield* operation.wave<MemoryNode | MemoryResource, never>(group, {
        subject: subjectOf,
        timeout: operation.policy.nodeTimeout.delete,
        width: operation.policy.concurrency.delete
      }, (one) =>
        sending(operation, "delete", one, engine.delete(one)).pipe(
          Effect.as(new Done({}) as Outcome),
          Effect.catchReasons("BackendError", {
            NotFoundError: () => Effect.succeed(new AlreadyDone({})),
            InUse: ({ detail }) => Effect.succeed(new Skipped({ reason: detail }))
          })
        ))
    }
  })

  return { start, stop, delete: remove }
}
