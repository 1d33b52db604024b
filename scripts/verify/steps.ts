/** The checks of the project, in the order in which they are started. */
import * as Effect from "effect/Effect"
import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { endpointOf } from "../engine/api.ts"
import { onCi } from "../engine/engine.ts"
import { withNodeImages } from "../engine/image.ts"
import { CommandFailed, run, type RunOptions } from "../lib/exec.ts"
import { pack, ROOT } from "../lib/pack.ts"
import { chromium } from "../site/browser.ts"
import { ansible } from "./ansible.ts"
import { stockClients } from "./clients.ts"
import { onPodman } from "./podman.ts"
import type { Outcome, Step, StepContext } from "./step.ts"
import { runTests } from "./vitest.ts"

type Command = readonly [command: string, ...args: ReadonlyArray<string>]

/** Long enough for a child to delete its containers. */
const GRACE_MILLIS = 30_000

const runCommands = Effect.fnUntraced(function*(
  commands: ReadonlyArray<Command>,
  context: StepContext,
  env: RunOptions["env"] = {}
) {
  let output = ""
  for (const [command, ...args] of commands) {
    const finished = yield* run(command, args, {
      cwd: ROOT,
      env,
      graceMillis: GRACE_MILLIS,
      ...(context.onOutput && { onOutput: context.onOutput })
    })
    if (finished.code !== 0) return yield* new CommandFailed({ finished })
    output += finished.output
  }
  const outcome: Outcome = { status: "ok", output }
  return outcome
})

/** A step that is one or more commands, each of which must end with 0. */
const commands = (...list: ReadonlyArray<Command>): Step["run"] => (context) => runCommands(list, context)

const packageChecks: Step["run"] = Effect.fnUntraced(function*(context) {
  const tarball = yield* pack(context.directory)
  return yield* runCommands([
    ["publint", tarball, "--strict"],
    ["attw", tarball, "--profile", "esm-only", "--no-definitely-typed"]
  ], context)
})

const smoke: Step["run"] = (context) =>
  Effect.suspend(() => {
    // The package checks have put the tarball there, unless they were not chosen for this run.
    const tarballs = readdirSync(context.directory).filter((name) => name.endsWith(".tgz"))
    const paths = tarballs.map((name) => join(context.directory, name))
    return runCommands([["node", "scripts/smoke.ts", ...paths]], context)
  })

/** The nodes use small images, which are imported into the engine for the time of the tests. */
const engineTests: Step["run"] = (context) =>
  Effect.suspend((): ReturnType<Step["run"]> => {
    const { dockerHost, kind } = context.engine
    const endpoint = endpointOf(dockerHost)
    if (endpoint === undefined || !("socketPath" in endpoint)) {
      const outcome: Outcome = { status: "skipped", why: `they need an engine on a unix socket, not at ${dockerHost}` }
      return Effect.succeed(outcome)
    }
    const env = { KUBELAYER_ENGINE: dockerHost, KUBELAYER_ENGINE_KIND: kind }
    return Effect.scoped(
      Effect.andThen(withNodeImages(endpoint.socketPath), runTests("engine", context, env))
    )
  })

/** The pages are opened in Chromium, which CI must have. */
const site: Step["run"] = (context) =>
  Effect.suspend(() => {
    const opens = chromium() !== undefined || onCi() ? ["--check"] : []
    return runCommands([["node", "scripts/site.ts", ...opens]], context)
  })

const unitTests = "unit tests"

/** The unit tests `times` times, each time in another order; the name of a step has the seed of its order. */
export const repeated = (times: number) => (step: Step): ReadonlyArray<Step> =>
  step.name !== unitTests
    ? [step]
    : Array.from({ length: times }, (_, index): Step => ({
      ...step,
      name: `${unitTests}, seed ${index + 1}`,
      alone: true,
      run: (context) => runTests("unit", context, {}, [], ["--sequence.shuffle", `--sequence.seed=${index + 1}`])
    }))

export const steps: ReadonlyArray<Step> = [
  { name: "format", run: commands(["dprint", "check"]) },
  { name: "lint", run: commands(["oxlint"]) },
  { name: "types", run: commands(["tsc", "--noEmit"]) },
  { name: "unused", run: commands(["knip", "--no-progress"]) },
  {
    name: "build",
    run: (context) =>
      Effect.suspend(() => {
        // A file whose source is gone would be packed for ever.
        rmSync(join(ROOT, "dist"), { recursive: true, force: true })
        return runCommands([["npm", "run", "build"]], context)
      })
  },
  { name: "stock clients", run: stockClients },
  { name: unitTests, after: ["stock clients"], run: (context) => runTests("unit", context) },
  { name: "fleet crashes", alone: true, run: (context) => runTests("crash", context) },
  {
    name: "slow fleet crashes",
    full: true,
    alone: true,
    run: (context) => runTests("crash", context, { KUBELAYER_FULL: "1" })
  },
  { name: "package", after: ["build"], run: packageChecks },
  { name: "smoke", after: ["package"], run: smoke },
  { name: "documents", run: commands(["node", "scripts/docs.ts"]) },
  { name: "quickstart on memory", run: commands(["node", "scripts/quickstart.ts", "--engine", "none", "--plain"]) },
  // Nothing but these seeds, so that the same code has the same result. `--full` tries others.
  {
    name: "simulation",
    alone: true,
    run: commands(["node", "scripts/simulate.ts", "--seeds", "500", "--seconds", "60"])
  },
  {
    name: "more simulation",
    full: true,
    alone: true,
    run: commands(["node", "scripts/simulate.ts", "--from", "501", "--seeds", "100000", "--seconds", "600"])
  },
  {
    name: "quickstart on a fake Hetzner Cloud",
    run: (context) =>
      runCommands([["node", "scripts/quickstart.ts", "--backend", "hetzner", "--plain"]], context, {
        HCLOUD_TOKEN: undefined
      })
  },
  {
    name: "quickstart on a fake Omni",
    run: (context) =>
      runCommands([["node", "scripts/quickstart.ts", "--backend", "omni", "--plain"]], context, {
        OMNI_SERVICE_ACCOUNT_KEY: undefined
      })
  },
  {
    name: "engine tests",
    needsEngine: true,
    alone: true,
    run: engineTests
  },
  {
    name: "quickstart on the engine",
    needsEngine: true,
    alone: true,
    run: (context) =>
      runCommands([["node", "scripts/quickstart.ts", "--engine", "found", "--plain"]], context, {
        DOCKER_HOST: context.engine.dockerHost,
        DOCKER_CONTEXT: undefined
      })
  },
  { name: "quickstart and laws on Podman", alone: true, run: onPodman },
  { name: "Ansible on a fake Hetzner Cloud", full: true, run: ansible },
  { name: "site of the documentation", full: true, run: site }
]
