/**
 * The quickstart and a part of the laws on a private Podman engine: on CI it is installed and must work, elsewhere it is
 * used where it is installed.
 */
import * as Effect from "effect/Effect"
import { onCi } from "../engine/engine.ts"
import { importNodeImages } from "../engine/image.ts"
import { missingPackages, whyNotHere } from "../engine/packages.ts"
import { privateEngine } from "../engine/private.ts"
import { CommandFailed, run } from "../lib/exec.ts"
import { ROOT } from "../lib/pack.ts"
import type { Outcome, Step } from "./step.ts"
import { runTests } from "./vitest.ts"

/** The groups of laws that behave differently from engine to engine. */
const laws = "scheme kubelayer.* (?:lifecycle|idempotency|create|watch)[.]"

export const onPodman: Step["run"] = Effect.fnUntraced(function*(context): Effect.fn.Return<
  Outcome,
  { readonly message: string }
> {
  const missing = missingPackages("podman")
  const obstacle = whyNotHere("podman") ??
    (missing.length > 0 && !onCi() ? `${missing.join(", ")} not installed` : undefined)
  if (obstacle !== undefined) {
    return onCi() ? { status: "failed", output: obstacle } : { status: "skipped", why: `Podman: ${obstacle}` }
  }
  return yield* Effect.scoped(Effect.gen(function*() {
    const engine = yield* privateEngine({ kind: "podman", say: (line) => context.onOutput?.(`${line}\n`) })
    const quickstart = yield* run("node", ["scripts/quickstart.ts", "--engine", "found", "--plain"], {
      cwd: ROOT,
      env: { DOCKER_HOST: engine.dockerHost, DOCKER_CONTEXT: undefined },
      graceMillis: 30_000,
      ...(context.onOutput && { onOutput: context.onOutput })
    })
    if (quickstart.code !== 0) return yield* new CommandFailed({ finished: quickstart })
    yield* importNodeImages(engine.socketPath)
    return yield* runTests(
      "engine",
      context,
      { KUBELAYER_ENGINE: engine.dockerHost, KUBELAYER_ENGINE_KIND: "private" },
      ["test/docker/laws.engine.test.ts", "-t", laws]
    )
  }))
})
