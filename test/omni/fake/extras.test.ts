/** Features of the fake Omni that the recordings lack: logs, backups, manifests, locked machines and its release. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { State } from "../../../src/omni/proto/cosi_pb.ts"
import { ManagementService } from "../../../src/omni/proto/management_pb.ts"
import { KubernetesManifestGroupSpecSchema, SysVersionSpecSchema } from "../../../src/omni/proto/specs_pb.ts"
import { at, refusal, stage } from "./wire.ts"

const o = "omni.sidero.dev/"
const dev = { [`${o}cluster`]: "dev" }
const text = ({ bytes }: { readonly bytes: Uint8Array }) => new TextDecoder().decode(bytes)
const { machineLogs } = ManagementService.method

describe("machine logs of the fake", () => {
  it.live("are all lines, the last ones, or what comes as well", () =>
    Effect.gen(function*() {
      const { fake } = yield* stage()
      const machineId = yield* fake.addMachine({ logs: ["a", "b", "c"] })
      const { transport } = fake
      const lines = (request: object) =>
        Effect.map(transport.collect(machineLogs, { machineId, ...request }, {}), (all) => all.map(text))
      assert.deepStrictEqual(yield* lines({}), ["a", "b", "c"])
      assert.deepStrictEqual(yield* lines({ tailLines: 2 }), ["b", "c"])
      const following = yield* transport.stream(machineLogs, { machineId, follow: true, tailLines: 1 }, {}).pipe(
        Stream.take(2),
        Stream.runCollect,
        Effect.forkChild
      )
      yield* Effect.sleep("5 millis")
      yield* fake.log(machineId, "d")
      assert.deepStrictEqual((yield* Fiber.join(following)).map(text), ["c", "d"])
    }))
})

describe("a cluster on the fake", () => {
  it.live("gets an etcd backup when one is requested by hand", () =>
    Effect.gen(function*() {
      const { fake } = yield* stage()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      yield* fake.put("EtcdManualBackups", { id: "dev", spec: { backupAt: "2026-01-01T00:00:00Z" } })
      yield* fake.settled
      const [backup] = yield* fake.resources("EtcdBackups")
      assert.deepInclude(backup?.spec as object, { createdAt: "2026-01-01T00:00:00Z", snapshot: "1767225600.snapshot" })
      assert.strictEqual(backup?.labels[`${o}cluster`], "dev")
      const [status] = yield* fake.resources("EtcdBackupStatuses")
      assert.deepInclude(status?.spec as object, { status: "Ok" })
    }))

  it.live("applies the Kubernetes manifests that it has, and reports each", () =>
    Effect.gen(function*() {
      const { fake, make } = yield* stage()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      const data =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: apps/v1\nkind: Deployment\n" +
        "metadata: {name: b, namespace: a}\n"
      const spec = toBinary(
        KubernetesManifestGroupSpecSchema,
        create(KubernetesManifestGroupSpecSchema, { data, mode: 1 })
      )
      yield* make("KubernetesManifestGroups", "200-cluster-dev-ns", { labels: dev, spec })
      yield* fake.settled
      const [status] = yield* fake.resources("ClusterKubernetesManifestsStatuses")
      const applied = (status?.spec ?? {}) as {
        readonly total?: number
        readonly groups?: Readonly<Record<string, { readonly phase: string; readonly manifests: object }>>
      }
      assert.strictEqual(applied.total, 2)
      const group = applied.groups?.["200-cluster-dev-ns"]
      assert.strictEqual(group?.phase, "APPLIED")
      assert.deepStrictEqual(Object.keys(group?.manifests ?? {}), [
        "Namespace/a",
        "Deployment/b"
      ])
    }))

  it.live("keeps locked machines: an upgrade leaves them out, and their nodes are not removed", () =>
    Effect.gen(function*() {
      const { call, fake } = yield* stage()
      const [, locked = "", free = ""] = yield* fake.addCluster("dev", { controlPlanes: 1, workers: 2 })
      const annotations = { [`${o}locked`]: "" }
      yield* fake.put("MachineSetNodes", { id: locked, annotations })
      const spec = { talosVersion: "1.11.2", kubernetesVersion: "1.33.0", features: {} }
      yield* fake.put("Clusters", { id: "dev", spec })
      yield* fake.settled
      const versions = new Map((yield* fake.machines).map(({ id, talosVersion }) => [id, talosVersion]))
      assert.deepStrictEqual([versions.get(locked), versions.get(free)], ["v1.10.7", "v1.11.2"])
      const [upgrade] = yield* fake.resources("TalosUpgradeStatuses")
      assert.deepInclude(upgrade?.spec as object, { phase: 1, lastUpgradeVersion: "1.10.7" })
      assert.match(yield* refusal(call("teardown", at("MachineSetNodes", locked))), /^3 .*is locked/s)
    }))
})

describe("the fake's release", () => {
  it.live("is read from the one SysVersion", () =>
    Effect.gen(function*() {
      const { fake } = yield* stage({ serverVersion: "1.10.4" })
      const { resource } = yield* fake.transport.unary(State.method.get, {
        namespace: "ephemeral",
        type: "SysVersions.system.sidero.dev",
        id: "current"
      }, {})
      const { backendVersion } = fromBinary(SysVersionSpecSchema, resource?.spec?.protoSpec ?? new Uint8Array())
      assert.strictEqual(backendVersion, "v1.10.4")
    }))
})
