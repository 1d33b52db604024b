/**
 * Runner processes that are killed or frozen in the middle of creates: another runner takes their work over. Nothing is
 * created twice, and nothing is removed that another runner has adopted.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Fleet from "kubelayer/fleet"
import * as HetznerFake from "kubelayer/testing/HetznerFake"
import { join } from "node:path"
import { hasPostgres, postgres } from "./support/postgres.ts"
import { startRunner } from "./support/processes.ts"
import { folder } from "./support/rig.ts"

const clusters = 30

/** The slow ones run with KUBELAYER_FULL=1 only, which `npm run verify -- --full` sets. */
const isFull = process.env["KUBELAYER_FULL"] === "1"
const settings = { lockExpiration: "6 seconds", lease: "6 seconds", concurrency: 8 } as const

const document = (name: string) => ({
  apiVersion: "kubelayer/v1",
  kind: "Cluster",
  backend: "hetzner",
  controlPlanes: 1,
  workers: 1,
  network: false,
  placementGroups: false,
  nodes: { image: "debian-13", serverTypes: ["cx33"], locations: ["fsn1"] },
  name
} as const)

const until = (what: string, seconds: number, isSo: Effect.Effect<boolean>) =>
  Effect.repeat(isSo, { until: (so) => so, schedule: Schedule.spaced("100 millis") }).pipe(
    Effect.timeoutOrElse({
      duration: seconds * 1000,
      orElse: () => Effect.die(new Error(`not in ${seconds} s: ${what}`))
    })
  )

/** Three runners that have begun to create all clusters. */
const rig = (actions: string, given?: Fleet.StoreOptions) =>
  Effect.gen(function*() {
    const fake = yield* HetznerFake.make({
      durations: { create_server: actions as "1 second" },
      quota: { limit: 1_000_000, remaining: 1_000_000 }
    })
    const store = given ?? { sqlite: join(yield* folder, "fleet.db") }
    const fleet = yield* Fleet.makeClient({ store })
    const runners = yield* Effect.forEach([1, 2, 3], (n) =>
      startRunner(fake, store, { ...settings, name: `runner-${n}` }), {
      concurrency: 3
    })
    yield* Effect.forEach(
      Array.from({ length: clusters }, (_, n) =>
        `c${n}`),
      (name) =>
        fleet.apply(document(name))
    )
    const created = Effect.map(fake.counts, (counts) => counts["POST /servers"] ?? 0)
    yield* until("a third of the servers are being created", 30, Effect.map(created, (n) => n >= clusters * 2 / 3))
    // The database may be away.
    const converged = Effect.orElseSucceed(
      Effect.map(fleet.list(), (all) => all.every(({ isConverged }) => isConverged)),
      () => false
    )
    return { fake, store, fleet, runners, created, converged }
  })

/** Desired is actual, and each server was created once. */
const check = ({ created, fake }: Effect.Success<ReturnType<typeof rig>>) =>
  Effect.gen(function*() {
    const { servers } = yield* fake.state
    assert.lengthOf(servers, clusters * 2)
    assert.isTrue(servers.every(({ status }) => status === "running"))
    assert.lengthOf(new Set(servers.map(({ name }) => name)), clusters * 2)
    assert.strictEqual(yield* created, clusters * 2)
    const deletes = (yield* fake.counts)["DELETE /servers/{id}"] ?? 0
    assert.strictEqual(deletes, 0)
    assert.deepStrictEqual(yield* fake.violations, [])
    const unfinished = servers.filter(({ labels }) => labels["kubelayer.pending"] !== undefined)
    assert.lengthOf(unfinished, 0)
  })

describe("a runner that dies", () => {
  it.live(
    "by kill -9 in mid-create loses nothing: others go on after the lease",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const all = yield* rig("1500 millis")
        const began = Date.now()
        all.runners[0]?.kill("SIGKILL")
        yield* until("all clusters are converged", 60, all.converged)
        const took = Date.now() - began
        yield* Effect.logInfo(`converged ${took} ms after the kill`)
        assert.isBelow(took, 30_000)
        yield* check(all)
      })),
    120_000
  )

  it.live.skipIf(!hasPostgres)(
    "by kill -9 in mid-create loses nothing on PostgreSQL either",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const all = yield* rig("1500 millis", { postgres: (yield* postgres).url })
        all.runners[0]?.kill("SIGKILL")
        yield* until("all clusters are converged", 60, all.converged)
        yield* check(all)
      })),
    120_000
  )

  for (const [store, isMissing] of [["SQLite", false], ["PostgreSQL", !hasPostgres]] as const) {
    it.live.skipIf(isMissing)(
      `by SIGTERM on ${store} finishes what it works on, and ends`,
      () =>
        Effect.scoped(Effect.gen(function*() {
          const all = yield* rig("1500 millis", store === "SQLite" ? undefined : { postgres: (yield* postgres).url })
          const [first] = all.runners
          first?.kill("SIGTERM")
          yield* until(
            "the runner has ended",
            30,
            Effect.sync(() => first?.exitCode !== null || first.signalCode !== null)
          )
          yield* until("all clusters are converged", 60, all.converged)
          yield* check(all)
        })),
      120_000
    )
  }

  it.live.skipIf(!hasPostgres || !isFull)(
    "with its database, which comes back, goes on",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const server = yield* postgres
        const all = yield* rig("1500 millis", { postgres: server.url })
        yield* server.stop
        yield* Effect.sleep("8 seconds")
        yield* server.start
        yield* until("all clusters are converged", 90, all.converged)
        yield* check(all)
      })),
    150_000
  )

  it.live(
    "for a time, and thaws after its lock expired, removes nothing that others adopted",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const all = yield* rig("4 seconds")
        all.runners[0]?.kill("SIGSTOP")
        yield* Effect.sleep("9 seconds")
        all.runners[0]?.kill("SIGCONT")
        yield* until("all clusters are converged", 90, all.converged)
        // The thawed runner has noticed by now that it lost its clusters.
        yield* Effect.sleep("3 seconds")
        yield* check(all)
      })),
    150_000
  )
})
