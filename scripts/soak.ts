/**
 * Soak: many small clusters through a proxy that lets calls go wrong, each decided by a seed.
 *
 *   npm run soak -- [--seeds 500] [--from 1] [--parallel 4] [--verbose] [--engine found|private|podman|none]
 *
 * One line for each seed that fails, with the command that plays it again; with `--verbose` the whole story of each
 * that fails. The seed decides the world, the operations and the faults; the engine is free in its timing.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { parseArgs } from "node:util"
import { randomWord } from "../src/internal/Session.ts"
import { engineMode, withEngine } from "./engine/engine.ts"
import { main } from "./lib/main.ts"
import { soakImage } from "./soak/image.ts"
import { runSeed, type SeedResult } from "./soak/run.ts"

class BadArguments extends Data.TaggedError("BadArguments")<{ readonly message: string }> {}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const count = (name: string, text: string) =>
  /^\d+$/.test(text)
    ? Effect.succeed(Number(text))
    : Effect.fail(new BadArguments({ message: `--${name} takes a whole number, not "${text}".` }))

const readArguments = Effect.gen(function*() {
  const { values } = yield* Effect.try({
    try: () =>
      parseArgs({
        options: {
          seeds: { type: "string", default: "100" },
          from: { type: "string", default: "1" },
          parallel: { type: "string", default: "4" },
          engine: { type: "string" },
          verbose: { type: "boolean", default: false }
        }
      }),
    catch: (error) => new BadArguments({ message: (error as Error).message })
  })
  return {
    seeds: yield* count("seeds", values.seeds),
    from: yield* count("from", values.from),
    parallel: Math.max(1, yield* count("parallel", values.parallel)),
    mode: yield* engineMode(process.argv.slice(2)),
    verbose: values.verbose
  }
})

const tell = (result: SeedResult, verbose: boolean): void => {
  if (result.problems.length === 0) return
  print(
    `seed ${result.seed}: ${result.problems.join("; ")}  [npm run soak -- --seeds 1 --from ${result.seed} --verbose]`
  )
  if (verbose) { for (const line of result.story) print(`    ${line}`) }
}

const soak = Effect.gen(function*() {
  const { from, mode, parallel, seeds, verbose } = yield* readArguments
  const engine = yield* withEngine({ mode })
  print(engine.why)
  if (engine.kind === "none") return 1
  const image = yield* soakImage(engine)
  const run = randomWord(4)
  const began = Date.now()
  const results: Array<SeedResult> = []
  const summary = () => {
    const minutes = (Date.now() - began) / 60_000
    const sum = (field: "calls" | "faults") => results.reduce((total, result) => total + result[field], 0)
    const failed = results.filter(({ problems }) => problems.length > 0).length
    print(
      `${results.length} seeds, ${failed} failed; ${sum("calls")} calls, ${sum("faults")} faults; ` +
        `${minutes.toFixed(1)} minutes, ${(results.length / minutes).toFixed(0)} seeds a minute.`
    )
    return failed === 0 && results.length > 0 ? 0 : 1
  }
  yield* Effect.forEach(
    Array.from({ length: seeds }, (_, index) => from + index),
    (seed) =>
      Effect.map(runSeed({ dockerHost: engine.dockerHost, image, run }, seed), (result) => {
        results.push(result)
        tell(result, verbose)
      }),
    { concurrency: parallel, discard: true }
  ).pipe(Effect.onInterrupt(() => Effect.sync(summary)))
  return summary()
})

main(Effect.scoped(soak))
