/** `watchCluster` on a real engine, whose calls are counted and whose connections are cut on the way. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { toJson } from "kubelayer/Cluster"
import * as Docker from "kubelayer/layers/Docker"
import type { ClusterStatus } from "kubelayer/Model"
import type * as Policy from "kubelayer/Policy"
import { between, oneOf, random } from "kubelayer/testing/faults/Random"
import { TestedEngine, through } from "kubelayer/testing/TestedEngine"
import { nodes } from "./support/docker.ts"
import { container, engineHost, newCluster, remove, start, stop } from "./support/engine.ts"
import { failing } from "./support/told.ts"

const watched = (scheme: Docker.SchemeChoice = "kubelayer", policy: Policy.Overrides = {}) =>
  Layer.fresh(through(engineHost, (host) => Docker.layer({ host, scheme, nodes, policy })))

const cuts = 50

/** Creates a cluster of two running nodes without kubelayer. */
const pair = Effect.gen(function*() {
  const c = yield* newCluster()
  for (const role of ["control-plane", "worker"]) {
    yield* container(`${c}-${role}`, { labels: { "kubelayer.cluster": c, "kubelayer.role": role } })
    yield* start(`${c}-${role}`)
  }
  return c
})

/** Watches from the first status on. `until` waits for a last status that fits. */
const watching = Effect.fnUntraced(function*(service: Docker.DockerService, cluster: string) {
  const seen: Array<ClusterStatus> = []
  const fiber = yield* service.provider.watchCluster(cluster).pipe(
    Stream.runForEach((status) => Effect.sync(() => void seen.push(status))),
    Effect.forkScoped
  )
  const until = (fits: (status: ClusterStatus) => boolean) =>
    Effect.suspend(() => {
      const last = seen.at(-1)
      return last !== undefined && fits(last) ? Effect.succeed(last) : Effect.fail("not yet" as const)
    }).pipe(
      Effect.eventually,
      Effect.timeoutOrElse({
        duration: "20 seconds",
        orElse: () => Effect.die(new Error(`it does not come; seen: ${seen.map((status) => status.phase).join(", ")}`))
      })
    )
  yield* until(() => true)
  return { seen, fiber, until }
})

