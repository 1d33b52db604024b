import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { command, onMemory, simulator } from "./support/run.ts"
import { makeScreen } from "./support/screen.ts"

const json = (text: string): unknown => JSON.parse(text)

describe("clusters", () => {
  it.effect("lists all clusters as a table (U22)", () =>
    Effect.gen(function*() {
      const result = yield* command(["clusters"], { backends: onMemory(yield* simulator) })
      assert.strictEqual(result.code, 0)
      const lines = result.stdout.trimEnd().split("\n").map((line) => line.split(/ {2,}/))
      assert.deepStrictEqual(lines.map((line) => line.slice(0, 5)), [
        ["NAME", "PHASE", "READY", "CONTROL-PLANES", "WORKERS"],
        ["dev", "running", "3/3", "1", "2"],
        ["prod", "stopped", "0/1", "1", "0"]
      ])
      assert.strictEqual(result.stderr, "")
    }))

  it.effect("answers to the names that users of other tools type", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      const expected = yield* command(["clusters"], { backends })
      for (const args of [["ls"], ["list"], ["get", "clusters"], ["cluster", "list"]]) {
        assert.deepStrictEqual(yield* command(args, { backends }), expected, args.join(" "))
      }
    }))

  it.effect("writes names only with -o name, and the models with -o json and -o yaml", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      assert.strictEqual((yield* command(["clusters", "-o", "name"], { backends })).stdout, "dev\nprod\n")
      const asJson = yield* command(["-o", "json", "clusters"], { backends })
      assert.deepStrictEqual(
        (json(asJson.stdout) as ReadonlyArray<{ readonly clusterName: string }>).map(({ clusterName }) => clusterName),
        ["dev", "prod"]
      )
      assert.match((yield* command(["clusters", "-o", "yaml"], { backends })).stdout, /clusterName: dev\n/)
    }))

  it.effect("writes nothing to stdout and a hint to stderr where there is no cluster", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      for (const cluster of ["dev", "prod"]) yield* memory.provider.deleteNodes(cluster)
      const backends = onMemory(memory)
      const result = yield* command(["clusters"], { backends })
      assert.deepStrictEqual(result, { code: 0, stdout: "", stderr: "no clusters on memory\n" })
      assert.strictEqual((yield* command(["clusters", "-q"], { backends })).stderr, "")
      assert.strictEqual((yield* command(["clusters", "-o", "json"], { backends })).stdout, "[]\n")
    }))

  it.effect("cuts cells so that no line is wider than a terminal of 20 columns, and cuts nothing in a pipe", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const cluster = "a-very-long-cluster-name-for-a-narrow-window"
      yield* memory.creator.createNodes({ cluster, controlPlanes: 1, workers: 0 })
      const backends = onMemory(memory)
      for (const columns of [20, 60, 100]) {
        const screen = makeScreen({ isTerminal: true, columns })
        const narrow = yield* command(["nodes", cluster, "-o", "wide"], { backends, screen })
        for (const line of narrow.stdout.trimEnd().split("\n")) assert.isAtMost([...line].length, columns)
        assert.include(narrow.stdout, "NAME")
      }
      const piped = yield* command(["nodes", cluster], { backends, screen: makeScreen({ columns: 20 }) })
      assert.include(piped.stdout, `${cluster}-control-plane`)
    }))
})

describe("log lines", () => {
  it.effect("go to stderr, so that results stay readable by programs", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.addNode({ cluster: "not a name", role: "worker" })
      const { stderr, stdout } = yield* command(["clusters", "-o", "json"], { backends: onMemory(memory) })
      assert.lengthOf(json(stdout) as ReadonlyArray<unknown>, 2)
      assert.match(stderr, /^warning: .*not a name/)
      const quiet = yield* command(["clusters", "--log-level", "error"], { backends: onMemory(yield* simulator) })
      assert.strictEqual(quiet.stderr, "")
    }))
})

