import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { currentSession } from "../../src/internal/Session.ts"
import { type Orphan, sweep } from "../../src/omni/Sweep.ts"
import * as Policy from "../../src/Policy.ts"
import { ServerFault } from "../../src/Reason.ts"
import { account, failure, type Held } from "./template/heldState.ts"
import { machine } from "./template/support.ts"

const policy = Effect.succeed(Policy.make({}))

const swept = (held: Held, options: { readonly olderThan?: string; readonly remove?: boolean } = {}) =>
  sweep({ state: held.state, policy }, { olderThan: "1 hour", ...options } as never)

const node = (cluster: string, set: string) => ({
  "omni.sidero.dev/cluster": cluster,
  "omni.sidero.dev/machine-set": set
})

const names = (orphans: ReadonlyArray<Orphan>) => orphans.map(({ id, kind }) => `${kind} ${id}`)

/** An account with the cluster dev and its workers, a day after 1970 began. */
const world = Effect.gen(function*() {
  yield* TestClock.setTime(86_400_000)
  const held = account()
  held.put("Clusters", "dev")
  held.put("MachineSets", "dev-workers", { labels: { "omni.sidero.dev/cluster": "dev" } })
  held.put("MachineSetNodes", machine(1), { labels: node("dev", "dev-workers") })
  return held
})

/** The session of a process of this machine that is gone, and of this one. */
const sessions = Effect.promise(async () => {
  const living = currentSession()
  return { living, dead: living.replace(/\/\d+\/\d+\//, "/999999999/1/") }
})

describe("sweeping an account", () => {
  it.effect("finds nodes whose cluster or set is gone, whoever made them", () =>
    Effect.gen(function*() {
      const held = yield* world
      held.put("MachineSetNodes", machine(2), { labels: node("gone", "gone-workers") })
      held.put("MachineSetNodes", machine(3), { labels: node("dev", "dev-gpu") })
      const found = yield* swept(held)
      assert.deepStrictEqual(found.map(({ id, owner, why }) => [id, owner, why]), [
        [machine(2), "gone", "its cluster gone is gone"],
        [machine(3), "dev", "its machine set dev-gpu is gone"]
      ])
      assert.isFalse(held.calls.some(({ isWrite }) => isWrite))
      const removed = yield* swept(held, { remove: true })
      assert.isTrue(removed.every(({ removed }) => removed === true))
      assert.deepStrictEqual(held.ids("MachineSetNodes"), [machine(1)])
      assert.deepStrictEqual(yield* swept(held), [])
    }))

  it.effect("leaves what is young, a controller's, of a machine class, or not known to be anybody's", () =>
    Effect.gen(function*() {
      const held = yield* world
      held.put("MachineSetNodes", machine(2), { labels: node("gone", "gone-workers"), created: "1970-01-01T23:30:00Z" })
      held.put("MachineSetNodes", machine(3), { labels: node("gone", "gone-workers"), owner: "SomeController" })
      held.put("MachineSetNodes", machine(4), {
        labels: { ...node("gone", "x"), "omni.sidero.dev/managed-by-machine-set-node-controller": "" }
      })
      held.put("MachineSetNodes", machine(5))
      held.put("MachineSetNodes", machine(6), { labels: node("gone", "x"), created: "nonsense" })
      assert.deepStrictEqual(yield* swept(held, { remove: true }), [])
      assert.strictEqual(held.ids("MachineSetNodes").length, 6)
    }))

  it.effect("finds nodes of machines that are gone only where a dead process of ours made them", () =>
    Effect.gen(function*() {
      const held = yield* world
      const { dead, living } = yield* sessions
      const mark = (session: string) => ({ "kubelayer.owned": "dev", "kubelayer.session": session })
      const labels = node("dev", "dev-workers")
      held.put("MachineSetNodes", machine(90), { labels, annotations: mark(dead) })
      held.put("MachineSetNodes", machine(91), { labels, annotations: mark(living) })
      held.put("MachineSetNodes", machine(92), { labels, annotations: mark("other-host/1/1/abc") })
      held.put("MachineSetNodes", machine(93), { labels })
      held.put("MachineSetNodes", machine(2), { labels, annotations: mark(dead) })
      const found = yield* swept(held)
      assert.deepStrictEqual(names(found), [`MachineSetNode ${machine(90)}`])
      assert.include(found[0]?.why ?? "", "the account has no such machine")
    }))

  it.effect("finds clusters that a dead process of ours made for a scope, or left half-made", () =>
    Effect.gen(function*() {
      const held = yield* world
      const { dead, living } = yield* sessions
      const cluster = (name: string, annotations: Record<string, string>, hasSet: boolean) => {
        held.put("Clusters", name, { annotations })
        if (hasSet) held.put("MachineSets", `${name}-workers`, { labels: { "omni.sidero.dev/cluster": name } })
      }
      const mark = (session: string) => ({ "kubelayer.owned": "x", "kubelayer.session": session })
      cluster("bound", { ...mark(dead), "kubelayer.bound": "true" }, true)
      cluster("half", mark(dead), false)
      cluster("kept", mark(dead), true)
      cluster("alive", { ...mark(living), "kubelayer.bound": "true" }, false)
      cluster("foreign", { "kubelayer.session": dead, "kubelayer.bound": "true" }, false)
      held.put("MachineSetNodes", machine(2), { labels: node("bound", "gone") })
      assert.deepStrictEqual(names(yield* swept(held, { remove: true })), ["Cluster bound", "Cluster half"])
      assert.deepStrictEqual(held.ids("Clusters"), ["dev", "kept", "alive", "foreign"])
      assert.deepStrictEqual(held.ids("MachineSets"), ["dev-workers", "kept-workers"])
    }))

  it.effect("removes nothing that has become somebody's again, and tells what it could not remove", () =>
    Effect.gen(function*() {
      const held = yield* world
      held.put("MachineSetNodes", machine(2), { labels: node("gone", "gone-workers") })
      held.put("MachineSetNodes", machine(3), { labels: node("lost", "lost-workers") })
      let lists = 0
      held.before = (call) => {
        // Between the first look and the second, the cluster comes back.
        if (call.method === "list" && call.type === "MachineSetNodes" && ++lists === 2) {
          held.put("Clusters", "gone")
          held.put("MachineSets", "gone-workers", { labels: { "omni.sidero.dev/cluster": "gone" } })
        }
        return call.method === "teardownAndDestroy"
          ? Effect.fail(failure(new ServerFault({ detail: "disk full" })))
          : Effect.void
      }
      const found = yield* swept(held, { remove: true })
      assert.deepStrictEqual(names(found), [`MachineSetNode ${machine(3)}`])
      assert.match(String(found[0]?.removed), /disk full/)
      assert.deepStrictEqual(held.ids("MachineSetNodes"), [machine(1), machine(2), machine(3)])
    }))
})
