/** Answers of the fake Omni that once differed from those of a real server, each with the case that found it. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { parse } from "yaml"
import { LabelTerm_Operation } from "../../../src/omni/proto/cosi_pb.ts"
import {
  ClusterMachineStatusSpecSchema,
  ClusterSpecSchema,
  ConfigPatchSpecSchema,
  ExtensionsConfigurationSpecSchema,
  MachineClassSpecSchema,
  MachineSetSpecSchema
} from "../../../src/omni/proto/specs_pb.ts"
import type { OmniFakeService } from "../../../src/testing/OmniFake.ts"
import { at, refusal, stage, term } from "./wire.ts"

const o = "omni.sidero.dev/"
const versions = [
  { version: "1.10.7", kubernetes: ["1.33.0"] },
  { version: "1.11.5", kubernetes: ["1.33.0", "1.34.1", "1.35.0", "1.36.0"] },
  { version: "1.12.1", kubernetes: ["1.33.0", "1.34.1", "1.35.0", "1.36.0"] },
  { version: "1.13.0", kubernetes: ["1.34.1"] }
]
const options = { talosVersions: versions, machineClasses: { all: [`${o}arch = amd64`] } }

const clusterSpec = (talosVersion = "1.11.5", kubernetesVersion = "1.34.1", more: object = {}) =>
  toBinary(ClusterSpecSchema, create(ClusterSpecSchema, { talosVersion, kubernetesVersion, features: {}, ...more }))
const setSpec = (more: object = {}) =>
  toBinary(MachineSetSpecSchema, create(MachineSetSpecSchema, { updateStrategy: 1, ...more }))
const workers = { [`${o}cluster`]: "dev", [`${o}role-worker`]: "" }
const controlPlanes = { [`${o}cluster`]: "dev", [`${o}role-controlplane`]: "" }
const node = { ...workers, [`${o}machine-set`]: "dev-workers" }

const specs = (fake: OmniFakeService, kind: string) =>
  Effect.map(fake.resources(kind), (all) => all.map(({ spec }) => spec as Readonly<Record<string, unknown>>))

/** A cluster with a worker set, without machines. */
const empty = Effect.gen(function*() {
  const omni = yield* stage(options)
  yield* omni.make("Clusters", "dev", { spec: clusterSpec() })
  yield* omni.make("MachineSets", "dev-workers", { labels: workers, spec: setSpec() })
  yield* omni.fake.settled
  const update = (kind: string, id: string, spec: Uint8Array, changes: object = {}) =>
    Effect.gen(function*() {
      const { resource } = yield* omni.call("get", at(kind, id))
      return yield* omni.call("update", {
        newResource: { metadata: { ...resource?.metadata, ...changes } as never, spec: { protoSpec: spec } },
        options: {}
      })
    })
  return { ...omni, update }
})

