/** Syncing and planning over a fake Omni: a real server, with its controllers at work in the meantime. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import type { Template } from "kubelayer/layers/Omni"
import type { Plan } from "kubelayer/Plan"
import { reasonsOf } from "kubelayer/ProviderError"
import type { OperationReport } from "kubelayer/Report"
import { inspect } from "node:util"
import type * as OmniFake from "../../../src/testing/OmniFake.ts"
import { tagOf, world } from "../support/world.ts"
import { templateOf } from "./generated.ts"
import { machine } from "./support.ts"

const cluster = { name: "dev", kubernetes: { version: "v1.34.1" }, talos: { version: "v1.11.2" } } as const

const text = `kind: Cluster
name: dev
labels: {team: a}
kubernetes: {version: v1.34.1}
talos: {version: v1.11.2}
patches:
  - name: dns
    inline:
      machine: {network: {nameservers: [10.0.0.53]}}
systemExtensions: [siderolabs/iscsi-tools]
---
kind: ControlPlane
machines:
  - ${machine(1)}
---
kind: Workers
machines:
  - ${machine(2)}
  - ${machine(3)}
kernelArgs: [console=ttyS0]
---
kind: Machine
name: ${machine(3)}
labels: {rack: "7"}
install: {disk: /dev/sda}
patches:
  - idOverride: of-machine-3
    inline: |
      machine:
        sysctls: {a: "1"}
`

const other: Template = {
  cluster: { ...cluster, patches: [{ name: "ntp", inline: { machine: { time: { servers: ["10.0.0.1"] } } } }] },
  controlPlane: { machines: [machine(1)] },
  workers: [{ name: "gpu", machines: [machine(4), machine(5)] }]
}

const lines = ({ changes }: Plan) => changes.map(({ action, kind, name }) => `${action} ${kind} ${name}`)

const doneBy = ({ done }: OperationReport) => done.map(({ kind, name }) => `${kind} ${name}`)

const kinds = ["Clusters", "ExtensionsConfigurations", "ConfigPatches", "MachineSets", "MachineSetNodes", "KernelArgs"]

/** Resources of users, without the fields that the server counts and adds. */
const contentOf = (fake: OmniFake.OmniFakeService) =>
  Effect.map(
    Effect.forEach(kinds, (kind) => fake.resources(kind)),
    (all) =>
      all.flat().map(({ annotations, id, labels, owner, phase, spec }) => ({
        annotations,
        id,
        labels,
        owner,
        phase,
        spec
      }))
  )

const writes = new Set(["Create", "Update", "Teardown", "TeardownAndDestroy", "Destroy"])

const writesOf = (fake: OmniFake.OmniFakeService) =>
  Effect.map(fake.calls, (calls) => calls.filter(({ method }) => writes.has(method)))

const options = { fake: { machines: 12 } }

/** The resources of a server after two undisturbed syncs. */
const undisturbed = Effect.scoped(Effect.gen(function*() {
  const { fake, omni } = yield* world(options)
  yield* omni.sync(text)
  yield* omni.sync(other)
  yield* fake.settled
  return yield* contentOf(fake)
}))

