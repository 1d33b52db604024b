/**
 * What the operations of the simulated backend have in common: the list call under its policy, our models from its
 * records, and the check that what was started runs.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { createdAt } from "../internal/CreatedAt.ts"
import { failWith } from "../internal/Method.ts"
import { byRoleThenName, type Operation } from "../internal/Operation.ts"
import { retrying } from "../internal/Retry.ts"
import { type ClusterName, NodeInfo } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { ProviderUnavailable } from "../ProviderError.ts"
import { BackendError, NotFoundError, RequestTimeout, ServerFault, Transport } from "../Reason.ts"
import { Failed } from "../Report.ts"
import type { Engine, Inventory } from "./Engine.ts"
import type { MemoryNode, MemoryResource } from "./World.ts"

type CallFailure = ProviderUnavailable | BackendError

/** A call that has to be answered within the request's deadline. */
export const answered = (policy: Policy) => <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
  Effect.timeoutOrElse(call, {
    duration: policy.requestTimeout,
    orElse: () =>
      failWith(
        new RequestTimeout({
          detail: `no answer within ${Duration.format(policy.requestTimeout)}`,
          durationMillis: Math.round(Duration.toMillis(policy.requestTimeout))
        })
      )
  })

/** A call that only reads: it is sent again as the policy says. */
export const reading = (policy: Policy) => <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
  retrying(policy)(answered(policy)(call))

export const listing = (engine: Engine, policy: Policy, cluster: ClusterName): Effect.Effect<Inventory, CallFailure> =>
  reading(policy)(engine.list(cluster))

export const subjectOf = ({ id, kind, name }: MemoryNode | MemoryResource): Subject => ({ kind, name, id })

const rawState = ({ crash, state }: MemoryNode): string =>
  crash === undefined ? state : `${state} (exit code ${crash.exitCode})`

/** The names of all clusters that have a node, sorted; without a call. */
export const clusterNames = (engine: Engine): ReadonlyArray<string> =>
  [...new Set(engine.world().nodes.map(({ cluster }) => cluster))].sort()

/** The nodes of a list as our models, in the order of `listNodes`. */
export const nodeInfos = (cluster: ClusterName, world: Inventory): ReadonlyArray<NodeInfo> =>
  world.nodes.map((node) =>
    new NodeInfo({
      name: node.name,
      clusterName: cluster,
      role: node.role,
      state: node.state,
      id: node.id,
      rawRole: node.role,
      rawState: rawState(node),
      addresses: { private: node.state === "running" ? [node.address] : [], public: [] },
      ...createdAt(node.createdAt)
    })
  ).sort(byRoleThenName)

const whyNotRunning = (name: string, node: MemoryNode | undefined) => {
  if (node === undefined) return new NotFoundError({ detail: `node ${name} is gone` })
  if (node.crash === undefined) return new ServerFault({ detail: `it was started, and is ${node.state} now` })
  const { cause, exitCode } = node.crash
  return new ServerFault({
    detail: `it was started, and ended with exit code ${exitCode}${cause === undefined ? "" : `: ${cause}`}`,
    code: String(exitCode)
  })
}

/**
 * Lists once more, and makes every one of these nodes Failed that does not run. Those that failed before keep their
 * reason. Where the list fails, nobody knows whether they run: then each of them failed for that.
 */
export const verifyRunning = (engine: Engine, operation: Operation, subjects: ReadonlyArray<Subject>) =>
  Effect.gen(function*() {
    const world = yield* Effect.result(listing(engine, operation.policy, operation.clusterName))
    for (const subject of subjects) {
      if (operation.outcomeOf(subject)?._tag === "Failed") continue
      if (world._tag === "Failure") {
        const reason = world.failure._tag === "BackendError"
          ? world.failure.reason
          : new Transport({ detail: world.failure.detail })
        yield* operation.record(subject, new Failed({ error: operation.error(reason, subject) }))
        continue
      }
      const node = world.success.nodes.find((one) =>
        subject.id === undefined ? one.name === subject.name : one.id === subject.id
      )
      if (node?.state === "running") continue
      yield* operation.record(
        subject,
        new Failed({ error: operation.error(whyNotRunning(subject.name, node), subject) })
      )
    }
  })
