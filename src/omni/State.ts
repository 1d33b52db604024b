/**
 * The resource API of Omni: get, list, create, update, teardown, destroy and watch, over one table of kinds.
 *
 * It handles the special answers of the server. A resource that is gone after a teardown is done, also if another
 * client tears it down. A type that this server does not know has no resources. A conflict is read again. A server that
 * is too old for a teardown gets an update. `Reconnect.ts` continues watches after a cut. Source: COSI resource API
 * (`cosi.resource.State`), as measured on Omni 1.9.
 */
import type { Message } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { isReason } from "../internal/CallFailures.ts"
import { failWith } from "../internal/Method.ts"
import { retrying } from "../internal/Retry.ts"
import { BackendError, Conflict, InvalidInput, InvalidResponse, NotFoundError } from "../Reason.ts"
import type { CallFailure, CallSettings, Client } from "./Client.ts"
import { codes, oneLine } from "./Errors.ts"
import type { Resource as WireResource } from "./proto/cosi_pb.ts"
import { reconnecting } from "./Reconnect.ts"
import * as Wire from "./Wire.ts"
import type { Changed, Kind, New, Protos, Resource } from "./Wire.ts"

export type { CallFailure } from "./Client.ts"
export type { Kind, Metadata, Resource } from "./Wire.ts"
export { Kinds } from "./Wire.ts"

/** All terms hold: the label has this value, is there (`true`), or is not there (`false`). */
export type LabelQuery = Readonly<Record<string, string | boolean>>

export type WatchEvent<Spec extends Message> =
  /** It is there, new or not, as the watch begins or afterwards. */
  | { readonly _tag: "Created"; readonly resource: Resource<Spec> }
  | { readonly _tag: "Updated"; readonly resource: Resource<Spec> }
  /** It is not there, or not any more; of one that never was, only the id is known. */
  | { readonly _tag: "Destroyed"; readonly id: string; readonly last: Resource<Spec> }
  /** All existing resources have been reported. */
  | { readonly _tag: "Bootstrapped" }
  /**
   * The changes in between are not known: forget everything. All resources are reported again, up to the next
   * `Bootstrapped`.
   */
  | { readonly _tag: "Restarted" }

/** The resources of a watch: one resource, or those of a kind whose labels fit. */
export type Watched = { readonly id: string } | { readonly labels: LabelQuery }

export interface State {
  /** Undefined where there is none, or where this server does not know the kind. */
  readonly get: <S extends Message>(kind: Kind<S>, id: string) => Effect.Effect<Resource<S> | undefined, CallFailure>
  /** The same, sent once whatever comes of it. */
  readonly getOnce: <S extends Message>(
    kind: Kind<S>,
    id: string
  ) => Effect.Effect<Resource<S> | undefined, CallFailure>
  /** Those that fit, by id; none where this server does not know the kind. */
  readonly list: <S extends Message>(
    kind: Kind<S>,
    labels?: LabelQuery
  ) => Effect.Effect<ReadonlyArray<Resource<S>>, CallFailure>
  /** Whether this server knows the kind at all. */
  readonly knows: <S extends Message>(kind: Kind<S>) => Effect.Effect<boolean, CallFailure>
  /** Sent once. `NameTaken` where the id is held already. */
  readonly create: <S extends Message>(kind: Kind<S>, resource: New<S>) => Effect.Effect<Resource<S>, CallFailure>
  /** Sent once, for the version that was read: `Conflict` where the resource has moved on. */
  readonly update: <S extends Message>(
    kind: Kind<S>,
    resource: Changed<S>,
    options?: { readonly expectedPhase?: "running" | "tearingDown" }
  ) => Effect.Effect<Resource<S>, CallFailure>
  /**
   * Reads, changes and writes, and does so again where somebody else was faster. `f` gives undefined where nothing has
   * to be done. `NotFoundError` where there is none.
   */
  readonly modify: <S extends Message>(
    kind: Kind<S>,
    id: string,
    f: (resource: Resource<S>) => Changed<S> | undefined,
    options?: { readonly expectedPhase?: "running" | "tearingDown" }
  ) => Effect.Effect<Resource<S>, CallFailure>
  /** Whether it can be destroyed already; undefined where it is gone. Torn down by somebody else is torn down. */
  readonly teardown: <S extends Message>(
    kind: Kind<S>,
    id: string
  ) => Effect.Effect<{ readonly ready: boolean } | undefined, CallFailure>
  /** Gone already is done. `InUse` where controllers still hold it. */
  readonly destroy: <S extends Message>(kind: Kind<S>, id: string) => Effect.Effect<void, CallFailure>
  /** Tears down, waits until it has no finalizer any more, and destroys. `onWaiting` gets the finalizers. */
  readonly teardownAndDestroy: <S extends Message>(
    kind: Kind<S>,
    id: string,
    onWaiting?: (resource: Resource<S>) => Effect.Effect<void>
  ) => Effect.Effect<void, CallFailure>
  /**
   * All existing resources, then every change. It never ends on its own and survives cuts. It fails if the server is
   * away for `Policy.idleTimeout`, or refuses. A single resource is reported again after each cut, also if it did not
   * change.
   */
  readonly watch: <S extends Message>(kind: Kind<S>, watched: Watched) => Stream.Stream<WatchEvent<S>, CallFailure>
  /** Whether two specs of a kind say the same. */
  readonly isSame: <S extends Message>(kind: Kind<S>, a: Wire.SpecInit<S>, b: Wire.SpecInit<S>) => boolean
}

