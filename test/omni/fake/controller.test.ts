/** Tests of the fake Omni's controllers: the order of their writes and the states that a user sees in between. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { Event } from "../../../src/omni/proto/cosi_pb.ts"
import {
  ClusterSpecSchema,
  ClusterStatusSpec_Phase,
  ClusterStatusSpecSchema,
  DestroyStatusSpecSchema,
  MachineSetSpecSchema
} from "../../../src/omni/proto/specs_pb.ts"
import type { OmniFakeService } from "../../../src/testing/OmniFake.ts"
import { at, refusal, stage, type Watching } from "./wire.ts"

const o = "omni.sidero.dev/"
const specOf = (event: Event | undefined) => event?.resource?.spec?.protoSpec ?? new Uint8Array()
const cluster = (talosVersion = "1.11.2", kubernetesVersion = "1.34.1") =>
  toBinary(ClusterSpecSchema, create(ClusterSpecSchema, { talosVersion, kubernetesVersion, features: {} }))
const set = (machineCount: number) =>
  toBinary(MachineSetSpecSchema, create(MachineSetSpecSchema, { machineAllocation: { name: "all", machineCount } }))
const controlPlanes = { [`${o}cluster`]: "dev", [`${o}role-controlplane`]: "" }
const workers = { [`${o}cluster`]: "dev", [`${o}role-worker`]: "" }
const options = { machines: 3, machineClasses: { all: [`${o}arch = amd64`] } }

/** Statuses as `PHASE ready healthy/total/requested`, each once, up to one that fits. */
const statuses = ({ next }: Watching, last: RegExp) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    while (!last.test(seen.at(-1) ?? "")) {
      for (const event of yield* next) {
        const { machines, phase, ready } = fromBinary(ClusterStatusSpecSchema, specOf(event))
        const name = Object.entries(ClusterStatusSpec_Phase).find(([, value]) => value === phase)?.[0]
        const line = event.eventType === 2
          ? "gone"
          : `${name}${ready ? " ready" : ""} ${machines?.healthy ?? 0}/${machines?.total ?? 0}/${
            machines?.requested ?? 0
          }`
        if (seen.at(-1) !== line) seen.push(line)
      }
    }
    return seen
  })

const ids = (fake: OmniFakeService, kind: string) => Effect.map(fake.resources(kind), (all) => all.map(({ id }) => id))

const grown = Effect.gen(function*() {
  const omni = yield* stage(options)
  yield* omni.fake.settled
  const watching = yield* omni.watch("ClusterStatuses", { id: "dev" })
  yield* statuses(watching, /gone/)
  yield* omni.make("Clusters", "dev", { spec: cluster() })
  yield* omni.make("MachineSets", "dev-control-planes", { labels: controlPlanes, spec: set(1) })
  yield* omni.make("MachineSets", "dev-workers", { labels: workers, spec: set(2) })
  const seen = yield* statuses(watching, /RUNNING ready 3/)
  yield* omni.fake.settled
  return { ...omni, watching, seen }
})

