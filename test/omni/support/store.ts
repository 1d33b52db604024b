/** Resources behind the reading half of `State`. A test changes them between two reads, on its own clock. */
import type { Message } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type { Kind, LabelQuery, Resource, State, Watched, WatchEvent } from "../../../src/omni/State.ts"

type Any = Resource<Message>

export interface Given {
  readonly spec?: object
  readonly labels?: Record<string, string>
  readonly annotations?: Record<string, string>
  readonly finalizers?: ReadonlyArray<string>
  readonly phase?: "running" | "tearingDown"
  readonly owner?: string
}

const fits = ({ metadata: { labels } }: Any, query: LabelQuery) =>
  Object.entries(query).every(([key, wanted]) =>
    typeof wanted === "string" ? labels[key] === wanted : Object.hasOwn(labels, key) === wanted
  )

export const makeStore = Effect.gen(function*() {
  const resources = new Map<string, Any>()
  const changes = yield* PubSub.unbounded<
    { readonly key: string; readonly type: string; readonly resource: Any; readonly event: WatchEvent<Message> }
  >()
  const opened: Array<string> = []
  const reads: Array<string> = []
  const keyOf = (kind: { readonly type: string }, id: string) => `${kind.type}/${id}`

  const put = <S extends Message>(kind: Kind<S>, id: string, given: Given = {}) => {
    const key = keyOf(kind, id)
    const isNew = !resources.has(key)
    const resource = {
      metadata: {
        namespace: kind.namespace,
        type: kind.type,
        id,
        version: "1",
        owner: given.owner ?? "",
        phase: given.phase ?? "running",
        labels: given.labels ?? {},
        annotations: given.annotations ?? {},
        finalizers: given.finalizers ?? [],
        created: "2026-01-01T00:00:00.000Z"
      },
      spec: given.spec ?? {},
      yaml: ""
    } as unknown as Any
    resources.set(key, resource)
    return PubSub.publish(changes, {
      key,
      type: kind.type,
      resource,
      event: { _tag: isNew ? "Created" : "Updated", resource }
    })
  }

  const remove = <S extends Message>(kind: Kind<S>, id: string) => {
    const key = keyOf(kind, id)
    const last = resources.get(key) as Any
    resources.delete(key)
    return PubSub.publish(changes, { key, type: kind.type, resource: last, event: { _tag: "Destroyed", id, last } })
  }

  const state = {
    get: (kind: Kind<Message>, id: string) =>
      Effect.sync(() => {
        reads.push(keyOf(kind, id))
        return resources.get(keyOf(kind, id))
      }),
    list: (kind: Kind<Message>, labels: LabelQuery = {}) =>
      Effect.sync(() => {
        reads.push(kind.type)
        return [...resources.values()].filter((one) => one.metadata.type === kind.type && fits(one, labels))
      }),
    watch: (kind: Kind<Message>, watched: Watched) =>
      Stream.unwrap(Effect.gen(function*() {
        const later = yield* PubSub.subscribe(changes)
        opened.push("id" in watched ? keyOf(kind, watched.id) : kind.type)
        const now: Array<WatchEvent<Message>> = []
        if ("id" in watched) {
          const resource = resources.get(keyOf(kind, watched.id))
          now.push(
            resource === undefined
              ? { _tag: "Destroyed", id: watched.id, last: undefined as never }
              : { _tag: "Created", resource }
          )
        } else {
          for (const resource of resources.values()) {
            if (resource.metadata.type === kind.type && fits(resource, watched.labels)) {
              now.push({ _tag: "Created", resource })
            }
          }
          now.push({ _tag: "Bootstrapped" })
        }
        return Stream.concat(
          Stream.fromIterable(now),
          Stream.fromSubscription(later).pipe(
            Stream.filter(({ key, resource, type }) =>
              "id" in watched
                ? key === keyOf(kind, watched.id)
                : type === kind.type && fits(resource, watched.labels)
            ),
            Stream.map(({ event }) => event)
          )
        )
      }))
  } as unknown as State

  return { state, put, remove, opened, reads }
})
