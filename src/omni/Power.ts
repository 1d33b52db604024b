/**
 * Powers the machines of a cluster off and on.
 *
 * Omni powers on only machines of a static infra provider, which carry its label. Every other machine that is powered off
 * needs a person to press a button. So only machines with that label are powered off, unless the layer's option says
 * otherwise; the others are `Unsupported`. The power state says nothing about this: Omni reports it of every machine.
 * A node is `Done` when Omni reports it off, or running.
 * Source: Omni's management API, `MachinePowerOff` and `MachinePowerOn`.
 */
import * as Effect from "effect/Effect"
import { type Operation, settledError } from "../internal/Operation.ts"
import type { NodeInfo } from "../Model.ts"
import { NoNodes } from "../ProviderError.ts"
import { Conflict, NotFoundError, ServerFault } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type Outcome, Unsupported } from "../Report.ts"
import { listNodes, subjectOf, toNodes } from "./ClusterNodes.ts"
import * as Labels from "./Labels.ts"
import { type Latest, latest } from "./Latest.ts"
import type { Management } from "./Management.ts"
import type { ClusterMachineStatusSpec } from "./proto/specs_pb.ts"
import { picture } from "./SharedWatch.ts"
import { type CallFailure, isReason, Kinds, type Resource, type State } from "./State.ts"

/**
 * Which machines `stopNodes` powers off: those that Omni can power on again, or all, for who has another way to do so.
 *
 * @category models
 * @since 0.1.0
 */
export type PowerOff = "reversible" | "always"

interface Context {
  readonly state: State
  readonly management: Management
  readonly powerOff: PowerOff
}

const done = new Done({})
const alreadyDone = new AlreadyDone({})

const notManaged = "no static infra provider manages this machine, so Omni could not power it on again " +
  "(the layer's option `powerOff: \"always\"` overrides this)"

type Machines = Latest<ReadonlyMap<string, Resource<ClusterMachineStatusSpec>>, CallFailure>

/** The nodes of the operation's cluster, which of them have their power managed, and what becomes of them. */
const lookAt = Effect.fnUntraced(function*({ state }: Context, operation: Operation) {
  const { clusterName } = operation
  const ofCluster = { [Labels.cluster]: clusterName }
  const [nodes, machines] = yield* Effect.all(
    [listNodes(state)(clusterName), state.list(Kinds.MachineStatus, ofCluster)],
    { concurrency: 2 }
  )
  if (nodes.length === 0) return yield* new NoNodes({ provider: operation.provider, clusterName })
  yield* operation.schedule(nodes.map(subjectOf))
  const manageable = new Set(
    machines.flatMap(({ metadata }) => Object.hasOwn(metadata.labels, Labels.managedPower) ? [metadata.id] : [])
  )
  return { nodes, manageable }
})

const waves = (nodes: ReadonlyArray<NodeInfo>) => [
  nodes.filter((node) => node.role === "control-plane"),
  nodes.filter((node) => node.role !== "control-plane")
]

/** Waits for a node to come to a state; `undefined` from `judge` is: not yet. */
const awaitNode = (
  operation: Operation,
  machines: Machines,
  node: NodeInfo,
  judge: (now: NodeInfo | undefined) => Outcome | undefined
): Effect.Effect<Outcome, CallFailure> =>
  machines.until((seen) => {
    const machine = seen.get(node.id)
    return judge(machine === undefined ? undefined : toNodes(operation.clusterName, [machine])[0])
  })

/** The server says so of a machine that it cannot power. */
const orUnsupported = (call: Effect.Effect<Outcome, CallFailure>): Effect.Effect<Outcome, CallFailure> =>
  Effect.catchIf(
    call,
    (error) => isReason(error, "UnsupportedError") || isReason(error, "Conflict"),
    (error) =>
      Effect.succeed<Outcome>(
        new Unsupported({ reason: error._tag === "BackendError" ? error.reason.detail : error.detail })
      )
  )

/** Off, or out of the cluster, or on its way out. */
const isOff = (now: NodeInfo | undefined) => now === undefined || now.state === "stopped" || now.state === "deleting"

const stopNode =
  (context: Context, operation: Operation, machines: Machines, manageable: ReadonlySet<string>) =>
  (node: NodeInfo): Effect.Effect<Outcome, CallFailure> => {
    const subject = subjectOf(node)
    if (isOff(node)) return Effect.succeed(alreadyDone)
    const off = awaitNode(operation, machines, node, (now) => isOff(now) ? done : undefined)
    if (node.state === "stopping") {
      return Effect.andThen(
        operation.emit({ _tag: "Waiting", subject, reason: "it is being shut down already" }),
        Effect.as(off, alreadyDone)
      )
    }
    if (!manageable.has(node.id) && context.powerOff !== "always") {
      return Effect.succeed(new Unsupported({ reason: notManaged }))
    }
    return operation.emit({ _tag: "Sent", subject, call: "power off" }).pipe(
      Effect.andThen(context.management.powerOff(node.id)),
      Effect.andThen(operation.emit({ _tag: "Waiting", subject, reason: "Omni does not see it off yet" })),
      Effect.andThen(off),
      Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Outcome>(alreadyDone)),
      orUnsupported
    )
  }

