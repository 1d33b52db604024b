import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HetznerFake from "../../src/testing/HetznerFake.ts"
import * as OmniFake from "../../src/testing/OmniFake.ts"
import { converse, empty, json, type Script, text } from "../docker/support/Conversation.ts"
import { command, onMemory, simulator } from "./support/run.ts"

interface Found {
  readonly name: string
  readonly state: string
  readonly detail: string
  readonly advice?: string
}

const doctor = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.map(command(["doctor", "-o", "json", ...args], { env }), ({ code, stderr, stdout }) => {
    const checks = JSON.parse(stdout) as ReadonlyArray<Found>
    return { code, stderr, checks, named: (name: string) => checks.find((check) => check.name === name) }
  })

describe("doctor on Memory", () => {
  it.effect("names the clusters that are not ready", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* command(["doctor", "-b", "memory"], { backends: onMemory(yield* simulator) })
      assert.strictEqual(code, 0)
      assert.include(stdout, "2 clusters; not ready: prod (stopped)")
    }))
})

describe("doctor on Hetzner", () => {
  it.live("reports the token, its permission, the quota and the clock", () =>
    Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      const env = { HCLOUD_ENDPOINT: fake.endpoint, HCLOUD_TOKEN: fake.token }
      const before = yield* fake.state
      const { checks, code, named } = yield* doctor(["-b", "hetzner"], env)
      assert.strictEqual(code, 0, JSON.stringify(checks))
      assert.strictEqual(named("token")?.state, "ok")
      assert.strictEqual(named("permission")?.detail, "the token may read and write")
      assert.match(named("quota")?.detail ?? "", /^\d+ of \d+ requests left/)
      assert.deepStrictEqual((yield* fake.state).servers, before.servers)
      assert.notInclude(JSON.stringify(checks), fake.token)
    }))

  it.live("warns of a read-only token, and exits with 5 where the token is refused or missing", () =>
    Effect.gen(function*() {
      const fake = yield* HetznerFake.make()
      const readOnly = yield* doctor(["-b", "hetzner"], {
        HCLOUD_ENDPOINT: fake.endpoint,
        HCLOUD_TOKEN: fake.readOnlyToken
      })
      assert.strictEqual(readOnly.named("permission")?.state, "warning")
      assert.include(readOnly.named("permission")?.advice ?? "", "read and write")
      const wrong = yield* doctor(["-b", "hetzner"], { HCLOUD_ENDPOINT: fake.endpoint, HCLOUD_TOKEN: "w".repeat(64) })
      assert.strictEqual(wrong.code, 5)
      assert.strictEqual(wrong.named("token")?.state, "failed")
      const missing = yield* doctor(["-b", "hetzner"], {})
      assert.strictEqual(missing.code, 5)
      assert.include(missing.named("credentials")?.detail ?? "", "HCLOUD_TOKEN is not set")
    }))
})

describe("doctor on Omni", () => {
  it.live("reports the service account, its expiry and the free machines", () =>
    Effect.gen(function*() {
      const fake = yield* OmniFake.make({ machines: 2 })
      const env = { OMNI_ENDPOINT: fake.endpoint, OMNI_SERVICE_ACCOUNT_KEY: fake.serviceAccountKey }
      const { checks, code, named } = yield* doctor(["-b", "omni"], env)
      assert.strictEqual(code, 0, JSON.stringify(checks))
      assert.match(named("key")?.detail ?? "", /^service account .+, (?:expires in \d+|without expiry)/)
      assert.strictEqual(named("machines")?.detail, "2 free")
    }))
})

describe("doctor on Docker", () => {
  const info = {
    MemTotal: 1e9,
    NCPU: 2,
    CgroupVersion: "1",
    DockerRootDir: "/does/not/exist",
    SystemTime: "2001-01-01T00:00:00Z",
    Warnings: ["WARNING: No swap limit support"]
  }
  const engine: Script = ({ path }) => {
    if (path === "/_ping") return text(200, "OK", { "Api-Version": "1.41" })
    if (path === "/version") return json({ Version: "19.3.1", ApiVersion: "1.41", MinAPIVersion: "1.12", Os: "linux" })
    if (path === "/info") return json(info)
    if (path === "/volumes") return json({ Volumes: [] })
    return path === "/containers/json" || path === "/networks" ? json([]) : empty(404)
  }

  it.live("reports the engine, what was passed over, and what will not work", () =>
    Effect.gen(function*() {
      const { host } = yield* converse(engine)
      const { code, named } = yield* doctor([], { DOCKER_HOST: host })
      assert.strictEqual(code, 0)
      assert.deepInclude(named("passed over"), { state: "skipped", detail: "option host: not given" })
      assert.strictEqual(named("connection")?.detail, host)
      assert.deepInclude(named("version"), { state: "warning", detail: "Docker 19.3.1, API 1.41" })
      assert.strictEqual(named("memory")?.state, "warning")
      assert.strictEqual(named("cgroups")?.state, "warning")
      assert.match(named("clock")?.detail ?? "", /^differs from the backend's by \d+d/)
      assert.strictEqual(named("engine")?.detail, "WARNING: No swap limit support")
      assert.strictEqual(named("clusters")?.detail, "0 clusters")
    }))

  it.live("clusters sends one list beside the negotiation", () =>
    Effect.gen(function*() {
      const { host, told } = yield* converse(engine)
      const { code, stderr } = yield* command(["clusters"], { env: { DOCKER_HOST: host } })
      assert.strictEqual(code, 0, stderr)
      assert.deepStrictEqual(told().filter((call) => !/_ping|version/.test(call)), ["GET /containers/json"])
    }))

  it.live("exits with 3 and names every place that was tried where no engine answers", () =>
    Effect.gen(function*() {
      const { checks, code, named } = yield* doctor([], { DOCKER_HOST: "unix:///does/not/exist.sock" })
      assert.strictEqual(code, 3)
      assert.strictEqual(named("connection")?.state, "failed")
      assert.isNotEmpty(named("connection")?.advice)
      assert.isAbove(checks.length, 1)
    }))
})
