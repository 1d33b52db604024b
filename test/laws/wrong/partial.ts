import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { ClusterName } from "kubelayer/Model"
import { override } from "kubelayer/Policy"
import { onEvent, type OperationEvent, Progress } from "kubelayer/Progress"
import { NodesFailed } from "kubelayer/ProviderError"
import { BackendError, NotFoundError } from "kubelayer/Reason"
import { AlreadyDone, Done, Failed, OperationReport, ResourceOutcome } from "kubelayer/Report"
import { type Act, editing, hearing, nodesOf, type Right, turning, withOutcome, type Wrong } from "./Wrong.ts"

/** Gives an operation up at an event, with the report of what is settled by then. */
const givingUp = <E>(
  act: Act,
  operation: (cluster: string) => Effect.Effect<OperationReport, E>,
  when: (event: OperationEvent, underWay: ReadonlySet<string>) => boolean
) =>
(cluster: string): Effect.Effect<OperationReport, E | NodesFailed> =>
  Effect.suspend(() => {
    const outcomes: Array<ResourceOutcome> = []
    const underWay = new Set<string>()
    const end = Deferred.makeUnsafe<void>()
    const hears = hearing((event) =>
      Effect.suspend(() => {
        if (event._tag === "Sent") underWay.add(event.subject.name)
        if (event._tag === "Settled") {
          underWay.delete(event.subject.name)
          const { durationMillis, outcome, subject } = event
          outcomes.push(new ResourceOutcome({ ...subject, outcome, durationMillis }))
        }
        return when(event, underWay) ? Effect.andThen(Deferred.succeed(end, undefined), Effect.never) : Effect.void
      })
    )
    const givenUp = Effect.flatMap(Deferred.await(end), () =>
      Effect.fail(
        new NodesFailed({
          report: new OperationReport({
            operation: act,
            clusterName: cluster as ClusterName,
            outcomes,
            durationMillis: 0
          })
        })
      ))
    return Effect.raceFirst(hears(operation(cluster)), givenUp)
  })

const failed = (event: OperationEvent): boolean => event._tag === "Settled" && event.outcome._tag === "Failed"

const isControlPlane = (event: OperationEvent): boolean => event.subject.name.includes("control-plane")

const vanished = (act: Act, cluster: string, node: string) =>
  new Failed({
    error: new BackendError({
      provider: "memory",
      operation: act,
      clusterName: cluster,
      subject: { kind: "node", name: node },
      reason: new NotFoundError({ detail: "it is gone" })
    })
  })

/** Makes a failure of every node that the operation finds in its work already done by somebody else. */
const blaming = <E>(
  { memory }: Right,
  act: Act,
  operation: (cluster: string) => Effect.Effect<OperationReport, E | NodesFailed>
) =>
(cluster: string) =>
  Effect.flatMap(nodesOf(memory, cluster), (before) => {
    const present = before.filter((node) => act === "deleteNodes" || node.state === "running")
    return editing((outcomes) =>
      outcomes.map((entry) =>
        entry.outcome._tag === "AlreadyDone" && present.some((node) => node.name === entry.name)
          ? withOutcome(entry, vanished(act, cluster, entry.name))
          : entry
      )
    )(operation(cluster))
  })