describe("a template on a server", () => {
  it.live("becomes a cluster that gets ready, and is then at rest", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* world(options)
      yield* fake.settled
      const told = yield* omni.planTemplate(text)
      assert.deepStrictEqual(yield* writesOf(fake), [])
      assert.deepStrictEqual(lines(told), [
        "create cluster dev",
        "create resource ExtensionsConfiguration schematic-dev",
        "create resource ConfigPatch 200-cluster-dev-dns",
        `create resource ConfigPatch 000-cm-${machine(3)}-install-disk`,
        "create resource ConfigPatch of-machine-3",
        "create resource MachineSet dev-control-planes",
        "create resource MachineSet dev-workers",
        `create node ${machine(1)}`,
        `create node ${machine(2)}`,
        `create node ${machine(3)}`,
        `create resource KernelArgs ${machine(2)}`,
        `create resource KernelArgs ${machine(3)}`
      ])
      const report = yield* omni.sync(text)
      assert.strictEqual(report.operation, "sync")
      assert.deepStrictEqual(doneBy(report), told.changes.map(({ kind, name }) => `${kind} ${name}`))
      yield* omni.awaitReady("dev", { timeout: "20 seconds" })
      assert.strictEqual((yield* provider.listNodes("dev")).length, 3)
      // The controllers have put finalizers and versions onto it since; that is no difference.
      assert.deepStrictEqual(lines(yield* omni.planTemplate(text)), [])
      const again = yield* omni.sync(text)
      assert.deepStrictEqual(doneBy(again), [])
      assert.isTrue(
        again.outcomes.length === 12 && again.outcomes.every(({ outcome }) => outcome._tag === "AlreadyDone")
      )
      assert.deepStrictEqual(yield* fake.violations, [])
      assert.isTrue((yield* contentOf(fake)).every(({ owner }) => owner === ""))
    }), 30_000)

  it.live(
    "is changed while its controllers work on it, and loses what it does not speak of",
    () =>
      Effect.gen(function*() {
        const { fake, omni } = yield* world(options)
        yield* omni.sync(text)
        assert.deepStrictEqual(lines(yield* omni.planTemplate(other)), [
          "create resource ConfigPatch 200-cluster-dev-ntp",
          "create resource MachineSet dev-gpu",
          `create node ${machine(4)}`,
          `create node ${machine(5)}`,
          "update cluster dev",
          `update resource KernelArgs ${machine(2)}`,
          `update resource KernelArgs ${machine(3)}`,
          "delete resource MachineSet dev-workers",
          `delete node ${machine(2)}`,
          `delete node ${machine(3)}`,
          "delete resource ExtensionsConfiguration schematic-dev",
          `delete resource ConfigPatch 000-cm-${machine(3)}-install-disk`,
          "delete resource ConfigPatch 200-cluster-dev-dns",
          "delete resource ConfigPatch of-machine-3"
        ])
        const report = yield* omni.sync(other)
        assert.isTrue([2, 3].every((number) => report.done.some(({ name }) => name === machine(number))))
        yield* fake.settled
        assert.deepStrictEqual((yield* fake.resources("MachineSetNodes")).map(({ id }) => id), [1, 4, 5].map(machine))
        assert.deepStrictEqual((yield* fake.resources("MachineSets")).map(({ id }) => id), [
          "dev-control-planes",
          "dev-gpu"
        ])
        assert.deepStrictEqual(lines(yield* omni.planTemplate(other)), [])
        assert.deepStrictEqual(yield* fake.violations, [])
      }),
    30_000
  )

  it.live("of many machines is planned in few calls", () =>
    Effect.gen(function*() {
      const { fake, newCalls, omni } = yield* world({ fake: { machines: 60 } })
      yield* fake.settled
      const all = Array.from({ length: 60 }, (_, index) => machine(index + 1))
      const template: Template = {
        cluster,
        controlPlane: { machines: all.slice(0, 3) },
        workers: [{ machines: all.slice(3) }]
      }
      assert.strictEqual((yield* omni.planTemplate(template)).changes.length, 63)
      assert.isBelow((yield* newCalls).length, 16)
      yield* omni.sync(template)
      yield* newCalls
      assert.deepStrictEqual((yield* omni.planTemplate(template)).changes, [])
      assert.isBelow((yield* newCalls).length, 10)
      const error = yield* omni.planTemplate({ ...template, controlPlane: { machines: [machine(61), machine(1)] } })
        .pipe(
          Effect.flip
        )
      assert.match(error.message, /the account has no machine/)
    }), 30_000)

  it.live("takes its disk in the form that a newer server knows", () =>
    Effect.gen(function*() {
      const { fake, ids, omni } = yield* world({ fake: { machines: 12, absentKinds: [] } })
      yield* omni.sync(text)
      assert.deepStrictEqual((yield* fake.resources("MachineInstallDiskConfigs")).map(({ spec }) => spec), [
        { disk: "/dev/sda" }
      ])
      assert.deepStrictEqual(lines(yield* omni.planTemplate(text)), [])
      // After an update of the server, the sync removes the patch of the earlier version.
      yield* fake.put("ConfigPatches", {
        id: `000-cm-${machine(3)}-install-disk`,
        labels: { "omni.sidero.dev/cluster": "dev", "omni.sidero.dev/system-patch": "" },
        spec: { data: "machine: {install: {disk: /dev/sda}}" }
      })
      assert.deepStrictEqual(doneBy(yield* omni.sync(text)), [
        `resource ConfigPatch 000-cm-${machine(3)}-install-disk`
      ])
      assert.notInclude(yield* ids("ConfigPatches"), `000-cm-${machine(3)}-install-disk`)
    }), 30_000)

  it.live("with a machine class gets as many as it says, and no more than there are", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 3 } })
      yield* fake.addMachine({ connected: false })
      yield* fake.addMachine({ arch: "arm64" })
      yield* fake.addCluster("prod", { controlPlanes: 1, workers: 0 })
      yield* fake.settled
      const sized = (workers: number): Template => ({
        cluster,
        controlPlane: { machineClass: { name: "small", size: 1 } },
        workers: [{ machineClass: { name: "small", size: workers } }]
      })
      const before = yield* contentOf(fake)
      const error = yield* omni.sync(sized(5)).pipe(Effect.flip)
      assert.strictEqual(tagOf(error), "CapacityUnavailable")
      assert.include(
        error.message,
        "6 more machines of the class small are needed; 3 of 6 machines are free; the others: 1 disconnected, 1 in cluster prod, 1 not of the class (omni.sidero.dev/arch=amd64)"
      )
      assert.deepStrictEqual(yield* contentOf(fake), before)
      yield* omni.sync(sized(2))
      yield* omni.awaitReady("dev", { timeout: "20 seconds" })
      yield* omni.sync(sized(1))
      yield* fake.settled
      const nodes = (yield* fake.resources("MachineSetNodes")).filter(({ labels }) =>
        labels["omni.sidero.dev/cluster"] === "dev"
      )
      assert.strictEqual(nodes.length, 2)
    }), 30_000)

  it.live("that it refuses leaves no trace", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 3 } })
      yield* fake.addCluster("prod", { controlPlanes: 1, workers: 0 })
      yield* fake.settled
      const [taken = ""] = (yield* fake.resources("MachineSetNodes")).map(({ id }) => id)
      for (
        const [template, fault] of [
          [
            { cluster: { ...cluster, talos: { version: "v1.11.9" } }, controlPlane: {} },
            /nearest that it knows: 1\.11\.2/
          ],
          [{ cluster: { ...cluster, talos: { version: "v1.8.4" } }, controlPlane: {} }, /deprecated/],
          [
            { cluster: { ...cluster, kubernetes: { version: "1.31.0" } }, controlPlane: {} },
            /does not take Kubernetes/
          ],
          [{ cluster, controlPlane: { machines: [taken] } }, /taken by cluster prod/],
          [{ cluster, controlPlane: { machines: [machine(77)] } }, /the account has no machine/],
          [{ cluster, controlPlane: { machineClass: { name: "smal", size: 1 } } }, /did you mean small\?/]
        ] as const
      ) {
        const error = yield* omni.sync(template as Template).pipe(Effect.flip)
        assert.strictEqual(error._tag, "InvalidSpec")
        assert.match(error.message, fault)
      }
      assert.deepStrictEqual(yield* writesOf(fake), [])
    }), 30_000)

  it.live("shows nothing of its patches, nor of the key, in plans, logs and errors", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world(options)
      const secret = "canary-5f2d"
      const withSecret = (suffix: string): Template => ({
        ...other,
        cluster: {
          ...other.cluster,
          patches: [{ name: "p", inline: { machine: { env: { PASSWORD: `${secret}${suffix}` } } } }]
        }
      })
      const seen: Array<unknown> = []
      const logger = Logger.make((entry) => void seen.push(entry.message, inspect(entry.cause)))
      yield* Effect.gen(function*() {
        seen.push(yield* omni.sync(withSecret("1")), yield* omni.planTemplate(withSecret("2")))
        yield* fake.failNext({ method: "Update", code: 3, message: "failed to validate: 1 error occurred" })
        seen.push(yield* omni.sync(withSecret("2")).pipe(Effect.flip))
        seen.push(yield* omni.sync({ ...withSecret("3"), controlPlane: 5 } as never).pipe(Effect.flip))
      }).pipe(
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(References.MinimumLogLevel, "All")
      )
      const shown = inspect(seen, { depth: 20, maxStringLength: null }) + JSON.stringify(seen)
      assert.include(shown, "content machine.env.PASSWORD")
      assert.include(shown, "ConfigPatch 200-cluster-dev-p")
      assert.notInclude(shown, secret)
      assert.notInclude(shown, fake.serviceAccountKey)
    }), 30_000)

  it.live("fails and reports a role that cannot write", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world(options)
      yield* fake.settled
      yield* fake.setRole("Reader")
      assert.strictEqual((yield* omni.planTemplate(other)).changes.length, 7)
      const error = yield* omni.sync(other).pipe(Effect.flip)
      assert.deepStrictEqual(reasonsOf(error).map(({ _tag }) => _tag), ["ReadOnlyCredential"])
      assert.match(error.message, /Operator/)
      yield* fake.setRole("Operator")
      yield* fake.setEula(false)
      assert.match((yield* omni.sync(other).pipe(Effect.flip)).message, /EULA/)
      yield* fake.setAvailable(false)
      assert.strictEqual(tagOf(yield* omni.sync(other).pipe(Effect.flip)), "ProviderUnavailable")
      assert.deepStrictEqual(yield* contentOf(fake), [])
    }), 30_000)
})

