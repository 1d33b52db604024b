import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HetznerFake from "../../src/testing/HetznerFake.ts"
import * as OmniFake from "../../src/testing/OmniFake.ts"
import { buildBin, end, eventually, start } from "./support/bin.ts"

let bin = ""
let remove = () => {}

beforeAll(async () => {
  const built = await buildBin()
  bin = built.bin
  remove = built.remove
})

afterAll(() => remove())

const kubelayer = (args: ReadonlyArray<string>, options: Parameters<typeof end>[2] = {}) =>
  end(process.execPath, [bin, ...args], options)

const memory = { KUBELAYER_BACKEND: "memory" }

describe("the bin", () => {
  it.live("runs without HOME, and with nothing on stderr", () =>
    Effect.gen(function*() {
      const help = yield* kubelayer(["--help"])
      assert.deepInclude(help, { code: 0, stderr: "" })
      assert.include(help.stdout, "USAGE")
      const clusters = yield* kubelayer(["clusters", "-o", "name"], { env: memory })
      assert.deepInclude(clusters, { code: 0, stdout: "dev\n", stderr: "" })
    }))

  it.live("reports an engine that is not there without a stack, and exits with 3", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* kubelayer(["clusters", "--host", "unix:///does/not/exist.sock"])
      assert.strictEqual(code, 3)
      assert.strictEqual(stdout, "")
      assert.notMatch(stderr, /\n {4}at /)
      assert.include(stderr, "/does/not/exist.sock")
    }))

  it.live("ends silently where the reader of its output has gone", () =>
    Effect.scoped(Effect.gen(function*() {
      const { child, ended } = yield* start(process.execPath, [bin, "nodes"], { env: memory })
      child.stdout?.destroy()
      assert.deepInclude(yield* ended, { code: 0, stderr: "" })
    })))

  it.live("exits with 1 and the reason where the disk is full", () =>
    Effect.gen(function*() {
      const full = yield* end("sh", ["-c", `"${process.execPath}" "${bin}" clusters -o json > /dev/full`], {
        env: memory
      })
      assert.strictEqual(full.code, 1)
      assert.match(full.stderr, /cannot write to stdout: ENOSPC/)
    }))

  it.live("does not read an answer without a terminal, and exits with 2", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* kubelayer(["delete", "dev"], { env: memory, input: "y\n" })
      assert.deepInclude({ code, stdout }, { code: 2, stdout: "" })
      assert.include(stderr, "Give -y")
    }))

  it.live("reads documents from stdin and writes their JSON Schema", () =>
    Effect.gen(function*() {
      const wrong = yield* kubelayer(["plan", "-f", "-"], { input: "kind: Cluster\n" })
      assert.strictEqual(wrong.code, 2)
      assert.include(wrong.stderr, "stdin:1:1 apiVersion: is required")
      const schema = yield* kubelayer(["schema"])
      assert.property(JSON.parse(schema.stdout), "$schema")
    }))
})

describe("the bin on a fake Hetzner Cloud", () => {
  const flags = ["-b", "hetzner", "--image", "debian-13", "--server-type", "cx23", "--location", "fsn1"]

  const withFake = <A, E>(
    createTime: Duration.Input,
    f: (fake: Effect.Success<ReturnType<typeof HetznerFake.make>>, env: Record<string, string>) => Effect.Effect<A, E>
  ) =>
    Effect.scoped(Effect.flatMap(
      HetznerFake.make({ durations: { create_server: createTime } }),
      (fake) => f(fake, { HCLOUD_TOKEN: fake.token, HCLOUD_ENDPOINT: fake.endpoint })
    ))

  it.live("lists the clusters of the account that the instance names", () =>
    withFake("1 second", (fake, { HCLOUD_ENDPOINT = "", HCLOUD_TOKEN = "" }) =>
      Effect.gen(function*() {
        yield* fake.seed.server({
          name: "prod-control-plane-1",
          labels: { "kubelayer.cluster": "prod", "kubelayer.role": "control-plane" }
        })
        const env = { HCLOUD_TOKEN_EU: HCLOUD_TOKEN, HCLOUD_ENDPOINT_EU: HCLOUD_ENDPOINT }
        const { code, stderr } = yield* kubelayer(["-b", "hetzner", "--instance", "eu", "clusters"], { env })
        assert.strictEqual(code, 0, stderr)
        const refused = yield* kubelayer(["-b", "hetzner", "clusters", "-o", "json"], {
          env: { HCLOUD_ENDPOINT, HCLOUD_TOKEN: "w".repeat(64) }
        })
        assert.strictEqual(refused.code, 5)
        assert.strictEqual((JSON.parse(refused.stdout) as { error: { reason: string } }).error.reason, "Unauthorized")
      })))

  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    it.live(
      `removes what it has created on ${signal}, and exits with ${code}`,
      () =>
        withFake("2 seconds", (fake, env) =>
          Effect.scoped(Effect.gen(function*() {
            const { child, ended, stderr } = yield* start(process.execPath, [bin, "create", "new", "-y", ...flags], {
              env
            })
            yield* eventually(
              "the server is being created",
              async () => (await Effect.runPromise(fake.state)).servers.length > 0
            )
            child.kill(signal)
            yield* eventually("the first signal is reported", () => stderr().includes("cleaning up"))
            const result = yield* ended
            assert.strictEqual(result.code, code, result.stderr)
            assert.deepStrictEqual((yield* fake.state).servers, [])
          }))),
      30_000
    )
  }

  it.live(
    "ends at once on a second signal",
    () =>
      withFake("10 minutes", (fake, env) =>
        Effect.scoped(Effect.gen(function*() {
          const { child, ended, stderr } = yield* start(process.execPath, [bin, "create", "new", "-y", ...flags], {
            env
          })
          yield* eventually(
            "the server is being created",
            async () => (await Effect.runPromise(fake.state)).servers.length > 0
          )
          child.kill("SIGINT")
          yield* eventually("the first signal is reported", () => stderr().includes("cleaning up"))
          // Two signals within a moment are one key press.
          yield* Effect.sleep("200 millis")
          child.kill("SIGINT")
          assert.strictEqual((yield* ended).code, 130)
        }))),
    30_000
  )
})

describe("the bin on a fake Omni", () => {
  it.live("lists clusters and names the variable of a missing key", () =>
    Effect.scoped(Effect.gen(function*() {
      const fake = yield* OmniFake.make({ machines: 1 })
      yield* fake.addCluster("edge", { controlPlanes: 1, workers: 0 })
      const env = { KUBELAYER_BACKEND: "omni", OMNI_ENDPOINT: fake.endpoint }
      const { code, stderr, stdout } = yield* kubelayer(["clusters", "-o", "name"], {
        env: { ...env, OMNI_SERVICE_ACCOUNT_KEY: fake.serviceAccountKey }
      })
      assert.deepStrictEqual({ code, stderr, stdout }, { code: 0, stderr: "", stdout: "edge\n" })
      const missing = yield* kubelayer(["clusters"], { env })
      assert.strictEqual(missing.code, 5)
      assert.include(missing.stderr, "OMNI_SERVICE_ACCOUNT_KEY")
    })))
})
