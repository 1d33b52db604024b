import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { ClusterName } from "kubelayer/Model"
import type { ClusterSpec, CreateFailure } from "kubelayer/Provider"
import { InvalidSpec } from "kubelayer/ProviderError"
import { AlreadyDone, OperationReport } from "kubelayer/Report"
import { locked, nodesOf, type Right, withOutcome, type Wrong } from "./Wrong.ts"

type Create = (spec: ClusterSpec) => Effect.Effect<OperationReport, CreateFailure>

const creating = (f: (create: Create, right: Right) => Create): Wrong["make"] => (right) => ({
  creator: { createNodes: f(right.creator.createNodes, right) }
})

const removeAll = ({ memory }: Right, cluster: string) =>
  Effect.flatMap(
    nodesOf(memory, cluster),
    (nodes) => Effect.forEach(nodes, (node) => Effect.ignore(memory.removeNode(node.name)), { discard: true })
  )

const isFailedFor = (tag: string) => (error: CreateFailure): boolean =>
  error._tag === "NodesNotCreated" && error.reasons.some((reason) => reason._tag === tag)

const empty = (cluster: string): OperationReport =>
  new OperationReport({
    operation: "createNodes",
    clusterName: cluster as ClusterName,
    outcomes: [],
    durationMillis: 0
  })

