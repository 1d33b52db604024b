import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Schema from "effect/Schema"
import * as E from "kubelayer/ProviderError"
import * as Reason from "kubelayer/Reason"
import { AlreadyDone, Done, Failed, Skipped, Unsupported } from "kubelayer/Report"
import { backendError, detail, locked, refused, reportOf, samples } from "./fixtures.ts"

/** Those of which the same call, sent again, may succeed without anybody doing anything. */
const transient = new Set(["RateLimited", "Locked", "Conflict", "Transport", "RequestTimeout", "ServerFault"])

describe.each(Object.entries(samples))("the reason %s", (tag, reason) => {
  it("is in the table under its tag", () => {
    assert.strictEqual(reason._tag, tag)
    const row = Reason.reasons[reason._tag]
    assert.strictEqual(reason.isRetryable, row.isRetryable)
    assert.strictEqual(reason.advice, row.advice)
  })

  it("is retryable only if it may pass on its own", () => {
    assert.strictEqual(reason.isRetryable, transient.has(tag))
    assert.strictEqual(backendError(reason).isRetryable, transient.has(tag))
  })

  it("says what happened and what to do", () => {
    assert.match(reason.advice, /^[A-Zk].{15,}\.$/s)
    assert.strictEqual(reason.message, `${tag}: ${detail}. ${reason.advice}`)
  })

  it("is an Error that instanceof, Schema and JSON know", () => {
    const codec = Schema.toCodecJson(Reason.Reason)
    const back = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(reason))))
    assert.instanceOf(back, Error)
    assert.isTrue(Equal.equals(back, reason))
    assert.strictEqual(back.message, reason.message)
    assert.deepStrictEqual(back.retryAfter, reason.retryAfter)
  })

  it.effect("is matched by its tag in a BackendError", () =>
    Effect.gen(function*() {
      const error = backendError(reason)
      const caught: Array<unknown> = []
      yield* Effect.fail(error).pipe(
        Effect.catchReason("BackendError", reason._tag as "Locked", (...found) =>
          Effect.sync(() =>
            caught.push(...found)
          ))
      )
      assert.deepStrictEqual(caught, [reason, error])
    }))
})

describe("reasons", () => {
  it("are as many as the table has rows", () => {
    assert.sameMembers(
      Reason.Reason.members.map((member) => member.fields._tag.schema.literal),
      Object.keys(Reason.reasons)
    )
  })

  it("keep the backend's code, status and correlation id", () => {
    const reason = new Reason.Conflict({ detail, code: "resource_locked", status: 409, correlationId: "c-17" })
    assert.strictEqual(reason.code, "resource_locked")
    assert.strictEqual(reason.status, 409)
    assert.strictEqual(reason.correlationId, "c-17")
    assert.include(reason.message, "[409 resource_locked c-17]")
  })

  it("have the wait that the backend requested, and only if it did", () => {
    assert.deepStrictEqual(new Reason.RateLimited({ detail, retryAfterMillis: 1500 }).retryAfter, Duration.millis(1500))
    assert.deepStrictEqual(new Reason.RateLimited({ detail, retryAfterMillis: 0 }).retryAfter, Duration.zero)
    assert.isUndefined(new Reason.RateLimited({ detail }).retryAfter)
    assert.isUndefined(samples.Locked.retryAfter)
  })

  it("of nodes are in the error of the operation", () => {
    const report = reportOf({ a: new Failed({ error: locked }), b: new Done({}), c: new Failed({ error: refused }) })
    for (const error of [new E.NodesFailed({ report }), new E.NodesNotCreated({ report, leftovers: [] })]) {
      assert.deepStrictEqual(error.reasons.map((reason) => reason._tag), ["Locked", "Protected"])
    }
  })
})

// -----------------------------------------------------------------------------
// Messages
// -----------------------------------------------------------------------------

const report = reportOf({
  cp1: new Done({}),
  w1: new Failed({ error: backendError(samples.Locked, { subject: { kind: "node", name: "w1" } }) }),
  w2: new Unsupported({ reason: "it cannot be powered on again" }),
  w3: new Skipped({ reason: "left out" }),
  w4: new AlreadyDone({})
})

const provider = "docker"