describe("a cluster on the fake", () => {
  it.live("shows RUNNING before machines exist, then scales up, and then is ready", () =>
    Effect.gen(function*() {
      const { fake, seen } = yield* grown
      const falseFriend = seen.indexOf("RUNNING 0/0/0")
      const scaling = seen.findIndex((line) => line.startsWith("SCALING_UP"))
      assert.isAtLeast(falseFriend, 0, seen.join(", "))
      assert.isAbove(scaling, falseFriend, seen.join(", "))
      assert.strictEqual(seen.at(-1), "RUNNING ready 3/3/3")
      const [first] = yield* fake.resources("Clusters")
      assert.strictEqual(first?.finalizers.length, 13)
      assert.isAbove(first?.version ?? 0, 13)
    }))

  it.live("allocates machines of the class, which are then not free", () =>
    Effect.gen(function*() {
      const { fake } = yield* grown
      const machines = yield* fake.resources("MachineStatuses")
      assert.deepStrictEqual(machines.map(({ labels }) => `${o}available` in labels), [false, false, false])
      const nodes = yield* fake.resources("MachineSetNodes")
      assert.deepStrictEqual(
        nodes.map(({ labels, owner }) => [`${o}managed-by-machine-set-node-controller` in labels, owner]),
        nodes.map(() => [true, ""])
      )
      // A free one more is left alone.
      const more = yield* fake.addMachine()
      yield* fake.settled
      assert.notInclude(yield* ids(fake, "MachineSetNodes"), more)
    }))

  it.live("goes from the workers to the control planes to the patches to itself, and gives its machines back", () =>
    Effect.gen(function*() {
      const { call, fake, make, watch, watching } = yield* grown
      yield* make("ConfigPatches", "500-dev", { labels: { [`${o}cluster`]: "dev" } })
      const gone: Array<string> = []
      const progress = yield* watch("ClusterDestroyStatuses", { id: "dev" })
      for (const kind of ["MachineSets", "ConfigPatches", "Clusters"]) {
        const { next } = yield* watch(kind)
        yield* Effect.forkScoped(Effect.forever(Effect.tap(next, (events) =>
          Effect.sync(() => {
            for (const { eventType, resource } of events) if (eventType === 2) gone.push(resource?.metadata?.id ?? "")
          }))))
      }
      // OK and NOT_FOUND both say that it is gone.
      yield* Effect.exit(call("teardownAndDestroy", at("Clusters", "dev")))
      const seen = yield* statuses(watching, /gone/)
      yield* fake.settled
      assert.match(seen.join(), /^DESTROYING.*gone$/)
      assert.deepStrictEqual(gone, ["dev-workers", "dev-control-planes", "500-dev", "dev"])
      const words: Array<string> = []
      while (words.length < 2) {
        for (const event of yield* progress.next) {
          const { phase } = fromBinary(DestroyStatusSpecSchema, specOf(event))
          if (phase !== "") words.push(phase)
        }
      }
      assert.deepStrictEqual(words[0], "Destroying: 2 machine sets, 3 machines")
      assert.deepStrictEqual(yield* ids(fake, "ClusterMachineStatuses"), [])
      const machines = yield* fake.resources("MachineStatuses")
      assert.deepStrictEqual(machines.map(({ labels }) => `${o}available` in labels), [true, true, true])
    }))

  it.live("stays when it is held or a machine is lost, and goes when it is let go", () =>
    Effect.gen(function*() {
      const { call, fake } = yield* grown
      const [machine = ""] = yield* ids(fake, "ClusterMachineStatuses")
      yield* fake.changeMachine(machine, { connected: false })
      yield* fake.hold("dev", true)
      assert.isFalse((yield* call("teardown", at("Clusters", "dev"))).destroyReady)
      yield* fake.settled
      assert.deepStrictEqual(yield* ids(fake, "ClusterMachineStatuses"), [machine])
      yield* fake.changeMachine(machine, { connected: true })
      yield* fake.settled
      assert.deepStrictEqual(yield* ids(fake, "ClusterMachineStatuses"), [])
      assert.match(yield* refusal(call("destroy", at("Clusters", "dev"))), /pending finalizers/)
      yield* fake.hold("dev", false)
      yield* fake.settled
      assert.deepStrictEqual(yield* ids(fake, "Clusters"), [])
    }))
})

describe("time on the fake", () => {
  it.effect("follows the clock of its creator, and nothing changes before the clock advances", () =>
    Effect.gen(function*() {
      const { fake, make } = yield* stage({ ...options, pace: "1 minute" })
      yield* make("Clusters", "dev", { spec: cluster() })
      yield* make("MachineSets", "dev-control-planes", { labels: controlPlanes, spec: set(1) })
      yield* make("MachineSets", "dev-workers", { labels: workers, spec: set(2) })
      assert.deepStrictEqual(yield* ids(fake, "ClusterStatuses"), [])
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* ids(fake, "ClusterStatuses"), [])
      yield* TestClock.adjust("30 minutes")
      const [status] = yield* fake.resources("ClusterStatuses")
      assert.deepInclude(status?.spec as object, { phase: "RUNNING", ready: true })
    }))
})

describe("resources that the fake refuses", () => {
  it.live("names, versions, sets without a cluster, locked clusters, and classes that are in use", () =>
    Effect.gen(function*() {
      const { call, fake, make } = yield* grown
      const wrong = /^3 failed to validate: \d errors? occurred:\n\t\* .*\n\n$/s
      const refused = (kind: string, id: string, given: Parameters<typeof make>[2]) => refusal(make(kind, id, given))
      for (
        const said of [
          yield* refused("Clusters", "a b", { spec: cluster() }),
          yield* refused("Clusters", "a", { spec: cluster("1.2.3") }),
          yield* refused("Clusters", "a", { spec: cluster("1.8.4", "1.31.0") }),
          yield* refused("Clusters", "a", { spec: cluster("1.11.2", "1.99.0") }),
          yield* refused("MachineSets", "dev-x", { labels: {} }),
          yield* refused("MachineSets", "dev-x", { labels: controlPlanes }),
          yield* refused("MachineSets", "none-workers", { labels: { ...workers, [`${o}cluster`]: "none" } }),
          yield* refused("MachineSetNodes", "m", { labels: { ...workers, [`${o}machine-set`]: "dev-workers" } }),
          yield* refusal(call("teardown", at("MachineClasses", "all")))
        ]
      ) assert.match(said, wrong)
      assert.strictEqual((yield* make("Clusters", "clüster", { spec: cluster() })).resource?.metadata?.version, "1")
      yield* fake.put("Clusters", { id: "dev", annotations: { [`${o}cluster-locked`]: "" } })
      assert.match(yield* refusal(call("teardown", at("Clusters", "dev"))), /^3 .*locked/s)
      assert.match(yield* refusal(call("teardownAndDestroy", at("Clusters", "dev"))), /^3 .*locked/s)
    }))
})
