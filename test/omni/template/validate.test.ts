import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { load } from "../../../src/omni/template/Load.ts"
import type { Patch, Template } from "../../../src/omni/template/Model.ts"
import { cluster, faultsOf, machine, plainTemplate } from "./support.ts"

const withPatch = (patch: Patch): Template => ({ ...plainTemplate, cluster: { ...cluster, patches: [patch] } })

const patchFault = (inline: unknown) =>
  Effect.map(faultsOf(withPatch({ name: "p", inline })), (faults) => faults.join("\n"))

describe("validation of a template", () => {
  it.effect("has no fault where there is none", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* faultsOf(plainTemplate), [])
      // Neither machines nor a class is an empty set.
      assert.deepStrictEqual(yield* faultsOf({ cluster, controlPlane: {}, workers: [{ name: "gpu" }] }), [])
      assert.deepStrictEqual(
        yield* faultsOf({
          cluster: { ...cluster, name: "clüster_1" },
          controlPlane: { machineClass: { name: "big", size: 3 } },
          workers: [{ machineClass: { name: "small", size: "unlimited" } }]
        }),
        []
      )
    }))

  it.effect.each([
    "",
    "-a",
    "a b",
    "a/b",
    "a.b",
    "a\nb",
    "a'--",
    "../a",
    "${x}",
    "a".repeat(64),
    "a,b=c",
    "\u202Ea"
  ])("refuses the cluster name %j", (name) =>
    Effect.gen(function*() {
      const faults = yield* faultsOf({ ...plainTemplate, cluster: { ...cluster, name } })
      assert.strictEqual(faults.length, 1)
      assert.match(faults[0] ?? "", /^cluster\.name: .*cannot be a cluster's name/)
      assert.notMatch(faults[0] ?? "", /[\n\u202E]/)
    }))

  it.effect.each(
    ["", "1.12.1", "v1.12", "latest", "v1.12.1 ", "v01.2.3", "vv1.2.3"]
  )("refuses the Talos version %j", (version) =>
    Effect.gen(function*() {
      const faults = yield* faultsOf({ ...plainTemplate, cluster: { ...cluster, talos: { version } } })
      assert.match(faults.join(), /^cluster\.talos\.version: /)
    }))

  it.effect("takes Kubernetes versions with and without v, and no others", () =>
    Effect.gen(function*() {
      const at = (version: string) => faultsOf({ ...plainTemplate, cluster: { ...cluster, kubernetes: { version } } })
      for (const good of ["1.34.1", "v1.34.1", "1.35.0-beta.1"]) assert.deepStrictEqual(yield* at(good), [])
      for (const bad of ["", "1.34", "stable", "v 1.34.1"]) {
        assert.match((yield* at(bad)).join(), /^cluster\.kubernetes\.version: /)
      }
    }))

  it.effect("reports all invalid uses of machines together", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* faultsOf({
          cluster: { ...cluster, kernelArgs: ["a=b"] },
          controlPlane: { machines: [machine(1), "ABCDEF00-0000-4000-8000-000000000001"] },
          workers: [
            { machineClass: { name: "", size: 1.5 } },
            { name: "control-planes", machineClass: { name: "c", size: 1 }, kernelArgs: [" "] },
            { name: "a b", machines: [machine(2), machine(2)] }
          ],
          machines: [
            { name: machine(1), locked: true, install: {} },
            { name: machine(1), install: { disk: "/dev/sda", diskSelector: "disk.size > 1u" } },
            { name: machine(9) },
            { name: "router" }
          ]
        }),
        [
          "workers[0].machineClass.size: must be an integer from 0 to 4294967295, got 1.5",
          "workers[0].machineClass.name: a machine class needs a name",
          "workers[0].machineClass: kernel arguments of the cluster need sets with listed machines",
          "workers[1].kernelArgs: kernel arguments need a set with listed machines; this one has a machine class",
          "workers[1].kernelArgs[0]: \" \" is empty or has characters that cannot be seen",
          "workers[1].name: `control-planes` is the name of the control plane's set",
          "workers[2].name: \"a b\" cannot be a set's name: letters, digits, `.`, `-` and `_`",
          "controlPlane.machines[1]: Omni writes the ids of machines in lower case: abcdef00-0000-4000-8000-000000000001",
          `workers[2].machines[1]: machine ${
            machine(2)
          } is in workers[2].machines[0] already; a machine is in one set only`,
          "machines[0].install: exactly one of `disk` and `diskSelector` is needed",
          "machines[0].locked: a control plane cannot be locked",
          "machines[1].install: exactly one of `disk` and `diskSelector` is needed",
          `machines[1].name: machine ${machine(1)} is described twice`,
          `machines[2].name: machine ${machine(9)} is in no set of this template`,
          "machines[3].name: \"router\" is not a machine's id (a UUID)"
        ]
      )
    }))

  it.effect("refuses labels with the prefix of Omni", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* faultsOf({
          cluster: { ...cluster, labels: { "omni.sidero.dev/cluster": "other", team: "a" } },
          controlPlane: { annotations: { "kubelayer.owned": "x", "": "y" } }
        }),
        [
          "cluster.labels.omni.sidero.dev/cluster: keys that begin with omni.sidero.dev/ are not for templates",
          "controlPlane.annotations: a key is empty"
        ]
      )
    }))

  it.effect("checks features, strategies and what to bootstrap from (O16)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* faultsOf({
          cluster: {
            ...cluster,
            talos: { version: "v1.4.8" },
            features: { diskEncryption: true, backupConfiguration: { interval: "daily" } }
          },
          controlPlane: {
            bootstrapSpec: { clusterUUID: "x", snapshot: "" },
            updateStrategy: { rolling: {} },
            deleteStrategy: { type: "Rolling" }
          } as Template["controlPlane"]
        }),
        [
          "controlPlane.updateStrategy: updateStrategy is not allowed in the control plane",
          "controlPlane.deleteStrategy: deleteStrategy is not allowed in the control plane",
          "cluster.features.diskEncryption: disk encryption needs Talos 1.5.0 or newer",
          "cluster.features.backupConfiguration.interval: \"daily\" is not a duration such as 1h30m",
          "controlPlane.bootstrapSpec.clusterUUID: the UUID of the cluster of the backup is needed",
          "controlPlane.bootstrapSpec.snapshot: the name of the snapshot is needed"
        ]
      )
    }))
})

