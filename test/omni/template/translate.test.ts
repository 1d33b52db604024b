import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { load } from "../../../src/omni/template/Load.ts"
import { fromCounts, type Template } from "../../../src/omni/template/Model.ts"
import { clashes, type Expected, translate, writeOrder } from "../../../src/omni/template/Translate.ts"
import { Seed, templateOf } from "./generated.ts"
import { cluster, machine, plainTemplate } from "./support.ts"

const resources = (template: Template, knowsInstallDisk = false) =>
  Effect.map(load(template), (loaded) => translate(loaded, { knowsInstallDisk }))

const names = (all: ReadonlyArray<Expected>) => all.map(({ id, kind }) => `${kind}(${id})`)

const full: Template = {
  cluster: {
    ...cluster,
    labels: { team: "a" },
    features: { backupConfiguration: { interval: "1h30m" } },
    patches: [{ idOverride: "own-id", inline: { machine: {} } }, { name: "dns", inline: "machine: {}" }],
    systemExtensions: [],
    kernelArgs: ["from=cluster"]
  },
  controlPlane: {
    machines: [machine(1)],
    patches: [{ name: "cp", labels: { x: "y" }, annotations: { description: "why" }, inline: { machine: {} } }]
  },
  workers: [
    { machines: [machine(2)], updateStrategy: { type: "Unset" } },
    {
      name: "gpu",
      machines: [machine(3)],
      kernelArgs: [],
      deleteStrategy: { type: "Rolling", rolling: { maxParallelism: 2 } }
    }
  ],
  machines: [{
    name: machine(2),
    locked: true,
    labels: { rack: "1" },
    kernelArgs: ["own"],
    install: { disk: "/dev/sd\"a" },
    patches: [{ name: "m", inline: { machine: {} } }],
    systemExtensions: ["siderolabs/x"]
  }]
}

