import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Address, BackendsService } from "../../src/cli/Backends.ts"
import { command, onMemory, simulator } from "./support/run.ts"

const words = (line: string): ReadonlyArray<string> => line.split(" ")

const offered = (line: string, backends: BackendsService, env: Readonly<Record<string, string>> = {}) =>
  Effect.map(
    command(["__complete", ...words(line)], { backends, env }),
    ({ stdout }) => stdout.trimEnd().split("\n").map((each) => each.split("\t")[0])
  )

describe("__complete", () => {
  const fixed: ReadonlyArray<readonly [line: string, offers: ReadonlyArray<string>]> = [
    ["st", ["status", "start", "stop"]],
    ["status --ex", ["--exit-code"]],
    ["-o ", ["table", "wide", "json", "yaml", "name"]],
    ["clusters --output=j", ["--output=json"]],
    ["completion ", ["bash", "zsh", "fish"]],
    ["clusters --back", ["--backend"]],
    ["clusters --no-", ["--no-color"]],
    ["--scheme ki", ["kind"]],
    ["plan -f ", [":files"]],
    ["clusters extra ", [""]],
    ["exec dev dev-worker -- -", [""]]
  ]
  for (const [line, offers] of fixed) {
    it.effect(`offers ${offers.join(", ") || "nothing"} for: ${line}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* offered(line, onMemory(yield* simulator)), [...offers])
      }))
  }

  it.effect("offers every command that --help shows", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      const help = yield* command(["--help"], { backends })
      const names = yield* offered("", backends)
      for (const name of ["clusters", "watch", "apply", "delete", "completion"]) {
        assert.include(names, name)
        assert.include(help.stdout, `  ${name}`)
      }
    }))

  it.effect("offers the names of clusters and nodes as they are now", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      assert.deepStrictEqual(yield* offered("status ", backends), ["dev", "prod"])
      assert.deepStrictEqual(yield* offered("delete dev ", backends), ["prod"])
      assert.deepStrictEqual(yield* offered("exec prod ", backends), ["prod-control-plane"])
      assert.deepStrictEqual(yield* offered("stop dev --node dev-w", backends), ["dev-worker", "dev-worker2"])
    }))

  it.effect("asks the backend that the line or the environment names", () =>
    Effect.gen(function*() {
      const opened: Array<Address> = []
      const backends = onMemory(yield* simulator, opened)
      yield* offered("-b hetzner --instance=eu status ", backends)
      yield* offered("status ", backends, { KUBELAYER_BACKEND: "omni" })
      assert.deepStrictEqual(opened, [{ backend: "hetzner", instance: "eu" }, { backend: "omni" }])
    }))

  it.effect("offers nothing and reports nothing where the backend fails or hangs", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.setAvailable(false)
      const failing = yield* command(["__complete", "status", ""], { backends: onMemory(memory) })
      assert.deepStrictEqual(failing, { code: 0, stdout: "", stderr: "" })
      yield* memory.setAvailable(true)
      yield* memory.setLatency({ latency: "1 hour" })
      const hanging = yield* Effect.forkChild(command(["__complete", "status", ""], { backends: onMemory(memory) }))
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* Fiber.join(hanging), { code: 0, stdout: "", stderr: "" })
    }))
})

describe("completion bash", () => {
  it.effect("completes a line in bash by what __complete offers", () =>
    Effect.gen(function*() {
      const { stdout } = yield* command(["completion", "bash"])
      const folder = mkdtempSync(join(tmpdir(), "completion-"))
      try {
        writeFileSync(join(folder, "script"), stdout)
        // The words arrive as bash has joined them; the offers are names with a description.
        writeFileSync(
          join(folder, "kubelayer"),
          "#!/bin/sh\nprintf '%s|' \"$@\" > \"$(dirname \"$0\")/words\"\nprintf 'dev\\trunning 3/3\\na b\\tx\\n'\n",
          { mode: 0o755 }
        )
        const reply = (line: ReadonlyArray<string>): string =>
          execFileSync("bash", [
            "--norc",
            "-c",
            `source ${folder}/script; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kubelayer; printf '%s,' "\${COMPREPLY[@]}"`,
            "bash",
            join(folder, "kubelayer"),
            ...line
          ], { encoding: "utf8" })
        const received = () => execFileSync("cat", [join(folder, "words")], { encoding: "utf8" })
        assert.strictEqual(reply(["status", ""]), "dev,a\\ b,")
        assert.strictEqual(received(), "__complete|status||")
        reply(["clusters", "--output", "=", "js"])
        assert.strictEqual(received(), "__complete|clusters|--output=js|")
      } finally {
        rmSync(folder, { recursive: true })
      }
    }))
})
