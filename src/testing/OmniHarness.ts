/**
 * The harness of the fake Omni: it acts through the fake, beside the provider under test.
 *
 * Its clusters run on machines whose power Omni manages, since no others can be stopped and started. Omni creates and
 * deletes a cluster as a whole, so nodes are not created one by one. A machine that powers off right after its start
 * cannot be distinguished from one that is not on yet. Clusters have neither load balancers nor helpers.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { byRoleThenName } from "../internal/Operation.ts"
import { BoundToProcess, randomWord, SessionSource } from "../internal/Session.ts"
import { make as makeOmni } from "../layers/Omni.ts"
import type { NodeState } from "../Model.ts"
import { type Call, Harness, HarnessError, type HarnessService, make as makeHarness, type TrueNode } from "./Harness.ts"
import type { Capability } from "./Law.ts"
import { type FakeResource, OmniFake, type OmniFakeService } from "./OmniFake.ts"

/**
 * The capabilities of a fake Omni.
 *
 * @category constants
 * @since 0.1.0
 */
export const capabilities: ReadonlyArray<Capability> = [
  "calls",
  "change",
  "vanish",
  "fail-start",
  "fail-stop",
  "outage",
  "cut-watches",
  "bystanders",
  "leftovers",
  "secrets",
  "create",
  "plan",
  "scale",
  "restart",
  "select",
  "second",
  "orphans"
]

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Raise it where the fake is slow. */
  readonly patience?: Duration.Input
}

const label = (name: string) => `omni.sidero.dev/${name}`
const clusterOf = ({ labels }: FakeResource): string => labels[label("cluster")] ?? ""

const states: Readonly<Record<string, NodeState>> = {
  BOOTING: "starting",
  INSTALLING: "creating",
  CONFIGURING: "starting",
  RUNNING: "running",
  DESTROYING: "deleting",
  POWERING_ON: "starting",
  POWERED_OFF: "stopped"
}

const trueNode = (machine: FakeResource): TrueNode => ({
  cluster: clusterOf(machine),
  name: machine.labels[label("node-name")] ?? machine.id,
  id: machine.id,
  role: label("role-controlplane") in machine.labels ? "control-plane" : "worker",
  state: states[(machine.spec as { readonly stage?: string }).stage ?? ""] ?? "unknown"
})

/** gRPC's FAILED_PRECONDITION would be a conflict, which is retried; this is a permanent refusal. */
const invalidArgument = 3