/** Until something holds on the engine's side. */
const eventually = (what: string, holds: Effect.Effect<boolean>) =>
  holds.pipe(
    Effect.filterOrFail((is) => is, () => "not yet" as const),
    Effect.retry({ schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOrElse({
      duration: "20 seconds",
      orElse: () => Effect.die(new Error(`it never came to be that ${what}`))
    })
  )

const json = (status: ClusterStatus | undefined) => status === undefined ? undefined : toJson(status)

/** Waits until kubelayer sends no requests. */
const atRest = Effect.sleep("700 millis")

describe.concurrent("watchCluster", () => {
  it.live("begins with the present status, gives what changes, and ends when others have removed the nodes", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* pair
      const { fiber, seen, until } = yield* watching(service, c)
      const present = Option.getOrUndefined(yield* service.provider.getClusterStatus(c))
      assert.deepStrictEqual(json(seen[0]), json(present))
      assert.strictEqual(present?.phase, "running")

      yield* stop(`${c}-worker`)
      const degraded = yield* until((status) => status.phase === "degraded")
      assert.deepStrictEqual(degraded.nodes.map((node) => node.state), ["running", "stopped"])
      yield* start(`${c}-worker`)
      yield* until((status) => status.phase === "running")

      yield* container(`${c}-worker2`, { labels: { "kubelayer.cluster": c, "kubelayer.role": "worker" } })
      yield* until((status) => status.nodesTotal === 3)
      for (const name of ["worker", "worker2", "control-plane"]) yield* remove(`${c}-${name}`)
      const exit = yield* Fiber.await(fiber).pipe(Effect.timeout("20 seconds"))
      assert.isTrue(Exit.isSuccess(exit))
    }).pipe(Effect.scoped, Effect.provide(watched())))

  it.live("continues after a cut and after an outage, with the changes in the meantime", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const engine = yield* TestedEngine
      const c = yield* pair
      const { fiber, until } = yield* watching(service, c)
      yield* engine.cut(/\/events\?/)
      yield* stop(`${c}-worker`)
      yield* until((status) => status.nodesReady === 1)

      yield* Effect.scoped(Effect.gen(function*() {
        yield* engine.outage
        yield* stop(`${c}-control-plane`)
        yield* atRest
        assert.isUndefined(fiber.pollUnsafe())
      }))
      yield* until((status) => status.phase === "stopped")
      yield* start(`${c}-control-plane`)
      yield* until((status) => status.nodesReady === 1)
    }).pipe(Effect.scoped, Effect.provide(watched())))

  it.live(
    `loses nothing and gives nothing twice over ${cuts} cuts, before, after and amid changes`,
    () =>
      Effect.gen(function*() {
        const service = yield* Docker.Docker
        const engine = yield* TestedEngine
        const c = yield* pair
        const { fiber, seen, until } = yield* watching(service, c)
        const streams = Effect.map(
          engine.proxy.calls,
          (calls) => calls.filter(({ template }) => template === "/events").length
        )
        const cut = engine.cut(/\/events\?/)
        const extra = `${c}-worker2`
        const labels = { "kubelayer.cluster": c, "kubelayer.role": "worker" }
        const next = random(11)
        for (let done = 0; done < cuts; done++) {
          yield* eventually("the events are listened to again", Effect.map(streams, (count) => count > done))
          const [made, removed] = [container(extra, { labels }), remove(extra)]
          const restart = Effect.andThen(stop(`${c}-worker`), start(`${c}-worker`))
          const change = [made, removed, made, restart, removed][done % 5] ?? restart
          yield* oneOf(next, [
            Effect.andThen(cut, change),
            Effect.andThen(change, cut),
            Effect.all([change, Effect.andThen(Effect.sleep(between(next, 0, 40)), cut)], { concurrency: 2 })
          ])
          const present = Option.getOrThrow(yield* service.provider.getClusterStatus(c))
          yield* until((status) => JSON.stringify(json(status)) === JSON.stringify(json(present)))
        }
        assert.isAtLeast(yield* streams, cuts)
        assert.isUndefined(fiber.pollUnsafe())
        const twice = seen.filter((status, index) =>
          JSON.stringify(json(status)) === JSON.stringify(json(seen[index - 1]))
        )
        assert.deepStrictEqual(twice, [])
      }).pipe(Effect.scoped, Effect.provide(watched("kubelayer", { poll: Schedule.spaced("20 millis") }))),
    120_000
  )

  it.live("fails where the cluster is not there", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const error = yield* failing("ClusterNotFound", Stream.runDrain(service.provider.watchCluster(c)))
      assert.strictEqual(error.clusterName, c)
    }).pipe(Effect.scoped, Effect.provide(watched())))

  for (const scheme of ["kubelayer", "auto"] as const) {
    it.live(`asks nothing while nothing happens to the cluster, in scheme ${scheme}`, () =>
      Effect.gen(function*() {
        const service = yield* Docker.Docker
        const { proxy } = yield* TestedEngine
        const c = yield* pair
        const neighbour = yield* newCluster()
        const { until } = yield* watching(service, c)
        yield* atRest
        const before = (yield* proxy.calls).length
        yield* atRest
        const name = `${neighbour}-worker`
        yield* container(name, { labels: { "kubelayer.cluster": neighbour, "kubelayer.role": "worker" } })
        yield* start(name)
        yield* remove(name)
        yield* atRest
        const asked = (yield* proxy.calls).slice(before).map((call) => `${call.method} ${call.template}`)
        assert.deepStrictEqual(asked, [])

        // And one list is enough for one change.
        yield* stop(`${c}-worker`)
        yield* until((status) => status.nodesReady === 1)
        yield* atRest
        const lists = (yield* proxy.calls).slice(before)
        assert.isNotEmpty(lists)
        assert.isTrue(lists.every((call) => call.template === "/containers/json"))
        assert.isAtMost(lists.length, 4)
      }).pipe(Effect.scoped, Effect.provide(watched(scheme))))
  }
})
