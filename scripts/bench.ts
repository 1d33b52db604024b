/**
 * Measures what kubelayer promises to cost:
 *
 *   node scripts/bench.ts [--only <id>,<id>] [--json <file>] [--engine private|podman|found|none]
 *
 * One line for each row as it is measured, then the table. `--only` takes ids and beginnings of ids.
 * A row that does not hold is said so, and is no failure: times on a machine that does other things as well prove
 * nothing. Rows that need a Docker engine are not measured where there is none.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { cpus, loadavg } from "node:os"
import { parseArgs } from "node:util"
import { lineOf, type Result, summary, toJson } from "../bench/report.ts"
import { Chosen, type NotMeasured, type Row } from "../bench/row.ts"
import { rowsOnEngine, rowsWithoutEngine } from "../bench/rows.ts"
import { makeStage, Stage } from "../bench/stage.ts"
import { endpointOf } from "./engine/api.ts"
import { engineMode, withEngine } from "./engine/engine.ts"
import { main } from "./lib/main.ts"

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const readArguments = Effect.gen(function*() {
  const mode = yield* engineMode(process.argv.slice(2))
  const { values } = yield* Effect.try({
    try: () =>
      parseArgs({ options: { engine: { type: "string" }, only: { type: "string" }, json: { type: "string" } } }),
    catch: (error): NotMeasured => ({ message: (error as Error).message })
  })
  return { mode, json: values.json, only: values.only?.split(",").map((name) => name.trim()) }
})

/** If one row fails, the others are still measured. */
const measured = (row: Row): Effect.Effect<Result> =>
  row.measure.pipe(
    Effect.map((outcome): Result => ({ row, outcome })),
    Effect.catchCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
      const error = Cause.squash(cause) as NotMeasured
      return Effect.succeed<Result>({ row, why: Cause.hasDies(cause) ? Cause.pretty(cause) : error.message })
    })
  )

const bench = Effect.gen(function*() {
  const { json, mode, only } = yield* readArguments
  const chosen = (id: string) => only === undefined || only.some((name) => id === name || id.startsWith(`${name}.`))
  const onEngine = yield* rowsOnEngine
  const known = [...onEngine, ...rowsWithoutEngine].map((row) => row.id)
  const stranger = only?.find((name) => !known.some((id) => id === name || id.startsWith(`${name}.`)))
  if (stranger !== undefined) {
    return yield* Effect.fail({ message: `There is no row "${stranger}". The rows are: ${known.join(", ")}.` })
  }

  const began = Date.now()
  // The load of the machine belongs to the times.
  print(`${cpus().length} processors, load ${(loadavg()[0] ?? 0).toFixed(1)} before the first row.`)
  const results: Array<Result> = []
  const take = (result: Result) => {
    results.push(result)
    print(lineOf(result))
  }
  const measureOnEngine = Effect.fnUntraced(function*(rows: ReadonlyArray<Row<Stage>>) {
    const engine = yield* withEngine({ mode, say: print })
    print(`Engine: ${engine.why}\n`)
    const endpoint = endpointOf(engine.dockerHost)
    if (endpoint === undefined || !("socketPath" in endpoint)) {
      const why = engine.kind === "none" ? engine.why : "The engine is not on a unix socket."
      for (const row of rows) take({ row, why })
      return
    }
    const stage = yield* makeStage(endpoint.socketPath)
    for (const row of rows) {
      take(yield* measured({ ...row, measure: Effect.provideService(row.measure, Stage, stage) }))
    }
  })

  const wanted = onEngine.filter((row) => chosen(row.id))
  if (wanted.length > 0) {
    yield* Effect.scoped(measureOnEngine(wanted)).pipe(Effect.provideService(Chosen, chosen))
  }
  for (const row of rowsWithoutEngine.filter((row) => chosen(row.id))) take(yield* measured(row))

  print(`\n${summary(results, Date.now() - began)}`)
  if (json !== undefined) {
    yield* Effect.try({
      try: () => writeFileSync(json, toJson(results)),
      catch: (error): NotMeasured => ({ message: `${json}: ${(error as Error).message}` })
    })
  }
  return 0
})

main(bench)
