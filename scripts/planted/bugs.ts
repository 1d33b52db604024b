/** Wrong versions of the library: each is one replacement in one file. The simulation has to find them. */
import type { BackendName } from "../../src/testing/Simulation.ts"

export interface Bug {
  readonly name: string
  /** Below `src`. */
  readonly file: string
  readonly find: string
  readonly replace: string
  /** The backend on which it is visible; Memory by default. */
  readonly backend?: BackendName
}

const engine = "internal/engine"

export const bugs: ReadonlyArray<Bug> = [
  // Ownership
  {
    name: "an unlabelled thing counts as one of the cluster",
    file: `${engine}/Diff.ts`,
    find: "if (!isOwn && !isShared) {",
    replace: "if (!isOwn && !isShared && owner !== undefined) {"
  },
  {
    name: "nodes of every cluster are surplus",
    file: `${engine}/Diff.ts`,
    find: "if (owner?.cluster !== cluster || resource",
    replace: "if (owner === undefined || resource"
  },
  {
    name: "operations act on the things of all clusters",
    file: `${engine}/Look.ts`,
    find: "resource.owner(actual, world)?.cluster === cluster)",
    replace: "resource.owner(actual, world) !== undefined)"
  },
  {
    name: "a roll-back removes everything of the cluster",
    file: `${engine}/Undo.ts`,
    find: "return owner?.operation === run.mark.operation && owner.cluster === run.cluster",
    replace: "return owner?.cluster === run.cluster"
  },
  {
    name: "replaceNodes uses the name of something that the cluster does not own",
    file: `${engine}/Scale.ts`,
    find: " || step.holder !== undefined",
    replace: ""
  },
  {
    name: "a sweep removes what an exited process has finished",
    file: `${engine}/Sweep.ts`,
    find: ": resource !== backend.node && !inhabited.has(owner.cluster)",
    replace: ": true"
  },
  {
    name: "a sweep removes things of processes that run",
    file: `${engine}/Sweep.ts`,
    find: "if (!(yield* ownerProcessExited(session))) continue",
    replace: ""
  },
  {
    name: "nodes carry no mark of their operation",
    file: "memory/Backend.ts",
    find: "isConnected: true,\n          mark: markOf(task.mark)",
    replace: "isConnected: true"
  },
  {
    name: "networks carry no owner label",
    file: "docker/Networks.ts",
    find: "const labels = wanted.shared",
    replace: "const labels = true",
    backend: "docker"
  },
  // Create
  {
    name: "a create ends without a last list",
    file: `${engine}/Create.ts`,
    find: "const world = yield* finalCheck<Read, Write>(context, all, { ...options.diff, cluster: options.cluster })",
    replace: "const world = run.world"
  },
  {
    name: "a create succeeds though a node has failed",
    file: `${engine}/Create.ts`,
    find: "if (report.isFailure) return yield* new NodesNotCreated({ report, leftovers: [] })",
    replace: ""
  },
  {
    name: "a create that was interrupted leaves its things",
    file: `${engine}/Create.ts`,
    find: "Exit.isFailure(exit) && !isClean && created.isAny()",
    replace: "false"
  },
  {
    name: "a clean-up does not wait for requests in flight",
    file: `${engine}/Create.ts`,
    find: "created.awaitReplies,\n        Effect.suspend",
    replace: "Effect.void,\n        Effect.suspend"
  },
  {
    name: "onFailure is read the wrong way round",
    file: `${engine}/Create.ts`,
    find: "options.onFailure === \"keep\"",
    replace: "options.onFailure !== \"keep\""
  },
  {
    name: "leftovers of a roll-back are never removed",
    file: `${engine}/Create.ts`,
    find: "yield* removeUndone(context, undone)",
    replace: ""
  },
  {
    name: "added nodes do not keep the network that they use",
    file: `${engine}/Create.ts`,
    find: "return isBelow ? owner.operation ?? [] : []",
    replace: "return isBelow ? [] : []"
  },
  {
    name: "stopped nodes are not started by a create",
    file: `${engine}/Diff.ts`,
    find: "action: runs ? action : \"start\"",
    replace: "action"
  },
  {
    name: "created nodes are not started",
    file: `${engine}/CarryOut.ts`,
    find: "yield* startNodes<Read, Write>(context, nodes)",
    replace: "yield* Effect.void"
  },
  {
    name: "a create without reply is sent again without a list",
    file: `${engine}/CreateOne.ts`,
    find: "const found = world.of<unknown>(resource).find((actual) =>",
    replace: "const found = [].find((actual) =>"
  },
  {
    name: "a connection that was cut counts as a request that was not carried out",
    file: `${engine}/CreateOne.ts`,
    find: "hasNoReply(error) || backend.mayStillHappen?.(error) === true",
    replace: "backend.mayStillHappen?.(error) === true"
  },
  {
    name: "a create does not know its own things after a lost reply",
    file: `${engine}/CreateOne.ts`,
    find: "if (owner?.operation === run.mark.operation && owner.cluster === run.cluster) {",
    replace: "if (false) {"
  },
  {
    name: "a disconnected node counts as complete",
    file: "memory/Backend.ts",
    find: "const connection = entry.isConnected",
    replace: "const connection = true"
  },
  {
    name: "a node outside of its network counts as complete",
    file: "docker/Nodes.ts",
    find: "requested: name, remedy: \"repair\" })]",
    replace: "requested: name, remedy: \"repair\" })].slice(1)",
    backend: "docker"
  },
  {
    name: "a create reports what existed as created",
    file: `${engine}/CarryOut.ts`,
    find: "return isNodeItem(context, item) ? undefined : isChanged ? done : alreadyDone",
    replace: "return isNodeItem(context, item) ? undefined : done"
  },
  {
    name: "a roll-back reports what it removed as created",
    file: `${engine}/Undo.ts`,
    find: "return rolledBack(run, { kind: subject.kind, name: subject.name })",
    replace: "return Effect.void"
  },
  {
    name: "a clean-up removes nothing",
    file: `${engine}/Undo.ts`,
    find: "if (found.length === 0) break",
    replace: "break"
  },
  // Fates
  {
    name: "a roll-back ignores that another create has adopted",
    file: `${engine}/Undo.ts`,
    find: "if (decided === \"adopted\") {",
    replace: "if (false) {"
  },
  {
    name: "a create uses the things of another one without a decision",
    file: `${engine}/CreateOne.ts`,
    find: "if (backend.fates === undefined || engine.hasFinished(operation))",
    replace: "if (true)"
  },
  {
    name: "all operations share one decision",
    file: "docker/Fates.ts",
    find: "Name: `${prefix}${operation}`, Labels",
    replace: "Name: `${prefix}all`, Labels",
    backend: "docker"
  },
  // Delete
  {
    name: "a delete leaves networks and volumes",
    file: `${engine}/Delete.ts`,
    find: "for (const wave of waves.success) {",
    replace: "for (const wave of []) {"
  },
  {
    name: "a removal that failed counts as done by another client",
    file: `${engine}/Remove.ts`,
    find: "Effect.catchIf((error) => isReason(error, \"NotFoundError\"), () => Effect.succeed<Outcome>",
    replace: "Effect.catchIf(() => true, () => Effect.succeed<Outcome>"
  },
  {
    name: "removeNodes removes all nodes",
    file: `${engine}/Power.ts`,
    find: "const nodes = all.filter(({ info }) => names.has(info.name))",
    replace: "const nodes = all"
  },
  {
    name: "a delete forgets no decision",
    file: `${engine}/Undo.ts`,
    find: "[...operations].filter((operation) => !used.has(operation)),",
    replace: "[],",
    backend: "docker"
  },
  // Power
  {
    name: "a start leaves control planes out",
    file: `${engine}/Power.ts`,
    find: "...controlPlaneWaves(power, nodes.filter(isControlPlane)),",
    replace: ""
  },
  {
    name: "a stop leaves control planes out",
    file: `${engine}/Power.ts`,
    find: "later: [nodes.filter(isControlPlane)],",
    replace: "later: [],"
  },
  {
    name: "a stop starts the node",
    file: "memory/Backend.ts",
    find: "answered(write.stop(entry))",
    replace: "answered(write.start(entry))"
  },
  {
    name: "a start of a stopped container sends nothing",
    file: "docker/Power.ts",
    find: "return task.send(\"start\", write.client.startContainer(Id)).pipe(",
    replace: "return Effect.succeed(\"Started\").pipe(",
    backend: "docker"
  },
  {
    name: "an operation goes on after it was interrupted",
    file: `${engine}/Services.ts`,
    find: "yield* Operation.bounded(run.operation)(body(run))",
    replace: "yield* Effect.uninterruptible(Operation.bounded(run.operation)(body(run)))"
  },
  // Scale
  {
    name: "replaceNodes does not create the node again",
    file: `${engine}/Scale.ts`,
    find: "const items = compare(wants, world)",
    replace: "const items = []"
  },
  {
    name: "addNodes adds one node too many",
    file: "memory/Spec.ts",
    find: "found.length < count",
    replace: "found.length <= count"
  },
  // Reads and watches
  {
    name: "a watch does not list again after a change",
    file: `${engine}/SharedWatch.ts`,
    find: "changes++",
    replace: ""
  },
  {
    name: "a watch leaves out a status of the same cluster",
    file: `${engine}/SharedWatch.ts`,
    find: "JSON.stringify(a) === JSON.stringify(b)",
    replace: "a.clusterName === b?.clusterName"
  },
  {
    name: "lists leave out containers that do not run",
    file: "docker/Client.ts",
    find: "all: \"true\", filters",
    replace: "all: \"false\", filters",
    backend: "docker"
  },
  {
    name: "a plan leaves out the start of a node",
    file: `${engine}/Diff.ts`,
    find: "(resource.info(found, cluster, world) as NodeInfo).state === \"running\"",
    replace: "true"
  },
  {
    name: "a plan writes",
    file: `${engine}/Services.ts`,
    find: "const target = yield* guarded(\"target\", () => backend.target)\n    return toPlan",
    replace:
      "const target = yield* guarded(\"target\", () => backend.target)\n    yield* Effect.ignore(backend.write.forgetFate?.(\"none\") ?? Effect.void)\n    return toPlan"
  },
  {
    name: "an error of a reply becomes a defect",
    file: "docker/Errors.ts",
    find: "export const parseJson",
    replace: "export const parseJson = JSON.parse\nconst unused",
    backend: "docker"
  }
]