/**
 * Makes the harness of a fake Omni.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (fake: OmniFakeService, options: Options = {}): HarnessService => {
  const machinesOf = (ofIt: (cluster: string) => boolean) =>
    Effect.map(
      fake.resources("ClusterMachineStatuses"),
      (all) => all.filter((machine) => ofIt(clusterOf(machine)))
    )
  const nodes = (cluster: string) =>
    Effect.map(
      machinesOf((name) => name === cluster),
      (machines) => machines.map(trueNode).sort(byRoleThenName)
    )
  /** Nodes by id, also deleted ones, so that calls can be reported. */
  const known = new Map<string, TrueNode>()
  const remembered = (cluster: string) =>
    Effect.tap(nodes(cluster), (found) =>
      Effect.sync(() => {
        for (const node of found) known.set(node.id, node)
      }))

  const parts = ["MachineSetNodes", "MachineSets", "ConfigPatches", "Clusters"]

  const removeAll = (prefix: string) =>
    Effect.gen(function*() {
      const machines = yield* machinesOf((name) => name.startsWith(prefix))
      for (const kind of parts) {
        for (const resource of yield* fake.resources(kind)) {
          const cluster = kind === "Clusters" ? resource.id : clusterOf(resource)
          if (cluster.startsWith(prefix)) yield* fake.remove(kind, resource.id)
        }
      }
      for (const { id } of machines) {
        if (known.has(id)) yield* fake.removeMachine(id)
      }
      yield* fake.settled
    })

  const setPower = (id: string, state: "running" | "stopped") =>
    Effect.andThen(fake.changeMachine(id, { power: state === "running" ? "on" : "off" }), fake.settled)

  /** Another client of the fake, as another process has it. */
  const second = Effect.mapError(
    makeOmni({
      endpoint: fake.endpoint,
      serviceAccountKey: fake.serviceAccountKey,
      machines: { matchLabels: [label("available")] }
    }),
    ({ message }) => new HarnessError({ action: "connect a second client", detail: message })
  )

  const bystanding = new Map<string, string>()

  return makeHarness({
    patience: Duration.fromInputUnsafe(options.patience ?? "500 millis"),
    uniqueName: Effect.acquireRelease(Effect.sync(() => `law-${randomWord(6)}`), removeAll),
    nodes: remembered,
    seed: (cluster, { controlPlanes, state, workers }) =>
      Effect.gen(function*() {
        const ids = yield* fake.addCluster(cluster, { controlPlanes, workers, machine: { power: "on" } })
        if (state === "stopped") { for (const id of ids) yield* setPower(id, state) }
        return yield* remembered(cluster)
      })
  }, {
    calls: Effect.gen(function*() {
      const power: Readonly<Record<string, Call["call"]>> = { MachinePowerOn: "start", MachinePowerOff: "stop" }
      for (const machine of yield* fake.resources("ClusterMachineStatuses")) known.set(machine.id, trueNode(machine))
      return (yield* fake.calls).flatMap(({ id, method }): ReadonlyArray<Call> => {
        const call = power[method]
        const node = known.get(id)
        return call === undefined || node === undefined ? [] : [{ call, cluster: node.cluster, node: node.name }]
      })
    }),
    setState: (node, state) => setPower(node.id, state),
    vanish: (node) => Effect.andThen(fake.removeMachine(node.id), fake.settled),
    failing: (call, node) =>
      fake.failWhile({
        method: call === "start" ? "MachinePowerOn" : "MachinePowerOff",
        id: node.id,
        code: invalidArgument,
        message: `the harness refuses to ${call} it`
      }),
    outage: Effect.acquireRelease(fake.setAvailable(false), () => fake.setAvailable(true)),
    cutWatches: fake.cutWatches,
    addBystanders: (cluster) =>
      Effect.gen(function*() {
        for (const [kind, id] of [["ConfigPatches", `200-${cluster}-worker9`], ["MachineClasses", cluster]] as const) {
          yield* Effect.acquireRelease(
            Effect.andThen(
              fake.put(kind, { id, spec: {} }),
              Effect.sync(() => bystanding.set(`${kind} ${id}`, id))
            ),
            () => Effect.andThen(fake.remove(kind, id), Effect.sync(() => bystanding.delete(`${kind} ${id}`)))
          )
        }
        const machine = yield* Effect.acquireRelease(
          fake.addMachine({ hostname: `${cluster}-worker-9` }),
          fake.removeMachine
        )
        bystanding.set(`MachineStatuses ${machine}`, machine)
        yield* fake.settled
      }),
    bystanders: Effect.gen(function*() {
      const lines: Array<string> = []
      for (const [line, id] of bystanding) {
        const found = (yield* fake.resources(line.split(" ")[0] ?? "")).find((resource) => resource.id === id)
        if (found !== undefined) lines.push(`${line} ${found.phase} ${clusterOf(found)}`)
      }
      return lines.sort()
    }),
    // A create that was killed before it came to the cluster leaves such a patch.
    addLeftovers: (cluster) =>
      fake.put("ConfigPatches", {
        id: `200-cluster-${cluster}-left`,
        labels: { [label("cluster")]: cluster },
        spec: {}
      }),
    leftovers: (cluster) =>
      Effect.gen(function*() {
        const isNode = new Set((yield* nodes(cluster)).map(({ id }) => id))
        const found = yield* Effect.forEach(parts, (kind) =>
          Effect.map(fake.resources(kind), (resources) =>
            resources.filter((resource) =>
              (kind === "Clusters" ? resource.id : clusterOf(resource)) === cluster && !isNode.has(resource.id)
            ).map(({ id }) =>
              `${kind} ${id}`
            )))
        return found.flat().sort()
      }),
    second,
    addOrphans: (cluster) =>
      Effect.flatMap(second, ({ creator }) => creator.createNodes({ cluster, controlPlanes: 1, workers: 1 })).pipe(
        // No process can have this id.
        Effect.updateService(SessionSource, (source) => ({
          ...source,
          session: Effect.map(source.session, (session) => session.replace(/\/\d+\//, "/4194999/"))
        })),
        Effect.provideService(BoundToProcess, true),
        Effect.catchIf(
          (error) => error._tag !== "HarnessError",
          ({ message }) => Effect.fail(new HarnessError({ action: `create cluster ${cluster}`, detail: message }))
        ),
        Effect.map((report) => report.outcomes.map(({ name }) => name))
      ),
    secrets: Effect.sync(() => [
      fake.serviceAccountKey,
      // The key contains this, too.
      (JSON.parse(Buffer.from(fake.serviceAccountKey, "base64").toString()) as { pgp_key: string }).pgp_key
        .split("\n").slice(3, 5).join("\n")
    ])
  })
}

/**
 * The harness of the `OmniFake` that the layer under test works on.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Harness, never, OmniFake> =>
  Layer.effect(Harness, Effect.map(OmniFake, (fake) => make(fake, options)))