describe("nodes", () => {
  it.effect("lists the nodes of a cluster, of several and of all", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      const names = (...args: ReadonlyArray<string>) =>
        Effect.map(
          command(["nodes", "-o", "name", ...args], { backends }),
          ({ stdout }) => stdout.trimEnd().split("\n")
        )
      assert.deepStrictEqual(yield* names("dev"), ["dev-control-plane", "dev-worker", "dev-worker2"])
      assert.deepStrictEqual(yield* names("prod", "dev"), [
        "prod-control-plane",
        "dev-control-plane",
        "dev-worker",
        "dev-worker2"
      ])
      assert.lengthOf(yield* names(), 4)
    }))

  it.effect("exits with 4 where the cluster does not exist, also as JSON", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      const result = yield* command(["nodes", "nope", "-o", "json"], { backends })
      assert.strictEqual(result.code, 4)
      assert.deepInclude((json(result.stdout) as { readonly error: object }).error, {
        tag: "ClusterNotFound",
        exitCode: 4
      })
      assert.include(result.stderr, "nope")
    }))
})

describe("status", () => {
  it.effect("shows the cluster and its nodes", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* command(["status", "dev"], { backends: onMemory(yield* simulator) })
      assert.strictEqual(code, 0)
      assert.include(stdout, "running")
      assert.include(stdout, "dev-worker2")
    }))

  it.effect("exits with 8 with --exit-code where the cluster is not ready, and with 0 where it is", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      assert.strictEqual((yield* command(["status", "prod", "--exit-code"], { backends })).code, 8)
      assert.strictEqual((yield* command(["status", "prod"], { backends })).code, 0)
      assert.strictEqual((yield* command(["status", "dev", "--exit-code"], { backends })).code, 0)
    }))
})

describe("watch", () => {
  it.effect("writes one line for each change of a cluster, and ends when it is gone", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const watching = yield* Effect.forkChild(command(["watch", "dev"], { backends: onMemory(memory) }))
      yield* TestClock.adjust("1 second")
      yield* memory.setState("dev-worker", "stopped")
      yield* TestClock.adjust("1 second")
      yield* memory.provider.deleteNodes("dev")
      yield* TestClock.adjust("1 second")
      const { code, stderr, stdout } = yield* Fiber.join(watching)
      assert.strictEqual(code, 0)
      const lines = stdout.trimEnd().split("\n")
      assert.deepStrictEqual(lines.slice(0, 2), ["dev running 3/3", "dev degraded 2/3"])
      assert.include(stderr, "cluster \"dev\" is gone")
    }))

  it.effect("writes one JSON object a line for a cluster", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const watching = yield* Effect.forkChild(command(["watch", "dev", "-o", "json"], { backends: onMemory(memory) }))
      yield* TestClock.adjust("1 second")
      yield* memory.provider.deleteNodes("dev")
      yield* TestClock.adjust("1 second")
      const { stdout } = yield* Fiber.join(watching)
      const phases = stdout.trimEnd().split("\n").map((line) => (json(line) as { readonly phase: string }).phase)
      assert.strictEqual(phases[0], "running")
      assert.isAbove(phases.length, 0)
    }))

  it.effect("ends with 7 when --timeout passes", () =>
    Effect.gen(function*() {
      const watching = yield* Effect.forkChild(
        command(["watch", "dev", "--timeout", "5s"], { backends: onMemory(yield* simulator) })
      )
      yield* TestClock.adjust("6 seconds")
      const { code, stderr } = yield* Fiber.join(watching)
      assert.strictEqual(code, 7)
      assert.include(stderr, "timed out after 5s")
    }))

  it.effect("ends silently with 0 when the reader of stdout has gone", () =>
    Effect.gen(function*() {
      const screen = makeScreen({ closesAfter: 0 })
      const result = yield* command(["clusters"], { backends: onMemory(yield* simulator), screen })
      assert.deepStrictEqual(result, { code: 0, stdout: "", stderr: "" })
    }))
})

describe("a backend that does not answer", () => {
  it.effect("exits with 3 and gives advice, as text and as JSON", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.setAvailable(false)
      const { code, stderr, stdout } = yield* command(["clusters", "-o", "json"], { backends: onMemory(memory) })
      assert.strictEqual(code, 3)
      assert.include(stderr, "memory is not available")
      const { error } = json(stdout) as { readonly error: { readonly tag: string; readonly advice: string } }
      assert.strictEqual(error.tag, "ProviderUnavailable")
      assert.isNotEmpty(error.advice)
    }))

  it.effect("exits with 7 when it hangs for longer than --timeout", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.setLatency({ latency: "10 hours" })
      const running = yield* Effect.forkChild(
        command(["clusters", "--timeout", "2s"], { backends: onMemory(memory) })
      )
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(running)).code, 7)
    }))
})