describe("a patch", () => {
  it.effect.each(
    [
      ["cluster.clusterName", { cluster: { clusterName: "x" } }],
      ["cluster.id", { cluster: { id: "x" } }],
      ["cluster.controlPlane.endpoint", { cluster: { controlPlane: { endpoint: "https://x" } } }],
      ["cluster.secret", { cluster: { secret: "x" } }],
      ["cluster.ca", { cluster: { ca: {} } }],
      ["cluster.acceptedCAs", { cluster: { acceptedCAs: [] } }],
      ["machine.token", "machine: {token: x}"],
      ["machine.ca", "a: 1\n---\nmachine:\n  ca: {crt: x}\n"],
      ["machine.type", [{ machine: { type: "worker" } }]],
      ["machine.install.extensions", { machine: { install: { extensions: [{ image: "x" }] } } }],
      ["KubeClusterConfig", { apiVersion: "v1alpha1", kind: "KubeClusterConfig" }],
      ["EtcdEncryptionConfig", "apiVersion: v1alpha1\nkind: EtcdEncryptionConfig\n"],
      ["os:admin", { machine: { features: { kubernetesTalosAPIAccess: { allowedRoles: ["os:reader", "os:admin"] } } } }]
    ] as const
  )("may not set %s", ([what, inline]) =>
    Effect.gen(function*() {
      const fault = yield* patchFault(inline)
      assert.include(fault, what)
      assert.match(fault, /^cluster\.patches\[0\]\.inline/)
      assert.notInclude(fault, "\n")
    }))

  it.effect("may say everything else, and delete", () =>
    Effect.gen(function*() {
      for (
        const inline of [
          { machine: { network: { hostname: "a" }, token: "", install: { disk: "/dev/sda" } } },
          { cluster: { ca: { $patch: "delete" } } },
          "# only a comment\nmachine: {sysctls: {a: '1'}}",
          [{ machine: {} }, { apiVersion: "v1alpha1", kind: "KmsgLogConfig", name: "a" }]
        ]
      ) assert.strictEqual(yield* patchFault(inline), "")
    }))

  it.effect("has to be a configuration", () =>
    Effect.gen(function*() {
      const cyclic: Record<string, unknown> = {}
      cyclic.self = cyclic
      for (
        const [inline, fault] of [
          ["", /there is no content/],
          ["# nothing", /there is no content/],
          [{}, /the patch is empty/],
          ["just words", /a mapping of the machine configuration/],
          [5, /a mapping of the machine configuration/],
          [[], /there is no content/],
          ["a: [", /line 1, column 5 of the patch/],
          ["a: 1\na: 2", /line 2, column 1 of the patch: Map keys must be unique/],
          [[{ op: "add", path: "/machine", value: 1 }], /JSON patches/],
          ["- {op: remove, path: /machine}", /JSON patches/],
          [cyclic, /contains itself/],
          [{ a: () => 1 }, /a function/],
          [{ a: new Date(0) }, /an instance of a class/],
          [{ kind: "X" }, /`apiVersion` and a `kind`/]
        ] as const
      ) assert.match(yield* patchFault(inline), fault)
    }))

  it.effect("that cannot be parsed does not show its content", () =>
    Effect.gen(function*() {
      for (
        const inline of ["{token: hunter2 }}", "a: [hunter2\n", "a: {b: 'hunter2", "a: hunter2: b", "a: *hunter2 x"]
      ) {
        const fault = yield* patchFault(inline)
        assert.match(fault, /line 1|line 2|Unresolved|alias/)
        assert.notInclude(fault, "hunter2")
      }
    }))

  it.effect("needs one source and something to be called by", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* faultsOf({
          ...plainTemplate,
          cluster: {
            ...cluster,
            patches: [
              { name: "a" },
              { inline: { machine: {} } },
              { name: "a", inline: { machine: {} }, file: "b.yaml" },
              { name: "a\nb", inline: { machine: {} } },
              { idOverride: "same", inline: { machine: {} } },
              { idOverride: "same", inline: { machine: {} } }
            ]
          }
        }),
        [
          "cluster.patches[0]: a patch needs exactly one of `inline` and `file`",
          "cluster.patches[1]: a patch that is written inline needs a `name` or an `idOverride`",
          "cluster.patches[2]: a patch needs exactly one of `inline` and `file`",
          "cluster.patches[3].name: \"a\uFFFDb\" is empty or has characters that cannot be seen",
          "cluster.patches[5].idOverride: cluster.patches[4] has this id already"
        ]
      )
    }))

  it.effect("is encoded so that every reader of YAML sees the same", () =>
    Effect.gen(function*() {
      const { contents, template } = yield* load(withPatch({
        name: "p",
        inline: [
          {
            machine: { sysctls: { k10: "1", k2: "on", K1: "0777" }, kubelet: { extraArgs: { v: 2, d: "2024-01-01" } } }
          },
          { apiVersion: "v1alpha1", kind: "A: b\n---\nkind: B" }
        ]
      }))
      const content = contents.get(template.cluster.patches?.[0] ?? {})
      assert.strictEqual(
        content?.data,
        `machine:
    kubelet:
        extraArgs:
            d: "2024-01-01"
            v: 2
    sysctls:
        K1: "0777"
        k2: "on"
        k10: "1"
---
apiVersion: v1alpha1
kind: |-
    A: b
    ---
    kind: B
`
      )
      assert.strictEqual(content?.documents.length, 2)
    }))
})

