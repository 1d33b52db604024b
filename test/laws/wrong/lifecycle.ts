import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type ClusterName, ClusterStatus, NodeInfo } from "kubelayer/Model"
import { AlreadyDone, Done, OperationReport } from "kubelayer/Report"
import { all, editing, hearing, nodesOf, put, type Right, turning, withOutcome, type Wrong } from "./Wrong.ts"

const textually = (a: { readonly role: string; readonly name: string }, b: typeof a): number =>
  a.role < b.role ? -1 : a.role > b.role ? 1 : a.name < b.name ? -1 : 1

/** Shows everybody another status, in questions as in watches. */
const showing = ({ provider }: Right, f: (status: ClusterStatus) => ClusterStatus) => ({
  getClusterStatus: (cluster: string) => Effect.map(provider.getClusterStatus(cluster), Option.map(f)),
  watchCluster: (cluster: string) => Stream.map(provider.watchCluster(cluster), f)
})

/** Acts in two passes: in the first one, the nodes for which `later` holds are hidden as done. */
const inTwoPasses = (
  { memory, provider }: Right,
  act: "startNodes" | "stopNodes",
  later: (node: { readonly role: string }, nthOfRole: number) => boolean,
  leastControlPlanes = 1
) =>
(cluster: string) =>
  Effect.gen(function*() {
    const controlPlanes = (yield* nodesOf(memory, cluster)).filter((node) => isControlPlane(node.role))
    if (controlPlanes.length < leastControlPlanes) return yield* provider[act](cluster)
    const [before, after] = act === "startNodes" ? ["stopped", "running"] as const : ["running", "stopped"] as const
    const nth = new Map<string, number>()
    const hidden = (yield* nodesOf(memory, cluster)).filter((node) => {
      nth.set(node.role, (nth.get(node.role) ?? 0) + 1)
      return node.state === before && later(node, nth.get(node.role) ?? 0)
    })
    yield* put(memory, hidden, after)
    const first = yield* provider[act](cluster)
    if (hidden.length === 0) return first
    yield* put(memory, hidden, before)
    const second = yield* provider[act](cluster)
    return new OperationReport({
      ...second,
      outcomes: second.outcomes.map((entry) =>
        hidden.some((node) => node.name === entry.name) ?
          entry :
          first.outcomes.find((one) => one.name === entry.name) ??
            entry
      )
    })
  })

const isControlPlane = (role: string): boolean => role === "control-plane"

const ready = (nodes: ReadonlyArray<NodeInfo>) => nodes.filter((node) => node.state === "running").length

const clusterName = (node: { readonly cluster: string }) => node.cluster as ClusterName