const messages: ReadonlyArray<readonly [what: string, error: E.ProviderError, has: ReadonlyArray<string>]> = [
  ["NoNodes", new E.NoNodes({ provider, clusterName: "dev" }), ["docker", "dev", "no nodes"]],
  [
    "ProviderUnavailable",
    new E.ProviderUnavailable({
      provider,
      address: "unix:///var/run/docker.sock",
      detail: "connection refused",
      candidates: [{ address: "unix:///run/user/1000/docker.sock", why: "no such file" }],
      advice: "Start the engine, or set DOCKER_HOST."
    }),
    [
      "docker",
      "unix:///var/run/docker.sock",
      "connection refused",
      "unix:///run/user/1000/docker.sock: no such file",
      "Start the engine, or set DOCKER_HOST."
    ]
  ],
  [
    "ProviderUnavailable without an address",
    new E.ProviderUnavailable({ provider, detail: "no endpoint is configured", advice: "Set OMNI_ENDPOINT." }),
    ["docker", "no endpoint is configured", "Set OMNI_ENDPOINT."]
  ],
  ["ClusterNotFound", new E.ClusterNotFound({ provider, clusterName: "dev" }), ["docker", "no cluster \"dev\""]],
  [
    "UnknownLabelScheme",
    new E.UnknownLabelScheme({ scheme: "minikube", known: ["kind", "k3d"] }),
    ["\"minikube\"", "kind, k3d"]
  ],
  ["SkipAction", new E.SkipAction({ reason: "not today" }), ["not today"]],
  ["InvalidClusterName", new E.InvalidClusterName({ input: "a\nb", issue: "U+000A is not allowed" }), ["\"a\\nb\""]],
  [
    "InvalidSpec",
    new E.InvalidSpec({
      issues: [
        { path: "controlPlanes", message: "at least 1, it is 0" },
        { path: "labels.app", message: "it is kubelayer's own" }
      ]
    }),
    ["controlPlanes: at least 1, it is 0", "labels.app: it is kubelayer's own"]
  ],
  [
    "BackendError about a node",
    backendError(samples.Locked, { subject: { kind: "node", name: "w1" } }),
    ["test startNodes of node w1: ", detail, Reason.reasons.Locked.advice]
  ],
  ["BackendError about a cluster", backendError(samples.Locked), ["test startNodes for cluster dev: ", detail]],
  [
    "BackendError about nothing in particular",
    new Reason.BackendError({ provider, operation: "listAllClusters", reason: samples.Unauthorized }),
    ["docker listAllClusters: Unauthorized", Reason.reasons.Unauthorized.advice]
  ],
  [
    "NodesFailed",
    new E.NodesFailed({ report }),
    [
      "startNodes",
      "dev",
      "2 of 5 failed",
      `node w1: ${samples.Locked.message}`,
      "node w2: it cannot be powered on again"
    ]
  ],
  [
    "NodesNotCreated",
    new E.NodesNotCreated({
      report,
      leftovers: [{ kind: "network", name: "dev-net", why: "a container of nobody's is in it" }]
    }),
    ["dev", "not created", "node w1", "left behind: network dev-net: a container of nobody's is in it"]
  ],
  [
    "OperationTimeout",
    new E.OperationTimeout({ operation: "startNodes", clusterName: "dev", duration: Duration.seconds(90), report }),
    ["startNodes", "dev", "1m 30s", "5 outcomes are known", "Policy.operationTimeout", "node w1: Locked"]
  ]
]

describe("the message", () => {
  it.each(messages)("of %s has what a person needs, and no more", (_, error, has) => {
    for (const part of has) assert.include(error.message, part)
    assert.notMatch(error.message, /undefined|\[object|null|NaN/)
    assert.include(String(error), error.message)
  })

  it.each([
    ["of what succeeded", "cp1"],
    ["of what was left out", "w3"],
    ["of what was so already", "w4"]
  ])("of NodesFailed is silent %s", (_, name) => {
    assert.notInclude(new E.NodesFailed({ report }).message, name)
  })

  it.prop(
    "of a generated BackendError ends with advice and names its provider",
    { error: Reason.BackendError },
    ({ error }) => {
      const instance = error.instance === undefined ? "" : ` (${error.instance})`
      assert.isTrue(error.message.startsWith(`${error.provider}${instance} ${error.operation}`))
      assert.isTrue(error.message.endsWith(error.reason.advice))
    }
  )

  it("of a long or hostile input is short and one line", () => {
    const { message } = new E.InvalidClusterName({
      input: `\u001B[2J\u009B31m\u202E${"x".repeat(10_000)}`,
      issue: "long"
    })
    assert.isBelow(message.length, 200)
    assert.match(message, /^[\p{L}\p{N}\p{P}\p{S} ]+$/u)
  })
})
