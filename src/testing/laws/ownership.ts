/**
 * Laws on what is a cluster's own: neighbours with confusing names, things of nobody, leftovers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { expectSame, type Law, law, succeeds, type World } from "../Law.ts"
import { expectAll, lines, trio } from "./nodes.ts"

/** Names that begin as the cluster's does, the way names of nodes do. */
const neighboursOf = (cluster: string): ReadonlyArray<string> => [`${cluster}-b`, `${cluster}-worker`, `${cluster}2`]

const seedNeighbours = ({ cluster, harness }: World, state: "running" | "stopped") =>
  Effect.forEach(
    neighboursOf(cluster),
    (neighbour) => harness.seed(neighbour, { state, controlPlanes: 1, workers: 1 })
  )

const neighbours = ({ cluster, harness }: World) =>
  Effect.map(Effect.forEach(neighboursOf(cluster), (neighbour) => harness.nodes(neighbour)), (all) => lines(all.flat()))

/**
 * @category laws
 * @since 0.1.0
 */
export const ownership: ReadonlyArray<Law> = [
  law({
    id: "ownership.list",
    title: "listNodes and getClusterStatus see no node of a cluster whose name begins alike",
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        yield* seedNeighbours(world, "stopped")
        yield* trio(world, "stopped")
        for (const name of [cluster, `${cluster}-b`]) {
          const own = lines(yield* harness.nodes(name)).toSorted()
          const listed = yield* succeeds("listNodes", provider.listNodes(name))
          yield* expectSame(`listNodes of ${name} gives`, own, lines(listed).toSorted())
          const status = yield* succeeds("getClusterStatus", provider.getClusterStatus(name))
          const inStatus = Option.match(status, { onNone: () => [], onSome: ({ nodes }) => lines(nodes) })
          yield* expectSame(`the status of ${name} has`, own, inStatus.toSorted())
        }
      })
  }),
  law({
    id: "ownership.absent",
    title: "a cluster is not there because one whose name begins alike is",
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, provider } = world
        yield* seedNeighbours(world, "stopped")
        const before = yield* neighbours(world)
        yield* expectSame("nodesExist is", false, yield* succeeds("nodesExist", provider.nodesExist(cluster)))
        yield* Effect.exit(provider.startNodes(cluster))
        yield* expectSame("after its start, the other clusters have", before, yield* neighbours(world))
      })
  }),
  law({
    id: "ownership.start-stop",
    title: "start and stop touch no node of another cluster",
    check: (world) =>
      Effect.gen(function*() {
        const { nodes } = yield* trio(world, "stopped")
        yield* seedNeighbours(world, "stopped")
        const before = yield* neighbours(world)
        yield* succeeds("startNodes", world.provider.startNodes(world.cluster))
        yield* expectAll(world, nodes, "running")
        yield* expectSame("after the start, the other clusters have", before, yield* neighbours(world))
      }).pipe(
        Effect.andThen(Effect.gen(function*() {
          const cluster = yield* world.harness.uniqueName
          const other = { ...world, cluster }
          const { nodes } = yield* trio(other, "running")
          yield* seedNeighbours(other, "running")
          const before = yield* neighbours(other)
          yield* succeeds("stopNodes", world.provider.stopNodes(cluster))
          yield* expectAll(other, nodes, "stopped")
          yield* expectSame("after the stop, the other clusters have", before, yield* neighbours(other))
        }))
      )
  }),
  law({
    id: "ownership.delete",
    title: "deleteNodes removes no node of another cluster",
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "running")
        yield* seedNeighbours(world, "running")
        const before = yield* neighbours(world)
        yield* succeeds("deleteNodes", world.provider.deleteNodes(world.cluster))
        yield* expectSame("after the delete, the other clusters have", before, yield* neighbours(world))
      })
  }),
  law({
    id: "ownership.bystanders",
    title: "deleteNodes neither lists nor removes unlabelled things, whatever their names",
    needs: ["bystanders"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        yield* trio(world, "running")
        yield* harness.addBystanders(cluster)
        const before = yield* harness.bystanders
        const listed = yield* succeeds("listNodes", provider.listNodes(cluster))
        yield* expectSame("listNodes gives", lines(yield* harness.nodes(cluster)).toSorted(), lines(listed).toSorted())
        yield* succeeds("deleteNodes", provider.deleteNodes(cluster))
        yield* expectSame("the bystanders are", before, yield* harness.bystanders)
      })
  }),
  law({
    id: "ownership.leftovers",
    title: "deleteNodes removes what else is the cluster's own, and nothing of that kind of another cluster",
    needs: ["leftovers"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        const neighbour = `${cluster}-b`
        yield* trio(world, "running")
        yield* harness.seed(neighbour, { state: "running", controlPlanes: 1, workers: 0 })
        yield* harness.addLeftovers(cluster)
        yield* harness.addLeftovers(neighbour)
        const before = yield* harness.leftovers(neighbour)
        yield* succeeds("deleteNodes", provider.deleteNodes(cluster))
        yield* expectSame(`beside nodes, cluster ${cluster} has`, [], yield* harness.leftovers(cluster))
        yield* expectSame(`beside nodes, cluster ${neighbour} has`, before, yield* harness.leftovers(neighbour))
      })
  }),
  law({
    id: "ownership.leftovers-told",
    title: "deleteNodes reports the resources that it removed beside nodes, each as Done",
    needs: ["leftovers", "node-by-node"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        yield* trio(world, "running")
        yield* harness.addLeftovers(cluster)
        const there = yield* harness.leftovers(cluster)
        const report = yield* succeeds("deleteNodes", provider.deleteNodes(cluster))
        const told = report.outcomes.flatMap(({ kind, name, outcome }) =>
          kind !== "node" && outcome._tag === "Done" ? [name] : []
        )
        const left = yield* harness.leftovers(cluster)
        const untold = there.filter((line) => !left.includes(line) && !told.some((name) => line.endsWith(` ${name}`)))
        yield* expectSame("gone and not reported", [], untold)
      })
  }),
  law({
    id: "ownership.leftovers-alone",
    title: "leftovers without nodes are no cluster, and deleteNodes removes them",
    needs: ["leftovers"],
    check: ({ cluster, harness, provider }) =>
      Effect.gen(function*() {
        yield* harness.addLeftovers(cluster)
        yield* expectSame("nodesExist is", false, yield* succeeds("nodesExist", provider.nodesExist(cluster)))
        const all = yield* succeeds("listAllClusters", provider.listAllClusters)
        yield* expectSame("listAllClusters has of it", [], all.filter((name) => name === cluster))
        yield* succeeds("deleteNodes", provider.deleteNodes(cluster))
        yield* expectSame("leftovers after the delete", [], yield* harness.leftovers(cluster))
      })
  })
]
