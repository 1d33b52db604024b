/**
 * Runs every check of the project:
 *
 *   node scripts/verify.ts [--engine private|podman|found|none] [--full] [--verbose] [--only <step>,<step>] [--repeat <n>]
 *
 * `--full` adds the checks that take long or download much.
 *
 * One line for each; the output of those that pass is hidden. The last line
 * counts tests and steps. Fails if any failed, or if nothing ran. Without a
 * Docker engine the steps that need one are skipped, and said to be; with
 * CI=true that is a failure.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { delimiter, join } from "node:path"
import { parseArgs } from "node:util"
import { type Engine, engineMode, type Mode, onCi, withEngine } from "./engine/engine.ts"
import { main } from "./lib/main.ts"
import { ROOT } from "./lib/pack.ts"
import { temporaryDirectory } from "./lib/temporary.ts"
import { usages } from "./usage.mjs"
import { lineOf, summary, total } from "./verify/report.ts"
import { type Result, runSteps } from "./verify/schedule.ts"
import { repeated, steps } from "./verify/steps.ts"

class BadArguments extends Data.TaggedError("BadArguments")<{ readonly message: string }> {}

const print = (text: string): void => void process.stdout.write(`${text}\n`)

const readArguments = Effect.gen(function*() {
  const { values } = yield* Effect.try({
    try: () =>
      parseArgs({
        options: {
          engine: { type: "string" },
          full: { type: "boolean", default: false },
          only: { type: "string" },
          repeat: { type: "string", default: "1" },
          verbose: { type: "boolean", default: false }
        }
      }),
    catch: (error) => new BadArguments({ message: `${(error as Error).message}\n\n${usages["verify"]}` })
  })
  const names = values.only?.split(",").map((name) => name.trim())
  const unknown = names?.find((name) => !steps.some((step) => step.name === name))
  if (unknown !== undefined) {
    const known = steps.map(({ name }) => name).join(", ")
    return yield* new BadArguments({ message: `There is no step "${unknown}". The steps are: ${known}.` })
  }
  const chosen = names === undefined
    ? steps.filter(({ full }) => values.full || full !== true)
    : steps.filter(({ name }) => names.includes(name))
  const repeat = Number(values.repeat)
  if (!Number.isInteger(repeat) || repeat < 1) {
    return yield* new BadArguments({ message: `--repeat takes an integer from 1, got "${values.repeat}".` })
  }
  const mode = yield* engineMode(process.argv.slice(2))
  return { chosen: repeat === 1 ? chosen : chosen.flatMap(repeated(repeat)), mode, verbose: values.verbose }
})

/** If a requested engine is missing, only its steps fail; the others run all the same. */
const openEngine = (mode: Mode) =>
  withEngine({ mode, say: print }).pipe(
    Effect.catch((error) => Effect.succeed<Engine>({ kind: "none", dockerHost: "", why: error.message, tried: [] }))
  )

const verify = Effect.gen(function*() {
  const { chosen, mode, verbose } = yield* readArguments
  // The project's own tools, in colours that survive being captured: none.
  process.env["PATH"] = [join(ROOT, "node_modules/.bin"), process.env["PATH"] ?? ""].join(delimiter)
  process.env["NO_COLOR"] = "1"
  delete process.env["FORCE_COLOR"]

  const start = Date.now()
  const results: Array<Result> = []
  const finish = () => print(summary(results, Date.now() - start))
  const checks = Effect.gen(function*() {
    const directory = yield* temporaryDirectory("verify")
    const engine = yield* openEngine(chosen.some((step) => step.needsEngine) ? mode : "none")
    print(`Engine: ${engine.why}`)
    yield* runSteps({
      steps: chosen,
      engineRequired: onCi() || mode === "private" || mode === "podman" || mode === "found",
      context: { directory, engine, ...(verbose && { onOutput: (text) => process.stdout.write(text) }) },
      onResult: (result) => {
        results.push(result)
        print(lineOf(result, verbose))
      }
    })
  })

  yield* Effect.scoped(checks).pipe(
    Effect.onInterrupt(() =>
      Effect.sync(() => {
        print("\nInterrupted. Running steps were stopped and cleaned up.")
        for (const step of chosen.filter((step) => !results.some((result) => result.step === step))) {
          results.push({ step, outcome: { status: "skipped", why: "interrupted" }, millis: 0 })
        }
        finish()
      })
    )
  )
  finish()
  const { failed, passed } = total(results)
  return failed > 0 || passed === 0 ? 1 : 0
})

main(verify)