describe("machines and upgrades of the fake", () => {
  it.live("report ON while they are connected, whoever manages their power (O31)", () =>
    Effect.gen(function*() {
      const { fake } = yield* stage({ machines: [{}, { power: "on" }, { connected: false }] })
      yield* fake.settled
      const machines = yield* fake.resources("MachineStatuses")
      assert.deepStrictEqual(
        machines.map(({ labels, spec }) => [
          (spec as { powerState: string }).powerState,
          `${o}is-managed-by-static-infra-provider` in labels
        ]),
        [["POWER_STATE_ON", false], ["POWER_STATE_ON", true], ["POWER_STATE_UNSUPPORTED", false]]
      )
    }))

  it.live("have a Talos upgrade that is done at once without machines (O32)", () =>
    Effect.gen(function*() {
      const { fake, update } = yield* empty
      assert.deepInclude((yield* specs(fake, "TalosUpgradeStatuses"))[0], { phase: 2, lastUpgradeVersion: "1.11.5" })
      yield* update("Clusters", "dev", clusterSpec("1.12.1"))
      yield* fake.settled
      assert.deepInclude((yield* specs(fake, "TalosUpgradeStatuses"))[0], { phase: 2, lastUpgradeVersion: "1.12.1" })
    }))

  it.live("are refused or left alone where their Talos version does not fit (O42)", () =>
    Effect.gen(function*() {
      const { fake, make } = yield* empty
      const maintenance = yield* fake.addMachine({ talosVersion: "v1.12.1" })
      const installed = yield* fake.addMachine({ talosVersion: "v1.12.1", installed: true })
      assert.match(yield* refusal(make("MachineSetNodes", maintenance, { labels: node })), /^3 .*without installation/s)
      assert.match(yield* refusal(make("MachineSetNodes", installed, { labels: node })), /^3 .*Talos downgrade/s)
      const spec = setSpec({ machineAllocation: { name: "all", machineCount: 2 } })
      yield* make("MachineSets", "dev-class", { labels: workers, spec })
      yield* fake.settled
      assert.deepStrictEqual(yield* fake.resources("MachineSetNodes"), [])
    }))

  it.live("are ready while they are configured, and get their node name last (O43)", () =>
    Effect.gen(function*() {
      const { fake, make, watch } = yield* empty
      const watching = yield* watch("ClusterMachineStatuses")
      const id = yield* fake.addMachine({ talosVersion: "v1.11.5" })
      yield* make("MachineSetNodes", id, { labels: node })
      const seen: Array<string> = []
      while (!(seen.at(-1) ?? "").includes("named")) {
        for (const { resource } of yield* watching.next) {
          const spec = fromBinary(ClusterMachineStatusSpecSchema, resource?.spec?.protoSpec ?? new Uint8Array())
          const named = `${o}node-name` in (resource?.metadata?.labels ?? {})
          seen.push(`${spec.stage}${spec.ready ? " ready" : ""}${named ? " named" : ""}`)
        }
      }
      assert.deepStrictEqual([...new Set(seen)], ["3 ready", "2", "4 ready", "4 ready named"])
    }))

  it.effect("have an API that is off around the first ready of every third cluster (O44)", () =>
    Effect.gen(function*() {
      const { fake, make } = yield* stage({ ...options, pace: "10 millis" })
      const seen: Array<string> = []
      for (const name of ["a", "b", "c"]) {
        yield* make("Clusters", name, { spec: clusterSpec() })
        const labels = { [`${o}cluster`]: name, [`${o}role-controlplane`]: "" }
        yield* make("MachineSets", `${name}-control-planes`, { labels, spec: setSpec() })
        const id = yield* fake.addMachine({ talosVersion: "v1.11.5" })
        yield* make("MachineSetNodes", id, { labels: { ...labels, [`${o}machine-set`]: `${name}-control-planes` } })
        let early = false
        for (let round = 0; round < 60; round++) {
          yield* TestClock.adjust("10 millis")
          const status = (yield* fake.resources("ClusterStatuses")).find((each) => each.id === name)
          const { kubernetesAPIReady, ready } = (status?.spec ?? {}) as Record<string, boolean | undefined>
          early ||= ready === true && kubernetesAPIReady !== true
        }
        seen.push(`${name} ${early}`)
      }
      assert.deepStrictEqual(seen, ["a false", "b false", "c true"])
    }))
})

