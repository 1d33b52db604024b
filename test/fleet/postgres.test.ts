/** The same fleet over a real PostgreSQL. It is left out where Debian's packages are not installed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fleet from "kubelayer/fleet"
import { hasPostgres, postgres } from "./support/postgres.ts"
import { document, eventually, fleetOver } from "./support/rig.ts"

describe.skipIf(!hasPostgres)("a fleet on PostgreSQL", () => {
  it.live(
    "creates, changes and deletes clusters, and outlives a restart of the database",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const server = yield* postgres
        yield* fleetOver({ store: { postgres: server.url } }, (rig) =>
          Effect.gen(function*() {
            yield* rig.fleet.apply(document("dev", { workers: 1 }))
            yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
            yield* rig.fleet.apply(document("dev", { workers: 2 }))
            const dev = yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
            assert.strictEqual(dev.observedGeneration, 2)
            yield* server.stop
            const away = yield* Effect.flip(rig.fleet.apply(document("prod")))
            assert.strictEqual(away._tag === "StoreError" && away.problem, "unavailable")
            yield* server.start
            yield* rig.until(
              Effect.map(Effect.option(rig.fleet.apply(document("prod"))), ({ _tag }) => _tag === "Some")
            )
            yield* eventually(rig, "prod", ({ isConverged }) => isConverged)
            yield* rig.fleet.remove("dev")
            yield* rig.until(Effect.map(rig.fleet.list(), (clusters) => clusters.length === 1))
            const events = yield* rig.fleet.events({ cluster: "dev" })
            assert.deepStrictEqual(events.map(({ kind }) => kind), [
              "Applied",
              "Reconciled",
              "Applied",
              "Reconciled",
              "RemoveRequested",
              "Removed"
            ])
          }))
        // The tables are there already, and a store of another version is refused.
        const second = yield* Effect.scoped(
          Effect.flatMap(Fleet.makeClient({ store: { postgres: server.url } }), ({ list }) => list())
        )
        assert.deepStrictEqual(second.map(({ name }) => name), ["prod"])
      })),
    60_000
  )
})
