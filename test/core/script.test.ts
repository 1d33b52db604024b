/** Real processes that run `runScript`: their exit codes, what they write, and what remains after a signal. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as E from "kubelayer/ProviderError"
import { reasons, type ReasonTag } from "kubelayer/Reason"
import { Failed } from "kubelayer/Report"
import * as Script from "kubelayer/Script"
import { HetznerFake } from "kubelayer/testing"
import { backendError, reportOf, samples } from "./fixtures.ts"
import { runScriptCase } from "./support/process.ts"

describe("runScript", () => {
  it.live(
    "leaves nothing of a create on Hetzner that SIGINT interrupts (U1)",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const fake = yield* HetznerFake.make({ duration: "300 millis" })
        const created = Effect.map(fake.state, ({ servers }) => servers.length === 2)
        const ended = yield* runScriptCase(["createOnHetzner"], {
          env: { HCLOUD_ENDPOINT: fake.endpoint, HCLOUD_TOKEN: fake.token },
          signalWhen: () => created,
          signals: ["SIGINT"]
        })
        assert.strictEqual(ended.code, 130)
        assert.match(ended.stderr, /^Interrupted by SIGINT; [^\n]*\n$/)
        const { networks, servers } = yield* fake.state
        assert.deepStrictEqual({ networks, servers }, { networks: [], servers: [] })
      })),
    30_000
  )

  it.live(
    "leaves nothing of a create on Hetzner that SIGTERM interrupts, and exits with 143 (U1)",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const fake = yield* HetznerFake.make({ duration: "300 millis" })
        const started = Effect.map(fake.state, ({ networks }) => networks.length === 1)
        const ended = yield* runScriptCase(["createOnHetzner"], {
          env: { HCLOUD_ENDPOINT: fake.endpoint, HCLOUD_TOKEN: fake.token },
          signalWhen: () => started,
          signals: ["SIGTERM"]
        })
        assert.strictEqual(ended.code, 143)
        const { networks, servers } = yield* fake.state
        assert.deepStrictEqual({ networks, servers }, { networks: [], servers: [] })
      })),
    30_000
  )

  it.live(
    "ends at once at the second signal, and counts one that npm forwards as the first",
    () =>
      Effect.gen(function*() {
        const isReady = (stdout: string) => Effect.succeed(stdout.includes("ready"))
        const twice = yield* runScriptCase(["cleansForever"], { signalWhen: isReady, signals: ["SIGINT", "SIGINT"] })
        assert.deepStrictEqual([twice.code, twice.stdout], [130, "ready\ncleaning\n"])
        const forwarded = yield* runScriptCase(["waits"], {
          signalWhen: isReady,
          signals: ["SIGINT", "SIGINT"],
          pauseMillis: 0
        })
        assert.deepStrictEqual([forwarded.code, forwarded.stdout], [130, "ready\ncleaned up\n"])
      }),
    30_000
  )

  it.live(
    "writes the message of a failure without a stack, and exits with the code of its kind",
    () =>
      Effect.gen(function*() {
        const noCluster = yield* runScriptCase(["noCluster"])
        assert.strictEqual(noCluster.code, 4)
        assert.include(noCluster.stderr, "cluster \"prod\" has no nodes")
        assert.notInclude(noCluster.stderr, "    at ")
        assert.strictEqual(noCluster.stdout, "")

        const fails = yield* runScriptCase(["fails"])
        assert.deepStrictEqual([fails.code, fails.stderr], [1, "a plain text\n"])
      }),
    30_000
  )

  it.live("shows the stack of a defect only with KUBELAYER_STACK", () =>
    Effect.gen(function*() {
      const plain = yield* runScriptCase(["defect"])
      assert.strictEqual(plain.code, 1)
      assert.match(plain.stderr, /^unexpected error: a bug\n.*KUBELAYER_STACK/)
      assert.notInclude(plain.stderr, "    at ")
      const stack = yield* runScriptCase(["defect"], { env: { KUBELAYER_STACK: "1" } })
      assert.include(stack.stderr, "    at ")
    }), 30_000)

  it.live(
    "leaves the exit code of a success to the script, and loses no output of a failure",
    () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* runScriptCase(["success"]), { code: 0, stdout: "done\n", stderr: "" })
        assert.strictEqual((yield* runScriptCase(["codeOfItsOwn"])).code, 8)
        const many = yield* runScriptCase(["manyLines"])
        assert.deepStrictEqual([many.code, many.stdout.length, many.stderr], [1, 1_000_001, "the end\n"])
      }),
    30_000
  )
})

describe("exitCodeOf", () => {
  const failed = (...tags: ReadonlyArray<ReasonTag>) =>
    reportOf(Object.fromEntries(
      tags.map((tag, index) => [`node-${index}`, new Failed({ error: backendError(samples[tag]) })])
    ))

  it("is the code of a reason, wherever in an error the reason is", () => {
    for (const tag of Object.keys(reasons) as Array<ReasonTag>) {
      const code = Script.exitCodeOfReason[tag]
      assert.strictEqual(Script.exitCodeOf(backendError(samples[tag])), code)
      assert.strictEqual(Script.exitCodeOf(new E.NodesFailed({ report: failed(tag, tag) })), code)
      assert.strictEqual(Script.exitCodeOf(new E.NodesNotCreated({ report: failed(tag), leftovers: [] })), code)
    }
  })

  it("is 1 where nodes failed for different reasons", () => {
    assert.strictEqual(Script.exitCodeOf(new E.NodesFailed({ report: failed("Unauthorized", "Locked") })), 1)
  })

  it("is 3 for an unreachable backend, 7 for a deadline, and 1 for every other value", () => {
    const unavailable = new E.ProviderUnavailable({ provider: "docker", detail: "no socket", advice: "Start it." })
    assert.strictEqual(Script.exitCodeOf(unavailable), 3)
    assert.strictEqual(Script.exitCodeOf(new Cause.TimeoutError()), 7)
    for (const value of [undefined, null, "text", new Error("x"), { _tag: "toString" }]) {
      assert.strictEqual(Script.exitCodeOf(value), 1)
    }
  })
})
