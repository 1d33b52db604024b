/**
 * Changes the resources of a cluster to those of a template: creates, updates, then destroys, in the order of writing.
 *
 * The first error stops it, and nothing is rolled back; running it again finishes the job, wherever it was interrupted.
 * If something else changes the same resources, they are read and compared again. Resources of controllers and of other
 * clusters are never changed, and no resource gets an owner.
 */
import type { Message } from "@bufbuild/protobuf"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Yaml from "yaml"
import { isReason } from "../../internal/CallFailures.ts"
import { failWith } from "../../internal/Method.ts"
import { retrying, within } from "../../internal/Retry.ts"
import type { Policy } from "../../Policy.ts"
import type { InvalidSpec } from "../../ProviderError.ts"
import type * as Reasons from "../../Reason.ts"
import { BackendError, Conflict, RequestTimeout } from "../../Reason.ts"
import * as Labels from "../Labels.ts"
import { plainOf, whileThrottled, wire } from "../Resources.ts"
import { type CallFailure, type Resource, type State } from "../State.ts"
import { annotationsFor, type Change, differences } from "./Diff.ts"
import type { Place } from "./Issue.ts"
import { load, type Loaded } from "./Load.ts"
import type { Template } from "./Model.ts"
import { loadYaml } from "./Parse.ts"
import {
  inPlanOrder,
  type LayerOptions,
  prepare,
  type Prepared,
  type TemplateChange,
  type TemplateChanges,
  toTemplateChange
} from "./Plan.ts"
import { holderOf } from "./Read.ts"
import { messageOf } from "./Specs.ts"
import { type Expected, type KindName, writeOrder } from "./Translate.ts"

/** How often resources that others change are read and compared again. */
const rounds = 5

/** The result of one step: it changed something, nothing had to change, or something else changed the resource. */
type Step = "done" | "nothing" | "moved"

interface Context {
  readonly state: State
  readonly policy: Policy
  readonly yaml: typeof Yaml
  readonly cluster: string
  /** Annotations of ownership that each created resource gets. */
  readonly marks: Labels.Labels
  readonly place: Place
}

// -----------------------------------------------------------------------------
// One resource
// -----------------------------------------------------------------------------

/** Whether a resource that exists is the expected one. */
const isAsExpected = (context: Context, expected: Expected, resource: Resource<Message>): boolean =>
  holderOf(expected.kind, resource.metadata, context.cluster) === undefined &&
  resource.metadata.phase === "running" &&
  differences(expected, plainOf(expected.kind, resource, context.yaml)).length === 0

const create = (context: Context, expected: Expected): Effect.Effect<Step, CallFailure> => {
  const { marks, policy, state } = context
  const kind = wire(expected.kind)
  const send = state.create(kind, {
    id: expected.id,
    labels: expected.labels,
    annotations: { ...marks, ...expected.annotations },
    spec: messageOf(expected)
  }).pipe(
    Effect.as<Step>("done"),
    Effect.catchIf(
      (error) => isReason(error, "NameTaken"),
      () =>
        Effect.map(
          state.get(kind, expected.id),
          (found): Step => found !== undefined && isAsExpected(context, expected, found) ? "nothing" : "moved"
        )
    )
  )
  let isSent = false
  return retrying(policy)(Effect.suspend(() => {
    if (!isSent) {
      isSent = true
      return send
    }
    // The reply to the first request was lost, so the resource may exist.
    return Effect.flatMap(state.get(kind, expected.id), (found) =>
      found === undefined
        ? send
        : Effect.succeed<Step>(isAsExpected(context, expected, found) ? "done" : "moved"))
  }))
}

const update = (context: Context, expected: Expected): Effect.Effect<Step, CallFailure> => {
  let step: Step = "nothing"
  return context.state.modify(wire(expected.kind), expected.id, (resource) => {
    const { metadata } = resource
    if (holderOf(expected.kind, metadata, context.cluster) !== undefined || metadata.phase !== "running") {
      step = "moved"
      return undefined
    }
    const current = plainOf(expected.kind, resource, context.yaml)
    if (differences(expected, current).length === 0) return undefined
    step = "done"
    return {
      metadata: {
        ...metadata,
        labels: expected.labels,
        annotations: annotationsFor(expected.annotations, metadata.annotations)
      },
      spec: messageOf(expected)
    }
  }).pipe(
    Effect.map(() => step),
    Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Step>("moved"))
  )
}