export const create: ReadonlyArray<Wrong> = [
  {
    does: "leaves nodes stopped that it finds stopped",
    breaks: "create.starts",
    make: creating((create, { memory }) => (spec) =>
      Effect.flatMap(nodesOf(memory, spec.cluster), (before) => {
        const stopped = before.filter(({ state }) => state === "stopped")
        return Effect.tap(
          create(spec),
          () => Effect.forEach(stopped, ({ name }) => Effect.ignore(memory.setState(name, "stopped")))
        )
      })
    )
  },
  {
    does: "leaves nodes detached that it finds detached",
    breaks: "create.repairs",
    make: creating((create, { memory }) => (spec) =>
      Effect.flatMap(nodesOf(memory, spec.cluster), (before) => {
        const detached = before.filter(({ isConnected }) => !isConnected)
        return Effect.tap(
          create(spec),
          () => Effect.forEach(detached, ({ name }) => Effect.ignore(memory.disconnect(name)))
        )
      })
    )
  },
  {
    does: "takes a node for created that is gone again",
    breaks: "create.checked",
    make: creating((create) => (spec) =>
      Effect.catchIf(create(spec), isFailedFor("NotFoundError"), () => Effect.succeed(empty(spec.cluster)))
    )
  },
  {
    does: "fails where another client creates the same cluster at the same time",
    breaks: "create.two",
    make: creating((create, { memory }) => (spec) =>
      Effect.flatMap(nodesOf(memory, spec.cluster), (before) =>
        Effect.filterOrFail(
          create(spec),
          ({ outcomes }) =>
            before.length > 0 ||
            !outcomes.some(({ kind, outcome }) => kind !== "node" && outcome._tag === "AlreadyDone"),
          () => locked(spec.cluster)
        ))
    )
  },
  {
    does: "removes the whole cluster where it is interrupted",
    breaks: "create.two-stays",
    make: creating((create, right) => (spec) => Effect.onInterrupt(create(spec), () => removeAll(right, spec.cluster)))
  },
  {
    does: "reports a create that made everything as AlreadyDone",
    breaks: "create.makes",
    make: creating((create) => (spec) =>
      Effect.map(create(spec), (report) =>
        report.outcomes.some(({ outcome }) => outcome._tag === "AlreadyDone")
          ? report
          : new OperationReport({
            ...report,
            outcomes: report.outcomes.map((entry) => withOutcome(entry, new AlreadyDone({})))
          }))
    )
  },
  {
    does: "makes the nodes and does not start them",
    breaks: ["create.makes"],
    make: creating((create, { memory }) => (spec) =>
      Effect.tap(
        create(spec),
        () =>
          Effect.flatMap(nodesOf(memory, spec.cluster), (nodes) =>
            Effect.forEach(nodes, (node) => Effect.ignore(memory.setState(node.name, "stopped"))))
      )
    )
  },
  {
    does: "fails to create what is there already",
    breaks: "create.again",
    make: creating((create, { memory }) => (spec) =>
      Effect.flatMap(
        nodesOf(memory, spec.cluster),
        (nodes) =>
          nodes.length === spec.controlPlanes + spec.workers &&
            nodes.every(({ isConnected, state }) => isConnected && state === "running")
            ? Effect.fail(locked(spec.cluster))
            : create(spec)
      )
    )
  },
  {
    does: "makes a cluster anew where a node of it is missing",
    breaks: "create.missing",
    make: creating((create, right) => (spec) =>
      Effect.flatMap(
        nodesOf(right.memory, spec.cluster),
        (nodes) =>
          nodes.length > 0 && nodes.length === spec.controlPlanes + spec.workers - 1
            ? Effect.andThen(removeAll(right, spec.cluster), create(spec))
            : create(spec)
      )
    )
  },
  {
    does: "takes a cluster that differs for the one that is asked for",
    breaks: "create.differs",
    make: creating((create) => (spec) =>
      Effect.catchReason(create(spec), "BackendError", "Differs", () =>
        Effect.succeed(
          new OperationReport({
            operation: "createNodes",
            clusterName: spec.cluster as ClusterName,
            outcomes: [],
            durationMillis: 0
          })
        ))
    )
  },
  {
    does: "removes the nodes that are not asked for",
    breaks: ["create.differs"],
    make: creating((create, right) => (spec) =>
      Effect.catchReason(
        create(spec),
        "BackendError",
        "Differs",
        () => Effect.andThen(removeAll(right, spec.cluster), create(spec))
      )
    )
  },
  {
    does: "clears away what holds the name of a node",
    breaks: "create.name-held",
    make: creating((create, { memory }) => (spec) =>
      Effect.andThen(
        Effect.flatMap(memory.world, ({ unlabelled }) =>
          Effect.forEach(unlabelled, ({ name }) => memory.removeUnlabelled(name), { discard: true })),
        create(spec)
      )
    )
  },
  {
    does: "tells only the first fault of a spec",
    breaks: "create.spec",
    make: creating((create) => (spec) =>
      Effect.catchTag(
        create(spec),
        "InvalidSpec",
        ({ issues }) => Effect.fail(new InvalidSpec({ issues: issues.slice(0, 1) }))
      )
    )
  },
  {
    does: "creates clusters with names in capital letters",
    breaks: "create.names",
    make: creating((create) => (spec) => create({ ...spec, cluster: spec.cluster.toLowerCase() }))
  },
  {
    does: "leaves what it made where a node fails",
    breaks: "create.failed",
    make: creating((create, right) => (spec) =>
      Effect.flatMap(nodesOf(right.memory, spec.cluster), (nodes) =>
        nodes.length > 0
          ? create(spec)
          : Effect.onInterrupt(
            create({ ...spec, onFailure: "keep" }),
            () =>
              Effect.flatMap(nodesOf(right.memory, spec.cluster), (made) =>
                made.every(({ state }) => state === "running") ? Effect.void : removeAll(right, spec.cluster))
          ))
    )
  },
  {
    does: "removes the whole cluster where a node fails",
    breaks: "create.failed-own",
    make: creating((create, right) => (spec) =>
      spec.onFailure === "keep"
        ? create(spec)
        : Effect.tapErrorTag(create(spec), "NodesNotCreated", () => removeAll(right, spec.cluster))
    )
  },
  {
    does: "removes what it made although it was told to keep it",
    breaks: "create.keep",
    make: creating((create) => (spec) => create({ ...spec, onFailure: "remove" }))
  },
  {
    does: "goes on with a create that was interrupted",
    breaks: "create.interrupted",
    make: creating((create) => (spec) => Effect.flatMap(Effect.forkDetach(create(spec)), Fiber.join))
  },
  {
    does: "leaves the nodes of a scope that closes",
    breaks: "create.scoped",
    make: ({ creator }) => ({ creator: { createNodesScoped: creator.createNodes } })
  }
]
