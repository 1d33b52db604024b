import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Actual, type Change, diff } from "../../../src/omni/template/Diff.ts"
import { load } from "../../../src/omni/template/Load.ts"
import type { Template } from "../../../src/omni/template/Model.ts"
import { type Expected, translate } from "../../../src/omni/template/Translate.ts"
import { Seed, templateOf } from "./generated.ts"
import { cluster, machine, plainTemplate } from "./support.ts"

const expectedOf = (template: Template, knowsInstallDisk = false) =>
  Effect.map(load(template), (loaded) => translate(loaded, { knowsInstallDisk }))

/** The resources as a server would hold them after they were written. */
const written = (all: ReadonlyArray<Expected>): ReadonlyArray<Actual> =>
  all.map((each): Actual => ({ ...each, isTearingDown: false }))

const shown = (changes: ReadonlyArray<Change>) => changes.map(({ action, id, kind }) => `${action} ${kind}(${id})`)

const between = (from: Template, to: Template) =>
  Effect.gen(function*() {
    return diff(yield* expectedOf(to), written(yield* expectedOf(from)))
  })

describe("the difference between a template and a server", () => {
  it.effect("is everything where there is nothing, the cluster first", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(shown(diff(yield* expectedOf(plainTemplate), [])), [
        "create Cluster(dev)",
        "create MachineSet(dev-control-planes)",
        "create MachineSet(dev-workers)",
        `create MachineSetNode(${machine(1)})`,
        `create MachineSetNode(${machine(2)})`,
        `create MachineSetNode(${machine(3)})`
      ])
    }))

  it.effect("names what is different, and no content of a patch", () =>
    Effect.gen(function*() {
      const withPatch = (value: string, version: string): Template => ({
        ...plainTemplate,
        cluster: {
          ...cluster,
          talos: { version },
          labels: { team: version },
          patches: [{ name: "a", inline: { machine: { env: { PASSWORD: value } } } }]
        }
      })
      const changes = yield* between(withPatch("hunter2", "v1.12.1"), withPatch("hunter3", "v1.12.2"))
      assert.deepStrictEqual(changes.flatMap((change) => change.action === "update" ? change.differences : []), [
        "talosVersion: 1.12.1 → 1.12.2",
        "label team: v1.12.1 → v1.12.2",
        "content machine.env.PASSWORD"
      ])
    }))

  it.effect("sees through another spelling of the same patch", () =>
    Effect.gen(function*() {
      const spelled = (inline: unknown): Template => ({
        ...plainTemplate,
        cluster: { ...cluster, patches: [{ name: "a", inline }] }
      })
      const same = [
        { machine: { sysctls: { b: "1", a: "2" }, time: { disabled: true } } },
        "machine:\n  time: {disabled: true}\n  sysctls: {a: '2', b: \"1\"}\n",
        "# why\nmachine: {time: {disabled: true}, sysctls: {\"b\": \"1\", a: \"2\"}}"
      ]
      for (const one of same) {
        for (const other of same) assert.deepStrictEqual(yield* between(spelled(one), spelled(other)), [])
      }
      const text = { machine: { sysctls: { b: "1", a: 2 }, time: { disabled: true } } }
      assert.deepStrictEqual(shown(yield* between(spelled(same[0]), spelled(text))), [
        "update ConfigPatch(200-cluster-dev-a)"
      ])
    }))

  it.effect("destroys a removed set as a whole, and releases the resources of its machines", () =>
    Effect.gen(function*() {
      const all: Template = {
        cluster,
        controlPlane: { machines: [machine(1)] },
        workers: [{ name: "a", machines: [machine(2)], kernelArgs: ["x"] }, {
          name: "b",
          machines: [machine(3), machine(4)]
        }]
      }
      const less: Template = { ...all, workers: [{ name: "b", machines: [machine(3)] }] }
      assert.deepStrictEqual(shown(yield* between(all, less)), [
        "destroy MachineSet(dev-a)",
        `destroy MachineSetNode(${machine(4)})`,
        `release KernelArgs(${machine(2)})`
      ])
    }))

  it.effect("takes away an install disk of a machine that stays, and releases that of one that goes", () =>
    Effect.gen(function*() {
      const install = { install: { disk: "/dev/sda" } }
      const all: Template = {
        ...plainTemplate,
        machines: [{ name: machine(1), ...install }, { name: machine(3), ...install }]
      }
      const less: Template = { cluster, controlPlane: { machines: [machine(1), machine(2)] } }
      const changes = diff(yield* expectedOf(less, true), written(yield* expectedOf(all, true)))
      assert.deepStrictEqual(shown(changes), [
        `destroy MachineInstallDiskConfig(${machine(1)})`,
        `release MachineInstallDiskConfig(${machine(3)})`,
        "destroy MachineSet(dev-workers)"
      ])
    }))

  it.effect("leaves alone what was set on a machine by hand, and kubelayer's own annotations", () =>
    Effect.gen(function*() {
      const expected = yield* expectedOf(plainTemplate)
      const byHand: Actual = {
        kind: "KernelArgs",
        id: machine(1),
        labels: {},
        annotations: {},
        isTearingDown: false,
        spec: { args: ["x"] }
      }
      const owned = written(expected).map((each) => ({
        ...each,
        annotations: { ...each.annotations, "kubelayer.owned": "dev" }
      }))
      assert.deepStrictEqual(diff(expected, [...owned, byHand]), [])
    }))

  it.effect("recreates a resource that is being torn down", () =>
    Effect.gen(function*() {
      const expected = yield* expectedOf(plainTemplate)
      const going = written(expected).map((each) => ({ ...each, isTearingDown: each.id === machine(3) }))
      assert.deepStrictEqual(shown(diff(expected, going)), [`recreate MachineSetNode(${machine(3)})`])
    }))

  it.effect.prop("of a template and itself is nothing", [Seed], ([seed]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* between(templateOf(seed), templateOf(seed)), [])
    }))

  it.effect.prop("of two templates leads from the one to the other", [Seed, Seed], ([a, b]) =>
    Effect.gen(function*() {
      const [from, to] = [yield* expectedOf(templateOf(a)), yield* expectedOf(templateOf(b))]
      const held = new Map(written(from).map((each) => [`${each.kind}/${each.id}`, each]))
      const setsGone = new Set<string>()
      for (const change of diff(to, [...held.values()])) {
        const key = `${change.kind}/${change.id}`
        if (change.action === "destroy") {
          if (change.kind === "MachineSet") setsGone.add(change.id)
          held.delete(key)
        } else if (change.action === "release") held.delete(key)
        else held.set(key, { ...change.expected, isTearingDown: false })
      }
      // Resources of a deleted set.
      for (const [key, each] of held) {
        if (setsGone.has(each.labels["omni.sidero.dev/machine-set"] ?? "")) held.delete(key)
      }
      assert.deepStrictEqual(diff(to, [...held.values()]), [])
      assert.deepStrictEqual([...held.keys()].sort(), to.map(({ id, kind }) => `${kind}/${id}`).sort())
    }))
})
