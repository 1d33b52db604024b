/**
 * Runs simulated programs against the fakes, and checks the invariants after each run:
 *
 *   node scripts/simulate.ts [--seeds <n>] [--from <seed>] [--backend <name>] [--workers <n>] [--seconds <n>] [--digests]
 *
 * Without `--backend` the seeds are divided: a tenth of them on each of Docker and Hetzner, the others on Memory. A seed
 * that breaks an invariant is shrunk, and printed as a test.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { cpus } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as Simulation from "../src/testing/Simulation.ts"
import { main, type Plain } from "./lib/main.ts"

interface Range {
  readonly backend: Simulation.BackendName
  readonly from: number
  readonly seeds: number
}

/** The results of the runs of a range. */
interface Summary extends Range {
  readonly calls: number
  readonly failed: ReadonlyArray<number>
  /** The first of the failed runs, as a test. */
  readonly test?: string
  readonly cpuMillis: number
}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const options = {
  seeds: { type: "string", default: "1000" },
  from: { type: "string", default: "1" },
  backend: { type: "string" },
  workers: { type: "string" },
  seconds: { type: "string" },
  digests: { type: "boolean", default: false },
  worker: { type: "boolean", default: false },
  // Ends at the first seed that breaks an invariant, and does not make it smaller.
  first: { type: "boolean", default: false }
} as const

/** Runs a range in this process. */
const runRange = async ({ backend, from, seeds }: Range, digests: boolean, isFirstOnly: boolean): Promise<Summary> => {
  // The first run loads modules, which takes turns of the event loop that later ones do not take.
  await Simulation.run(0, backend)
  const began = process.cpuUsage()
  const failed: Array<number> = []
  let first: Simulation.Outcome | undefined
  let calls = 0
  for (let seed = from; seed < from + seeds; seed++) {
    const outcome = await Simulation.run(seed, backend)
    calls += outcome.calls
    if (digests) print(`${backend} ${seed} digest: ${outcome.digest}`)
    if (outcome.violations.length === 0) continue
    failed.push(seed)
    first ??= outcome
    if (isFirstOnly) break
  }
  const { system, user } = process.cpuUsage(began)
  const smallest = first === undefined || isFirstOnly ? first : await Simulation.shrink(first)
  return {
    backend,
    from,
    seeds,
    calls,
    failed,
    cpuMillis: (user + system) / 1000,
    ...(smallest === undefined ? {} : { test: `${smallest.violations.join("\n")}\n${Simulation.toTest(smallest)}` })
  }
}

const marker = "summary: "

/** Runs a range in a process of its own. */
const inWorker = (range: Range, digests: boolean): Effect.Effect<Summary, Plain> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [
      // A run leaves nothing behind, so a large space for what is young saves most of the garbage collector's work.
      "--max-semi-space-size=64",
      fileURLToPath(import.meta.url),
      "--worker",
      `--backend=${range.backend}`,
      `--from=${range.from}`,
      `--seeds=${range.seeds}`,
      ...(digests ? ["--digests"] : [])
    ], { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    child.stdout.on("data", (data) => (output += data))
    child.on("error", (error) => resume(Effect.fail({ message: error.message })))
    child.on("close", (code) => {
      const [lines = "", json] = output.split(marker)
      if (lines !== "") process.stdout.write(lines)
      resume(
        json === undefined
          ? Effect.fail({ message: `a worker ended with code ${code} and without a summary` })
          : Effect.succeed(JSON.parse(json) as Summary)
      )
    })
    return Effect.sync(() => void child.kill())
  })

const least = 1_000

/** The seeds of each backend. */
const mix = (seeds: number, from: number): ReadonlyArray<Range> => {
  const each = seeds >= least * 4 ? Math.max(least, Math.floor(seeds / 10)) : Math.floor(seeds / 10)
  const others = Simulation.backendNames.filter((backend) => backend !== "memory")
  return [
    ...others.map((backend) => ({ backend, from, seeds: each })),
    { backend: "memory" as const, from, seeds: seeds - each * others.length }
  ]
}