describe("requests that the fake refuses", () => {
  it.live("config patches that Talos or Omni does not take (O33)", () =>
    Effect.gen(function*() {
      const { make } = yield* stage()
      const of = (data: string) => ({ spec: toBinary(ConfigPatchSpecSchema, create(ConfigPatchSpecSchema, { data })) })
      for (
        const [data, text] of [
          ["", "config not found"],
          ["machine:\n  foo: 1\n", "unknown keys found during decoding"],
          ["{{{", "decode error: yaml"],
          ["machine:\n  token: x\n", "overriding \"machine.token\""],
          ["cluster:\n  id: x\n", "overriding \"cluster.id\""],
          ["- op: add\n  path: /machine/x\n  value: 1\n", "expected a YAML document"],
          ["apiVersion: v1alpha1\nkind: Foo\n", "not registered"]
        ] as const
      ) assert.include(yield* refusal(make("ConfigPatches", "a", of(data))), text)
      yield* make("ConfigPatches", "a", of("machine:\n  install:\n    disk: /dev/sda\n"))
    }))

  it.live("system extensions that are not offered, or of no cluster (O34)", () =>
    Effect.gen(function*() {
      const { make } = yield* empty
      const of = (...extensions: ReadonlyArray<string>) =>
        toBinary(
          ExtensionsConfigurationSpecSchema,
          create(ExtensionsConfigurationSpecSchema, { extensions: [...extensions] })
        )
      const labels = { [`${o}cluster`]: "dev" }
      const kind = "ExtensionsConfigurations"
      assert.match(
        yield* refusal(make(kind, "a", { labels, spec: of("siderolabs/nope") })),
        /^3 .*entry 0.*not available/s
      )
      assert.match(yield* refusal(make(kind, "a", { spec: of("siderolabs/gvisor") })), /^3 .*cluster label/s)
      yield* make(kind, "a", { spec: of() })
      yield* make(kind, "b", { labels, spec: of("siderolabs/gvisor") })
    }))

  it.live("machine classes without or with two ways to select, or a selector that cannot be read (O35)", () =>
    Effect.gen(function*() {
      const { make } = yield* stage()
      const of = (init: object) => ({ spec: toBinary(MachineClassSpecSchema, create(MachineClassSpecSchema, init)) })
      const provision = { autoProvision: { providerId: "p" } }
      for (const init of [{}, { matchLabels: ["a in ("] }, { matchLabels: ["a"], ...provision }, provision]) {
        assert.match(yield* refusal(make("MachineClasses", "a", of(init))), /^3 /)
      }
      yield* make("MachineClasses", "a", of({ matchLabels: [""] }))
    }))

  it.live("version changes that Omni does not carry out (O36)", () =>
    Effect.gen(function*() {
      const { update } = yield* empty
      const refused = (talos: string, kubernetes: string) =>
        refusal(update("Clusters", "dev", clusterSpec(talos, kubernetes)))
      assert.match(yield* refused("1.10.7", "1.33.0"), /^3 .*downgrading from version/s)
      assert.match(yield* refused("1.11.5", "1.36.0"), /^3 .*not supported for upgrade/s)
      assert.match(yield* refused("1.11.5", "1.33.0"), /^3 .*not supported for upgrade/s)
      yield* update("Clusters", "dev", clusterSpec("1.13.0"))
      yield* update("Clusters", "dev", clusterSpec("1.11.5"))
    }))

  it.live("encryption that changes, and backups that are too frequent (O37)", () =>
    Effect.gen(function*() {
      const { make, update } = yield* empty
      const encrypted = clusterSpec("1.11.5", "1.34.1", { features: { diskEncryption: true } })
      assert.match(yield* refusal(update("Clusters", "dev", encrypted)), /^3 .*disk encryption/s)
      const frequent = clusterSpec("1.11.5", "1.34.1", {
        backupConfiguration: { enabled: true, interval: { seconds: 10n } }
      })
      assert.match(yield* refusal(make("Clusters", "b", { spec: frequent })), /^3 .*greater than 1m0s, actual 10s/s)
    }))

  it.live("machine sets with a bootstrap of workers or another mode, but not with another role (O38)", () =>
    Effect.gen(function*() {
      const { fake, make, update } = yield* empty
      const bootstrap = setSpec({ bootstrapSpec: { clusterUuid: "x", snapshot: "y" } })
      assert.match(
        yield* refusal(make("MachineSets", "dev-x", { labels: workers, spec: bootstrap })),
        /^3 .*not allowed/s
      )
      yield* make("MachineSetNodes", "m", { labels: node })
      const ofClass = setSpec({ machineAllocation: { name: "all", machineCount: 1 } })
      assert.match(yield* refusal(update("MachineSets", "dev-workers", ofClass)), /^3 .*machine class mode/s)
      yield* make("MachineSets", "dev-role", { labels: workers, spec: setSpec() })
      yield* fake.settled
      yield* update("MachineSets", "dev-role", setSpec(), { labels: controlPlanes })
    }))

  it.live("sets and nodes of a locked cluster, but not its patches (O39)", () =>
    Effect.gen(function*() {
      const { call, make, update } = yield* empty
      yield* update("Clusters", "dev", clusterSpec(), { annotations: { [`${o}cluster-locked`]: "x" } })
      assert.match(
        yield* refusal(make("MachineSets", "dev-b", { labels: workers, spec: setSpec() })),
        /^3 .*is locked/s
      )
      assert.match(yield* refusal(make("MachineSetNodes", "m", { labels: node })), /^3 .*is locked/s)
      assert.match(yield* refusal(update("MachineSets", "dev-workers", setSpec())), /^3 .*is locked/s)
      assert.match(yield* refusal(call("teardown", at("MachineSets", "dev-workers"))), /^3 .*is locked/s)
      assert.match(yield* refusal(update("Clusters", "dev", clusterSpec())), /^3 .*is locked/s)
      yield* make("ConfigPatches", "p", { labels: { [`${o}cluster`]: "dev" } })
    }))

  it.live("parts of a cluster that is torn down (O40)", () =>
    Effect.gen(function*() {
      const { call, fake, make } = yield* empty
      yield* fake.hold("dev", true)
      yield* call("teardown", at("Clusters", "dev"))
      assert.match(
        yield* refusal(make("MachineSets", "dev-b", { labels: workers, spec: setSpec() })),
        /^3 .*tearing down/s
      )
      assert.match(
        yield* refusal(make("ConfigPatches", "p", { labels: { [`${o}cluster`]: "dev" } })),
        /^3 .*is tearing down/s
      )
      assert.match(yield* refusal(make("Clusters", "dev", { spec: clusterSpec() })), /^6 .*already exists/)
    }))

  it.live("kubeconfigs that end at once (O41)", () =>
    Effect.gen(function*() {
      const { call } = yield* empty
      const request = { serviceAccount: true, serviceAccountUser: "u", serviceAccountTtl: { seconds: 0n } }
      const dev = { sent: { context: "dev" } }
      assert.match(yield* refusal(call("kubeconfig", request, dev)), /^3 .*must be positive/)
      const { kubeconfig } = yield* call("kubeconfig", {}, dev)
      const config = parse(new TextDecoder().decode(kubeconfig)) as Record<string, ReadonlyArray<unknown>>
      assert.deepStrictEqual(["clusters", "users", "contexts"].map((name) => config[name]?.length), [1, 1, 1])
    }))
})

