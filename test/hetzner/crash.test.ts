/** Real processes that are killed in the middle of a create or a delete, and what the next run and a sweep make of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Hetzner from "kubelayer/layers/Hetzner"
import { HetznerFake } from "kubelayer/testing"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { judged } from "./fake/support.ts"
import { inventory, nodes, rules, spec as usual } from "./support/rig.ts"

type Fake = HetznerFake.HetznerFakeService

const maker = fileURLToPath(new URL("./support/maker.ts", import.meta.url))
const spec: Hetzner.HetznerClusterSpec = { ...usual, workers: 1, firewall: { rules } }

const whole = [
  "firewall dev-firewall",
  "group dev-placement-1",
  "network dev-network",
  "server dev-control-plane-1",
  "server dev-worker-1"
]

/** Named like the cluster's resources, but unlabelled. */
const foreign = ["floating IP dev-ip", "firewall dev-b-firewall", "network dev-b-network", "server dev-worker-9"]

/** Runs a real process until something is so, and kills it. */
const killedWhen = (fake: Fake, what: "create" | "delete" | "hold", reached: Effect.Effect<boolean>) =>
  Effect.callback<void>((resume) => {
    const child = spawn(process.execPath, [maker, what, JSON.stringify(spec)], {
      env: { PATH: process.env["PATH"], HCLOUD_ENDPOINT: fake.endpoint, HCLOUD_TOKEN: fake.token },
      stdio: ["ignore", "ignore", "inherit"]
    })
    const look = setInterval(() => Effect.runSync(reached) && child.kill("SIGKILL"), 5)
    child.on("exit", (_code, signal) => {
      clearInterval(look)
      resume(signal === "SIGKILL" ? Effect.void : Effect.die(new Error("the process ended by itself")))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Kills a real process at a write of it, counted from 1. */
const killedAt = (fake: Fake, what: "create" | "delete", write: number, when: "HangBefore" | "HangAfter") =>
  Effect.gen(function*() {
    const undo = yield* fake.fault({
      on: ({ method }) => method !== "GET",
      after: write - 1,
      // Others of its calls may be under way; of these, too, it hears nothing any more.
      times: Infinity,
      fault: { _tag: when }
    })
    yield* killedWhen(fake, what, Effect.map(fake.calls, (calls) => calls.some(({ fault }) => fault?._tag === when)))
    yield* undo
  })

const onSocket = <A, E>(
  body: (rig: { readonly fake: Fake; readonly hetzner: Hetzner.HetznerService }) => Effect.Effect<A, E>
) =>
  Effect.scoped(Effect.gen(function*() {
    const fake = yield* HetznerFake.make({ duration: "5 millis" })
    yield* fake.seed.floatingIp({ name: "dev-ip" })
    yield* fake.seed.firewall({ name: "dev-b-firewall", labels: { "kubelayer.cluster": "dev-b" } })
    yield* fake.seed.network({ name: "dev-b-network", labels: { "kubelayer.cluster": "dev-b" } })
    yield* fake.seed.server({ name: "dev-worker-9", labels: { team: "other" } })
    const before = yield* fake.state
    const { endpoint, token } = fake
    const context = yield* Layer.build(
      Hetzner.layerService({ endpoint, token, nodes, policy: { poll: Schedule.spaced("5 millis") } })
    )
    yield* body({ fake, hetzner: Context.get(context, Hetzner.Hetzner) })
    const after = yield* fake.state
    const untouched = (state: typeof before) =>
      [...state.servers, ...state.floatingIps, ...state.firewalls, ...state.networks]
        .filter(({ id }) =>
          [...before.servers, ...before.floatingIps, ...before.firewalls, ...before.networks]
            .some((one) => one.id === id)
        )
        .map(({ json }) => json)
    assert.deepStrictEqual(untouched(after), untouched(before))
    assert.deepStrictEqual(yield* fake.violations, [])
    yield* judged(fake)
  }))

const everything = (...own: ReadonlyArray<string>) => [...foreign, ...own].sort()
const sweepAll = { olderThan: 0, remove: true }

describe("a process that is killed", () => {
  for (const [write, when] of [[1, "HangAfter"], [3, "HangBefore"], [4, "HangAfter"]] as const) {
    it.live(
      `at write ${write} of a create (${when}): a sweep leaves nothing of it`,
      () =>
        onSocket(({ fake, hetzner }) =>
          Effect.gen(function*() {
            yield* killedAt(fake, "create", write, when)
            assert.isAbove((yield* inventory(fake)).length, foreign.length)
            yield* hetzner.sweep(sweepAll)
            assert.deepStrictEqual(yield* inventory(fake), everything())
          })
        ),
      30_000
    )
  }

  it.live(
    "while it has a cluster for a scope: a sweep leaves nothing of it",
    () =>
      onSocket(({ fake, hetzner }) =>
        Effect.gen(function*() {
          const made = Effect.map(fake.state, ({ servers }) =>
            servers.filter(({ labels, status }) =>
              status === "running" && labels["kubelayer.bound"] === "true" && labels["kubelayer.pending"] === undefined
            ).length === 2)
          yield* killedWhen(fake, "hold", made)
          assert.deepStrictEqual(yield* inventory(fake), everything(...whole))
          yield* hetzner.sweep(sweepAll)
          assert.deepStrictEqual(yield* inventory(fake), everything())
        })
      ),
    30_000
  )

  it.live(
    "in a create: the next one finishes it, and a sweep finds nothing to remove",
    () =>
      onSocket(({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* killedAt(fake, "create", 5, "HangAfter")
          yield* hetzner.createNodes(spec)
          assert.deepStrictEqual(yield* inventory(fake), everything(...whole))
          assert.deepStrictEqual(yield* hetzner.sweep(sweepAll), [])
          assert.deepStrictEqual(yield* inventory(fake), everything(...whole))
        })
      ),
    30_000
  )

  it.live("in a delete: the next one removes the rest", () =>
    onSocket(({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(spec)
        yield* killedAt(fake, "delete", 2, "HangAfter")
        yield* hetzner.provider.deleteNodes("dev")
        assert.deepStrictEqual(yield* inventory(fake), everything())
      })
    ), 30_000)
})
