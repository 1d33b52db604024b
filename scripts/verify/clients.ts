/**
 * Programs of others that the unit tests run: clients of the Hetzner Cloud, which drive the fake, and sshd, behind which
 * an engine is reached. On CI they are installed, elsewhere they are used where they are.
 */
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { onCi } from "../engine/engine.ts"
import { hasCommand, install, missingOf, type Need, whyNotInstalled } from "../engine/packages.ts"
import type { Outcome, Step } from "./step.ts"

const NEEDS: ReadonlyArray<Need> = [
  { package: "hcloud-cli", present: () => hasCommand("hcloud") },
  { package: "python3-hcloud", present: () => existsSync("/usr/lib/python3/dist-packages/hcloud/__init__.py") },
  { package: "openssh-server", present: () => existsSync("/usr/sbin/sshd") },
  { package: "openssh-client", present: () => hasCommand("ssh") && hasCommand("ssh-keygen") }
]

export const stockClients: Step["run"] = (context) =>
  Effect.gen(function*() {
    const missing = missingOf(NEEDS)
    const outcome = (status: "ok" | "failed", output: string): Outcome => ({ status, output })
    if (missing.length === 0) return outcome("ok", "All are installed.")
    if (!onCi()) return outcome("ok", `${missing.join(" and ")} not installed: their tests are skipped.`)
    const obstacle = whyNotInstalled(missing)
    if (obstacle !== undefined) return outcome("failed", obstacle)
    yield* install(missing, (line) => context.onOutput?.(`${line}\n`))
    return outcome("ok", `Installed ${missing.join(" and ")}.`)
  })
