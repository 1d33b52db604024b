/**
 * Clusters, machine sets and the other resources of a cluster, as the engine handles them.
 *
 * A resource belongs to the cluster of its label if a user owns it; what a controller of Omni owns belongs to no cluster
 * here. `createNodes` uses only clusters that kubelayer created, which an annotation says; a delete removes any.
 */
import type { Message } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type * as Yaml from "yaml"
import { isReason } from "../internal/CallFailures.ts"
import type { Policy } from "../Policy.ts"
import { Conflict, Difference, type Remedy } from "../Reason.ts"
import type { Resource as Kind, Task } from "../Resource.ts"
import type { Reading, Writing } from "./Access.ts"
import * as Labels from "./Labels.ts"
import { type CallFailure, type Kind as WireKind, Kinds, type Resource } from "./State.ts"
import { type Actual, annotationsFor, fieldDifferences } from "./template/Diff.ts"
import { actualOf, kindOf, messageOf } from "./template/Specs.ts"
import type { Expected, KindName } from "./template/Translate.ts"

// The kinds differ in their specs only; what is read and written here are their common parts.
export const wire = (name: KindName): WireKind<Message> => kindOf(name) as unknown as WireKind<Message>

/** A resource in a list. */
interface Listed {
  readonly resource: Resource<Message>
  /** The list was of one cluster, by its name, so that the resource is that cluster's whoever created it. */
  readonly isNamed: boolean
}

interface WantedResource {
  readonly expected: Expected
  /** Fewer machines than there are is refused. */
  readonly forbidsFewer?: boolean
}

// -----------------------------------------------------------------------------
// Differences
// -----------------------------------------------------------------------------

/** The visible part of a content, which may be secret. */
const hidden = "<not shown>"

const json = (value: unknown): Schema.Json => (value === undefined ? null : JSON.parse(JSON.stringify(value)))

/** The differences of a resource as data. */
export const differencesOf = (
  expected: Expected,
  actual: Actual,
  remedyOf: (field: string, requested: unknown, actual: unknown) => Remedy = () => "update"
): ReadonlyArray<Difference> =>
  fieldDifferences(expected, actual).map(({ actual: old, field, isContent, requested }) =>
    new Difference({
      field,
      actual: isContent ? hidden : json(old),
      requested: isContent ? hidden : json(requested),
      remedy: remedyOf(field, requested, old)
    })
  )

/** A resource as a plain value. Kinds with a content are read by a template only, which has the YAML library. */
export const plainOf = (name: KindName, resource: Resource<Message>, yaml?: typeof Yaml): Actual =>
  actualOf(name, resource as unknown as Resource<never>, yaml as typeof Yaml)

// -----------------------------------------------------------------------------
// Writes
// -----------------------------------------------------------------------------

/** Sends a write again while the server limits its writes, for as long as one resource may take. */
export const whileThrottled =
  (policy: Policy) => <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
    Effect.retry(call, {
      while: (error) => isReason(error, "RateLimited"),
      schedule: policy.poll.pipe(Schedule.upTo({ duration: policy.nodeTimeout.create }))
    })

/**
 * Creates a resource with the annotations of its operation. An old one that is still being torn down is destroyed
 * first.
 */
export const createResource = (
  { state }: Writing,
  expected: Expected,
  task: Task
): Effect.Effect<Resource<Message>, CallFailure> => {
  const kind = wire(expected.kind)
  const send = whileThrottled(task.policy)(task.send(
    "create",
    state.create(kind, {
      id: expected.id,
      labels: expected.labels,
      annotations: { ...Labels.ownership(task.cluster, task.mark), ...expected.annotations },
      spec: messageOf(expected)
    })
  ))
  return Effect.catchIf(
    send,
    (error) => isReason(error, "NameTaken"),
    (error) =>
      Effect.flatMap(
        state.get(kind, expected.id),
        (found) =>
          found?.metadata.phase === "tearingDown" && Labels.isUsers(found.metadata)
            ? Effect.andThen(
              task.waiting("it is still being torn down", state.teardownAndDestroy(kind, expected.id)),
              send
            )
            : Effect.fail(error)
      )
  )
}

/** Makes a resource what is expected of it. */
export const updateResource = (
  { state }: Writing,
  expected: Expected,
  task: Task
): Effect.Effect<void, CallFailure> =>
  Effect.asVoid(
    whileThrottled(task.policy)(task.send(
      "update",
      state.modify(wire(expected.kind), expected.id, ({ metadata }) => ({
        metadata: {
          ...metadata,
          labels: expected.labels,
          annotations: annotationsFor(expected.annotations, metadata.annotations)
        },
        spec: messageOf(expected)
      }))
    ))
  )

