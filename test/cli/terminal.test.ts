import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { buildBin } from "./support/bin.ts"
import { hasTmux, openTerminal, type Terminal } from "./support/terminal.ts"

let bin = ""
let remove = () => {}

beforeAll(async () => {
  const built = await buildBin()
  bin = built.bin
  remove = built.remove
})

afterAll(() => remove())

interface Options {
  readonly columns?: number
  readonly rows?: number
  readonly env?: Readonly<Record<string, string>>
}

const inTerminal = <A, E>(
  args: string,
  f: (terminal: Terminal) => Effect.Effect<A, E>,
  { env = {}, ...size }: Options = {}
) =>
  Effect.scoped(Effect.flatMap(
    Effect.suspend(() =>
      openTerminal({
        command: `'${process.execPath}' '${bin}' ${args}`,
        env: { KUBELAYER_BACKEND: "memory", ...env },
        ...size
      })
    ),
    f
  ))

describe.skipIf(!hasTmux)("at a terminal", () => {
  it.live(
    "rows of an operation are redrawn in place, and the report follows",
    () =>
      inTerminal("create new --workers 2", (terminal) =>
        Effect.gen(function*() {
          yield* terminal.waitFor(/new-worker2/)
          assert.isFalse(terminal.hasCursor())
          assert.strictEqual(yield* terminal.exitCode, 0)
          assert.isTrue(terminal.hasCursor())
          const lines = terminal.lines()
          for (const name of ["new-control-plane", "new-worker", "new-worker2"]) {
            assert.lengthOf(lines.filter((line) => line.startsWith(`✓ ${name} `)), 1, lines.join("\n"))
          }
          assert.match(lines.join("\n"), /new: \d+ done in /)
        })),
    30_000
  )

  it.live(
    "rows fit a window of 20 columns, and a window that becomes narrower",
    () =>
      inTerminal("create new --workers 2", (terminal) =>
        Effect.gen(function*() {
          yield* terminal.waitFor(/new-worker/)
          yield* terminal.resize(20, 24)
          assert.strictEqual(yield* terminal.exitCode, 0)
          // The last picture has each row once, and no row is wrapped.
          const lines = terminal.lines()
          const from = lines.findLastIndex((line) => line.startsWith("✓ new-netw"))
          const rows = lines.slice(from).filter((line) => line.startsWith("✓"))
          assert.isAtLeast(rows.length, 3, lines.join("\n"))
          for (const row of rows) assert.isBelow([...row].length, 20)
          assert.include(rows[0], "done")
        }), { columns: 60 }),
    30_000
  )

  it.live(
    "more rows than the window has are counted",
    () =>
      inTerminal("create new --workers 12", (terminal) =>
        Effect.gen(function*() {
          yield* terminal.waitFor(/\.\.\. \d+ more/)
          assert.strictEqual(yield* terminal.exitCode, 0)
        }), { rows: 8 }),
    30_000
  )

  it.live(
    "watch shows the present state in place until Ctrl-C, and shows the cursor again",
    () =>
      inTerminal("watch", (terminal) =>
        Effect.gen(function*() {
          yield* terminal.waitFor(/dev +running +3\/3/)
          assert.isFalse(terminal.hasCursor())
          yield* terminal.resize(40, 10)
          yield* terminal.waitFor(/NAME/)
          yield* terminal.press("C-c")
          assert.strictEqual(yield* terminal.exitCode, 130)
          assert.isTrue(terminal.hasCursor())
        })),
    30_000
  )

  it.live(
    "Ctrl-C during a create removes what was created",
    () =>
      inTerminal("create new --workers 20", (terminal) =>
        Effect.gen(function*() {
          yield* terminal.waitFor(/new-worker/)
          yield* terminal.press("C-c")
          yield* terminal.waitFor(/cleaning up/)
          assert.strictEqual(yield* terminal.exitCode, 130)
          assert.isTrue(terminal.hasCursor())
        })),
    30_000
  )

  it.live("a question takes yes and no, and Ctrl-C ends it with 130", () =>
    Effect.gen(function*() {
      yield* inTerminal("delete dev", (terminal) =>
        Effect.gen(function*() {
          yield* terminal.waitFor(/\[y\/N\]/)
          yield* terminal.press("n", "Enter")
          assert.strictEqual(yield* terminal.exitCode, 1)
          assert.include(terminal.lines().join("\n"), "Nothing was changed.")
        }))
      yield* inTerminal("delete dev", (terminal) =>
        Effect.gen(function*() {
          yield* terminal.waitFor(/\[y\/N\]/)
          yield* terminal.press("y", "Enter")
          assert.strictEqual(yield* terminal.exitCode, 0)
          assert.match(terminal.lines().join("\n"), /dev: \d+ done/)
        }))
      yield* inTerminal("delete dev", (terminal) =>
        Effect.gen(function*() {
          yield* terminal.waitFor(/\[y\/N\]/)
          yield* terminal.press("C-c")
          assert.strictEqual(yield* terminal.exitCode, 130)
        }))
    }), 60_000)

  it.live("colors are shown, and NO_COLOR and --no-color turn them off", () =>
    Effect.gen(function*() {
      const isColored = (args: string, env: Readonly<Record<string, string>>) =>
        inTerminal(args, (terminal) => Effect.map(terminal.exitCode, () => terminal.colored().includes("\u001b[32m")), {
          env
        })
      assert.isTrue(yield* isColored("clusters", {}))
      assert.isFalse(yield* isColored("clusters", { NO_COLOR: "1" }))
      assert.isFalse(yield* isColored("clusters --no-color", {}))
    }), 60_000)
})
