/**
 * Laws on clusters that are not there, and on a backend that is not.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { expect, expectSame, failsWith, type Law, law, succeeds } from "../Law.ts"
import { trio } from "./nodes.ts"

/**
 * @category laws
 * @since 0.1.0
 */
export const absent: ReadonlyArray<Law> = [
  law({
    id: "absent.start",
    title: "startNodes of a cluster without nodes fails with NoNodes",
    check: ({ cluster, provider }) => failsWith("startNodes", "NoNodes", provider.startNodes(cluster))
  }),
  law({
    id: "absent.stop",
    title: "stopNodes of a cluster without nodes fails with NoNodes",
    check: ({ cluster, provider }) => failsWith("stopNodes", "NoNodes", provider.stopNodes(cluster))
  }),
  law({
    id: "absent.delete",
    title: "deleteNodes of a cluster that was never there succeeds",
    check: ({ cluster, provider }) =>
      Effect.flatMap(
        succeeds("deleteNodes", provider.deleteNodes(cluster)),
        (report) => expectSame("done", [], report.done.map((entry) => entry.name))
      )
  }),
  law({
    id: "absent.list",
    title: "listNodes of a cluster without nodes is empty, and listAllClusters does not have it",
    check: ({ cluster, provider }) =>
      Effect.gen(function*() {
        yield* expectSame("listNodes gives", [], yield* succeeds("listNodes", provider.listNodes(cluster)))
        const all = yield* succeeds("listAllClusters", provider.listAllClusters)
        yield* expect(!all.some((name) => name === cluster), `listAllClusters does not have ${cluster}`, all)
      })
  }),
  law({
    id: "absent.status",
    title: "getClusterStatus is none where the cluster does not exist, and some where it does",
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, provider } = world
        const before = yield* succeeds("getClusterStatus", provider.getClusterStatus(cluster))
        yield* expect(Option.isNone(before), "the status of a cluster that is not there is none", before)
        yield* trio(world, "stopped")
        const after = yield* succeeds("getClusterStatus", provider.getClusterStatus(cluster))
        yield* expect(Option.isSome(after), "the status of a cluster that is there is some", after)
      })
  }),
  law({
    id: "absent.exist",
    title: "nodesExist is false for a cluster without nodes, and true for one with nodes, also stopped ones",
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, provider } = world
        yield* expectSame("nodesExist is", false, yield* succeeds("nodesExist", provider.nodesExist(cluster)))
        yield* trio(world, "stopped")
        yield* expectSame("nodesExist is", true, yield* succeeds("nodesExist", provider.nodesExist(cluster)))
      })
  }),
  law({
    id: "absent.error",
    title: "nodesExist fails where the backend could not be asked; it is not false",
    needs: ["outage"],
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "running")
        yield* world.harness.outage
        yield* failsWith("nodesExist", "ProviderUnavailable", world.provider.nodesExist(world.cluster))
      })
  }),
  law({
    id: "absent.list-error",
    title: "listNodes and listAllClusters fail where the backend could not be asked; they are not empty",
    needs: ["outage"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        yield* trio(world, "running")
        yield* harness.outage
        yield* failsWith("listNodes", "ProviderUnavailable", provider.listNodes(cluster))
        yield* failsWith("listAllClusters", "ProviderUnavailable", provider.listAllClusters)
      })
  }),
  law({
    id: "absent.status-error",
    title: "getClusterStatus fails where the backend could not be asked; it is not a status without nodes",
    needs: ["outage"],
    check: (world) =>
      Effect.gen(function*() {
        yield* trio(world, "running")
        yield* world.harness.outage
        yield* failsWith("getClusterStatus", "ProviderUnavailable", world.provider.getClusterStatus(world.cluster))
      })
  }),
  law({
    id: "absent.act-error",
    title: "start, stop and delete fail with ProviderUnavailable where the backend is not there, and change nothing",
    needs: ["outage"],
    check: (world) =>
      Effect.gen(function*() {
        const { cluster, harness, provider } = world
        yield* trio(world, "running")
        yield* harness.outage
        yield* failsWith("startNodes", "ProviderUnavailable", provider.startNodes(cluster))
        yield* failsWith("stopNodes", "ProviderUnavailable", provider.stopNodes(cluster))
        yield* failsWith("deleteNodes", "ProviderUnavailable", provider.deleteNodes(cluster))
      })
  }),
  law({
    id: "absent.available",
    title: "isAvailable and checkAvailable ask the backend: they say so when it is there, and when it is not",
    needs: ["outage"],
    check: ({ harness, provider }) =>
      Effect.gen(function*() {
        yield* expectSame("isAvailable of a backend that answers is", true, yield* provider.isAvailable)
        yield* succeeds("checkAvailable of a backend that answers", provider.checkAvailable)
        yield* Effect.scoped(
          Effect.gen(function*() {
            yield* harness.outage
            yield* expectSame("isAvailable of a backend that is away is", false, yield* provider.isAvailable)
            yield* failsWith("checkAvailable", "ProviderUnavailable", provider.checkAvailable)
          })
        )
        yield* expectSame("isAvailable of a backend that is back is", true, yield* provider.isAvailable)
      })
  })
]