/** Powers the machines of a cluster off: workers first, control planes last. */
export const stop = (context: Context) => (operation: Operation) =>
  Effect.scoped(Effect.gen(function*() {
    const { manageable, nodes } = yield* lookAt(context, operation)
    const acts = ({ id, state }: NodeInfo) =>
      state === "stopping" || manageable.has(id) || context.powerOff === "always"
    const machines = nodes.some((node) => !isOff(node) && acts(node))
      ? yield* latestMachines(context, operation)
      : { until: () => Effect.never }
    for (const wave of waves(nodes).reverse()) {
      yield* operation.wave(
        wave,
        {
          subject: subjectOf,
          timeout: operation.policy.nodeTimeout.stop,
          width: operation.policy.concurrency.stop
        },
        stopNode(context, operation, machines, manageable)
      )
    }
  }))

const latestMachines = ({ state }: Context, operation: Operation) =>
  latest(picture(state, Kinds.ClusterMachineStatus, { [Labels.cluster]: operation.clusterName }))

const startNode =
  (context: Context, operation: Operation, machines: Machines, manageable: ReadonlySet<string>) =>
  (node: NodeInfo): Effect.Effect<Outcome, CallFailure> => {
    const subject = subjectOf(node)
    const failed = (reason: ConstructorParameters<typeof Failed>[0]["error"]["reason"]) =>
      new Failed({ error: operation.error(reason, subject) })
    const running = (outcome: Outcome) =>
      Effect.andThen(
        operation.emit({ _tag: "Waiting", subject, reason: "Omni does not see it running yet" }),
        awaitNode(operation, machines, node, (now) =>
          now === undefined || now.state === "deleting"
            ? failed(new NotFoundError({ detail: "the machine was removed from the cluster" }))
            : now.state === "running"
            ? outcome
            : undefined)
      )
    switch (node.state) {
      case "running":
        return Effect.succeed(alreadyDone)
      case "creating":
      case "starting":
        return running(alreadyDone)
      case "deleting":
        return Effect.succeed(failed(new Conflict({ detail: "the machine is being taken out of the cluster" })))
      default:
        if (!manageable.has(node.id) && context.powerOff !== "always") {
          return Effect.succeed(
            new Unsupported({ reason: "no static infra provider manages this machine; power it on by hand" })
          )
        }
        return operation.emit({ _tag: "Sent", subject, call: "power on" }).pipe(
          Effect.andThen(context.management.powerOn(node.id)),
          orUnsupportedCall,
          Effect.flatMap((refused) => refused === undefined ? running(done) : Effect.succeed(refused))
        )
    }
  }

const orUnsupportedCall = (call: Effect.Effect<void, CallFailure>): Effect.Effect<Outcome | undefined, CallFailure> =>
  orUnsupported(Effect.as(call, done)).pipe(
    Effect.map((outcome) => outcome._tag === "Unsupported" ? outcome : undefined)
  )

/** What the fresh list at the end says of the nodes that were started: one that does not run is Failed. */
const closingLook = Effect.fnUntraced(function*(
  { state }: Context,
  operation: Operation,
  nodes: ReadonlyArray<NodeInfo>
): Effect.fn.Return<void> {
  const seen = yield* Effect.result(listNodes(state)(operation.clusterName))
  for (const node of nodes) {
    const subject = subjectOf(node)
    const outcome = operation.outcomeOf(subject)
    if (outcome?._tag !== "Done" && outcome?._tag !== "AlreadyDone") continue
    if (seen._tag === "Failure") {
      yield* operation.record(subject, new Failed({ error: settledError(operation, subject, seen.failure) }))
      continue
    }
    const now = seen.success.find(({ id }) => id === node.id)
    if (now?.state === "running") continue
    const reason = now === undefined
      ? new NotFoundError({ detail: "the machine was removed from the cluster" })
      : new ServerFault({ detail: `it was started but does not run: it is ${now.rawState}` })
    yield* operation.record(subject, new Failed({ error: operation.error(reason, subject) }))
  }
})

/** Powers the machines of a cluster on: control planes first. One fresh list ends it where anything had to be done. */
export const start = (context: Context) => (operation: Operation) =>
  Effect.scoped(Effect.gen(function*() {
    const { manageable, nodes } = yield* lookAt(context, operation)
    const { policy } = operation
    if (nodes.every((node) => node.state === "running")) {
      return yield* Effect.forEach(nodes, (node) => operation.record(subjectOf(node), alreadyDone), { discard: true })
    }
    const machines = yield* latestMachines(context, operation)
    for (const wave of waves(nodes)) {
      yield* operation.wave(
        wave,
        { subject: subjectOf, timeout: policy.nodeTimeout.start, width: policy.concurrency.start },
        startNode(context, operation, machines, manageable)
      )
    }
    yield* closingLook(context, operation, nodes)
  }))
