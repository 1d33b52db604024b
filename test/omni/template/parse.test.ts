import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { load } from "../../../src/omni/template/Load.ts"
import type { Template } from "../../../src/omni/template/Model.ts"
import { faultsOf, machine, plainTemplate } from "./support.ts"

const text = `kind: Cluster
name: dev
kubernetes:
  version: v1.34.1
talos:
  version: v1.12.1
---
kind: ControlPlane
machines:
  - ${machine(1)}
  - ${machine(2)}
---
kind: Workers
machines:
  - ${machine(3)}
`

describe("a template from text", () => {
  it.effect("is the same as one written by hand", () =>
    Effect.gen(function*() {
      const fromText = yield* load(text)
      assert.deepStrictEqual({ ...fromText.template, machines: [] }, { ...plainTemplate, machines: [] })
    }))

  it.effect("takes anchors, merges, comments, empty documents and Windows line ends", () =>
    Effect.gen(function*() {
      const loaded = yield* load(
        `# all\n---\n---\n${text}---\nkind: Machine\nname: ${
          machine(3)
        }\nlabels: &l {a: b}\nannotations:\n  <<: *l\n  c: d\n`
          .replaceAll("\n", "\r\n")
      )
      assert.deepStrictEqual(loaded.template.machines, [{
        name: machine(3),
        labels: { a: "b" },
        annotations: { a: "b", c: "d" }
      }])
    }))

  it.effect("is refused with all its faults, each with line and column", () =>
    Effect.gen(function*() {
      const faults = yield* faultsOf(`kind: Cluster
name: de v
kubernetes:
  verison: v1.34.1
  version: 1.34
talos:
  version: 1.12.1
features: on
---
kind: Worker
machines: []
---
kind: ControlPlane
machines:
  - ${machine(1)}
  - not-a-uuid
  - ${machine(1)}
machineClass: {name: big, size: 3}
---
name: what
---
- a
---
kind: Cluster
colour: red
---
kind: KubernetesManifestGroup
---
kind: Workers
machines: [${machine(1)}, 5]
`)
      assert.deepStrictEqual(faults, [
        "2:1 Cluster.name: \"de v\" cannot be a cluster's name: 1 to 63 letters, digits, `-` and `_`, with a letter or digit at both ends",
        "4:3 Cluster.kubernetes.verison: unknown field; did you mean version?",
        "5:3 Cluster.kubernetes.version: must be a version in quotes, such as \"1.34.1\", got 1.34",
        "7:3 Cluster.talos.version: \"1.12.1\" is not a Talos version such as v1.12.1; did you mean v1.12.1?",
        "8:1 Cluster.features: must be a mapping, got \"on\"",
        "10:1: unknown kind \"Worker\"; did you mean Workers?",
        "16:5 ControlPlane.machines[1]: \"not-a-uuid\" is not a machine's id (a UUID)",
        `17:5 ControlPlane.machines[2]: machine ${
          machine(1)
        } is in controlPlane.machines[0] already; a machine is in one set only`,
        "18:1 ControlPlane.machineClass: a set has either `machines` or a `machineClass`, not both",
        "20:1: a document needs a `kind`: Cluster, ControlPlane, Workers, Machine",
        "22:1: a document of a template is a mapping with a `kind`",
        "24:1: a second Cluster; the first is at 1:1",
        "25:1 Cluster.colour: unknown field",
        "27:1: unknown kind \"KubernetesManifestGroup\"",
        `30:12 Workers.machines[0]: machine ${
          machine(1)
        } is in controlPlane.machines[0] already; a machine is in one set only`,
        "30:50 Workers.machines[1]: must be text, got 5"
      ])
    }))

  it.effect("is refused with its YAML errors and the faults of the documents after them", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* faultsOf("kind: Cluster\nname: [dev\n---\nkind: Workers\nnane: a\nnane: b\n"), [
        "3:1: Flow sequence in block collection must be sufficiently indented and end with a ]",
        "5:1 Workers.nane: unknown field; did you mean name?",
        "6:1: Map keys must be unique"
      ])
    }))

  it.effect("needs a cluster and a control plane", () =>
    Effect.gen(function*() {
      const missing = ["1:1: there is no Cluster document", "1:1: there is no ControlPlane document"]
      for (const empty of ["", "---", "# nothing", "\n\n"]) assert.deepStrictEqual(yield* faultsOf(empty), missing)
    }))

  it.effect("does not follow aliases that multiply without end", () =>
    Effect.gen(function*() {
      const levels = Array.from({ length: 12 }, (_, index) =>
        `k${index}: &a${index} [${
          Array.from({ length: 9 }, () => index === 0 ? "x" : `*a${index - 1}`).join(",")
        }]`)
      const faults = yield* faultsOf(`kind: Machine\n${levels.join("\n")}\n`)
      assert.match(faults.join("\n"), /1:1: Excessive alias count/)
      assert.match((yield* faultsOf("kind: Machine\nname: *nobody\n")).join("\n"), /nobody/)
    }))

  it.effect("has keys that no object of JavaScript should have as ordinary unknown fields", () =>
    Effect.gen(function*() {
      const faults = yield* faultsOf(`${text}__proto__: {a: 1}\nconstructor: 1\n`)
      assert.deepStrictEqual(faults, [
        "16:1 Workers.__proto__: unknown field",
        "17:1 Workers.constructor: unknown field"
      ])
    }))
})

describe("a template from a program", () => {
  it.effect("is checked as one from text, with paths", () =>
    Effect.gen(function*() {
      const faults = yield* faultsOf({
        cluster: { name: "dev", talos: { version: "v1.12.1" }, kubernetes: { version: "1.34.1", manifests: {} } },
        controlPlane: { machines: [machine(1)], machineclass: {} },
        workers: [{ name: "a" }, { name: "a" }, 5]
      } as unknown as Template)
      assert.deepStrictEqual(faults, [
        "cluster.kubernetes.manifests: must be a list, got a mapping",
        "controlPlane.machineclass: unknown field; did you mean machineClass?",
        "workers[2]: must be a mapping, got 5",
        "workers[1].name: a second set called a"
      ])
    }))

  it.effect("is refused where it is none", () =>
    Effect.gen(function*() {
      for (const value of [undefined, null, 5, [], true]) {
        assert.match((yield* faultsOf(value as unknown as Template)).join(), /^template: must be a mapping/)
      }
      assert.deepStrictEqual(yield* faultsOf({} as Template), [
        "cluster: a template needs a cluster",
        "controlPlane: a template needs a control plane"
      ])
    }))
})