export const partial: ReadonlyArray<Wrong> = [
  {
    does: "gives up where a call is refused for its rate",
    breaks: "partial.rate-limited",
    make: ({ provider }) => ({
      provider: { startNodes: (cluster) => override({ retry: Schedule.recurs(0) })(provider.startNodes(cluster)) }
    })
  },
  {
    does: "gives up the nodes that are under way as soon as one of their wave fails",
    breaks: "partial.start-siblings",
    make: ({ provider }) => ({
      provider: {
        startNodes: givingUp("startNodes", provider.startNodes, (event, underWay) => failed(event) && underWay.size > 0)
      }
    })
  },
  {
    does: "ends a start with its first error",
    breaks: ["partial.start-siblings", "partial.start-later-waves"],
    make: ({ provider }) => ({ provider: { startNodes: givingUp("startNodes", provider.startNodes, failed) } })
  },
  {
    does: "starts no workers where a control plane failed",
    breaks: "partial.start-later-waves",
    make: ({ provider }) => ({
      provider: {
        startNodes: givingUp("startNodes", provider.startNodes, (event) => failed(event) && isControlPlane(event))
      }
    })
  },
  {
    does: "does not say in an error which node it is about",
    breaks: "partial.report",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) =>
          editing((outcomes) =>
            outcomes.map((entry) => {
              if (entry.outcome._tag !== "Failed") return entry
              const { operation, provider, reason } = entry.outcome.error
              return withOutcome(entry, new Failed({ error: new BackendError({ provider, operation, reason }) }))
            })
          )(provider.startNodes(cluster))
      }
    })
  },
  {
    does: "reports only what failed",
    breaks: ["partial.report"],
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) =>
          editing((outcomes) => {
            const failures = outcomes.filter((entry) => entry.outcome._tag === "Failed")
            return failures.length === 0 ? outcomes : failures
          })(provider.startNodes(cluster))
      }
    })
  },
  {
    does: "gives a node up for good that could not be started once",
    breaks: "partial.again",
    make: ({ provider }) => {
      const given = new Map<string, ResourceOutcome>()
      return {
        provider: {
          startNodes: (cluster) =>
            provider.startNodes(cluster).pipe(
              editing((outcomes) => outcomes.map((entry) => given.get(entry.name) ?? entry)),
              Effect.tapError((error) =>
                Effect.sync(() => {
                  for (const entry of error instanceof NodesFailed ? error.report.failed : []) {
                    given.set(entry.name, entry)
                  }
                })
              )
            )
        }
      }
    }
  },
  {
    does: "ends a stop with its first error",
    breaks: "partial.stop-siblings",
    make: ({ provider }) => ({ provider: { stopNodes: givingUp("stopNodes", provider.stopNodes, failed) } })
  },
  {
    does: "ends a delete with its first error",
    breaks: "partial.delete-siblings",
    make: ({ provider }) => ({ provider: { deleteNodes: givingUp("deleteNodes", provider.deleteNodes, failed) } })
  },
  {
    does: "starts a node that vanished with success",
    breaks: "partial.start-vanished",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) =>
          editing((outcomes) =>
            outcomes.map((entry) =>
              entry.outcome._tag === "Failed" && entry.outcome.error.reason._tag === "NotFoundError"
                ? withOutcome(entry, new AlreadyDone({}))
                : entry
            )
          )(provider.startNodes(cluster))
      }
    })
  },
  {
    does: "fails to stop a node that vanished",
    breaks: "partial.stop-vanished",
    make: (right) => ({ provider: { stopNodes: blaming(right, "stopNodes", right.provider.stopNodes) } })
  },
  {
    does: "fails to delete a node that vanished",
    breaks: "partial.delete-vanished",
    make: (right) => ({ provider: { deleteNodes: blaming(right, "deleteNodes", right.provider.deleteNodes) } })
  },
  {
    does: "has no deadline for a node",
    breaks: "partial.node-deadline",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) => override({ nodeTimeout: { start: "1 day" } })(provider.startNodes(cluster))
      }
    })
  },
  {
    does: "reports a node past its deadline as Done",
    breaks: ["partial.node-deadline"],
    make: ({ provider }) => ({
      provider: { startNodes: (cluster) => turning("Failed", () => new Done({}))(provider.startNodes(cluster)) }
    })
  },
  {
    does: "has no deadline for an operation",
    breaks: "partial.operation-deadline",
    make: ({ provider }) => ({
      provider: { startNodes: (cluster) => override({ operationTimeout: "1 day" })(provider.startNodes(cluster)) }
    })
  },
  {
    does: "fails where a progress listener dies",
    breaks: "partial.listener",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) =>
          Effect.flatMap(Progress, (sink) => {
            let dead: unknown
            const careful = onEvent((event) =>
              Effect.catchCause(sink?.(event) ?? Effect.void, (cause) =>
                Effect.sync(() => {
                  dead = cause
                }))
            )
            return Effect.tap(careful(provider.startNodes(cluster)), () =>
              dead === undefined ? Effect.void : Effect.die(dead))
          })
      }
    })
  }
]
