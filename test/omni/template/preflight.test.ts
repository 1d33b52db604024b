import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Template } from "../../../src/omni/template/Model.ts"
import { plan, type SyncOptions } from "../../../src/omni/template/Plan.ts"
import { sync } from "../../../src/omni/template/Sync.ts"
import * as Policy from "../../../src/Policy.ts"
import { account, type Held } from "./heldState.ts"
import { cluster, machine, plainTemplate } from "./support.ts"

const policy = Effect.succeed(Policy.make({}))
const label = (name: string) => ({ "omni.sidero.dev/cluster": name })

/** Why a plan is refused, line by line; that nothing was written, and that a sync is refused alike. */
const refusal = (held: Held, template: Template | string, options: SyncOptions = {}) =>
  Effect.gen(function*() {
    const error = yield* plan(held.state, template, options).pipe(Effect.flip)
    const other = yield* sync({ state: held.state, policy }, template, options).pipe(Effect.flip)
    assert.strictEqual(String(other), String(error))
    assert.isFalse(held.calls.some(({ isWrite }) => isWrite))
    return error._tag === "InvalidSpec"
      ? error.issues.map(({ message, path }) => `${path}: ${message}`)
      : error._tag === "BackendError"
      ? [`${error.reason._tag}: ${error.reason.detail}`]
      : [error._tag]
  })

const versions = (talos: string, kubernetes: string): Template => ({
  ...plainTemplate,
  cluster: { ...cluster, talos: { version: talos }, kubernetes: { version: kubernetes } }
})

describe("versions that a server does not take", () => {
  it.effect("are told with the nearest that it knows", () =>
    Effect.gen(function*() {
      const held = account()
      assert.deepStrictEqual(yield* refusal(held, versions("v1.12.9", "v1.34.1")), [
        "cluster.talos.version: the server does not know Talos 1.12.9; the nearest that it knows: 1.12.1, 1.11.5, 1.13.0-beta.0"
      ])
      assert.deepStrictEqual(yield* refusal(held, versions("v1.12.1", "1.36.0")), [
        "cluster.kubernetes.version: Talos 1.12.1 does not take Kubernetes 1.36.0; the nearest that it knows: 1.35.0, 1.34.1, 1.33.6"
      ])
      assert.deepStrictEqual(yield* refusal(held, versions("v1.8.0", "1.31.0")), [
        "cluster.talos.version: the server takes no new cluster with Talos 1.8.0 (deprecated); the nearest that it knows: 1.11.5, 1.12.1, 1.13.0-beta.0"
      ])
      assert.deepStrictEqual(yield* refusal(held, versions("v9.9.9", "9.9.9")), [
        "cluster.talos.version: the server does not know Talos 9.9.9; the nearest that it knows: 1.12.1, 1.11.5, 1.13.0-beta.0",
        "cluster.kubernetes.version: the server knows no Kubernetes 9.9.9; its latest is 1.35.0"
      ])
    }))

  it.effect("are told with line and column where the template is a text", () =>
    Effect.gen(function*() {
      const text =
        `kind: Cluster\nname: dev\ntalos:\n  version: v1.12.9\nkubernetes: {version: v1.34.1}\n---\nkind: ControlPlane\n`
      assert.match((yield* refusal(account(), text)).join(), /^4:3 Cluster\.talos\.version: the server does not know/)
    }))

  it.effect("are all of them where the server knows none", () =>
    Effect.gen(function*() {
      const held = account()
      for (const key of held.resources.keys()) if (key.startsWith("TalosVersions/")) held.resources.delete(key)
      assert.match((yield* refusal(held, plainTemplate)).join(), /knows no Talos version at all/)
    }))

  it.effect("stay where a cluster has them already, and go up one minor at a time", () =>
    Effect.gen(function*() {
      const held = account()
      yield* sync({ state: held.state, policy }, versions("v1.12.1", "v1.33.6"))
      held.calls.length = 0
      assert.deepStrictEqual(yield* refusal(held, versions("v1.12.1", "v1.35.0")), [
        "cluster.kubernetes.version: Kubernetes goes up one minor version at a time; from 1.33.6, go to 1.34 first"
      ])
      yield* sync({ state: held.state, policy }, versions("v1.12.1", "v1.34.1"))
      held.calls.length = 0
      assert.match((yield* refusal(held, versions("v1.12.1", "v1.33.6"))).join(), /cannot go back from 1\.34\.1/)
      // The server has dropped the version since: what does not change it goes through.
      held.resources.delete("TalosVersions/1.12.1")
      const more = { ...versions("v1.12.1", "v1.34.1"), workers: [{ machines: [machine(3), machine(4)] }] }
      assert.strictEqual((yield* sync({ state: held.state, policy }, more)).changes.length, 1)
      const labelled = { ...more, cluster: { ...more.cluster, labels: { a: "b" } } }
      assert.strictEqual((yield* sync({ state: held.state, policy }, labelled)).changes.length, 1)
    }))
})

