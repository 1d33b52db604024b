/** Leftovers of a process that died: sweep finds and removes them, and the next create completes them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { spawnSync } from "node:child_process"
import { encodeSession } from "../../src/hetzner/Labels.ts"
import { currentSession } from "../../src/internal/Session.ts"
import { expectNothing, failure, inventory, onFake, ours, rules, spec, writes } from "./support/rig.ts"

/** Sessions of this process, of an exited process on this host, and of a process on another host. */
const sessions = Effect.promise(async () => {
  const living = currentSession()
  const { pid } = spawnSync(process.execPath, ["-e", ""])
  const [place = "", , startedAt = "", nonce = ""] = living.split("/")
  const of = (...parts: ReadonlyArray<string>) => ({ "kubelayer.session": encodeSession(parts.join("/")) })
  return {
    living: { "kubelayer.session": encodeSession(living) },
    dead: of(place, String(pid), startedAt, nonce),
    elsewhere: of("elsewhere:1", String(pid), startedAt, nonce)
  }
})

const pending = { "kubelayer.pending": "true" }
const of = (operation: string, pendingOn?: string) => ({
  "kubelayer.operation": operation,
  ...(pendingOn === undefined ? {} : { "kubelayer.pending-on": pendingOn })
})
const always = { olderThan: "0 seconds" } as const
const worker = ours("dev", "worker")

const named = (orphans: ReadonlyArray<{ readonly kind: string; readonly name: string; readonly why: string }>) =>
  orphans.map(({ kind, name, why }) => `${kind} ${name}: ${why.replace(/, and the process.*/, "")}`)

describe("sweep", () => {
  it.live("finds the resources of an unfinished create, and no other resources of its cluster", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { dead } = yield* sessions
        yield* fake.seed.network({ name: "dev-network", labels: { ...ours(), ...dead, ...of("whole") } })
        yield* fake.seed.server({ name: "dev-worker-1", labels: { ...worker, ...dead, ...of("whole") } })
        yield* fake.seed.placementGroup({
          name: "dev-placement-1",
          labels: { ...ours(), ...dead, ...of("half"), ...pending }
        })
        yield* fake.seed.server({
          name: "dev-worker-2",
          labels: { ...worker, ...dead, ...of("half", "dev-placement-1") }
        })
        yield* fake.clearCalls
        assert.deepStrictEqual(named(yield* hetzner.sweep(always)), [
          "node dev-worker-2: its creation did not end",
          "placement-group dev-placement-1: its creation did not end"
        ])
        assert.deepStrictEqual(yield* writes(fake), [])
        const removed = yield* hetzner.sweep({ ...always, remove: true })
        assert.isTrue(removed.every((orphan) => orphan.removed === true))
        assert.deepStrictEqual(yield* inventory(fake), ["network dev-network", "server dev-worker-1"])
      })))

  it.live("finds resources that were created for a scope, and resources of a cluster without servers", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { dead } = yield* sessions
        yield* fake.seed.server({ name: "dev-worker-1", labels: { ...worker, ...dead, "kubelayer.bound": "true" } })
        yield* fake.seed.firewall({ name: "old-firewall", labels: { ...ours("old"), ...dead } })
        yield* fake.seed.volume({ name: "old-data", labels: { ...ours("old"), ...dead, "kubelayer.keep": "true" } })
        assert.deepStrictEqual(named(yield* hetzner.sweep(always)), [
          "node dev-worker-1: it was created for a scope",
          "firewall old-firewall: its cluster has no node"
        ])
      })))

  it.live("skips resources of a running process, of another host, of recent creates, and of other owners", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { dead, elsewhere, living } = yield* sessions
        for (
          const [name, session] of Object.entries({ living, elsewhere, none: {}, odd: { "kubelayer.session": "x" } })
        ) {
          yield* fake.seed.network({ name, labels: { ...ours(name), ...session, ...pending, ...of(name) } })
          yield* fake.seed.server({ name: `${name}-1`, labels: { ...ours(name, "worker"), ...session, ...of(name) } })
        }
        yield* fake.seed.network({ name: "nobodys", labels: { ...dead, ...pending } })
        yield* Effect.sleep("1 hour")
        yield* fake.seed.network({ name: "young", labels: { ...ours("young"), ...dead, ...pending } })
        const before = yield* inventory(fake)
        assert.deepStrictEqual(yield* hetzner.sweep({ olderThan: "1 minute", remove: true }), [])
        assert.deepStrictEqual(yield* inventory(fake), before)
      })))

  it.live("keeps a network that another server or a load balancer uses", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { dead } = yield* sessions
        const one = yield* fake.seed.network({ name: "dev-network", labels: { ...ours(), ...dead } })
        const two = yield* fake.seed.network({ name: "old-network", labels: { ...ours("old"), ...dead } })
        yield* fake.seed.server({ name: "stranger", networks: [one] })
        yield* fake.seed.loadBalancer({ name: "theirs", networks: [two] })
        assert.deepStrictEqual(yield* hetzner.sweep({ ...always, remove: true }), [])
      })))

  it.live("reports a node that it could not remove and continues", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const { dead } = yield* sessions
        const labels = { ...worker, ...dead, "kubelayer.bound": "true" }
        yield* fake.seed.server({ name: "dev-worker-1", labels, protected: true })
        yield* fake.seed.server({ name: "dev-worker-2", labels })
        const orphans = yield* hetzner.sweep({ ...always, remove: true })
        assert.deepStrictEqual(
          orphans.map(({ name, removed }) => `${name} ${removed === true ? "removed" : removed?.reason._tag}`),
          ["dev-worker-1 Protected", "dev-worker-2 removed"]
        )
      })))
})