export const lifecycle: ReadonlyArray<Wrong> = [
  {
    does: "starts all nodes where some are selected",
    breaks: "lifecycle.start-some",
    make: ({ provider }) => ({ provider: { startNodes: (cluster, _options) => provider.startNodes(cluster) } })
  },
  {
    does: "stops all nodes where some are selected",
    breaks: "lifecycle.stop-some",
    make: ({ provider }) => ({ provider: { stopNodes: (cluster, _options) => provider.stopNodes(cluster) } })
  },
  {
    does: "leaves stopped clusters out of the statuses",
    breaks: "lifecycle.statuses",
    make: ({ provider }) => ({
      provider: {
        listAllStatuses: Effect.map(
          provider.listAllStatuses,
          (statuses) => statuses.filter(({ phase }) => phase !== "stopped")
        )
      }
    })
  },
  {
    does: "reports a start that started everything as AlreadyDone",
    breaks: "lifecycle.start",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) => turning("Done", () => new AlreadyDone({}), all("Done"))(provider.startNodes(cluster))
      }
    })
  },
  {
    does: "leaves the last node stopped on a start, and reports it as Done",
    breaks: ["lifecycle.start", "idempotency.round"],
    make: ({ memory, provider }) => ({
      provider: {
        startNodes: (cluster) =>
          Effect.tap(
            provider.startNodes(cluster),
            () => Effect.flatMap(nodesOf(memory, cluster), (nodes) => put(memory, nodes.slice(-1), "stopped"))
          )
      }
    })
  },
  {
    does: "reports a stop that stopped everything as AlreadyDone",
    breaks: "lifecycle.stop",
    make: ({ provider }) => ({
      provider: {
        stopNodes: (cluster) => turning("Done", () => new AlreadyDone({}), all("Done"))(provider.stopNodes(cluster))
      }
    })
  },
  {
    does: "reports a delete that deleted everything as AlreadyDone",
    breaks: "lifecycle.delete",
    make: ({ provider }) => ({
      provider: {
        deleteNodes: (cluster) => turning("Done", () => new AlreadyDone({}), all("Done"))(provider.deleteNodes(cluster))
      }
    })
  },
  {
    does: "deletes only nodes that are stopped",
    breaks: ["lifecycle.delete", "idempotency.round"],
    make: ({ memory, provider }) => ({
      provider: {
        deleteNodes: (cluster) =>
          Effect.gen(function*() {
            const running = (yield* nodesOf(memory, cluster)).filter((node) => node.state === "running")
            const report = yield* provider.deleteNodes(cluster)
            for (const node of running) yield* memory.addNode(node)
            return report
          })
      }
    })
  },
  {
    does: "starts only one control plane before the workers, the others after them",
    breaks: "lifecycle.start-control-planes-first",
    make: (right) => ({
      provider: {
        startNodes: inTwoPasses(right, "startNodes", ({ role }, nth) => isControlPlane(role) && nth > 1, 2)
      }
    })
  },
  {
    does: "starts the workers first",
    breaks: ["lifecycle.start-control-planes-first", "lifecycle.start-waits-for-control-planes"],
    make: (right) => ({
      provider: { startNodes: inTwoPasses(right, "startNodes", ({ role }) => isControlPlane(role)) }
    })
  },
  {
    does: "starts the workers while it still waits for the control planes",
    breaks: "lifecycle.start-waits-for-control-planes",
    make: ({ memory, provider }) => {
      const impatient = (cluster: string) =>
        Effect.gen(function*() {
          yield* Effect.sleep("10 millis")
          const workers = (yield* nodesOf(memory, cluster)).filter((node) => node.role === "worker")
          yield* put(memory, workers, "running")
        })
      return {
        provider: {
          startNodes: (cluster) =>
            Effect.scoped(
              Effect.flatMap(Effect.scope, (scope) =>
                hearing((event) =>
                  event._tag === "Sent" && event.subject.name.includes("control-plane")
                    ? Effect.asVoid(Effect.forkIn(impatient(cluster), scope))
                    : Effect.void
                )(provider.startNodes(cluster)))
            )
        }
      }
    }
  },
  {
    does: "stops one of the control planes before the workers",
    breaks: "lifecycle.stop-control-planes-last",
    make: (right) => ({
      provider: {
        stopNodes: inTwoPasses(right, "stopNodes", ({ role }, nth) => !isControlPlane(role) || nth === 1, 2)
      }
    })
  },
  {
    does: "stops the control planes first",
    breaks: ["lifecycle.stop-control-planes-last"],
    make: (right) => ({ provider: { stopNodes: inTwoPasses(right, "stopNodes", ({ role }) => !isControlPlane(role)) } })
  },
  {
    does: "does not look again after a start, and reports a node that exited at once as Done",
    breaks: "lifecycle.start-looks-again",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) =>
          editing((outcomes) =>
            outcomes.map((entry) =>
              entry.outcome._tag === "Failed" && entry.outcome.error.reason._tag === "ServerFault"
                ? withOutcome(entry, new Done({}))
                : entry
            )
          )(provider.startNodes(cluster))
      }
    })
  },
  {
    does: "gives a node's name as its id",
    breaks: "lifecycle.list-is-true",
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) =>
          Effect.map(
            provider.listNodes(cluster),
            (nodes) => nodes.map((node) => new NodeInfo({ ...node, id: node.name }))
          )
      }
    })
  },
  {
    does: "forgets the last node in a list",
    breaks: ["lifecycle.list-is-true", "ownership.list"],
    make: ({ provider }) => ({
      provider: { listNodes: (cluster) => Effect.map(provider.listNodes(cluster), (nodes) => nodes.slice(0, -1)) }
    })
  },
  {
    does: "lists the first node twice",
    breaks: ["lifecycle.list-is-true"],
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) => Effect.map(provider.listNodes(cluster), (nodes) => [...nodes.slice(0, 1), ...nodes])
      }
    })
  },
  {
    does: "says of a stopped node that it runs",
    breaks: ["lifecycle.list-is-true"],
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) =>
          Effect.map(
            provider.listNodes(cluster),
            (nodes) => nodes.map((node) => new NodeInfo({ ...node, state: "running" }))
          )
      }
    })
  },
  {
    does: "sorts nodes by their names as text",
    breaks: "lifecycle.list-order",
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) => Effect.map(provider.listNodes(cluster), (nodes) => nodes.toSorted(textually))
      }
    })
  },
  {
    does: "lists the workers first",
    breaks: ["lifecycle.list-order"],
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) =>
          Effect.map(provider.listNodes(cluster), (nodes) => [
            ...nodes.filter((node) => node.role !== "control-plane"),
            ...nodes.filter((node) => node.role === "control-plane")
          ])
      }
    })
  },
  {
    does: "calls a cluster ready when one of its nodes is",
    breaks: "lifecycle.status",
    make: (right) => ({
      provider: showing(right, (status) => new ClusterStatus({ ...status, ready: status.nodesReady > 0 }))
    })
  },
  {
    does: "knows only the phases running and stopped",
    breaks: ["lifecycle.status"],
    make: (right) => ({
      provider: showing(
        right,
        (status) => new ClusterStatus({ ...status, phase: status.nodesReady > 0 ? "running" : "stopped" })
      )
    })
  },
  {
    does: "counts helpers as nodes",
    breaks: "lifecycle.status-counts",
    make: (right) => ({
      provider: showing(
        right,
        (status) => new ClusterStatus({ ...status, nodesTotal: status.nodes.length, nodesReady: ready(status.nodes) })
      )
    })
  },
  {
    does: "counts only control planes and workers",
    breaks: ["lifecycle.status-counts"],
    make: (right) => ({
      provider: showing(right, (status) => {
        const counted = status.nodes.filter((node) => node.role === "control-plane" || node.role === "worker")
        return new ClusterStatus({ ...status, nodesTotal: counted.length, nodesReady: ready(counted) })
      })
    })
  },
  {
    does: "gives the clusters in the order in which they were made",
    breaks: "lifecycle.clusters",
    make: ({ memory, provider }) => ({
      provider: {
        listAllClusters: Effect.andThen(
          provider.listAllClusters,
          Effect.map(memory.world, ({ nodes }) => [...new Set(nodes.map(clusterName))])
        )
      }
    })
  },
  {
    does: "gives a cluster once for each of its nodes",
    breaks: ["lifecycle.clusters"],
    make: ({ memory }) => ({
      provider: { listAllClusters: Effect.map(memory.world, ({ nodes }) => nodes.map(clusterName).sort()) }
    })
  }
]
