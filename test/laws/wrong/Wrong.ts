/**
 * Providers that are wrong on purpose, each in one way, as decorators over the right ones of `Memory`.
 *
 * They validate the laws. A law is redundant if no wrong provider breaks it alone. A wrong provider that breaks no law
 * shows a promise that no law checks.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Memory from "kubelayer/layers/Memory"
import { onEvent, type OperationEvent, Progress } from "kubelayer/Progress"
import { NodeCreator, type NodeCreatorService, Provider, type ProviderService } from "kubelayer/Provider"
import { NodesFailed } from "kubelayer/ProviderError"
import { BackendError, Locked } from "kubelayer/Reason"
import { OperationReport, type Outcome, ResourceOutcome } from "kubelayer/Report"
import type { Law } from "kubelayer/testing"

/** The correct services that a wrong provider decorates. */
export interface Right {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
  readonly memory: Memory.MemoryService
}

export interface Wrong {
  /** Describes the wrong behaviour. */
  readonly does: string
  /** The one law that it breaks, and no other; or those that it breaks among others. */
  readonly breaks: Law["id"] | ReadonlyArray<Law["id"]>
  readonly make: (right: Right) => {
    readonly provider?: Partial<ProviderService>
    readonly creator?: Partial<NodeCreatorService>
    readonly memory?: Partial<Memory.MemoryService>
  }
}

/** The credential that some of them show. */
export const secret = "s3cr3t/token+of+the+layer"

export const layerOf = (wrong: Wrong): Layer.Layer<Provider | NodeCreator | Memory.Memory, unknown> =>
  Layer.effectContext(
    Effect.map(Memory.make(), (memory) => {
      const right = { provider: memory.provider, creator: memory.creator, memory }
      const made = wrong.make(right)
      // A wrong method without options is wrong of whole clusters alone.
      const ofWhole = (name: "startNodes" | "stopNodes"): ProviderService["startNodes"] => {
        const method = made.provider?.[name] ?? right.provider[name]
        return (cluster, options) =>
          options !== undefined && method.length < 2 ? right.provider[name](cluster, options) : method(cluster, options)
      }
      const provider = {
        ...right.provider,
        ...made.provider,
        startNodes: ofWhole("startNodes"),
        stopNodes: ofWhole("stopNodes")
      }
      return Context.make(Provider, provider).pipe(
        Context.add(NodeCreator, { ...right.creator, ...made.creator }),
        Context.add(Memory.Memory, { ...memory, ...made.memory })
      )
    })
  )

/** The methods that act, and give a report. */
export type Act = "startNodes" | "stopNodes" | "deleteNodes"

/** Gives the nodes' part of a report other outcomes; it fails or succeeds as they say. */
export const editing = (edit: (outcomes: ReadonlyArray<ResourceOutcome>) => ReadonlyArray<ResourceOutcome>) =>
<E, R>(
  self: Effect.Effect<OperationReport, E | NodesFailed, R>
): Effect.Effect<OperationReport, E | NodesFailed, R> =>
  self.pipe(
    Effect.catchIf(
      (error): error is NodesFailed => error instanceof NodesFailed,
      ({ report }) => Effect.succeed(report)
    ),
    Effect.flatMap((report) => {
      const edited = new OperationReport({ ...report, outcomes: edit(report.outcomes) })
      return edited.isFailure ? Effect.fail(new NodesFailed({ report: edited })) : Effect.succeed(edited)
    })
  )

export const withOutcome = (entry: ResourceOutcome, outcome: Outcome): ResourceOutcome =>
  new ResourceOutcome({ ...entry, outcome })

/** Replaces this outcome of every node if `when` returns true for the nodes of the report. */
export const turning = (
  from: Outcome["_tag"],
  to: (entry: ResourceOutcome) => Outcome,
  when: (nodes: ReadonlyArray<ResourceOutcome>) => boolean = () => true
) =>
  editing((outcomes) => {
    const nodes = outcomes.filter((entry) => entry.kind === "node")
    return when(nodes)
      ? outcomes.map((entry) =>
        entry.kind === "node" && entry.outcome._tag === from ? withOutcome(entry, to(entry)) : entry
      )
      : outcomes
  })

/** Whether all have this outcome. */
export const all = (tag: Outcome["_tag"]) => (nodes: ReadonlyArray<ResourceOutcome>): boolean =>
  nodes.every((entry) => entry.outcome._tag === tag)

/** Hears the events of an operation before its caller does. */
export const hearing =
  (f: (event: OperationEvent) => Effect.Effect<void>) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(
      Progress,
      (outer) => onEvent((event) => Effect.andThen(f(event), outer?.(event) ?? Effect.void))(self)
    )

/** The names of clusters that there are and that begin with this one, without itself. */
export const alike = (memory: Memory.MemoryService, cluster: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(memory.world, ({ nodes }) => [
    ...new Set(nodes.map((node) => node.cluster).filter((name) => name !== cluster && name.startsWith(cluster)))
  ])

/** The nodes of a cluster, as they are. */
export const nodesOf = (
  memory: Memory.MemoryService,
  cluster: string
): Effect.Effect<ReadonlyArray<Memory.MemoryNode>> =>
  Effect.map(memory.world, ({ nodes }) => nodes.filter((node) => node.cluster === cluster))

/** Puts nodes into a state behind everybody's back. */
export const put = (
  memory: Memory.MemoryService,
  nodes: ReadonlyArray<Memory.MemoryNode>,
  state: Memory.MemoryNode["state"]
): Effect.Effect<void> =>
  Effect.forEach(nodes, (node) => Effect.ignore(memory.setState(node.name, state)), { discard: true })

/** The refusal of an operation, since there is another one. */
export const locked = (cluster: string, operation: "startNodes" | "deleteNodes" = "startNodes"): BackendError =>
  new BackendError({
    provider: "memory",
    operation,
    clusterName: cluster,
    reason: new Locked({ detail: "another one is under way" })
  })
