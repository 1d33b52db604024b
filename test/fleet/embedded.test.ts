/** A fleet in one process over an SQLite store in memory and the simulated backend. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Fleet from "kubelayer/fleet"
import { QuotaExceeded } from "kubelayer/Reason"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { document, eventually, fleetOver, folder, hetzner, type Rig } from "./support/rig.ts"

const states = ({ memory }: Rig) =>
  Effect.map(memory.world, ({ nodes }) => Object.fromEntries(nodes.map(({ name, state }) => [name, state])))

describe("a fleet", () => {
  it.live("creates the clusters of its documents, and says that they are as requested", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        const applied = yield* rig.fleet.apply(document("dev", { workers: 2 }))
        assert.strictEqual(applied.generation, 1)
        assert.strictEqual(applied.phase, "pending")
        const dev = yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        assert.strictEqual(dev.nodes, 3)
        assert.strictEqual(dev.observedGeneration, 1)
        assert.deepStrictEqual(dev.conditions.map(({ reason, status, type }) => `${type} ${status} ${reason}`), [
          "SpecAccepted true Accepted",
          "BackendReachable true Reachable",
          "Converged true AsRequested"
        ])
        assert.deepStrictEqual(yield* states(rig), {
          "dev-control-plane": "running",
          "dev-worker": "running",
          "dev-worker2": "running"
        })
        const events = yield* rig.fleet.events({ cluster: "dev" })
        assert.deepStrictEqual(events.map(({ kind }) => kind), ["Applied", "Reconciled"])
        assert.include([...events[1]?.changes ?? []], "created node dev-worker2")
      })))

  it.live("does nothing for the same document again, and counts a generation for another one", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        yield* rig.fleet.apply(document("dev", { workers: 2 }))
        yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        const same = yield* rig.fleet.apply({ ...document("dev"), workers: 2 })
        assert.strictEqual(same.generation, 1)
        assert.isTrue(same.isConverged)
        yield* rig.fleet.apply(document("dev", { workers: 1 }))
        const fewer = yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        assert.strictEqual(fewer.generation, 2)
        assert.deepStrictEqual(Object.keys(yield* states(rig)), ["dev-control-plane", "dev-worker"])
        const events = yield* rig.fleet.events({ cluster: "dev" })
        assert.isDefined(events.at(-1)?.plan, "the plan that deleted a node is in the history")
        assert.deepStrictEqual(events.at(-1)?.changes, ["deleted node dev-worker2"])
      })))

  it.live("repairs a cluster that was changed by hand", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        yield* rig.fleet.apply(document("dev", { workers: 1 }))
        yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        yield* rig.memory.removeNode("dev-worker")
        yield* rig.until(
          Effect.map(
            rig.fleet.events({ cluster: "dev" }),
            (events) => events.at(-1)?.kind === "Reconciled" && events.length > 2
          )
        )
        const events = yield* rig.fleet.events({ cluster: "dev" })
        assert.deepStrictEqual(events.map(({ kind }) => kind), ["Applied", "Reconciled", "Drifted", "Reconciled"])
        assert.strictEqual(events[2]?.message, "the cluster has 1 node, the document requests 2")
        assert.strictEqual((yield* states(rig))["dev-worker"], "running")
      })))

  it.live("deletes the nodes of a removed cluster, or keeps them", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        yield* rig.fleet.apply(document("dev"))
        yield* rig.fleet.apply(document("prod"))
        yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        yield* eventually(rig, "prod", ({ isConverged }) => isConverged)
        yield* rig.fleet.remove("prod", { keepNodes: true })
        yield* rig.fleet.remove("dev")
        yield* rig.until(Effect.map(rig.fleet.list(), (clusters) => clusters.length === 0))
        assert.deepStrictEqual(Object.keys(yield* states(rig)), ["prod-control-plane"])
        const missing = yield* Effect.flip(rig.fleet.status("dev"))
        assert.strictEqual(missing._tag, "ClusterNotFound")
      })))

  it.live("leaves a paused cluster as it is until it is resumed", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        yield* rig.fleet.apply(document("dev"))
        yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        yield* rig.fleet.pause("dev")
        yield* rig.fleet.apply(document("dev", { workers: 1 }))
        yield* Effect.sleep("1200 millis")
        assert.strictEqual((yield* rig.fleet.status("dev")).observedGeneration, 1)
        yield* rig.fleet.resume("dev")
        const dev = yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        assert.strictEqual(dev.observedGeneration, 2)
      })))

  it.live("tries a failed cluster again after a pause, and says why it failed", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        yield* rig.memory.failNext({
          operation: "create",
          node: "dev-worker",
          reason: new QuotaExceeded({ detail: "the limit of servers is reached" }),
          times: 2
        })
        yield* rig.fleet.apply(document("dev", { workers: 1 }))
        const failed = yield* eventually(rig, "dev", ({ phase }) => phase === "failed")
        const converged = failed.conditions.find(({ type }) => type === "Converged")
        assert.strictEqual(converged?.status, "false")
        assert.strictEqual(converged?.reason, "QuotaExceeded")
        // Everything created is kept, since another runner may have adopted it.
        assert.isDefined((yield* states(rig))["dev-control-plane"])
        const dev = yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        assert.strictEqual(dev.attempts, 0)
        assert.deepStrictEqual(
          (yield* rig.fleet.events({ cluster: "dev" })).map(({ kind }) => kind),
          ["Applied", "Failed", "Failed", "Reconciled"]
        )
      })))

  it.live("says in the condition which secret does not resolve, and goes on with the others", () =>
    fleetOver({ others: ["hetzner"] }, (rig) =>
      Effect.gen(function*() {
        yield* rig.fleet.apply(hetzner("lost", { env: "KUBELAYER_SECRET_NOT_SET" }))
        yield* rig.fleet.apply(document("dev"))
        yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        const lost = yield* eventually(rig, "lost", ({ phase }) => phase === "failed")
        const [accepted] = lost.conditions
        assert.strictEqual(`${accepted?.status} ${accepted?.reason}`, "false SecretNotResolved")
        assert.include(accepted?.message, "environment variable KUBELAYER_SECRET_NOT_SET is not set")
      })))

  it.live("says in the condition that a runner does not have the backend", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        yield* rig.fleet.apply(hetzner("lost", { env: "KUBELAYER_SECRET_DATA" }))
        const lost = yield* eventually(rig, "lost", ({ phase }) => phase === "failed")
        assert.deepStrictEqual(lost.conditions.map(({ reason, status }) => `${status} ${reason}`), [
          "unknown NotTried",
          "false NoSuchBackend",
          "unknown NoSuchBackend"
        ])
      })))

  it.live("refuses documents that it could never carry out", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        const refused = (given: object) =>
          Effect.map(Effect.flip(rig.fleet.apply(given as never)), (error) => error.message)
        assert.match(yield* refused({ ...document("dev"), wrkers: 1 }), /unknown field/)
        assert.match(yield* refused({ ...document("dev"), labels: { a: "x".repeat(2_000_000) } }), /at most 1048576/)
        assert.match(
          yield* refused(hetzner("dev", { env: "HCLOUD_TOKEN" })),
          /HCLOUD_TOKEN is not read by a fleet; its name must begin with KUBELAYER_SECRET_/
        )
        yield* rig.fleet.apply(document("dev"))
        assert.match(yield* refused({ ...document("dev"), instance: "eu" }), /has a cluster "dev" on memory/)
      })))

  it.live("keeps one watch informed, the present clusters first", () =>
    fleetOver({}, (rig) =>
      Effect.gen(function*() {
        const seen = yield* rig.fleet.watch.pipe(
          Stream.tap((clusters) =>
            clusters.length === 0 ? Effect.orDie(rig.fleet.apply(document("dev"))) : Effect.void
          ),
          Stream.takeUntil((clusters) => clusters.some(({ isConverged }) => isConverged)),
          Stream.runCollect
        )
        assert.lengthOf(seen[0] ?? [], 0)
        assert.isAtLeast(seen.length, 2)
      })))
})

describe("two runners of one store", () => {
  it.live("are refused where they work alone", () =>
    fleetOver({ store: "file" }, (rig) =>
      Effect.gen(function*() {
        const second = yield* Effect.flip(Effect.scoped(
          Fleet.make({ store: rig.store, backends: {}, lockExpiration: "1 second" })
        ))
        assert.strictEqual(second._tag === "StoreError" && second.problem, "settings")
      })))
})

describe("a store", () => {
  const refusal = (prepare: string) =>
    Effect.scoped(Effect.gen(function*() {
      const path = join(yield* folder, "other.db")
      yield* Effect.scoped(Fleet.makeClient({ store: { sqlite: path } })).pipe(
        Effect.when(Effect.succeed(/fleet_/.test(prepare)))
      )
      const database = new DatabaseSync(path)
      database.exec(prepare)
      database.close()
      const error = yield* Effect.flip(Effect.scoped(Fleet.makeClient({ store: { sqlite: path } })))
      return `${error.problem}: ${error.detail}`
    }))

  it.live("of a newer version is refused", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* refusal("INSERT INTO fleet_migrations (migration_id, name) VALUES (99, 'later')"),
        "newer: its tables have version 99, and this kubelayer knows versions up to 1"
      )
    }))

  it.live("of another program is refused", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* refusal("CREATE TABLE orders (id integer)"),
        "not-a-store: it is the database of another program (it has the table \"orders\")"
      )
    }))
})

describe("a client", () => {
  it.live("requests what the runner of another process carries out", () =>
    fleetOver({ store: "file" }, (rig) =>
      Effect.gen(function*() {
        const client = Context.get(yield* Layer.build(Fleet.layerClient({ store: rig.store })), Fleet.Fleet)
        yield* client.apply(document("dev"))
        yield* eventually(rig, "dev", ({ isConverged }) => isConverged)
        assert.strictEqual((yield* client.status("dev")).phase, "converged")
      })))
})
