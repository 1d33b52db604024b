/** Translation of Omni's stages, phases and roles, including unknown ones, and of the status built from them. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import type { ClusterName, NodeState } from "kubelayer/Model"
import type { ClusterMachineStatusSpec, ClusterSpec, ClusterStatusSpec } from "../../src/omni/proto/specs_pb.ts"
import { isReady, phaseOf, stageOf, toNode, toStatus } from "../../src/omni/Translate.ts"
import type { Resource } from "../../src/omni/Wire.ts"

const dev = "dev" as ClusterName
const o = "omni.sidero.dev/"

const machine = (stage: number, labels: Record<string, string> = {}, phase: "running" | "tearingDown" = "running") =>
  toNode(dev, {
    metadata: { id: "id-1", labels, phase, created: "2026-01-02T03:04:05.000Z" },
    spec: { stage, managementAddress: "fdae::1" }
  } as unknown as Resource<ClusterMachineStatusSpec>)

const said = (spec: object) =>
  ({
    spec: {
      phase: 3,
      ready: true,
      available: true,
      kubernetesAPIReady: true,
      machines: { requested: 1, total: 1, healthy: 1 },
      ...spec
    }
  }) as unknown as Resource<ClusterStatusSpec>

describe("a machine", () => {
  it("is in the state of its stage, and keeps Omni's word for it", () => {
    const expected: ReadonlyArray<readonly [string, NodeState]> = [
      ["UNKNOWN", "unknown"],
      ["BOOTING", "starting"],
      ["INSTALLING", "creating"],
      ["CONFIGURING", "creating"],
      ["RUNNING", "running"],
      ["DESTROYING", "deleting"],
      ["UPGRADING", "starting"],
      ["REBOOTING", "starting"],
      ["SHUTTING_DOWN", "stopping"],
      ["BEFORE_DESTROY", "deleting"],
      ["POWERING_ON", "starting"],
      ["POWERED_OFF", "stopped"]
    ]
    expected.forEach(([raw, state], stage) => {
      assert.deepStrictEqual([machine(stage).rawState, machine(stage).state], [raw, state])
    })
  })

  it("in a stage that does not exist yet is unknown, with the number", () => {
    for (const stage of [12, 99, -1]) {
      assert.deepStrictEqual(stageOf(stage), { raw: String(stage), ours: "unknown" })
      assert.deepStrictEqual(phaseOf(stage), { raw: String(stage), ours: "unknown" })
    }
  })

  it("that leaves its cluster is being deleted, whatever its stage", () => {
    assert.strictEqual(machine(4, {}, "tearingDown").state, "deleting")
  })

  it("is a control plane by its label, else a worker", () => {
    assert.strictEqual(machine(4, { [`${o}role-controlplane`]: "" }).role, "control-plane")
    assert.strictEqual(machine(4, { [`${o}role-worker`]: "" }).role, "worker")
    assert.strictEqual(machine(4).role, "worker")
  })

  it("is called as in Kubernetes, as its host, or by its id", () => {
    assert.strictEqual(machine(4, { [`${o}node-name`]: "n", [`${o}hostname`]: "h" }).name, "n")
    assert.strictEqual(machine(4, { [`${o}hostname`]: "h" }).name, "h")
    assert.strictEqual(machine(4, { [`${o}hostname`]: "" }).name, "id-1")
    assert.deepStrictEqual(machine(4).addresses, { private: ["fdae::1"], public: [] })
    assert.deepStrictEqual(machine(4).createdAt, DateTime.makeUnsafe("2026-01-02T03:04:05Z"))
  })
})

describe("the status of a cluster", () => {
  const of = (spec: object, ...stages: ReadonlyArray<number>) => {
    const { nodesReady, phase, ready } = toStatus(
      dev,
      undefined,
      said(spec),
      stages.map((stage) => machine(stage)),
      "https://omni.example"
    )
    return `${phase} ${ready} ${nodesReady}/${stages.length}`
  }

  it("is what Omni says of it, with the machines counted", () => {
    assert.strictEqual(of({}, 4), "running true 1/1")
    assert.strictEqual(of({ ready: false }, 4), "degraded false 1/1")
    assert.strictEqual(of({ phase: 1 }, 3), "provisioning false 0/1")
    assert.strictEqual(of({ phase: 2 }, 4), "degraded false 1/1")
    assert.strictEqual(of({ phase: 4 }, 4), "deleting false 1/1")
    assert.strictEqual(of({ phase: 0 }, 0), "unknown false 0/1")
    assert.strictEqual(of({ phase: 9 }, 4), "unknown false 1/1")
  })

  it("is stopped when all machines are powered off, and not ready when one is not running", () => {
    assert.strictEqual(of({ ready: false }, 11, 11), "stopped false 0/2")
    assert.strictEqual(of({ machines: { requested: 2, total: 2, healthy: 2 } }, 4, 7), "degraded false 1/2")
    assert.strictEqual(of({ ready: false }, 7, 1), "provisioning false 0/2")
  })

  it("is not ready without machines, though Omni says RUNNING and ready", () => {
    assert.isFalse(isReady(said({ machines: undefined }).spec))
    assert.strictEqual(of({ machines: undefined }), "degraded false 0/0")
  })

  it("keeps Omni's phase and the address of its API", () => {
    const { endpoint, rawPhase } = toStatus(dev, undefined, said({ phase: 1 }), [], "https://omni.example")
    assert.deepStrictEqual([endpoint, rawPhase], ["https://omni.example", "SCALING_UP"])
  })

  it("without a status from Omni is unknown, or is being deleted when its cluster is", () => {
    const cluster = (phase: string) => ({ metadata: { phase } }) as unknown as Resource<ClusterSpec>
    const phase = (of: string) => toStatus(dev, cluster(of), undefined, [machine(4)], "https://omni.example").phase
    assert.deepStrictEqual([phase("running"), phase("tearingDown")], ["unknown", "deleting"])
  })
})
