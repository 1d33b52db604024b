import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Template } from "../../../src/omni/template/Model.ts"
import { type LayerOptions as SyncOptions, plan } from "../../../src/omni/template/Plan.ts"
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
  it.effect("are reported with the nearest known versions", () =>
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

  it.effect("are reported with line and column when the template is a text", () =>
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
  it.effect("are reported one by one when the template lists them", () =>
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

  it.effect("are counted when a class has fewer machines than requested", () =>
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

describe("a feature that a server does not have", () => {
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

describe("machines of a Talos version", () => {
  const status = (held: Held, number: number, talosVersion: string, labels: Record<string, string> = {}) =>
    held.put("MachineStatuses", machine(number), {
      labels: { "omni.sidero.dev/available": "", "omni.sidero.dev/connected": "", ...labels },
      spec: { talosVersion }
    })
  const installed = { "omni.sidero.dev/installed": "" }
  const listed = (talos: string, ids: ReadonlyArray<string>): Template => ({
    cluster: { ...cluster, talos: { version: talos } },
    controlPlane: { machines: ids }
  })

  it.effect("that run from a boot image fit their own minor version only (O6)", () =>
    Effect.gen(function*() {
      const held = account()
      status(held, 1, "v1.11.2")
      status(held, 2, "v1.12.0")
      status(held, 3, "v1.13.0")
      assert.deepStrictEqual(yield* refusal(held, listed("v1.12.1", [machine(1), machine(2), machine(3)])), [
        `controlPlane.machines[0]: machine ${machine(1)} does not fit: Talos 1.11.2, the cluster needs 1.12`,
        `controlPlane.machines[2]: machine ${machine(3)} does not fit: Talos 1.13.0, the cluster needs 1.12`
      ])
    }))

  it.effect("that are installed fit their own minor version and newer ones (O8)", () =>
    Effect.gen(function*() {
      const held = account()
      status(held, 1, "v1.10.0", installed)
      status(held, 2, "v1.11.9", installed)
      status(held, 3, "v1.12.1", installed)
      assert.deepStrictEqual(yield* refusal(held, listed("v1.11.5", [machine(1), machine(2), machine(3)])), [
        `controlPlane.machines[2]: machine ${machine(3)} does not fit: Talos 1.12.1 installed, the cluster has 1.11.5`
      ])
    }))

  it.effect("of a static infra provider, or of an unknown version, fit every cluster", () =>
    Effect.gen(function*() {
      const held = account()
      status(held, 1, "v1.9.0", { "omni.sidero.dev/is-managed-by-static-infra-provider": "" })
      status(held, 2, "")
      yield* plan(held.state, listed("v1.12.1", [machine(1), machine(2)]))
    }))

  it.effect("are counted for a class, with the versions of those that do not fit (O7)", () =>
    Effect.gen(function*() {
      const held = account()
      for (let number = 1; number <= 12; number++) status(held, number, number < 3 ? "v1.12.1" : "v1.11.5")
      const template: Template = { cluster, controlPlane: { machineClass: { name: "any", size: 3 } } }
      assert.deepStrictEqual(yield* refusal(held, template), [
        "CapacityUnavailable: 3 more machines of the class any are needed; " +
        "2 of 12 machines are free; the others: 10 Talos 1.11.5, the cluster needs 1.12"
      ])
    }))
})

describe("a template fault that the server would refuse", () => {
  it.effect("is a patch that it does not accept, at its place, before the first write (O11)", () =>
    Effect.gen(function*() {
      const held = account()
      const asked: Array<string> = []
      const validate = (config: string) =>
        Effect.sync(() => {
          asked.push(config)
          return config.includes("foo") ? "unknown keys found during decoding: machine: foo: 1" : undefined
        })
      const bad = { name: "bad", inline: { machine: { foo: 1 } } }
      const good = { name: "good", inline: { machine: { sysctls: { a: "1" } } } }
      const template: Template = {
        cluster: { ...cluster, patches: [good, bad] },
        controlPlane: { machines: [machine(1)], patches: [bad] },
        workers: [{ machines: [machine(2)], patches: [bad] }],
        machines: [{ name: machine(2), patches: [bad], install: { disk: "/dev/sda" } }]
      }
      const lines = yield* refusal(held, template, { validate } as SyncOptions)
      assert.deepStrictEqual(
        lines.sort(),
        ["cluster.patches[1]", "controlPlane.patches[0]", "machines[0].patches[0]", "workers[0].patches[0]"].map((
          path
        ) => `${path}: the server refuses the patch: unknown keys found during decoding: machine: foo: 1`)
      )
      // The system patch of the install disk is not a user's.
      assert.isFalse(asked.some((config) => config.includes("disk")))
    }))

  it.effect("is not asked about patches that are stored already", () =>
    Effect.gen(function*() {
      const held = account()
      const template: Template = {
        cluster: { ...cluster, patches: [{ name: "p", inline: { machine: { a: 1 } } }] },
        controlPlane: { machines: [machine(1)] }
      }
      yield* sync({ state: held.state, policy }, template)
      const planned = yield* plan(held.state, template, { validate: () => Effect.succeed("no") })
      assert.deepStrictEqual(planned.changes, [])
    }))

  it.effect("is another encryption of a cluster that exists, and an extension that the Talos version lacks (O12)", () =>
    Effect.gen(function*() {
      const held = account()
      held.put("TalosExtensions", "1.12.1", { spec: { items: [{ name: "siderolabs/gvisor" }] } })
      yield* sync({ state: held.state, policy }, { cluster, controlPlane: {} })
      held.calls.length = 0
      assert.deepStrictEqual(
        yield* refusal(held, {
          cluster: {
            ...cluster,
            features: { diskEncryption: true },
            systemExtensions: ["siderolabs/gvisor", "siderolabs/gvizor"]
          },
          controlPlane: { systemExtensions: ["siderolabs/nope"] }
        }),
        [
          "cluster.features.diskEncryption: the cluster exists without disk encryption, and that cannot change",
          "cluster.systemExtensions[1]: the server has no extension \"siderolabs/gvizor\" for Talos 1.12.1; " +
          "did you mean siderolabs/gvisor?",
          "controlPlane.systemExtensions[0]: the server has no extension \"siderolabs/nope\" for Talos 1.12.1"
        ]
      )
    }))

  it.effect("is a feature of a newer release (O23)", () =>
    Effect.gen(function*() {
      const template: Template = {
        cluster: { ...cluster, features: { disablePublicDiscoveryService: true } },
        controlPlane: {}
      }
      const line = [
        "cluster.features.disablePublicDiscoveryService: this server does not know the field; it needs Omni 1.10 or newer"
      ]
      const version = (release: string | undefined) => ({ version: Effect.succeed(release) }) as unknown as SyncOptions
      for (const old of ["1.9.3", "0.50.0"]) {
        assert.deepStrictEqual(yield* refusal(account(), template, version(old)), line)
      }
      for (const newer of ["1.10.0", "1.10.0-beta.0", "2.0.0"]) {
        yield* plan(account().state, template, version(newer))
      }
      // A server that does not say its release: a stored cluster has the fields that it knows.
      const withYaml = (yaml: string) => {
        const held = account()
        held.put("Clusters", "dev", {
          annotations: { "omni.sidero.dev/managed-by-cluster-templates": "" },
          spec: { talosVersion: "1.12.1", kubernetesVersion: "1.34.1" }
        })
        const found = held.resources.get("Clusters/dev")
        held.resources.set("Clusters/dev", { ...found, yaml } as never)
        return held
      }
      assert.deepStrictEqual(
        yield* refusal(withYaml("features:\n    diskencryption: false\n"), template, version(undefined)),
        line
      )
      yield* plan(withYaml("features:\n    disablepublicdiscoveryservice: false\n").state, template, version(undefined))
    }))
})

describe("a class with too few machines", () => {
  it.effect("is accepted with an option, so that machines can boot later (O22)", () =>
    Effect.gen(function*() {
      const held = account()
      const template: Template = { cluster, controlPlane: { machineClass: { name: "any", size: 13 } } }
      assert.match((yield* refusal(held, template)).join(), /^CapacityUnavailable/)
      const planned = yield* plan(held.state, template, { allowMissingMachines: true })
      assert.strictEqual(planned.changes.length, 2)
      const done = yield* sync({ state: held.state, policy }, template, { allowMissingMachines: true })
      assert.strictEqual(done.changes.length, 2)
    }))
})