describe("a sync over a server", () => {
  it.live("finishes what another left, at whichever call it was interrupted", () =>
    Effect.gen(function*() {
      const wanted = yield* undisturbed
      for (let at = 1; at < 46; at += 3) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { fake, omni } = yield* world(options)
          yield* omni.sync(text)
          const before = (yield* fake.calls).length
          const fiber = yield* Effect.forkChild(omni.sync(other))
          const reached = Effect.gen(function*() {
            while ((yield* fake.calls).length < before + at) yield* Effect.yieldNow
          })
          yield* Effect.raceFirst(reached, Fiber.await(fiber))
          yield* Fiber.interrupt(fiber)
          yield* omni.sync(other)
          yield* fake.settled
          assert.deepStrictEqual(yield* contentOf(fake), wanted)
          assert.deepStrictEqual(lines(yield* omni.planTemplate(other)), [])
          assert.deepStrictEqual(yield* fake.violations, [])
        }))
      }
    }), 60_000)

  it.live(
    "goes on over writes that were refused for a moment, cut, or whose answers were lost",
    () =>
      Effect.gen(function*() {
        const wanted = yield* undisturbed
        const cut = { code: 14, message: "Connection dropped" }
        const faults = [
          { ...cut, afterwards: true },
          cut,
          { code: 13, message: "Received RST_STREAM with code 0 (Call ended without gRPC status)", afterwards: true },
          { code: 9, message: "update conflict: expected version '\u0001', actual version '\u0002'" }
        ]
        for (const fault of faults) {
          yield* Effect.scoped(Effect.gen(function*() {
            const { fake, omni } = yield* world({
              ...options,
              omni: { policy: { retry: Schedule.upTo(Schedule.spaced("5 millis"), { times: 5 }) } }
            })
            yield* omni.sync(text)
            for (const method of fault.code === 9 ? ["Update"] : ["Create", "Update", "Teardown"]) {
              for (let after = 0; after < 3; after++) yield* fake.failNext({ ...fault, method, after })
            }
            yield* omni.sync(other)
            yield* fake.settled
            assert.deepStrictEqual(yield* contentOf(fake), wanted)
            assert.deepStrictEqual(yield* fake.violations, [])
          }))
        }
      }),
    60_000
  )

  it.live("goes on over one cut, at whichever call it comes", () =>
    Effect.gen(function*() {
      const retry = Schedule.upTo(Schedule.spaced("2 millis"), { times: 5 })
      for (let after = 1; after < 45; after += 2) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { fake, omni } = yield* world({ ...options, omni: { policy: { retry } } })
          yield* omni.sync(text)
          yield* fake.failNext({ code: 14, message: "Connection dropped", after })
          yield* omni.sync(other)
          yield* fake.settled
          assert.deepStrictEqual(yield* fake.violations, [])
        }))
      }
    }), 60_000)

  it.live("beside others of the same template, all of which succeed", () =>
    Effect.gen(function*() {
      const wanted = yield* undisturbed
      const { fake, omni } = yield* world(options)
      yield* Effect.all([omni.sync(text), omni.sync(text), omni.sync(text)], { concurrency: 3 })
      yield* Effect.all([omni.sync(other), omni.sync(other), omni.sync(other)], { concurrency: 3 })
      yield* fake.settled
      assert.deepStrictEqual(yield* contentOf(fake), wanted)
      assert.deepStrictEqual(yield* fake.violations, [])
    }), 30_000)

  it.live("of any template ends at rest", () =>
    Effect.gen(function*() {
      for (let seed = 1; seed <= 8; seed++) {
        yield* Effect.scoped(Effect.gen(function*() {
          const { fake, omni } = yield* world({
            fake: { machines: 12, machineClasses: { any: ["omni.sidero.dev/arch"] } }
          })
          yield* fake.settled
          const generated = templateOf(seed * 7919)
          const template = { ...generated, cluster: { ...generated.cluster, talos: cluster.talos } }
          yield* omni.sync(template)
          yield* fake.settled
          assert.deepStrictEqual(lines(yield* omni.planTemplate(template)), [])
          assert.deepStrictEqual(yield* fake.violations, [])
        }))
      }
    }), 60_000)
})
