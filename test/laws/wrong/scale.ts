import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { NodeCreatorService } from "kubelayer/Provider"
import type { OperationReport } from "kubelayer/Report"
import { locked, nodesOf, type Right, type Wrong } from "./Wrong.ts"

const scaling = (f: (right: Right) => Partial<NodeCreatorService>): Wrong["make"] => (right) => ({ creator: f(right) })

export const scale: ReadonlyArray<Wrong> = [
  {
    does: "adds one node less than it is given",
    breaks: "scale.adds",
    make: scaling(({ creator }) => ({
      addNodes: (cluster, nodes) =>
        creator.addNodes(cluster, { ...nodes, workers: Math.max(1, (nodes.workers ?? 0) - 1) })
    }))
  },
  {
    does: "gives the second of two callers the nodes of the first",
    breaks: "scale.two-adds",
    make: scaling(({ creator }) => {
      const running = new Map<string, Deferred.Deferred<OperationReport>>()
      return {
        addNodes: (cluster, nodes) =>
          Effect.suspend(() => {
            const first = running.get(cluster)
            if (first !== undefined) return Deferred.await(first)
            const own = Deferred.makeUnsafe<OperationReport>()
            running.set(cluster, own)
            return Effect.tap(creator.addNodes(cluster, nodes), (report) =>
              Effect.suspend(() => {
                running.delete(cluster)
                return Deferred.succeed(own, report)
              }))
          })
      }
    })
  },
  {
    does: "refuses to create what has more nodes than the spec",
    breaks: "scale.stays",
    make: scaling(({ creator, memory }) => ({
      createNodes: (spec) =>
        Effect.flatMap(
          nodesOf(memory, spec.cluster),
          (nodes) =>
            nodes.length > Math.max(1, spec.controlPlanes + spec.workers)
              ? Effect.fail(locked(spec.cluster))
              : creator.createNodes(spec)
        )
    }))
  },
  {
    does: "creates the cluster that it is to add nodes to",
    breaks: "scale.absent",
    make: scaling(({ creator }) => ({
      addNodes: (cluster, nodes) =>
        Effect.catchTag(
          creator.addNodes(cluster, nodes),
          "ClusterNotFound",
          () => creator.createNodes({ cluster, controlPlanes: 1, workers: nodes.workers ?? 0 })
        )
    }))
  },
  {
    does: "removes the first of several nodes only",
    breaks: "scale.removes",
    make: scaling(({ creator }) => ({
      removeNodes: (cluster, names) => creator.removeNodes(cluster, names.slice(0, 1))
    }))
  },
  {
    does: "restarts nodes instead of replacing them",
    breaks: "scale.replaces",
    make: scaling(({ creator }) => ({ replaceNodes: creator.restartNodes }))
  },
  {
    does: "goes on though the gate says no",
    breaks: "scale.gate",
    make: scaling(({ creator }) => ({
      replaceNodes: (cluster, { gate = () => Effect.void, ...options }) =>
        creator.replaceNodes(cluster, { ...options, gate: (nodes) => Effect.asVoid(Effect.exit(gate(nodes))) })
    }))
  },
  {
    does: "replaces nodes instead of restarting them",
    breaks: "scale.restarts",
    make: scaling(({ creator }) => ({
      restartNodes: (cluster, options) => Effect.orDie(creator.replaceNodes(cluster, options)) as never
    }))
  }
]