/** Tears a resource down, waits until nothing holds it, and destroys it. */
export const removeResource = (
  { state }: Writing,
  name: KindName,
  id: string,
  task: Task
): Effect.Effect<void, CallFailure> =>
  whileThrottled(task.policy)(task.send("teardown", state.teardownAndDestroy(wire(name), id)))

// -----------------------------------------------------------------------------
// Kinds
// -----------------------------------------------------------------------------

export type OmniKind = Kind<WantedResource, Listed, Reading, Writing>

const createdAt = ({ resource }: Listed): number | undefined =>
  resource.metadata.created === undefined ? undefined : Date.parse(resource.metadata.created)

/** A kind whose resources name their cluster in a label. */
const labelled = (
  name: KindName,
  rest: Pick<OmniKind, "order" | "removal"> & Partial<OmniKind>
): OmniKind => ({
  kind: "resource",
  list: ({ state }, cluster) =>
    Effect.map(
      cluster === undefined ? state.list(wire(name)) : state.list(wire(name), { [Labels.cluster]: cluster }),
      (all) => all.map((resource) => ({ resource, isNamed: cluster !== undefined }))
    ),
  identity: ({ resource }) => ({ name: `${name} ${resource.metadata.id}` }),
  nameOf: ({ expected }) => `${name} ${expected.id}`,
  owner: ({ resource: { metadata } }) => {
    const cluster = metadata.labels[Labels.cluster]
    return cluster === undefined || !Labels.isUsers(metadata) ? undefined : Labels.ownerOf(metadata, cluster)
  },
  isGoing: ({ resource }) => resource.metadata.phase === "tearingDown",
  isSurplus: () => false,
  diff: () => [],
  // `remove` has waited, and `create` removes what another one left half way.
  gone: () => Effect.void,
  remove: (write, { resource }, task) => removeResource(write, name, resource.metadata.id, task),
  createdAt,
  ...rest
})

/** Removes what a template or a person gave a cluster beside its sets. */
export const parts: ReadonlyArray<OmniKind> = ([
  "ConfigPatch",
  "ExtensionsConfiguration",
  "KubernetesManifestGroup",
  "KubernetesHealthCheck"
] as const).map((name) => labelled(name, { order: 0, removal: 0 }))

export const sets: OmniKind = labelled("MachineSet", {
  order: 1,
  removal: 1,
  isSurplus: () => true,
  diff: ({ expected, forbidsFewer }, { resource }) =>
    differencesOf(
      expected,
      plainOf("MachineSet", resource),
      (field, requested, actual) =>
        field === "allocation" || (field === "allocation.count" && forbidsFewer === true && Number(requested) <
              Number(actual))
          ? "replace"
          : "update"
    ),
  create: (write, { expected }, task) =>
    Effect.map(createResource(write, expected, task), (resource) => ({ resource, isNamed: false })),
  update: (write, { expected }, _, __, task) => updateResource(write, expected, task)
})

/**
 * The cluster resource. It is removed first, since Omni removes the rest with it. A create uses one that kubelayer created
 * only.
 */
export const clusters: OmniKind = {
  ...labelled("Cluster", { order: 0, removal: 10 }),
  kind: "cluster",
  list: ({ state }, cluster) =>
    cluster === undefined
      ? Effect.map(state.list(wire("Cluster")), (all) => all.map((resource) => ({ resource, isNamed: false })))
      : Effect.map(
        state.get(wire("Cluster"), cluster),
        (resource) => resource === undefined ? [] : [{ resource, isNamed: true }]
      ),
  identity: ({ resource }) => ({ name: resource.metadata.id }),
  nameOf: ({ expected }) => expected.id,
  owner: ({ isNamed, resource: { metadata } }) =>
    Labels.isUsers(metadata) && (isNamed || metadata.annotations[Labels.owned] === metadata.id)
      ? Labels.ownerOf(metadata, metadata.id)
      : undefined,
  holder: ({ resource: { metadata } }) =>
    Labels.isUsers(metadata)
      ? "a cluster that kubelayer did not create"
      : `a cluster that ${metadata.owner} of Omni owns`,
  diff: ({ expected }, { resource }) => differencesOf(expected, plainOf("Cluster", resource)),
  create: (write, { expected }, task) =>
    Effect.map(createResource(write, expected, task), (resource) => ({ resource, isNamed: false })),
  update: (write, { expected }, _, __, task) => updateResource(write, expected, task),
  remove: (write, { resource: { metadata } }, task) =>
    Effect.flatMap(
      write.state.get(Kinds.Cluster, metadata.id),
      (now) =>
        now !== undefined && now.metadata.annotations[Labels.operation] !== metadata.annotations[Labels.operation]
          ? Effect.fail(task.error(new Conflict({ detail: "it was created again by something else" })))
          : removeResource(write, "Cluster", metadata.id, task)
    )
}
