/**
 * Plants bugs in copies of the library, one at a time, and counts how many of them the simulation finds:
 *
 *   node scripts/planted.ts [--seeds <n>] [--only <part of a name>] [--workers <n>] [--write]
 *
 * `--write` writes the table into docs/simulation.md.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { main, type Plain } from "./lib/main.ts"
import { ROOT } from "./lib/pack.ts"
import { type Bug, bugs } from "./planted/bugs.ts"

interface Found {
  readonly bug: Bug
  /** The number of the run that showed it, from 1. */
  readonly seed: number | undefined
  readonly violation: string
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const options = {
  seeds: { type: "string", default: "1000" },
  only: { type: "string", default: "" },
  workers: { type: "string", default: String(cpus().length) },
  write: { type: "boolean", default: false }
} as const

/** A copy of the library with the bug. */
const plant = ({ file, find, name, replace }: Bug): Effect.Effect<string, Plain> =>
  Effect.suspend(() => {
    const directory = mkdtempSync(join(tmpdir(), "kubelayer-planted-"))
    for (const part of ["src", "scripts", "package.json"]) {
      cpSync(join(ROOT, part), join(directory, part), { recursive: true })
    }
    symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"))
    const path = join(directory, "src", file)
    const text = readFileSync(path, "utf8")
    const parts = text.split(find)
    if (parts.length !== 2) {
      rmSync(directory, { recursive: true })
      return Effect.fail({ message: `"${name}": the text is ${parts.length - 1} times in ${file}` })
    }
    writeFileSync(path, parts.join(replace))
    return Effect.succeed(directory)
  })

const simulate = (directory: string, backend: string, seeds: string): Effect.Effect<string, Plain> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [
      "--max-semi-space-size=64",
      "--no-warnings",
      "scripts/simulate.ts",
      "--worker",
      "--first",
      `--backend=${backend}`,
      `--seeds=${seeds}`
    ], { cwd: directory, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    let errors = ""
    child.stdout.on("data", (data) => (output += data))
    child.stderr.on("data", (data) => (errors += data))
    child.on("error", (error) => resume(Effect.fail({ message: error.message })))
    child.on(
      "close",
      () => resume(output.includes("summary: ") ? Effect.succeed(output) : Effect.fail({ message: errors }))
    )
    return Effect.sync(() => void child.kill())
  })

const search = (seeds: string) => (bug: Bug): Effect.Effect<Found, Plain> =>
  Effect.acquireUseRelease(
    plant(bug),
    (directory) =>
      Effect.map(simulate(directory, bug.backend ?? "memory", seeds), (output) => {
        const { failed, test = "" } = JSON.parse(output.split("summary: ")[1] ?? "{}") as {
          readonly failed: ReadonlyArray<number>
          readonly test?: string
        }
        const [violation = ""] = test.split("\n")
        return { bug, seed: failed[0], violation }
      }),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
  ).pipe(
    Effect.tap(({ seed, violation }) =>
      Effect.sync(() =>
        print(`${seed === undefined ? "NOT FOUND" : `seed ${seed}`}: ${bug.name}: ${violation.slice(0, 160)}`)
      )
    )
  )

const tableOf = (found: ReadonlyArray<Found>): string =>
  [
    "| planted bug | backend | found at seed |",
    "|---|---|---|",
    ...found.map(({ bug, seed }) => `| ${bug.name} | ${bug.backend ?? "memory"} | ${seed ?? "not found"} |`)
  ].join("\n")

const begin = "<!-- planted bugs -->"
const end = "<!-- end of planted bugs -->"

const writeTable = (table: string): void => {
  const path = join(ROOT, "docs/simulation.md")
  const [before = "", rest = ""] = readFileSync(path, "utf8").split(begin)
  writeFileSync(path, `${before}${begin}\n\n${table}\n\n${end}${rest.split(end)[1] ?? ""}`)
}

const planted = Effect.gen(function*() {
  const { values } = yield* Effect.try({
    try: () => parseArgs({ options }),
    catch: (error): Plain => ({ message: (error as Error).message })
  })
  const chosen = bugs.filter(({ name }) => name.includes(values.only))
  const found = yield* Effect.forEach(chosen, search(values.seeds), {
    concurrency: Math.max(1, Number(values.workers))
  })
  const count = found.filter(({ seed }) => seed !== undefined).length
  const summary = `${count} of ${found.length} planted bugs were found within ${values.seeds} seeds`
  print(summary)
  if (values.write) writeTable(`${summary}.\n\n${tableOf(found)}`)
  return count === found.length ? 0 : 1
})

main(planted)
