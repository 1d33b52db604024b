/**
 * Ansible's collection for the Hetzner Cloud against `HetznerFake`: it creates, changes, reads and deletes one of each
 * resource, and the fake finds no violation.
 *
 * The collection comes with the package `ansible`, which is installed into a virtual environment of the run. Versions for
 * Python before 3.12 read `server.datacenter`, which the API no longer has.
 */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as HetznerFake from "../../src/testing/HetznerFake.ts"
import { CommandFailed, run, runOrFail } from "../lib/exec.ts"
import { ROOT } from "../lib/pack.ts"
import type { Outcome, Step, StepContext } from "./step.ts"

const PYTHONS = ["python3.14", "python3.13", "python3.12", "python3"]
const isRecent = "import sys, venv; sys.exit(sys.version_info < (3, 12))"

const recentPython = Effect.gen(function*() {
  for (const python of PYTHONS) {
    const found = yield* Effect.option(run(python, ["-c", isRecent]))
    if (found._tag === "Some" && found.value.code === 0) return python
  }
  return undefined
})

const TOKEN = "fake-token-of-a-stock-client"

const playbook = Effect.fnUntraced(function*(context: StepContext, venv: string) {
  const fake = yield* HetznerFake.make({ token: TOKEN, duration: "20 millis" })
  const python = join(venv, "bin/python")
  const finished = yield* run(
    join(venv, "bin/ansible-playbook"),
    ["-i", "localhost,", "-e", `ansible_python_interpreter=${python}`, "scripts/verify/ansible.yml"],
    {
      cwd: ROOT,
      env: {
        HCLOUD_ENDPOINT: fake.endpoint,
        HCLOUD_TOKEN: TOKEN,
        // Settings and caches of the user's own are none of this.
        HOME: context.directory,
        ANSIBLE_CONFIG: undefined,
        ANSIBLE_NOCOLOR: "1",
        ANSIBLE_LOCALHOST_WARNING: "false"
      },
      ...(context.onOutput && { onOutput: context.onOutput })
    }
  )
  if (finished.code !== 0) return yield* new CommandFailed({ finished })
  const violations = yield* fake.violations
  const { firewalls, loadBalancers, networks, primaryIps, servers, volumes } = yield* fake.state
  const left = [...servers, ...networks, ...firewalls, ...loadBalancers, ...primaryIps, ...volumes]
  const outcome: Outcome = violations.length + left.length === 0
    ? { status: "ok", output: finished.output }
    : { status: "failed", output: JSON.stringify({ violations, left: left.map(({ name }) => name) }, null, 2) }
  return outcome
})

export const ansible: Step["run"] = Effect.fnUntraced(function*(context): Effect.fn.Return<
  Outcome,
  { readonly message: string }
> {
  const python = yield* recentPython
  if (python === undefined) return { status: "skipped", why: "Ansible needs Python 3.12 or newer" }
  const venv = join(context.directory, "ansible")
  yield* runOrFail(python, ["-m", "venv", venv])
  yield* runOrFail(join(venv, "bin/pip"), ["install", "--quiet", "ansible", "hcloud"])
  return yield* Effect.scoped(playbook(context, venv))
})