/** The part of `State` that only reads. */
export type StateReader = Pick<State, "get" | "getOnce" | "list" | "knows" | "watch" | "isSame">

/** The server answers so for a type that it does not know, as for one that nobody may see. */
const isUnknownKind = (error: CallFailure): boolean =>
  error instanceof BackendError && error.reason._tag === "UnsupportedError" &&
  error.reason.status === codes.PERMISSION_DENIED

/** A method that the server is too old to have. */
const isUnknownMethod = (error: CallFailure): boolean =>
  error instanceof BackendError && error.reason._tag === "UnsupportedError" &&
  error.reason.status === codes.UNIMPLEMENTED

const read: CallSettings = { role: "Reader", repeatable: true }
const write: CallSettings = { role: "Operator", repeatable: false }

/** Whether labels are as requested: the result of the server's filter is checked again. */
const fits = (labels: Readonly<Record<string, string>>, query: LabelQuery): boolean =>
  Object.entries(query).every(([key, wanted]) =>
    typeof wanted === "string" ? labels[key] === wanted : Object.hasOwn(labels, key) === wanted
  )

export const make = (client: Client, protos: Protos): State => {
  const { method } = protos.cosi.State

  const queryOf = (query: LabelQuery | undefined) =>
    query === undefined || Object.keys(query).length === 0 ? [] : [{
      terms: Object.entries(query).map(([key, wanted]) =>
        typeof wanted === "string"
          ? { key, op: Wire.labelOperation.equal, value: [wanted] }
          : { key, op: Wire.labelOperation.exists, invert: !wanted }
      )
    }]

  const pointer = (kind: Kind<never>, id: string) => ({ namespace: kind.namespace, type: kind.type, id, options: {} })
  const pointTo = <S extends Message>(kind: Kind<S>, id: string) => pointer(kind as unknown as Kind<never>, id)

  const decoded = <S extends Message>(
    kind: Kind<S>,
    resource: WireResource | undefined
  ): Effect.Effect<Resource<S>, BackendError> =>
    Effect.try({
      try: () => {
        if (resource === undefined) throw new Error("there is no resource in the answer")
        return Wire.decode(protos, kind, resource)
      },
      catch: (error) => oneLine(error instanceof Error ? error.message : String(error))
    }).pipe(
      Effect.catch((detail) => failWith(new InvalidResponse({ detail: `${kind.type} cannot be read: ${detail}` })))
    )

  const encoded = <S extends Message>(kind: Kind<S>, resource: Changed<S>) =>
    Effect.try({
      try: () => Wire.encode(protos, kind, resource),
      catch: (error) => oneLine(error instanceof Error ? error.message : String(error))
    }).pipe(
      Effect.catch((detail) => failWith(new InvalidInput({ detail: `${kind.type} cannot be written: ${detail}` })))
    )

  const repeated = <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
    Effect.flatMap(client.policy, (policy) => retrying(policy)(call))

  const getWith = <S extends Message>(kind: Kind<S>, id: string, settings: CallSettings) =>
    client.unary(method.get, pointTo(kind, id), settings).pipe(
      Effect.flatMap(({ resource }) => decoded(kind, resource)),
      Effect.catchIf(
        (error) => isReason(error, "NotFoundError") || isUnknownKind(error),
        () => Effect.succeed(undefined)
      )
    )

  const listed = <S extends Message>(kind: Kind<S>, labels: LabelQuery | undefined) =>
    client.collect(
      method.list,
      { namespace: kind.namespace, type: kind.type, options: { labelQuery: queryOf(labels) } },
      read
    )

  const list: State["list"] = (kind, labels) =>
    listed(kind, labels).pipe(
      Effect.flatMap((answers) =>
        Effect.try({
          try: () =>
            answers.flatMap(({ resource }) => {
              if (resource === undefined) return []
              const found = Wire.decode(protos, kind, resource)
              return fits(found.metadata.labels, labels ?? {}) ? [found] : []
            }),
          catch: (error) => oneLine(error instanceof Error ? error.message : String(error))
        }).pipe(
          Effect.catch((detail) => failWith(new InvalidResponse({ detail: `${kind.type} cannot be read: ${detail}` })))
        )
      ),
      Effect.catchIf(isUnknownKind, () => Effect.succeed([]))
    )

  const create: State["create"] = (kind, { annotations = {}, id, labels = {}, spec }) =>
    Effect.gen(function*() {
      const resource = yield* encoded(kind, {
        metadata: {
          namespace: kind.namespace,
          type: kind.type,
          id,
          version: "undefined",
          owner: "",
          phase: "running",
          labels,
          annotations,
          finalizers: [],
          created: undefined
        },
        spec
      })
      const answer = yield* client.unary(method.create, { resource, options: {} }, write)
      // The answer may hold no more than the metadata.
      const stored = yield* decoded(kind, answer.resource)
      return answer.resource?.spec === undefined
        ? { ...stored, spec: protos.protobuf.create(kind.schema(protos.specs), spec) }
        : stored
    })

  const update: State["update"] = (kind, changed, { expectedPhase = "running" } = {}) =>
    Effect.gen(function*() {
      const newResource = yield* encoded(kind, changed)
      const answer = yield* client.unary(method.update, { newResource, options: { expectedPhase } }, write)
      const stored = yield* decoded(kind, answer.resource)
      return answer.resource?.spec === undefined
        ? { ...stored, spec: protos.protobuf.create(kind.schema(protos.specs), changed.spec) }
        : stored
    })

  const modify: State["modify"] = (kind, id, f, options) =>
    repeated(Effect.gen(function*() {
      const found = yield* getWith(kind, id, { ...read, repeatable: false })
      if (found === undefined) {
        return yield* failWith(new NotFoundError({ detail: `there is no ${kind.type} ${id}` }))
      }
      const changed = f(found)
      if (changed === undefined) return found
      const spec = Wire.replacing(protos, kind, found.spec, changed.spec)
      return yield* update(kind, { ...changed, spec }, options)
    }))

  /** The request for a server that does not have the call. */
  const teardownByUpdate = <S extends Message>(kind: Kind<S>, id: string) =>
    modify(
      kind,
      id,
      (resource) =>
        resource.metadata.phase === "tearingDown"
          ? undefined
          : { ...resource, metadata: { ...resource.metadata, phase: "tearingDown" as const } }
    ).pipe(Effect.map(({ metadata }) => ({ ready: metadata.finalizers.length === 0 })))

  const teardown: State["teardown"] = (kind, id) =>
    client.unary(method.teardown, pointTo(kind, id), write).pipe(
      Effect.map(({ destroyReady }) => ({ ready: destroyReady })),
      Effect.catchIf(isUnknownMethod, () => teardownByUpdate(kind, id)),
      // Somebody else tears it down, or writes to it, in this moment.
      Effect.catchIf((error) => isReason(error, "Conflict"), (error) =>
        Effect.flatMap(getWith(kind, id, { ...read, repeatable: false }), (found) =>
          found?.metadata.phase === "running"
            ? Effect.fail(error)
            : Effect.succeed(found === undefined ? undefined : { ready: found.metadata.finalizers.length === 0 }))),
      repeated,
      Effect.catchIf((error) =>
        isReason(error, "NotFoundError"), () =>
        Effect.succeed(undefined))
    )

  const destroy: State["destroy"] = (kind, id) =>
    client.unary(method.destroy, pointTo(kind, id), write).pipe(
      Effect.asVoid,
      repeated,
      Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.void)
    )

  const watch: State["watch"] = <S extends Message>(kind: Kind<S>, watched: Watched) => {
    const byId = "id" in watched
    const labels = byId ? {} : watched.labels
    return reconnecting<WatchEvent<S>>({
      policy: client.policy,
      open: (bookmark) =>
        client.stream(method.watch, {
          namespace: kind.namespace,
          type: kind.type,
          apiVersion: 1,
          ...(byId ? { id: watched.id } : {}),
          options: byId ? {} : {
            labelQuery: queryOf(labels),
            aggregated: true,
            ...(bookmark === undefined ? { bootstrapContents: true } : { startFromBookmark: bookmark })
          }
        }, { role: "Reader" }),
      isEmpty: isUnknownKind,
      empty: byId ? [] : [{ _tag: "Bootstrapped" }],
      restarted: byId ? [] : [{ _tag: "Restarted" }],
      // A single resource is read again instead, which returns its present state.
      keepsBookmark: !byId,
      event: (event) =>
        Effect.gen(function*() {
          if (event.eventType === Wire.eventType.bootstrapped) return Option.some({ _tag: "Bootstrapped" as const })
          if (event.eventType === Wire.eventType.noop) return Option.none()
          if (event.eventType === Wire.eventType.errored) {
            return yield* failWith(new Conflict({ detail: `the watch died: ${oneLine(event.error ?? "")}` }))
          }
          const resource = yield* decoded(kind, event.resource)
          if (event.eventType === Wire.eventType.destroyed) {
            return Option.some({ _tag: "Destroyed" as const, id: resource.metadata.id, last: resource })
          }
          if (byId ? resource.metadata.id !== watched.id : !fits(resource.metadata.labels, labels)) return Option.none()
          return Option.some({
            _tag: event.eventType === Wire.eventType.created ? "Created" as const : "Updated" as const,
            resource
          })
        })
    })
  }

  /** Waits until nothing holds a resource that is being torn down; `Gone` where it is not there any more. */
  const awaitReleased = <S extends Message>(
    kind: Kind<S>,
    id: string,
    onWaiting: (resource: Resource<S>) => Effect.Effect<void>
  ): Effect.Effect<"Gone" | "Free", CallFailure> =>
    watch(kind, { id }).pipe(
      Stream.mapEffect((event) => {
        if (event._tag === "Destroyed") return Effect.succeed<"Gone" | "Free" | undefined>("Gone")
        if (event._tag !== "Created" && event._tag !== "Updated") return Effect.succeed(undefined)
        return event.resource.metadata.finalizers.length === 0
          ? Effect.succeed<"Free">("Free")
          : Effect.as(onWaiting(event.resource), undefined)
      }),
      Stream.filter((seen) => seen !== undefined),
      Stream.runHead,
      Effect.map(Option.getOrElse(() => "Gone" as const))
    )

  const teardownAndDestroy: State["teardownAndDestroy"] = (kind, id, onWaiting = () => Effect.void) =>
    Effect.gen(function*() {
      let ready = yield* teardown(kind, id)
      while (ready !== undefined) {
        if (!ready.ready && (yield* awaitReleased(kind, id, onWaiting)) === "Gone") return
        // A controller may have taken hold of it again.
        const result = yield* Effect.result(destroy(kind, id))
        if (result._tag === "Success") return
        if (!isReason(result.failure, "InUse")) return yield* Effect.fail(result.failure)
        ready = { ready: false }
      }
    })

  /** Names the resource in an error that names nothing else. */
  const about = <S extends Message>(kind: Kind<S>, id: string) => <A>(call: Effect.Effect<A, CallFailure>) =>
    Effect.mapError(call, (error) =>
      error._tag === "BackendError" && error.subject === undefined
        ? new BackendError({
          ...error,
          subject: { kind: "resource", name: Wire.subjectName(kind as unknown as Kind<never>, id) }
        })
        : error)

  return {
    get: (kind, id) => getWith(kind, id, read),
    getOnce: (kind, id) => getWith(kind, id, { ...read, repeatable: false }),
    list,
    knows: (kind) =>
      client.unary(method.get, pointTo(kind, "kubelayer-asks-whether-this-kind-is-known"), read).pipe(
        Effect.as(true),
        Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed(true)),
        Effect.catchIf(isUnknownKind, () => Effect.succeed(false))
      ),
    create: (kind, resource) => create(kind, resource).pipe(about(kind, resource.id)),
    update: (kind, changed, options) => update(kind, changed, options).pipe(about(kind, changed.metadata.id)),
    modify: (kind, id, f, options) => modify(kind, id, f, options).pipe(about(kind, id)),
    teardown: (kind, id) => teardown(kind, id).pipe(about(kind, id)),
    destroy: (kind, id) => destroy(kind, id).pipe(about(kind, id)),
    teardownAndDestroy: (kind, id, onWaiting) => teardownAndDestroy(kind, id, onWaiting).pipe(about(kind, id)),
    watch,
    isSame: (kind, a, b) => {
      const schema = kind.schema(protos.specs)
      return protos.protobuf.equals(schema, protos.protobuf.create(schema, a), protos.protobuf.create(schema, b))
    }
  }
}