describe("the resources of a template", () => {
  it.effect("have the ids of Omni's own tool, in the order of writing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(names(yield* resources(full)), [
        "Cluster(dev)",
        "ExtensionsConfiguration(schematic-dev)",
        `ExtensionsConfiguration(schematic-${machine(2)})`,
        "ConfigPatch(own-id)",
        "ConfigPatch(201-cluster-dev-dns)",
        "ConfigPatch(400-dev-control-planes-cp)",
        `ConfigPatch(000-cm-${machine(2)}-install-disk)`,
        `ConfigPatch(400-cm-${machine(2)}-m)`,
        "MachineSet(dev-control-planes)",
        "MachineSet(dev-workers)",
        "MachineSet(dev-gpu)",
        `MachineSetNode(${machine(1)})`,
        `MachineSetNode(${machine(2)})`,
        `MachineSetNode(${machine(3)})`,
        `KernelArgs(${machine(1)})`,
        `KernelArgs(${machine(2)})`,
        `KernelArgs(${machine(3)})`
      ])
    }))

  it.effect("carry the labels that say whose they are", () =>
    Effect.gen(function*() {
      const all = yield* resources(full)
      const get = (kind: string, id: string) => {
        const found = all.find((each) => each.kind === kind && each.id === id)
        return { labels: found?.labels, annotations: found?.annotations, spec: found?.spec }
      }
      assert.deepStrictEqual(get("Cluster", "dev"), {
        labels: { team: "a" },
        annotations: { "omni.sidero.dev/managed-by-cluster-templates": "" },
        spec: {
          kubernetesVersion: "1.34.1",
          talosVersion: "1.12.1",
          features: {
            diskEncryption: false,
            enableWorkloadProxy: false,
            useEmbeddedDiscoveryService: false,
            disablePublicDiscoveryService: false,
            enableNodeAuditSkip: false
          },
          backup: { seconds: "5400", nanos: 0 }
        }
      })
      assert.deepStrictEqual(get("MachineSet", "dev-gpu"), {
        labels: { "omni.sidero.dev/cluster": "dev", "omni.sidero.dev/role-worker": "" },
        annotations: {},
        spec: {
          update: { rolling: true },
          delete: { rolling: true, maxParallelism: 2 },
          upgrade: { rolling: false }
        }
      })
      assert.deepStrictEqual(get("MachineSetNode", machine(2)), {
        labels: {
          "omni.sidero.dev/cluster": "dev",
          "omni.sidero.dev/role-worker": "",
          "omni.sidero.dev/machine-set": "dev-workers",
          rack: "1"
        },
        annotations: { "omni.sidero.dev/locked": "" },
        spec: {}
      })
      assert.deepStrictEqual(get("ConfigPatch", "400-dev-control-planes-cp").labels, {
        "omni.sidero.dev/cluster": "dev",
        "omni.sidero.dev/machine-set": "dev-control-planes",
        x: "y"
      })
      assert.deepStrictEqual(get("ConfigPatch", "own-id").annotations, { name: "" })
      // The machine's own arguments, then the set's (of which there are none), then the cluster's.
      assert.deepStrictEqual(
        [1, 2, 3].map((number) => get("KernelArgs", machine(number)).spec),
        [{ args: ["from=cluster"] }, { args: ["own"] }, { args: [] }]
      )
    }))

  it.effect("have the install disk in the form that the server knows", () =>
    Effect.gen(function*() {
      const newer = yield* resources(full, true)
      assert.deepStrictEqual(newer.find(({ kind }) => kind === "MachineInstallDiskConfig"), {
        kind: "MachineInstallDiskConfig",
        id: machine(2),
        labels: {},
        annotations: { "omni.sidero.dev/managed-by-cluster-templates": "" },
        spec: { disk: "/dev/sd\"a", diskSelector: "" },
        path: ["machines", 0, "install"]
      })
      const older = (yield* resources(full)).find(({ id }) => id.startsWith("000-"))
      assert.deepStrictEqual(older?.spec, {
        data: "machine:\n    install:\n        disk: /dev/sd\"a\n",
        documents: [{ machine: { install: { disk: "/dev/sd\"a" } } }]
      })
      assert.strictEqual(older?.labels["omni.sidero.dev/system-patch"], "")
      assert.isFalse(names(newer).some((name) => name.includes("install-disk")))
    }))

  it.effect("of a template from counts are one set of each role", () =>
    Effect.gen(function*() {
      const base = {
        cluster: "dev",
        controlPlanes: 1,
        talosVersion: "1.12.1",
        kubernetesVersion: "1.34.1"
      }
      assert.deepStrictEqual(
        names(yield* resources(fromCounts({ ...base, workers: 2, machines: { machineClass: "c" } }))),
        ["Cluster(dev)", "MachineSet(dev-control-planes)", "MachineSet(dev-workers)"]
      )
      const ids = { machines: [machine(1), machine(2)] }
      assert.deepStrictEqual(names(yield* resources(fromCounts({ ...base, workers: 1, machines: ids }))), [
        "Cluster(dev)",
        "MachineSet(dev-control-planes)",
        "MachineSet(dev-workers)",
        `MachineSetNode(${machine(1)})`,
        `MachineSetNode(${machine(2)})`
      ])
      assert.strictEqual((yield* resources(fromCounts({ ...base, workers: 0, machines: ids }))).length, 3)
    }))

  it.effect("with the same id are reported", () =>
    Effect.gen(function*() {
      const clashing = yield* resources({
        ...plainTemplate,
        cluster: {
          ...cluster,
          patches: [{ name: "a", inline: { machine: {} } }, {
            idOverride: "200-cluster-dev-a",
            inline: { machine: {} }
          }]
        }
      })
      assert.deepStrictEqual(clashes(clashing).map(({ message }) => message), [
        "a second ConfigPatch with the id 200-cluster-dev-a"
      ])
    }))

  it.effect.prop(
    "of any template are in the order of writing, and all belong to the cluster",
    [Seed],
    ([seed]) =>
      Effect.gen(function*() {
        const all = yield* resources(templateOf(seed), seed % 2 === 0)
        const ranks = all.map(({ kind }) => writeOrder.indexOf(kind))
        assert.deepStrictEqual(ranks, [...ranks].sort((a, b) => a - b))
        assert.deepStrictEqual(clashes(all), [])
        for (const { kind, labels } of all) {
          if (["Cluster", "KernelArgs", "MachineInstallDiskConfig"].includes(kind)) continue
          assert.strictEqual(labels["omni.sidero.dev/cluster"], "dev")
        }
      })
  )
})