describe("the shape of the fake's answers", () => {
  it.live("has the kinds, finalizers and fields of the server (O45)", () =>
    Effect.gen(function*() {
      const { call, fake, list } = yield* empty
      for (const kind of ["ClusterEndpoints", "LoadBalancerStatuses", "ClusterUUIDs", "ClusterBootstrapStatuses"]) {
        assert.deepStrictEqual((yield* fake.resources(kind)).map(({ id }) => id), ["dev"])
      }
      for (const kind of ["JoinTokens", "EtcdBackups", "Users", "KernelArgs"]) yield* list(kind)
      const { resource } = yield* call("get", at("Clusters", "dev"))
      assert.strictEqual(resource?.metadata?.finalizers.length, 13)
      assert.deepInclude(parse(resource?.spec?.yamlSpec ?? "") as object, { backupconfiguration: null })
      assert.match(yield* refusal(list("ImportedClusterSecrets")), /^7 .*only create and destroy access/s)
    }))

  it.live("refuses a term without a value in every case, and puts the bootstrap into one message (O46)", () =>
    Effect.gen(function*() {
      const { list, make, watch } = yield* stage()
      const query = { labelQuery: [{ terms: [term("a", LabelTerm_Operation.EQUAL)] }] }
      assert.match(yield* refusal(list("EtcdBackups", query)), /^13 .*index out of range/)
      for (const id of ["a", "b"]) yield* make("ConfigPatches", id)
      const watching = yield* watch("ConfigPatches", { options: { bootstrapContents: true, aggregated: true } })
      yield* watching.next
      assert.deepStrictEqual((yield* watching.next).map(({ eventType }) => eventType), [0, 0, 3])
    }))

  it.live("has the prefixes and stable words of the server's texts (O47)", () =>
    Effect.gen(function*() {
      const { list, make } = yield* stage()
      yield* make("ConfigPatches", "a")
      assert.match(yield* refusal(make("ConfigPatches", "a")), /^6 failed to create: .*a@undefined\) already exists$/)
      assert.match(yield* refusal(list("Foos")), /^7 failed to validate: 1 error occurred:\n.*no access is permitted/s)
    }))
})