/** The resources of a machine stay, and belong to no template any more. */
const release = (context: Context, kind: KindName, id: string): Effect.Effect<Step, CallFailure> => {
  let step: Step = "nothing"
  return context.state.modify(wire(kind), id, (resource) => {
    const { [Labels.managedByTemplates]: managed, ...annotations } = resource.metadata.annotations
    if (managed === undefined || resource.metadata.owner !== "") return undefined
    step = "done"
    return { ...resource, metadata: { ...resource.metadata, annotations } }
  }).pipe(
    Effect.map(() => step),
    Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed<Step>("nothing"))
  )
}

/** Waits until something is gone, and says what holds it where that takes too long. */
const remove = (context: Context, kind: KindName, id: string): Effect.Effect<void, CallFailure> => {
  const limit = context.policy.nodeTimeout.delete
  let holds: ReadonlyArray<string> = []
  return context.state.teardownAndDestroy(wire(kind), id, ({ metadata }) =>
    Effect.sync(() => {
      holds = metadata.finalizers
    })).pipe(
      within(limit),
      Effect.timeoutOrElse({
        duration: limit,
        orElse: () =>
          failWith(
            new RequestTimeout({
              detail: `${kind} ${id} is not gone after ${Duration.format(limit)}${
                holds.length === 0 ? "" : `; held by ${holds.join(", ")}`
              }`,
              hint: "It may still go; wait longer with Policy.nodeTimeout.delete.",
              durationMillis: Math.round(Duration.toMillis(limit))
            })
          )
      })
    )
}

// -----------------------------------------------------------------------------
// All of them
// -----------------------------------------------------------------------------

type Journal = (change: Change, step: Step) => Effect.Effect<void>

/** Follows a sync. */
export interface Observer<E> {
  /** Gets the changes before anything is written. A failure ends the sync. */
  readonly planned: (prepared: Prepared, round: number) => Effect.Effect<void, E>
  /** A write is sent. */
  readonly sent: (change: Change) => Effect.Effect<void>
  /** A step has ended: something was changed or not, or it failed. */
  readonly settled: (change: Change, result: "done" | "nothing" | CallFailure) => Effect.Effect<void>
}

const silent: Observer<never> = {
  planned: () => Effect.void,
  sent: () => Effect.void,
  settled: () => Effect.void
}

/** Runs what is of one kind at once, kind after kind. */
const inOrder = <E>(
  changes: ReadonlyArray<Change>,
  width: number,
  run: (change: Change) => Effect.Effect<void, E>
): Effect.Effect<void, E> =>
  Effect.forEach(
    writeOrder,
    (kind) =>
      Effect.forEach(changes.filter((change) => change.kind === kind), run, { concurrency: width, discard: true }),
    { discard: true }
  )

const write = (context: Context, change: Change): Effect.Effect<Step, CallFailure> => {
  switch (change.action) {
    case "create":
      return create(context, change.expected)
    case "recreate":
      return Effect.andThen(remove(context, change.kind, change.id), create(context, change.expected))
    case "update":
      return update(context, change.expected)
    case "release":
      return release(context, change.kind, change.id)
    case "destroy":
      return Effect.as(remove(context, change.kind, change.id), "done")
  }
}

const logged = (change: Change, step: Effect.Effect<Step, CallFailure>) =>
  Effect.andThen(Effect.logDebug(`${change.action} ${change.kind} ${change.id}`), step)

