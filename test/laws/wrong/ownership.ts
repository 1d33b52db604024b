import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { buildClusterStatus } from "kubelayer/Cluster"
import { NodeInfo } from "kubelayer/Model"
import { Unauthorized } from "kubelayer/Reason"
import { OperationReport } from "kubelayer/Report"
import { alike, editing, nodesOf, put, type Right, type Wrong } from "./Wrong.ts"

/** The nodes of all clusters whose names begin alike, as if they were of this one. */
const listAlike = ({ memory, provider }: Right, cluster: string) =>
  Effect.gen(function*() {
    const own = yield* provider.listNodes(cluster)
    const others = yield* Effect.forEach(yield* alike(memory, cluster), provider.listNodes)
    const clusterName = own[0]?.clusterName
    if (clusterName === undefined) return others.flat()
    return [...own, ...others.flat().map((node) => new NodeInfo({ ...node, clusterName }))]
  })

/** Everything of the backend whose name says that it is this cluster's. */
const removeAlike = ({ memory }: Right, cluster: string) =>
  Effect.gen(function*() {
    for (const other of yield* alike(memory, cluster)) {
      for (const node of yield* nodesOf(memory, other)) yield* Effect.ignore(memory.removeNode(node.name))
    }
  })

export const ownership: ReadonlyArray<Wrong> = [
  {
    does: "does not tell what it removes beside nodes",
    breaks: "ownership.leftovers-told",
    make: ({ provider }) => ({
      provider: {
        deleteNodes: (cluster) =>
          editing((outcomes) => outcomes.filter((entry) => entry.kind === "node"))(provider.deleteNodes(cluster))
      }
    })
  },
  {
    does: "lists the nodes of all clusters whose names begin alike",
    breaks: "ownership.list",
    make: (right) => ({ provider: { listNodes: (cluster) => listAlike(right, cluster) } })
  },
  {
    does: "counts the nodes of all clusters whose names begin alike",
    breaks: ["ownership.list"],
    make: (right) => ({
      provider: {
        getClusterStatus: (cluster) =>
          Effect.map(
            listAlike(right, cluster),
            (nodes) => nodes.length === 0 ? Option.none() : Option.some(buildClusterStatus(cluster, nodes))
          )
      }
    })
  },
  {
    does: "finds a cluster where there is one whose name begins alike",
    breaks: "ownership.absent",
    make: (right) => ({
      provider: { nodesExist: (cluster) => Effect.map(listAlike(right, cluster), (nodes) => nodes.length > 0) }
    })
  },
  {
    does: "starts also a cluster whose name differs by a number at its end",
    breaks: "ownership.start-stop",
    make: ({ memory, provider }) => ({
      provider: {
        startNodes: (cluster) =>
          Effect.tap(
            provider.startNodes(cluster),
            () => Effect.flatMap(nodesOf(memory, `${cluster}2`), (nodes) => put(memory, nodes, "running"))
          )
      }
    })
  },
  {
    does: "stops also a cluster whose name differs by a number at its end",
    breaks: ["ownership.start-stop"],
    make: ({ memory, provider }) => ({
      provider: {
        stopNodes: (cluster) =>
          Effect.tap(
            provider.stopNodes(cluster),
            () => Effect.flatMap(nodesOf(memory, `${cluster}2`), (nodes) => put(memory, nodes, "stopped"))
          )
      }
    })
  },
  {
    does: "deletes the nodes of all clusters whose names begin alike",
    breaks: "ownership.delete",
    make: (right) => ({
      provider: {
        deleteNodes: (cluster) => Effect.tap(right.provider.deleteNodes(cluster), () => removeAlike(right, cluster))
      }
    })
  },
  {
    does: "deletes what is nobody's, if its name begins as the cluster's does",
    breaks: "ownership.bystanders",
    make: ({ memory, provider }) => ({
      provider: {
        deleteNodes: (cluster) =>
          Effect.tap(
            provider.deleteNodes(cluster),
            () =>
              Effect.flatMap(memory.world, ({ unlabelled }) =>
                Effect.forEach(
                  unlabelled.filter((one) => one.name.startsWith(cluster)),
                  (one) => memory.removeUnlabelled(one.name)
                ))
          )
      }
    })
  },
  {
    does: "leaves the volumes of a cluster that it deletes",
    breaks: "ownership.leftovers",
    make: ({ memory, provider }) => ({
      provider: {
        deleteNodes: (cluster) =>
          Effect.gen(function*() {
            const nodes = yield* nodesOf(memory, cluster)
            const { resources } = yield* memory.world
            const volumes = resources.filter((one) => one.cluster === cluster && one.kind === "volume")
            if (nodes.length === 0) return yield* provider.deleteNodes(cluster)
            for (const { name } of volumes) {
              yield* memory.failNext({ operation: "delete", node: name, reason: new Unauthorized({ detail: "left" }) })
            }
            return yield* editing((outcomes) => outcomes.filter((entry) => entry.kind !== "volume"))(
              provider.deleteNodes(cluster)
            )
          })
      }
    })
  },
  {
    does: "deletes nothing of a cluster that has no nodes any more",
    breaks: "ownership.leftovers-alone",
    make: ({ memory, provider }) => ({
      provider: {
        deleteNodes: (cluster) =>
          Effect.flatMap(nodesOf(memory, cluster), (nodes) =>
            nodes.length > 0
              ? provider.deleteNodes(cluster)
              : Effect.flatMap(provider.listNodes(cluster), () =>
                Effect.succeed(
                  new OperationReport({
                    operation: "deleteNodes",
                    clusterName: cluster as OperationReport["clusterName"],
                    outcomes: [],
                    durationMillis: 0
                  })
                )))
      }
    })
  }
]
