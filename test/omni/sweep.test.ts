/** Sweeping an account: what an exited process has left behind goes, and nothing else. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { Orphan } from "kubelayer/Provider"
import { currentSession } from "../../src/internal/Session.ts"
import { ServerFault } from "../../src/Reason.ts"
import { servicesOf } from "./support/backend.ts"
import { account, failure, type Held } from "./template/heldState.ts"
import { machine } from "./template/support.ts"

const swept = (held: Held, options: { readonly olderThan?: string; readonly remove?: boolean } = {}) =>
  Effect.flatMap(
    servicesOf(held.state),
    ({ creator }) => creator.sweep({ olderThan: "1 hour", ...options } as never)
  )

const node = (cluster: string, set: string) => ({
  "omni.sidero.dev/cluster": cluster,
  "omni.sidero.dev/machine-set": set
})

const names = (orphans: ReadonlyArray<Orphan>) => orphans.map(({ kind, name }) => `${kind} ${name}`).toSorted()

/** An account with the cluster dev and its workers, a day after 1970 began. */
const world = Effect.gen(function*() {
  yield* TestClock.setTime(86_400_000)
  const held = account()
  held.put("Clusters", "dev")
  held.put("MachineSets", "dev-workers", { labels: { "omni.sidero.dev/cluster": "dev" } })
  held.put("MachineSetNodes", machine(1), { labels: node("dev", "dev-workers") })
  return held
})

/** The session of a process of this machine that has exited, and of this one. */
const sessions = Effect.sync(() => {
  const living = currentSession()
  return { living, exited: living.replace(/\/\d+\/\d+\//, "/999999999/1/") }
})

const mark = (cluster: string, session: string, rest: Record<string, string> = {}) => ({
  "kubelayer.owned": cluster,
  "kubelayer.session": session,
  "kubelayer.operation": `of-${cluster}`,
  ...rest
})

describe("sweep", () => {
  it.effect("lists machines that an exited process requested and that Omni reports nothing of", () =>
    Effect.gen(function*() {
      const held = yield* world
      const { exited, living } = yield* sessions
      const labels = node("dev", "dev-workers")
      held.put("MachineSetNodes", machine(90), { labels, annotations: mark("dev", exited) })
      held.put("MachineSetNodes", machine(91), { labels, annotations: mark("dev", living) })
      held.put("MachineSetNodes", machine(92), { labels, annotations: mark("dev", "other-host/1/1/abc") })
      held.put("MachineSetNodes", machine(93), { labels })
      held.put("MachineSetNodes", machine(2), { labels, annotations: mark("dev", exited) })
      held.put("ClusterMachineStatuses", machine(2), { labels, spec: { stage: 4, managementAddress: "" } })
      const found = yield* swept(held)
      assert.deepStrictEqual(names(found), [`node ${machine(90)}`])
      assert.deepInclude(found[0], { clusterName: "dev", id: machine(90) })
      assert.include(found[0]?.why ?? "", "its creation did not end")
      assert.isFalse(held.calls.some(({ isWrite }) => isWrite))
      const removed = yield* swept(held, { remove: true })
      assert.deepStrictEqual(removed.map(({ removed }) => removed), [true])
      assert.notInclude(held.ids("MachineSetNodes"), machine(90))
      assert.deepStrictEqual(yield* swept(held), [])
    }))

  it.effect("leaves what is young, a controller's, of a machine class, or without a mark", () =>
    Effect.gen(function*() {
      const held = yield* world
      const { exited } = yield* sessions
      const annotations = mark("gone", exited)
      const labels = node("gone", "gone-workers")
      held.put("MachineSetNodes", machine(2), { labels, annotations, created: "1970-01-01T23:30:00Z" })
      held.put("MachineSetNodes", machine(3), { labels, owner: "SomeController" })
      held.put("MachineSetNodes", machine(4), {
        labels: { ...node("gone", "x"), "omni.sidero.dev/managed-by-machine-set-node-controller": "" }
      })
      held.put("MachineSetNodes", machine(5))
      held.put("MachineSetNodes", machine(6), { labels, annotations, created: "nonsense" })
      assert.deepStrictEqual(yield* swept(held, { remove: true }), [])
      assert.strictEqual(held.ids("MachineSetNodes").length, 6)
    }))

  it.effect("removes clusters that an exited process created for a scope, or left without machines", () =>
    Effect.gen(function*() {
      const held = yield* world
      const { exited, living } = yield* sessions
      const cluster = (name: string, annotations: Record<string, string>, hasNode: boolean) => {
        held.put("Clusters", name, { annotations })
        if (!hasNode) return
        held.put("MachineSets", `${name}-workers`, { labels: { "omni.sidero.dev/cluster": name } })
        held.put("ClusterMachineStatuses", `${name}-machine`, {
          labels: { "omni.sidero.dev/cluster": name },
          spec: { stage: 4, managementAddress: "" }
        })
      }
      const bound = { "kubelayer.bound": "true" }
      cluster("bound", mark("bound", exited, bound), true)
      cluster("half", mark("half", exited), false)
      cluster("kept", mark("kept", exited), true)
      cluster("alive", mark("alive", living, bound), false)
      cluster("foreign", { "kubelayer.session": exited, ...bound }, false)
      assert.deepStrictEqual(names(yield* swept(held, { remove: true })), ["cluster bound", "cluster half"])
      assert.deepStrictEqual(held.ids("Clusters"), ["dev", "kept", "alive", "foreign"])
      assert.deepStrictEqual(held.ids("MachineSets"), ["dev-workers", "kept-workers"])
    }))

  it.effect("reports what it could not remove, and leaves a cluster that was created again", () =>
    Effect.gen(function*() {
      const held = yield* world
      const { exited, living } = yield* sessions
      held.put("Clusters", "again", { annotations: mark("again", exited) })
      held.put("Clusters", "stuck", { annotations: mark("stuck", exited) })
      held.before = (call) => {
        // Between the list and the removal, something else creates it again.
        if (call.method === "get" && call.id === "again") {
          held.put("Clusters", "again", {
            annotations: { ...mark("again", living), "kubelayer.operation": "another" }
          })
        }
        return call.method === "teardownAndDestroy"
          ? Effect.fail(failure(new ServerFault({ detail: "disk full" })))
          : Effect.void
      }
      const found = yield* swept(held, { remove: true })
      assert.match(String(found.find(({ name }) => name === "stuck")?.removed), /disk full/)
      assert.match(String(found.find(({ name }) => name === "again")?.removed), /created again/)
      assert.deepStrictEqual(held.ids("Clusters"), ["dev", "again", "stuck"])
    }))
})