describe("a process that dies", () => {
  const everything = { ...spec, workers: 1, firewall: { rules } }

  for (const when of ["before", "after"] as const) {
    it.live(
      `at any call of a create (${when} its work): the next create completes it, and nothing exists twice`,
      () =>
        Effect.gen(function*() {
          let calls = 1
          for (let n = 1; n <= calls; n++) {
            yield* onFake({ fake: { duration: "1 second" } }, ({ another, fake, mortal }) =>
              Effect.gen(function*() {
                yield* fake.seed.server({ name: "stranger" })
                const { died, hetzner } = yield* mortal(n, when)
                yield* Effect.forkDetach(Effect.ignore(hetzner.createNodes(everything)))
                yield* died
                yield* another.createNodes(everything)
                assert.deepStrictEqual(yield* inventory(fake), [
                  "firewall dev-firewall",
                  "group dev-placement-1",
                  "network dev-network",
                  "server dev-control-plane-1",
                  "server dev-worker-1",
                  "server stranger"
                ])
                const state = yield* fake.state
                const made = [...state.servers, ...state.networks, ...state.firewalls, ...state.placementGroups]
                assert.isTrue(made.every(({ labels }) => labels["kubelayer.pending"] === undefined))
                assert.deepStrictEqual(yield* another.sweep(always), [])
                yield* another.provider.deleteNodes("dev")
                assert.deepStrictEqual(yield* inventory(fake), ["server stranger"])
              }))
            // A whole create counts the calls at which the process can die.
            if (n === 1) {
              calls = yield* onFake({ fake: { duration: "1 second" } }, ({ fake, hetzner }) =>
                Effect.andThen(
                  hetzner.createNodes(everything),
                  Effect.map(fake.calls, ({ length }) => length)
                ))
            }
          }
          assert.isAbove(calls, 10)
        }),
      20_000
    )

    it.live(`at any call of a delete (${when} its work): the next run removes the rest`, () =>
      Effect.gen(function*() {
        let calls = 1
        for (let n = 1; n <= calls; n++) {
          yield* onFake(
            { fake: { durations: { delete_server: "1 second" } } },
            ({ another, fake, hetzner: maker, mortal }) =>
              Effect.gen(function*() {
                yield* fake.seed.server({ name: "stranger" })
                yield* maker.createNodes(everything)
                const { died, hetzner } = yield* mortal(n, when)
                yield* Effect.forkDetach(Effect.ignore(hetzner.provider.deleteNodes("dev")))
                yield* died
                yield* another.provider.deleteNodes("dev")
                assert.deepStrictEqual(yield* inventory(fake), ["server stranger"])
              })
          )
          if (n === 1) {
            calls = yield* onFake({ fake: { durations: { delete_server: "1 second" } } }, ({ fake, hetzner }) =>
              Effect.gen(function*() {
                yield* hetzner.createNodes(everything)
                yield* fake.clearCalls
                yield* hetzner.provider.deleteNodes("dev")
                return (yield* fake.calls).length
              }))
          }
        }
        assert.isAbove(calls, 10)
      }), 20_000)
  }

  it.live("leaves no orphan while a running process completes its create", () =>
    onFake(
      { fake: { durations: { create_server: "30 seconds" } } },
      ({ another, fake, hetzner }) =>
        Effect.gen(function*() {
          const { dead } = yield* sessions
          yield* fake.seed.network({
            name: "dev-network",
            labels: { ...ours(), ...dead, ...of("half"), ...pending },
            subnets: [{ ipRange: "10.0.0.0/24", zone: "eu-central" }]
          })
          assert.strictEqual((yield* another.sweep(always)).length, 1)
          const fiber = yield* Effect.forkChild(hetzner.createNodes({ ...spec, workers: 0 }))
          yield* Effect.sleep("10 seconds")
          assert.deepStrictEqual(yield* another.sweep({ ...always, remove: true }), [])
          yield* Fiber.join(fiber)
          assert.deepStrictEqual((yield* fake.state).networks.map(({ labels }) => labels["kubelayer.pending"]), [
            undefined
          ])
        })
    ))

  it.live("a scoped cluster leaves nothing after its scope closes", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* Effect.scoped(hetzner.createNodesScoped(everything))
        yield* expectNothing(fake)
        yield* failure(hetzner.createNodes({ ...everything, workers: -1 }))
      })))
})
