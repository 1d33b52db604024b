/** The simulation: a seed gives one run, and the invariants hold. */
import { assert, describe, it } from "@effect/vitest"
import { Simulation } from "kubelayer/testing"

/** Runs take no time to wait, but a machine may be busy. */
const patience = 300_000

const backends = ["memory", "docker", "hetzner"] as const

describe.each(backends)("a simulated run over %s", (backend) => {
  it("takes the same steps again for the same seed", async () => {
    // The first run loads modules.
    await Simulation.run(0, backend)
    for (let seed = 1; seed <= 3; seed++) {
      const [first, second] = [await Simulation.run(seed, backend), await Simulation.run(seed, backend)]
      assert.deepStrictEqual(second.log, first.log)
      assert.strictEqual(second.digest, first.digest)
    }
  }, patience)

  it("breaks no invariant", async () => {
    let calls = 0
    for (let seed = 1; seed <= 15; seed++) {
      const outcome = await Simulation.run(seed, backend)
      calls += outcome.calls
      assert.deepStrictEqual(outcome.violations, [], `seed ${seed}`)
    }
    assert.isAtLeast(calls / 15, 40)
  }, patience)
})

describe("a script that once broke an invariant", () => {
  it("adds no node to the remains of a create that was undone", async () => {
    const outcome = await Simulation.replay({
      backend: "memory",
      seed: 715,
      bystander: false,
      clusters: [{ name: "dev", controlPlanes: 3, workers: 0 }],
      unowned: [],
      actors: [[{ do: "replace", cluster: "dev", node: "dev-worker2" }]],
      faults: [{ call: 13, fault: "page" }, { call: 16, fault: "page" }],
      changes: []
    })
    assert.deepStrictEqual(outcome.violations, [])
  }, patience)
})

describe("a script", () => {
  it("is the same for the same seed, and another one for another", () => {
    assert.deepStrictEqual(Simulation.generate(7, "memory"), Simulation.generate(7, "memory"))
    assert.notDeepEqual(Simulation.generate(7, "memory").actors, Simulation.generate(8, "memory").actors)
  })
})
