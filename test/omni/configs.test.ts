/** Kubeconfigs and talosconfigs: the requests, the refusals before a request, and the expiry of a token. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { ClusterName } from "kubelayer/Model"
import { inspect } from "node:util"
import { kubeconfig, type KubeconfigOptions, talosconfig } from "../../src/omni/Configs.ts"
import type { Management } from "../../src/omni/Management.ts"
import { Kinds } from "../../src/omni/State.ts"
import { makeStore } from "./support/store.ts"

const dev = "dev" as ClusterName
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url")
const token = `${part({ alg: "RS256" })}.${part({ exp: 2_000_000_000, sub: "ci" })}.not-a-signature`
const file = (value: string) => `apiVersion: v1\nkind: Config\nusers:\n  - name: ci\n    user:\n      token: ${value}\n`

const world = (answer = file(token)) =>
  Effect.gen(function*() {
    const { put, state } = yield* makeStore
    yield* put(Kinds.Cluster, "dev")
    const asked: Array<Parameters<Management["kubeconfig"]>> = []
    const management = {
      kubeconfig: (...args: Parameters<Management["kubeconfig"]>) => {
        asked.push(args)
        return Effect.succeed(answer)
      },
      talosconfig: () => Effect.succeed("context: dev")
    } as unknown as Management
    return {
      asked,
      kubeconfig: (options?: KubeconfigOptions, cluster = dev) => kubeconfig(state, management)(cluster, options),
      talosconfig: (cluster = dev) => talosconfig(state, management)(cluster)
    }
  })

describe("a kubeconfig", () => {
  it.effect("is created for a user, groups and a lifetime, and includes the expiry of its token", () =>
    Effect.gen(function*() {
      const { asked, kubeconfig } = yield* world()
      const made = yield* kubeconfig({ ttl: "8 hours", user: "ci", groups: ["deployers"] })
      assert.deepStrictEqual(made.expiresAt, DateTime.makeUnsafe(2_000_000_000_000))
      assert.include(Redacted.value(made.kubeconfig), token)
      const [[cluster, account] = []] = asked
      assert.strictEqual(cluster, dev)
      assert.deepStrictEqual([account?.user, account?.groups], ["ci", ["deployers"]])
      assert.strictEqual(Duration.toHours(account?.ttl ?? 0), 8)
    }))

  it.effect("without options is for 30 days and the group system:masters", () =>
    Effect.gen(function*() {
      const { asked, kubeconfig } = yield* world()
      yield* kubeconfig()
      const [[, account] = []] = asked
      assert.deepStrictEqual(account?.groups, ["system:masters"])
      assert.strictEqual(Duration.toDays(account?.ttl ?? 0), 30)
    }))

  it.effect("shows no token when it is printed", () =>
    Effect.gen(function*() {
      const { kubeconfig } = yield* world()
      const made = yield* kubeconfig()
      assert.notInclude(`${inspect(made, { depth: Infinity })}${JSON.stringify(made)}`, token.slice(0, 20))
    }))

  it.effect("of what cannot be is refused before anything is asked, all faults at once", () =>
    Effect.gen(function*() {
      const { asked, kubeconfig } = yield* world()
      const refused = (options: KubeconfigOptions) =>
        Effect.map(Effect.flip(kubeconfig(options)), (error) => error.message)
      assert.match(yield* refused({ ttl: "11000 days", user: "" }), /ttl: must be at most 10 years[^]*user: is empty/)
      assert.match(yield* refused({ ttl: 0 }), /at least a second/)
      assert.match(yield* refused({ ttl: "soon" as never }), /no duration/)
      assert.deepStrictEqual(asked, [])
    }))

  it.effect("of a missing cluster is not requested, because the server would create one anyway", () =>
    Effect.gen(function*() {
      const { asked, kubeconfig, talosconfig } = yield* world()
      assert.strictEqual((yield* Effect.flip(kubeconfig({}, "other" as ClusterName)))._tag, "ClusterNotFound")
      assert.strictEqual((yield* Effect.flip(talosconfig("other" as ClusterName)))._tag, "ClusterNotFound")
      assert.strictEqual(yield* talosconfig(), "context: dev")
      assert.deepStrictEqual(asked, [])
    }))

  it.effect("without a token that has an expiry fails with InvalidResponse and is not shown", () =>
    Effect.forEach(
      [file("opaque"), file(`a.${part({ sub: "ci" })}.c`), file("a.!!!.c"), "users: []"],
      (answer) =>
        Effect.gen(function*() {
          const { kubeconfig } = yield* world(answer)
          const error = yield* Effect.flip(kubeconfig())
          assert.strictEqual(error._tag === "BackendError" ? error.reason._tag : error._tag, "InvalidResponse")
          assert.notInclude(error.message, "opaque")
        })
    ))
})
