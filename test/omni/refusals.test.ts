/** Refusals of Omni for keys, clocks, roles and terms, and temporary failures. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Omni from "kubelayer/layers/Omni"
import { accountKey, makeKeys } from "./support/keys.ts"
import { tagOf, world } from "./support/world.ts"

const quick = { policy: { retry: Schedule.recurs(2) } }

describe("a key", () => {
  it.live("is refused with both possible causes: an unknown key or a wrong clock", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* world({ omni: quick })
      yield* fake.forgetAccounts
      const error = yield* Effect.flip(provider.listNodes("dev"))
      assert.strictEqual(tagOf(error), "Unauthorized")
      assert.match(error.message, /invalid signature: the service account's key is unknown there.*clock/)
      assert.isFalse(yield* provider.isAvailable)
      assert.match((yield* Effect.flip(provider.checkAvailable)).message, /key is unknown there/)
      assert.strictEqual(tagOf(yield* Effect.flip(Stream.runHead(provider.watchCluster("dev")))), "Unauthorized")
      assert.strictEqual(tagOf(yield* Effect.flip(omni.kubeconfig("dev"))), "Unauthorized")
    }))

  it.live("is refused by a server whose clock is ten minutes ahead, and accepted at four", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({ omni: quick })
      yield* fake.setSkew("4 minutes")
      yield* provider.listAllClusters
      yield* fake.setSkew("10 minutes")
      assert.strictEqual(tagOf(yield* Effect.flip(provider.listAllClusters)), "Unauthorized")
    }))

  it.live("that has expired is reported before the first call", () =>
    Effect.gen(function*() {
      const { fake } = yield* world()
      const keys = yield* Effect.promise(() =>
        makeKeys({ date: new Date(Date.now() - 7_200_000), keyExpirationTime: 60 })
      )
      const omni = yield* Omni.make({ endpoint: fake.endpoint, serviceAccountKey: accountKey(keys.privateKey) })
      const error = yield* Effect.flip(omni.provider.listNodes("dev"))
      assert.strictEqual(tagOf(error), "Unauthorized")
      assert.match(error.message, /expired at/)
      assert.match((yield* Effect.flip(omni.provider.checkAvailable)).message, /expired at/)
      assert.deepStrictEqual(yield* fake.calls, [])
    }))
})

describe("a role", () => {
  it.live("that is too low is reported with the required role, and reads continue", () =>
    Effect.gen(function*() {
      const { fake, omni, provider } = yield* world({ fake: { machines: 2 }, omni: quick })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0, machine: { power: "on" } })
      yield* fake.setRole("Reader")
      assert.isTrue(Option.isSome(yield* provider.getClusterStatus("dev")))
      for (
        const attempt of [
          provider.deleteNodes("dev"),
          provider.stopNodes("dev"),
          omni.kubeconfig("dev"),
          omni.createNodes({ cluster: "new", controlPlanes: 1, workers: 0 })
        ]
      ) {
        const error = yield* Effect.flip<unknown, { readonly _tag: string; readonly message: string }, never>(attempt)
        assert.match(error.message, /ReadOnlyCredential: .*the call needs the role Operator/)
      }
      assert.deepStrictEqual(yield* provider.listAllClusters, ["dev"] as never)
      yield* fake.setRole("None")
      const error = yield* Effect.flip(provider.listNodes("dev"))
      assert.strictEqual(tagOf(error), "Unauthorized")
      assert.match(error.message, /the call needs the role Reader/)
    }))
})

describe("an instance", () => {
  it.live("with unaccepted terms is reported, and the advice names who has to accept them", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({ omni: quick })
      yield* fake.setEula(false)
      const error = yield* Effect.flip(provider.listNodes("dev"))
      assert.strictEqual(tagOf(error), "Protected")
      assert.match(error.message, /EULA.*an administrator has to accept it/)
      assert.match((yield* Effect.flip(provider.checkAvailable)).message, /EULA/)
    }))

  it.live("with a temporary failure gets a retry when that is safe", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world({ omni: { policy: { retry: Schedule.recurs(3) } } })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      yield* fake.failNext({ method: "List", code: 14, message: "cluster proxy endpoint missing", times: 2 })
      assert.strictEqual((yield* provider.listNodes("dev")).length, 1)
      yield* fake.failNext({ method: "Teardown", code: 13, message: "fault", times: 2 })
      yield* fake.failNext({ method: "Teardown", code: 2, message: "x is not in phase running", times: 1 })
      yield* provider.deleteNodes("dev")
      assert.deepStrictEqual(yield* provider.listAllClusters, [])
    }))

  it.live("that is away is not asked again, and works when it is back", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      assert.strictEqual((yield* provider.listNodes("dev")).length, 1)
      yield* fake.setAvailable(false)
      yield* Effect.sleep("50 millis")
      assert.strictEqual(tagOf(yield* Effect.flip(provider.listNodes("dev"))), "ProviderUnavailable")
      yield* fake.setAvailable(true)
      const back = provider.listNodes("dev").pipe(
        Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 100 })
      )
      assert.strictEqual((yield* back).length, 1)
    }))

  it.live("that is too old to tear down by a call is torn down by an update", () =>
    Effect.gen(function*() {
      const { fake, provider } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 1 })
      yield* fake.failNext({
        method: "Teardown",
        code: 12,
        message: "unknown method Teardown for service cosi.resource.State",
        times: 1000
      })
      yield* provider.deleteNodes("dev")
      assert.deepStrictEqual(yield* provider.listAllClusters, [])
    }))
})

describe("configurations", () => {
  it.live("over the wire: a kubeconfig with its end, a talosconfig, and none of a cluster that is not there", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      const { expiresAt, kubeconfig } = yield* omni.kubeconfig("dev", { ttl: "1 hour", user: "ci", groups: ["a", "b"] })
      assert.isBelow(Math.abs(expiresAt.epochMilliseconds - Date.now() - 3_600_000), 60_000)
      assert.match(Redacted.value(kubeconfig), /server: /)
      assert.match(yield* omni.talosconfig("dev"), /dev/)
      assert.strictEqual((yield* Effect.flip(omni.kubeconfig("other")))._tag, "ClusterNotFound")
      assert.strictEqual((yield* Effect.flip(omni.talosconfig("other")))._tag, "ClusterNotFound")
      yield* fake.addCluster("clüster", { controlPlanes: 1, workers: 0 })
      assert.strictEqual(tagOf(yield* Effect.flip(omni.talosconfig("clüster"))), "UnsupportedError")
      assert.deepStrictEqual(yield* fake.violations, [])
    }))
})

describe("an upgrade over the wire", () => {
  it.live("ends when all versions match, not when the status reports it as done", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: [{ talosVersion: "v1.10.7" }] } })
      const template = (talos: string) => ({
        cluster: { name: "dev", kubernetes: { version: "v1.33.0" }, talos: { version: talos } },
        controlPlane: { machineClass: { name: "small", size: 1 } }
      })
      yield* omni.sync(template("v1.10.7"))
      yield* omni.awaitReady("dev", { timeout: "10 seconds" })
      yield* omni.awaitUpgrade("dev", { timeout: "10 seconds" })
      const planned = yield* omni.planTemplate(template("v1.11.2"))
      assert.deepStrictEqual(planned.changes.map(({ action, kind, name }) => `${action} ${kind} ${name}`), [
        "update cluster dev"
      ])
      yield* omni.sync(template("v1.11.2"))
      yield* omni.awaitUpgrade("dev", { talos: "v1.11.2", timeout: "10 seconds" })
      const [status] = yield* fake.resources("TalosUpgradeStatuses")
      assert.deepInclude(status?.spec as object, { lastUpgradeVersion: "1.11.2" })
    }))
})