describe("machines that are not free", () => {
  it.effect("are told one by one where they are listed", () =>
    Effect.gen(function*() {
      const held = account()
      held.put("MachineStatuses", machine(2), { labels: label("prod") })
      held.put("MachineStatuses", machine(4), {
        labels: { "omni.sidero.dev/available": "", "omni.sidero.dev/disconnected": "" }
      })
      held.put("MachineStatuses", machine(5), {
        labels: { "omni.sidero.dev/available": "" },
        spec: { connected: false }
      })
      held.put("MachineStatuses", machine(6))
      held.resources.delete(`MachineStatuses/${machine(3)}`)
      assert.deepStrictEqual(yield* refusal(held, plainTemplate), [
        `controlPlane.machines[1]: machine ${machine(2)} is in cluster prod already`,
        `workers[0].machines[0]: the account has no machine ${
          machine(3)
        } (7 of 11 machines are free; the others: 2 disconnected, 1 in cluster prod, 1 not available)`
      ])
      // A machine that is merely away may come back; one that is unknown may be expected.
      const away = { ...plainTemplate, controlPlane: { machines: [machine(1), machine(4)] } }
      assert.strictEqual((yield* plan(held.state, away, { allowUnknownMachines: true })).changes.length, 6)
    }))

  it.effect("are counted where a class is asked for more than there are", () =>
    Effect.gen(function*() {
      const held = account()
      held.put("MachineClasses", "big", { spec: { matchLabels: ["omni.sidero.dev/cores >= 8, zone in (a, b)"] } })
      const free = { "omni.sidero.dev/available": "", zone: "a" }
      held.put("MachineStatuses", machine(1), { labels: { ...free, "omni.sidero.dev/cores": "16" } })
      held.put("MachineStatuses", machine(2), { labels: { ...free, "omni.sidero.dev/cores": "4" } })
      held.put("MachineStatuses", machine(3), { labels: label("prod") })
      const sized = (size: number | "unlimited", name = "big"): Template => ({
        cluster,
        controlPlane: { machineClass: { name, size: 1 } },
        workers: [{ machineClass: { name, size } }]
      })
      assert.deepStrictEqual(yield* refusal(held, sized(2)), [
        "CapacityUnavailable: 3 more machines of the class big are needed; 1 of 12 machines is free; the others: 1 in cluster prod, 10 not of the class (omni.sidero.dev/cores >= 8, zone in (a, b))"
      ])
      assert.strictEqual((yield* plan(held.state, sized("unlimited"))).changes.length, 3)
      assert.deepStrictEqual(yield* refusal(held, sized(1, "bigg")), [
        "controlPlane.machineClass.name: there is no machine class bigg; did you mean big?",
        "workers[0].machineClass.name: there is no machine class bigg; did you mean big?"
      ])
      assert.match((yield* refusal(held, sized(1, "other-name"))).join(), /there are any, big/)
      // Such a class makes machines when they are needed.
      held.put("MachineClasses", "auto", { spec: { autoProvision: { providerId: "x" } } })
      assert.strictEqual((yield* plan(held.state, sized(50, "auto"))).changes.length, 3)
    }))

  it.effect("are no concern of a set that has its machines", () =>
    Effect.gen(function*() {
      const held = account()
      const template: Template = { cluster, controlPlane: { machineClass: { name: "any", size: 2 } } }
      yield* sync({ state: held.state, policy }, template)
      for (const number of [1, 2]) {
        const of = { ...label("dev"), "omni.sidero.dev/machine-set": "dev-control-planes" }
        held.put("MachineSetNodes", machine(number), {
          labels: { ...of, "omni.sidero.dev/managed-by-machine-set-node-controller": "" }
        })
        held.put("MachineStatuses", machine(number), { labels: label("dev") })
      }
      for (let number = 4; number <= 12; number++) held.resources.delete(`MachineStatuses/${machine(number)}`)
      held.calls.length = 0
      const sized = (size: number): Template => ({ cluster, controlPlane: { machineClass: { name: "any", size } } })
      assert.deepStrictEqual(yield* refusal(held, sized(4)), [
        "CapacityUnavailable: 2 more machines of the class any are needed; 1 of 3 machines is free; the others: 2 in cluster dev"
      ])
      assert.strictEqual((yield* plan(held.state, sized(3))).changes.length, 1)
      assert.match(
        (yield* refusal(held, { cluster, controlPlane: { machines: [machine(3)] } })).join(),
        /has 2 nodes of a machine class; it has to be empty/
      )
    }))
})

describe("what a server is too old or too new for", () => {
  const disk = (install: { readonly disk?: string; readonly diskSelector?: string }): Template => ({
    ...plainTemplate,
    machines: [{ name: machine(3), install }]
  })

  it.effect("is a selected disk on an old one", () =>
    Effect.gen(function*() {
      const held = account()
      assert.match((yield* refusal(held, disk({ diskSelector: "disk.size > 1u" }))).join(), /too old to select a disk/)
      assert.include(
        (yield* plan(held.state, disk({ disk: "/dev/sda" }))).changes.map(({ id }) => id),
        `000-cm-${machine(3)}-install-disk`
      )
      held.unknown = new Set()
      assert.include(
        (yield* plan(held.state, disk({ diskSelector: "disk.size > 1u" }))).changes.map(({ kind }) => kind),
        "MachineInstallDiskConfig"
      )
    }))

  it.effect("is a disk in a patch on a new one", () =>
    Effect.gen(function*() {
      const held = account()
      const patched: Template = {
        ...plainTemplate,
        cluster: { ...cluster, patches: [{ name: "a", inline: { machine: { install: { disk: "/dev/sda" } } } }] }
      }
      assert.strictEqual((yield* plan(held.state, patched)).changes.length, 7)
      held.unknown = new Set()
      assert.match((yield* refusal(held, patched)).join(), /use `install` of the machine/)
    }))

  it.effect("are kernel arguments where it has none", () =>
    Effect.gen(function*() {
      const held = account()
      held.unknown = new Set(["KernelArgs"])
      const template: Template = {
        cluster: { ...cluster, kernelArgs: ["a"] },
        controlPlane: { machines: [machine(1)] }
      }
      assert.deepStrictEqual(yield* refusal(held, template), [
        "cluster.kernelArgs: this server has no kernel arguments"
      ])
    }))
})
