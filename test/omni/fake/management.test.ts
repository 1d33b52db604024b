/** The fake Omni's management service: configurations for a cluster, and the power of machines. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parse } from "yaml"
import { refusal, stage } from "./wire.ts"

const dev = { sent: { context: "dev" } }
const account = {
  serviceAccount: true,
  serviceAccountUser: "ci",
  serviceAccountGroups: ["system:masters"],
  serviceAccountTtl: { seconds: 3600n }
}

describe("the fake's configurations", () => {
  it.live("are for the cluster of the metadata, with a token that says when it ends", () =>
    Effect.gen(function*() {
      const { call, fake } = yield* stage()
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 0 })
      const { kubeconfig } = yield* call("kubeconfig", account, dev)
      const config = parse(new TextDecoder().decode(kubeconfig)) as {
        "current-context": string
        users: ReadonlyArray<{ user: { token: string } }>
      }
      assert.strictEqual(config["current-context"], "fake-dev-ci")
      const claims = JSON.parse(
        Buffer.from(config.users[0]?.user.token.split(".")[1] ?? "", "base64url").toString()
      ) as { exp: number; iat: number; cluster: string; sub: string }
      assert.deepStrictEqual([claims.exp - claims.iat, claims.cluster, claims.sub], [3600, "dev", "ci"])
      const { talosconfig } = yield* call("talosconfig", {}, dev)
      assert.include(new TextDecoder().decode(talosconfig), "context: fake-dev")
    }))

  it.live("are refused where something is missing, and only some of them where the cluster is", () =>
    Effect.gen(function*() {
      const { call, fake } = yield* stage()
      assert.match(yield* refusal(call("kubeconfig", account)), /^3 cluster name is not in context/)
      assert.match(
        yield* refusal(call("kubeconfig", { ...account, serviceAccountUser: "" }, dev)),
        /^3 service account user name is not set/
      )
      const { serviceAccountTtl: _, ...endless } = account
      assert.match(yield* refusal(call("kubeconfig", endless, dev)), /^3 service account ttl is not set/)
      const long = { ...account, serviceAccountTtl: { seconds: 400_000_000n } }
      assert.match(yield* refusal(call("kubeconfig", long, dev)), /^3 .*too long/)
      assert.match(yield* refusal(call("kubeconfig", account, dev)), /^2 failed to get cluster UUID: .*doesn't exist/)
      assert.match(yield* refusal(call("talosconfig", { raw: true }, dev)), /^7 not allowed/)
      // A talosconfig for a cluster that there is not.
      assert.isAbove((yield* call("talosconfig", {}, dev)).talosconfig.length, 0)
      yield* fake.setRole("Reader")
      assert.match(yield* refusal(call("kubeconfig", account, dev)), /^7 /)
    }))
})

describe("the fake's power", () => {
  it.live("is of machines that Omni controls", () =>
    Effect.gen(function*() {
      const { call, fake } = yield* stage({ machines: [{ power: "on" }, {}] })
      const [managed, other] = (yield* fake.machines).map(({ id }) => ({ machineId: id }))
      yield* call("machinePowerOff", managed ?? {})
      assert.deepStrictEqual((yield* fake.machines).map(({ power }) => power), ["off", "unsupported"])
      yield* call("machinePowerOn", managed ?? {})
      assert.deepStrictEqual((yield* fake.machines).map(({ power }) => power), ["on", "unsupported"])
      yield* call("machinePowerOff", other ?? {})
      assert.deepStrictEqual((yield* fake.machines).map(({ shutDown }) => shutDown), [false, true])
      assert.match(yield* refusal(call("machinePowerOn", other ?? {})), /^9 /)
      assert.match(yield* refusal(call("machinePowerOff", { machineId: "none" })), /^5 machine not found/)
      assert.match(yield* refusal(call("machinePowerOff", {})), /^3 /)
    }))
})
