import * as Effect from "effect/Effect"
import type { NodeCreatorService, Orphan } from "kubelayer/Provider"
import type { Right, Wrong } from "./Wrong.ts"

const sweeping =
  (f: (sweep: NodeCreatorService["sweep"], right: Right) => NodeCreatorService["sweep"]): Wrong["make"] => (right) => ({
    creator: { sweep: f(right.creator.sweep, right) }
  })

export const sweep: ReadonlyArray<Wrong> = [
  {
    does: "lists the nodes of exited processes alone",
    breaks: "sweep.finds",
    make: sweeping((sweep) => (options) =>
      Effect.map(
        sweep(options),
        (found) => options.remove === true ? found : found.filter(({ kind }) => kind === "node")
      )
    )
  },
  {
    does: "lists where it is told to remove",
    breaks: "sweep.removes",
    make: sweeping((sweep) => (options) => sweep({ ...options, remove: false }))
  },
  {
    does: "takes everything for left behind that was created for a cluster of two nodes",
    breaks: "sweep.spares",
    make: sweeping((sweep, { memory }) => (options) =>
      Effect.gen(function*() {
        const found = yield* sweep(options)
        const { nodes } = yield* memory.world
        const living = nodes.filter(({ id, mark }) => mark?.bound !== true && !found.some((one) => one.id === id))
        return [
          ...found,
          ...living.map(({ cluster, id, kind, name }): Orphan => ({ kind, name, id, clusterName: cluster, why: "old" }))
        ]
      })
    )
  }
]
