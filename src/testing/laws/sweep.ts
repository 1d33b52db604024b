/**
 * Laws on `sweep`: what an exited process has left behind.
 *
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import { eventually } from "../Harness.ts"
import { creator, expect, expectSame, type Law, law, succeeds } from "../Law.ts"
import { lines } from "./nodes.ts"

const swept = (remove: boolean) =>
  Effect.flatMap(creator, ({ sweep }) => succeeds("sweep", sweep({ olderThan: 0, remove })))

/**
 * @category laws
 * @since 0.2.0
 */
export const sweep: ReadonlyArray<Law> = [
  law({
    id: "sweep.finds",
    title: "sweep lists what a process that has exited left behind",
    needs: ["create", "orphans"],
    check: ({ cluster, harness }) =>
      Effect.gen(function*() {
        const orphans = yield* harness.addOrphans(cluster)
        const found = (yield* swept(false)).filter(({ clusterName }) => clusterName === cluster)
        yield* expectSame("found are", [...orphans].sort(), found.map(({ name }) => name).sort())
      })
  }),
  law({
    id: "sweep.removes",
    title: "sweep with remove removes the orphans that it finds",
    needs: ["create", "orphans"],
    check: ({ cluster, harness }) =>
      Effect.gen(function*() {
        yield* harness.addOrphans(cluster)
        yield* swept(true)
        const left = yield* eventually(harness.nodes(cluster), (nodes) => nodes.length === 0)
        yield* expectSame("nodes that are left", [], lines(left))
      })
  }),
  law({
    id: "sweep.spares",
    title: "sweep finds nothing that a living process has created",
    needs: ["create", "orphans"],
    check: ({ cluster, harness }) =>
      Effect.gen(function*() {
        const { createNodes } = yield* creator
        yield* succeeds("createNodes", createNodes({ cluster, controlPlanes: 1, workers: 1 }))
        yield* harness.addOrphans(`${cluster}-b`)
        const found = yield* swept(false)
        yield* expect(
          !found.some(({ clusterName }) => clusterName === cluster),
          `nothing of cluster ${cluster} is found`,
          found.map(({ kind, name }) => `${kind} ${name}`)
        )
      })
  })
]