describe("a patch from a file", () => {
  const folder = Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "template-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )

  it.effect("is relative to the folder that the caller names, and is kept verbatim", () =>
    Effect.gen(function*() {
      const baseDirectory = yield* folder
      const text = "# why\nmachine:   {sysctls: {a: \"1\"}}\n"
      writeFileSync(join(baseDirectory, "a.yaml"), text)
      const { contents, template } = yield* load(withPatch({ file: "a.yaml" }), { baseDirectory })
      assert.strictEqual(contents.get(template.cluster.patches?.[0] ?? {})?.data, text)
    }))

  it.effect("is refused where there is no folder, no file, or nothing in it that is a patch", () =>
    Effect.gen(function*() {
      const baseDirectory = yield* folder
      writeFileSync(join(baseDirectory, "binary"), Buffer.from([0xff, 0xfe, 0x00]))
      writeFileSync(join(baseDirectory, "token.yaml"), "machine: {token: secret-value}")
      const at = (file: string) =>
        Effect.map(faultsOf(withPatch({ file }), { baseDirectory }), (faults) => faults.join("\n"))
      assert.match((yield* faultsOf(withPatch({ file: "a.yaml" }))).join(), /give `baseDirectory`/)
      assert.match(yield* at("missing.yaml"), /there is no file/)
      assert.match(yield* at("."), /is not a file/)
      assert.match(yield* at(""), /name of the file is empty/)
      assert.match(yield* at("a\0b"), /outside of the template's folder/)
      assert.match(yield* at("binary"), /not text in UTF-8/)
      const forbidden = yield* at("token.yaml")
      assert.match(forbidden, /Omni sets machine\.token; a patch may not/)
      assert.notInclude(forbidden, "secret-value")
    }))

  it.effect("outside of the template's folder is refused before it is opened, also through links (O19)", () =>
    Effect.gen(function*() {
      const root = yield* folder
      const baseDirectory = join(root, "t")
      mkdirSync(join(baseDirectory, "sub"), { recursive: true })
      mkdirSync(join(root, "t-other"))
      const patch = "machine: {sysctls: {a: '1'}}\n"
      for (const file of ["secret.yaml", "t/inside.yaml", "t-other/a.yaml"]) writeFileSync(join(root, file), patch)
      symlinkSync(join(root, "secret.yaml"), join(baseDirectory, "link.yaml"))
      symlinkSync(root, join(baseDirectory, "up"))
      symlinkSync(join(baseDirectory, "inside.yaml"), join(baseDirectory, "sub/link.yaml"))
      const at = (file: string, more: object = {}) =>
        Effect.map(faultsOf(withPatch({ file }), { baseDirectory, ...more }), (faults) => faults.join("\n"))
      for (
        const file of [
          "../secret.yaml",
          "../missing.yaml",
          "../t-other/a.yaml",
          "sub/../../secret.yaml",
          join(root, "secret.yaml"),
          "/etc/passwd",
          "link.yaml",
          "up/secret.yaml",
          "C:secret.yaml",
          "c:\\secret.yaml"
        ]
      ) assert.match(yield* at(file), /^cluster\.patches\[0\]\.file: .* is outside of the template's folder/, file)
      for (const file of ["inside.yaml", "./sub/../inside.yaml", "sub/link.yaml", join(baseDirectory, "inside.yaml")]) {
        assert.strictEqual(yield* at(file), "", file)
      }
      assert.strictEqual(yield* at("inside.yaml", { baseDirectory: `${baseDirectory}/` }), "")
      assert.strictEqual(yield* at("../secret.yaml", { allowedFolders: [root] }), "")
      assert.strictEqual(yield* at("link.yaml", { allowedFolders: [root] }), "")
      assert.match(yield* at("/etc/passwd", { allowedFolders: [root] }), /outside/)
    }))
})

describe("templates that omnictl accepts", () => {
  it.effect("is accepted: strategies without a number, Unset with a number, backups without an interval (O15)", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* faultsOf({
          cluster: { ...cluster, features: { backupConfiguration: {} } },
          controlPlane: { upgradeStrategy: { rolling: {} } },
          workers: [{
            updateStrategy: { type: "Unset", rolling: { maxParallelism: 2 } },
            deleteStrategy: { type: "Rolling", rolling: {} }
          }]
        }),
        []
      )
    }))

  it.effect("an export of a cluster that createNodes created, whose own annotations are left out (O20)", () =>
    Effect.gen(function*() {
      const own = { "kubelayer.owned": "dev", "kubelayer.session": "s", note: "a" }
      const { template } = yield* load({
        cluster: { ...cluster, annotations: own },
        controlPlane: { machines: [machine(1)], annotations: own },
        workers: [{
          machines: [],
          annotations: own,
          patches: [{ name: "p", annotations: own, inline: { machine: { a: 1 } } }]
        }],
        machines: [{ name: machine(1), annotations: own }]
      })
      for (
        const { annotations } of [
          template.cluster,
          template.controlPlane,
          ...template.workers ?? [],
          ...template.machines ?? [],
          ...(template.workers?.[0]?.patches ?? [])
        ]
      ) assert.deepStrictEqual(annotations, { note: "a" })
    }))
})

