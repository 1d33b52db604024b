/**
 * Deterministic simulation of a backend: several programs create, scale, start, stop, sweep and watch clusters at once,
 * over the fakes of this library. Faults, crashes and changes by others happen between any two calls.
 *
 * A seed decides everything: the clusters, the actors, the faults, the latencies, and which fiber runs next. The same
 * seed gives the same run, and the same digest. After each run the invariants are checked: no unowned thing was
 * changed, nothing is left over, no node exists twice, reports and watches are true, and every call has ended.
 *
 * @since 0.2.0
 */
import { makeDockerWorld } from "./simulation/DockerWorld.ts"
import { makeHetznerWorld } from "./simulation/HetznerWorld.ts"
import { makeMemoryWorld } from "./simulation/MemoryWorld.ts"
import { type Outcome, runScript } from "./simulation/Run.ts"
import { type BackendName, generate, type Script } from "./simulation/Script.ts"
import * as Shrink from "./simulation/Shrink.ts"
import type { MakeWorld } from "./simulation/SimulatedWorld.ts"

export type { Outcome } from "./simulation/Run.ts"
export {
  type BackendName,
  backendNames,
  type Change,
  type ClusterSize,
  type Ending,
  type FaultName,
  generate,
  type Script,
  type Step,
  type Work
} from "./simulation/Script.ts"

const worlds: { readonly [B in BackendName]: MakeWorld } = {
  memory: makeMemoryWorld,
  docker: makeDockerWorld,
  hetzner: makeHetznerWorld
}

/**
 * Runs a script.
 *
 * @category running
 * @since 0.2.0
 */
export const replay = (script: Script): Promise<Outcome> => runScript(script, worlds[script.backend])

/**
 * Runs the script of a seed.
 *
 * @category running
 * @since 0.2.0
 */
export const run = (seed: number, backend: BackendName = "memory"): Promise<Outcome> => replay(generate(seed, backend))

/**
 * Runs smaller and smaller scripts that break the same invariant, and returns the smallest outcome.
 *
 * @category running
 * @since 0.2.0
 */
export const shrink = (outcome: Outcome): Promise<Outcome> => Shrink.shrink(outcome, replay)

/**
 * The run of an outcome as the text of a test, with its script.
 *
 * @category printing
 * @since 0.2.0
 */
export const toTest: (outcome: Outcome) => string = Shrink.printTest
