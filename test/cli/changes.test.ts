import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { CapacityUnavailable, Unauthorized } from "kubelayer/Reason"
import { command, onMemory, simulator } from "./support/run.ts"
import { makeScreen } from "./support/screen.ts"

const states = (
  memory: { readonly world: Effect.Effect<{ readonly nodes: ReadonlyArray<{ name: string; state: string }> }> }
) => Effect.map(memory.world, ({ nodes }) => Object.fromEntries(nodes.map(({ name, state }) => [name, state])))

describe("start and stop", () => {
  it.effect("act on several clusters, with progress on stderr and the reports as JSON on stdout", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const backends = onMemory(memory)
      const stopped = yield* command(["stop", "dev"], { backends })
      assert.deepInclude(stopped, { code: 0, stdout: "" })
      assert.include(stopped.stderr, "node dev-worker: done\n")
      assert.match(stopped.stderr, /dev: 3 done in /)
      const started = yield* command(["start", "dev", "prod", "-o", "json", "-q"], { backends })
      assert.strictEqual(started.stderr, "")
      const reports = JSON.parse(started.stdout) as ReadonlyArray<{ readonly clusterName: string }>
      assert.deepStrictEqual(reports.map(({ clusterName }) => clusterName), ["dev", "prod"])
      assert.deepStrictEqual([...new Set(Object.values(yield* states(memory)))], ["running"])
    }))

  it.effect("exit with 4 where the cluster has no nodes", () =>
    Effect.gen(function*() {
      const { code, stderr } = yield* command(["start", "dve"], { backends: onMemory(yield* simulator) })
      assert.strictEqual(code, 4)
      assert.include(stderr, "dve")
    }))

  it.effect("exit with the code of the reason where all nodes failed for one, and print the report", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.failWhile({ operation: "stop", reason: new Unauthorized({ detail: "no" }) })
      const { code, stderr, stdout } = yield* command(["stop", "dev", "-o", "json"], { backends: onMemory(memory) })
      assert.strictEqual(code, 5)
      const failure = JSON.parse(stdout) as {
        readonly error: { readonly tag: string; readonly reason: string }
        readonly report: { readonly outcomes: ReadonlyArray<object> }
      }
      assert.deepInclude(failure.error, { tag: "NodesFailed", reason: "Unauthorized" })
      assert.lengthOf(failure.report.outcomes, 3)
      assert.include(stderr, "dev-worker")
    }))

  it.effect("exit with 7 and the report when --timeout passes", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.setLatency({ operation: "stop", latency: "1 hour" })
      const running = yield* Effect.forkChild(
        command(["stop", "dev", "--timeout", "3s", "-o", "json"], { backends: onMemory(memory) })
      )
      yield* TestClock.adjust("4 seconds")
      const { code, stdout } = yield* Fiber.join(running)
      assert.strictEqual(code, 7)
      assert.property(JSON.parse(stdout), "report")
    }))

  it.effect("redraw rows in place on a terminal, and show the cursor again", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.setLatency({ operation: "stop", latency: "1 second" })
      const screen = makeScreen({ isTerminal: true, columns: 20 })
      const running = yield* Effect.forkChild(command(["stop", "dev"], { backends: onMemory(memory), screen }))
      yield* TestClock.adjust("10 seconds")
      const { stderr } = yield* Fiber.join(running)
      assert.isTrue(stderr.startsWith("\u001b[?25l"))
      assert.include(stderr, "\u001b[?25h")
      assert.include(stderr, "\u001b[3A\r")
      for (const line of stderr.split("\n")) {
        // oxlint-disable-next-line no-control-regex
        assert.isAtMost([...line.replace(/\u001b\[[?\d]*[A-Za-z]|\r/g, "")].length, 20 + "dev: 3 done in 2.0 s".length)
      }
    }))
})

describe("delete", () => {
  it.effect("asks at a terminal, and changes nothing where the answer is not yes", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      for (const answers of [["n"], [""], []]) {
        const screen = makeScreen({ isTerminal: true, answers })
        const { code, stderr } = yield* command(["delete", "dev"], { backends: onMemory(memory), screen })
        assert.strictEqual(code, 1)
        assert.include(stderr, "Delete cluster \"dev\" (3 nodes)? [y/N]")
        assert.include(stderr, "Nothing was changed.")
      }
      assert.isTrue(yield* memory.provider.nodesExist("dev"))
      const screen = makeScreen({ isTerminal: true, answers: ["y"] })
      assert.strictEqual((yield* command(["rm", "dev"], { backends: onMemory(memory), screen })).code, 0)
      assert.isFalse(yield* memory.provider.nodesExist("dev"))
    }))

  it.effect("exits with 2 and deletes nothing without a terminal and without -y", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const { code, stderr, stdout } = yield* command(["delete", "dev", "-o", "json"], { backends: onMemory(memory) })
      assert.strictEqual(code, 2)
      assert.strictEqual(stdout, "")
      assert.include(stderr, "Give -y")
      assert.isTrue(yield* memory.provider.nodesExist("dev"))
    }))

  it.effect("reports that a cluster does not exist and exits with 0, or with 4 with --must-exist", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      const gone = yield* command(["delete", "nope"], { backends })
      assert.strictEqual(gone.code, 0)
      assert.include(gone.stderr, "there is no cluster \"nope\"")
      const must = yield* command(["delete", "dev", "nope", "-y", "--must-exist"], { backends })
      assert.strictEqual(must.code, 4)
      const { stdout } = yield* command(["clusters", "-o", "name"], { backends })
      assert.include(stdout, "dev")
    }))
})

describe("create", () => {
  it.effect("creates the nodes that the flags request", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const args = ["create", "new", "--control-planes", "3", "--workers", "2", "--label", "team=a", "--label", "x=1=2"]
      const { code, stderr } = yield* command(args, { backends: onMemory(memory) })
      assert.strictEqual(code, 0, stderr)
      const nodes = (yield* memory.world).nodes.filter(({ cluster }) => cluster === "new")
      assert.lengthOf(nodes, 5)
      assert.deepStrictEqual(nodes[0]?.labels, { team: "a", x: "1=2" })
    }))

  it.effect("exits with the code of the reason where it fails, and removes what it created", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.failNext({
        operation: "create",
        node: "new-worker",
        reason: new CapacityUnavailable({ detail: "sold out" })
      })
      const { code, stderr } = yield* command(["create", "new", "--workers", "1"], { backends: onMemory(memory) })
      assert.strictEqual(code, 6)
      assert.include(stderr, "sold out")
      assert.isFalse(yield* memory.provider.nodesExist("new"))
    }))
})