/** Adds the place of the template to an error of a write. */
const located = <A>(
  { place }: Pick<Context, "place">,
  change: Change,
  step: Effect.Effect<A, CallFailure>
): Effect.Effect<A, CallFailure> =>
  Effect.mapError(step, (error) => {
    if (error._tag !== "BackendError" || !("expected" in change)) return error
    const Reason = error.reason.constructor as new(fields: object) => Reasons.Reason
    const detail = `${place(change.expected.path).text}: ${error.reason.detail}`
    return new BackendError({
      subject: { kind: "resource", name: `${change.kind} ${change.id}` },
      ...error,
      reason: new Reason({ ...error.reason, detail })
    })
  })

/** All creates, all updates, then what is to go: machines and sets first, the rest when they are gone. */
const execute = (
  context: Context,
  changes: ReadonlyArray<Change>,
  journal: Journal,
  { sent, settled }: Pick<Observer<never>, "sent" | "settled">
): Effect.Effect<void, CallFailure> => {
  const { concurrency } = context.policy
  const throttled = whileThrottled(context.policy)
  const having = (...actions: ReadonlyArray<Change["action"]>) =>
    changes.filter(({ action }) => actions.includes(action))
  const run = (change: Change) =>
    Effect.andThen(sent(change), located(context, change, throttled(logged(change, write(context, change))))).pipe(
      Effect.tapError((error) => settled(change, error)),
      Effect.flatMap((step) =>
        Effect.andThen(journal(change, step), step === "moved" ? Effect.void : settled(change, step))
      )
    )
  const isOfSets = ({ kind }: Change) => kind === "MachineSet" || kind === "MachineSetNode"
  const destroys = having("destroy")
  const phase = (some: ReadonlyArray<Change>) =>
    // All are torn down before the first wait: one may wait for another.
    Effect.andThen(
      inOrder(some, concurrency.delete, ({ id, kind }) =>
        Effect.asVoid(throttled(context.state.teardown(wire(kind), id)))),
      Effect.forEach(some, run, { concurrency: concurrency.delete, discard: true })
    )
  return inOrder(having("create", "recreate"), concurrency.create, run).pipe(
    Effect.andThen(inOrder(having("update", "release"), concurrency.create, run)),
    Effect.andThen(phase(destroys.filter(isOfSets))),
    Effect.andThen(phase(destroys.filter((change) => !isOfSets(change))))
  )
}

export interface SyncContext {
  readonly state: State
  readonly policy: Effect.Effect<Policy>
}

/** Syncs a template; gives what was changed. */
export const sync = (
  context: SyncContext,
  template: string | Template,
  options: LayerOptions & { readonly marks?: Labels.Labels } = {}
): Effect.Effect<TemplateChanges, InvalidSpec | CallFailure> =>
  Effect.flatMap(load(template, options), (loaded) => syncLoaded(context, loaded, options, silent))

/** Syncs a template that was loaded, and says what it does. */
export const syncLoaded = Effect.fnUntraced(function*<E>(
  { policy, state }: SyncContext,
  loaded: Loaded,
  options: LayerOptions & { readonly marks?: Labels.Labels },
  observer: Observer<E>
): Effect.fn.Return<TemplateChanges, E | InvalidSpec | CallFailure> {
  const cluster = loaded.template.cluster.name
  const context: Context = {
    state,
    policy: yield* policy,
    yaml: yield* loadYaml,
    cluster,
    marks: options.marks ?? {},
    place: loaded.place
  }
  const done: Array<TemplateChange> = []
  for (let round = 0; round < rounds; round++) {
    const prepared = yield* prepare(state, loaded, options)
    const { changes } = prepared
    yield* observer.planned(prepared, round)
    const steps = new Map<Change, Step>()
    yield* execute(
      context,
      changes,
      (change, step) => Effect.sync(() => void steps.set(change, step)),
      observer
    )
    // In the order of the plan, whichever ended first.
    done.push(...changes.filter((change) => steps.get(change) === "done").map(toTemplateChange))
    if (![...steps.values()].includes("moved")) return { cluster, changes: inPlanOrder(done) }
  }
  return yield* failWith(
    new Conflict({
      detail: `something else keeps changing cluster ${cluster}; its resources moved ${rounds} times after a plan`
    })
  )
})
