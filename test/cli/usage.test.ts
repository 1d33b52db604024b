import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Address } from "../../src/cli/Backends.ts"
import { command, onMemory, simulator } from "./support/run.ts"

describe("a wrong command line", () => {
  const wrong: ReadonlyArray<readonly [args: ReadonlyArray<string>, says: RegExp]> = [
    [["clustrs"], /clustrs[\s\S]*clusters/],
    [["clusters", "--outptu", "json"], /--outptu/],
    [["clusters", "-o", "xml"], /xml/],
    [["-b", "podman", "clusters"], /podman/],
    [["status"], /cluster/],
    [["status", "dev", "extra"], /extra/],
    [["create", "dev", "--workers", "many"], /many/],
    [["create", "dev", "--workers", "-1"], /-1/],
    [["create", "dev", "--label", "novalue"], /"novalue" must be key=value/],
    [["create", "dev", "--server-type", "cx33"], /--server-type is for hetzner, not for docker/],
    [["sweep", "--older-than", "soon"], /"soon" is not a duration such as 90s/],
    [["clusters", "--timeout", "0s"], /"0s" is not a duration/],
    [["start", "dev", "--node", "a", "--pool", "b"], /--node and --pool cannot be used together/],
    [["plan", "-f", "/does/not/exist.yaml"], /cannot read \/does\/not\/exist.yaml: there is no such file/],
    [["apply"], /name a document with -f/],
    [["delete"], /name the clusters to delete/]
  ]
  for (const [args, says] of wrong) {
    it.effect(`exits with 2 and writes to stderr only: ${args.join(" ")}`, () =>
      Effect.gen(function*() {
        const backends = onMemory(yield* simulator)
        for (const given of [args, [...args, "-o", "json"]]) {
          // A second -o is a mistake of its own.
          if (given !== args && args.includes("-o")) continue
          const { code, stderr, stdout } = yield* command(given, { backends })
          assert.strictEqual(code, 2, stderr)
          assert.strictEqual(stdout, "")
          assert.match(stderr, says)
        }
      }))
  }
})

describe("names that are no cluster names", () => {
  it.effect("exits with 2 and sends nothing", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const { code, stderr } = yield* command(["status", "--", "--all"], { backends: onMemory(memory) })
      assert.strictEqual(code, 2)
      assert.include(stderr, "--all")
      assert.lengthOf(yield* memory.calls, 0)
    }))
})

describe("help and version", () => {
  it.effect("go to stdout with exit code 0", () =>
    Effect.gen(function*() {
      for (const args of [["--help"], ["help"], ["status", "--help"], ["-h"]]) {
        const { code, stderr, stdout } = yield* command(args)
        assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" }, args.join(" "))
        assert.include(stdout, "USAGE")
      }
      for (const args of [["--version"], ["version"]]) {
        assert.deepStrictEqual(yield* command(args), { code: 0, stdout: "kubelayer 1.2.3\n", stderr: "" })
      }
    }))
})

describe("the backend", () => {
  it.effect("comes from --backend, then from KUBELAYER_BACKEND, then it is docker", () =>
    Effect.gen(function*() {
      const opened: Array<Address> = []
      const backends = onMemory(yield* simulator, opened)
      const env = { KUBELAYER_BACKEND: "hetzner", KUBELAYER_INSTANCE: "eu" }
      yield* command(["clusters"], { backends })
      yield* command(["clusters"], { backends, env })
      yield* command(["clusters", "-b", "omni", "--instance", "home", "--host", "https://omni.example"], {
        backends,
        env
      })
      assert.deepStrictEqual(opened, [
        { backend: "docker" },
        { backend: "hetzner", instance: "eu" },
        { backend: "omni", instance: "home", host: "https://omni.example" }
      ])
    }))

  it.effect("exits with 5 and names the variable where a credential is missing", () =>
    Effect.gen(function*() {
      const hetzner = yield* command(["-b", "hetzner", "clusters"])
      assert.strictEqual(hetzner.code, 5)
      assert.include(hetzner.stderr, "HCLOUD_TOKEN: is not set")
      const instance = yield* command(["-b", "hetzner", "--instance", "eu-west", "clusters"])
      assert.include(instance.stderr, "HCLOUD_TOKEN_EU_WEST: is not set")
      const omni = yield* command(["-b", "omni", "clusters"], { env: { OMNI_ENDPOINT: "https://omni.example" } })
      assert.strictEqual(omni.code, 5)
      assert.include(omni.stderr, "OMNI_SERVICE_ACCOUNT_KEY: is not set")
    }))

  it.effect("reaches the Docker engine of --host, of --context and of an instance in the place of DOCKER_HOST", () =>
    Effect.gen(function*() {
      const env = { DOCKER_HOST: "unix:///env.sock", DOCKER_HOST_CI: "unix:///ci.sock" }
      const places: ReadonlyArray<readonly [args: ReadonlyArray<string>, place: string]> = [
        [[], "unix:///env.sock"],
        [["--host", "unix:///flag.sock"], "unix:///flag.sock"],
        [["--instance", "ci"], "unix:///ci.sock"],
        [["--context", "far"], "context far"],
        [["--instance", "far"], "context far"]
      ]
      for (const [args, place] of places) {
        const { code, stderr } = yield* command(["clusters", ...args], { env })
        assert.strictEqual(code, 3)
        assert.include(stderr, `not available at ${place}`)
      }
    }))

  it.effect("has to be docker for logs and exec", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      for (const args of [["logs", "dev-worker"], ["exec", "dev", "dev-worker", "--", "ls"]]) {
        const { code, stderr } = yield* command(["-b", "memory", ...args], { backends })
        assert.strictEqual(code, 2)
        assert.include(stderr, "is available with --backend docker only")
      }
    }))
})