/** Divides ranges into parts, one of each in turn, so that workers end at about the same time. */
const divide = (ranges: ReadonlyArray<Range>, parts: number): ReadonlyArray<Range> =>
  Array.from({ length: parts }, (_, part) =>
    ranges.flatMap(({ backend, from, seeds }) => {
      const begin = Math.floor(seeds * part / parts)
      const end = Math.floor(seeds * (part + 1) / parts)
      return end > begin ? [{ backend, from: from + begin, seeds: end - begin }] : []
    })).flat()

const backendNamed = (name: string | undefined): Effect.Effect<Simulation.BackendName | undefined, Plain> => {
  const backend = Simulation.backendNames.find((one) => one === name)
  return name === undefined || backend !== undefined
    ? Effect.succeed(backend)
    : Effect.fail({ message: `there is no backend "${name}"; there are: ${Simulation.backendNames.join(", ")}` })
}

const integer = (option: string, text: string): Effect.Effect<number, Plain> => {
  const value = Number(text)
  return Number.isInteger(value) && value >= 1
    ? Effect.succeed(value)
    : Effect.fail({ message: `--${option} must be an integer ≥ 1, got ${text}` })
}

const report = (ranges: ReadonlyArray<Range>, summaries: ReadonlyArray<Summary>, millis: number): number => {
  for (const backend of new Set(ranges.map((range) => range.backend))) {
    const own = summaries.filter((summary) => summary.backend === backend)
    const sum = (of: (summary: Summary) => number) => own.reduce((total, one) => total + of(one), 0)
    const seeds = sum((one) => one.seeds)
    if (seeds === 0) continue
    print(
      `${backend}: ${seeds} seeds, ${(sum((one) => one.calls) / seeds).toFixed(1)} calls a seed, ` +
        `${Math.round(seeds / (sum((one) => one.cpuMillis) / 1000))} seeds a CPU second`
    )
  }
  const seeds = summaries.reduce((total, one) => total + one.seeds, 0)
  const calls = summaries.reduce((total, one) => total + one.calls, 0)
  print(`${seeds} seeds in ${(millis / 1000).toFixed(1)} s, ${(calls / seeds).toFixed(1)} calls a seed`)
  const failed = summaries.filter((summary) => summary.failed.length > 0)
  for (const summary of failed) {
    print(`\n${summary.backend}: the seeds ${summary.failed.join(", ")} break an invariant. The first, shrunk:`)
    print(summary.test ?? "")
  }
  return failed.length === 0 ? 0 : 1
}

const simulate = Effect.gen(function*() {
  const { values } = yield* Effect.try({
    try: () => parseArgs({ options }),
    catch: (error): Plain => ({ message: (error as Error).message })
  })
  const seeds = yield* integer("seeds", values.seeds)
  const from = yield* integer("from", values.from)
  const backend = yield* backendNamed(values.backend)
  if (values.worker) {
    const range = { backend: backend ?? "memory", from, seeds }
    print(`${marker}${JSON.stringify(yield* Effect.promise(() => runRange(range, values.digests, values.first)))}`)
    return 0
  }
  const workers = values.workers === undefined ? cpus().length : yield* integer("workers", values.workers)
  const began = Date.now()
  const ranges = backend === undefined ? mix(seeds, from) : [{ backend, from, seeds }]
  const seconds = values.seconds === undefined ? undefined : yield* integer("seconds", values.seconds)
  const isOver = () => seconds !== undefined && Date.now() - began > seconds * 1000
  // Parts are small where time decides, and each costs the start of a process.
  const parts = divide(ranges, Math.max(1, Math.ceil(seeds / (seconds === undefined ? 2_000 : 250))))
  const summaries = yield* Effect.forEach(
    parts,
    (range) => isOver() ? Effect.succeed([]) : Effect.map(inWorker(range, values.digests), (summary) => [summary]),
    { concurrency: workers }
  )
  return report(ranges, summaries.flat(), Date.now() - began)
})

main(simulate)