describe("Kubernetes manifests and health checks", () => {
  it.effect("are checked with their places", () =>
    Effect.gen(function*() {
      const manifest = { apiVersion: "v1", kind: "Namespace", metadata: { name: "a" } }
      assert.deepStrictEqual(
        yield* faultsOf({
          ...plainTemplate,
          cluster: {
            ...cluster,
            kubernetes: {
              version: "1.34.1",
              manifests: [
                { name: "a", mode: "full", inline: [manifest] },
                { name: "a", mode: "once", inline: [manifest] },
                { mode: "full", inline: [{ kind: "Pod" }] },
                { name: "b", mode: "full" }
              ],
              healthchecks: [{ job: manifest, interval: "soon" }, { name: "c" }]
            }
          } as unknown as Template["cluster"]
        }),
        [
          "cluster.kubernetes.manifests[1].mode: must be \"full\" or \"one-time\", got \"once\"",
          "cluster.kubernetes.manifests[2].name: manifests need a name",
          "cluster.kubernetes.manifests[3]: manifests need exactly one of `inline` and `file`",
          "cluster.kubernetes.manifests[1]: the name \"a\" is used twice",
          "cluster.kubernetes.healthchecks[0].name: a health check needs a `name` or an `idOverride`",
          "cluster.kubernetes.healthchecks[0].interval: \"soon\" is not a duration such as 1h30m",
          "cluster.kubernetes.healthchecks[1]: a health check needs exactly one of `job` and `file`",
          "cluster.kubernetes.manifests[2].inline[0]: a Kubernetes manifest is a mapping with an `apiVersion` and a `kind`"
        ]
      )
    }))
})
