/**
 * Watches of a fake Omni: what comes first, live events, bookmarks, and cuts.
 *
 * Source: COSI resource API; Omni 1.9.3 as recorded.
 */
import type { WatchRequest, WatchResponse } from "../../omni/proto/cosi_pb.ts"
import { checkAccess, type Role } from "./Access.ts"
import { checkQueries, idTest, matches } from "./Query.ts"
import { code, Refusal } from "./Refusal.ts"
import type { Sink } from "./Service.ts"
import type { Change, Store, Stored } from "./Store.ts"
import { tombstone, toWire, type Wire } from "./Wire.ts"

export interface WatchOptions {
  readonly wire: Wire
  readonly store: Store
  readonly absent: ReadonlySet<string>
  readonly violated: (what: string) => void
  /** Whether the next event of a watch cuts the watch instead. */
  readonly cutsNow: () => boolean
}

/** A watch that is open. */
interface OpenWatch {
  readonly cut: (how?: Refusal) => void
}

const eventType = { created: 0, updated: 1, destroyed: 2, bootstrapped: 3, noop: 5 } as const

const bookmarkOf = (revision: number): Uint8Array => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(revision))
  return bytes
}

/** The two ways in which a client of gRPC sees a server go: stopped and killed. */
const cuts = [
  new Refusal(code.internal, "Received RST_STREAM with code 0 (Call ended without gRPC status)"),
  new Refusal(code.unavailable, "Connection dropped")
] as const

const checkOptions = ({ id, options: how, type }: WatchRequest): void => {
  if ((how?.tailEvents ?? 0) !== 0) {
    throw new Refusal(code.unknown, "failed to watchKind: operation tailEvents is not supported")
  }
  if (id !== undefined && how?.bootstrapContents === true) {
    throw new Refusal(code.unimplemented, "bootstrap contents is not implemented for resource watch")
  }
  if (id !== undefined && (how?.labelQuery ?? []).length > 0) {
    throw new Refusal(code.unimplemented, "label query is not implemented for resource watch")
  }
  const bookmark = how?.startFromBookmark
  if (bookmark === undefined) return
  if (how?.bootstrapContents === true) {
    throw new Refusal(
      code.unknown,
      "failed to watchKind: operation startFromBookmark and bootstrapContents is not supported"
    )
  }
  if (bookmark.length !== 8) {
    throw new Refusal(
      code.failedPrecondition,
      `failed to watchKind "${type}(default/@undefined)": invalid bookmark length: ${bookmark.length}`
    )
  }
}

export const makeWatches = ({ absent, cutsNow, store, violated, wire }: WatchOptions) => {
  const { cosi, protobuf } = wire
  const watches = new Set<OpenWatch>()
  let cutCount = 0
  const nextCut = (): Refusal => cuts[cutCount++ % cuts.length] ?? cuts[0]

  const watch = (request: WatchRequest, sink: Sink<WatchResponse>, role: Role): void => {
    checkAccess(request.type, "read", role, absent)
    const { options: how } = request
    checkOptions(request)
    const queries = checkQueries(how?.labelQuery ?? [])
    const wanted = idTest(how?.idQuery)
    if (request.apiVersion < 1) violated(`Watch ${request.type}: API version 0 gets no BOOTSTRAPPED`)

    let from = store.revision()
    let missed: ReadonlyArray<Change> = []
    const bookmark = how?.startFromBookmark
    if (bookmark !== undefined) {
      from = Number(Buffer.from(bookmark).readBigUInt64BE())
      const since = store.since(from)
      if (since === undefined) throw new Refusal(code.failedPrecondition, "failed to watch: invalid watch bookmark")
      missed = since
    }

    const send = (events: ReadonlyArray<object>) =>
      sink.send(protobuf.create(cosi.WatchResponseSchema, { event: [...events] as never }))
    const concerns = ({ metadata }: Stored): boolean =>
      metadata.type === request.type && metadata.namespace === request.namespace &&
      (request.id === undefined || metadata.id === request.id) && wanted(metadata.id)

    let open = true
    let leave: () => void = () => undefined
    const end = () => {
      open = false
      leave()
      watches.delete(entry)
    }
    const cut = (how: Refusal = nextCut()) => {
      if (!open) return
      end()
      sink.fail(how)
    }
    const entry: OpenWatch = { cut }

    const onChange = ({ old, resource, revision, what }: Change) => {
      // A bookmark of the future waits until the server gets there.
      if (!open || revision <= from || !concerns(resource)) return
      const now = what !== "destroyed" && matches(queries, resource.metadata.labels)
      const before = what === "destroyed"
        ? matches(queries, resource.metadata.labels)
        : old !== undefined && matches(queries, old.metadata.labels)
      if (!now && !before) return
      // The event that a cut swallows comes again with the bookmark of the one before.
      if (cutsNow()) return cut()
      send([{
        resource: toWire(wire, resource),
        // A resource that leaves the query is destroyed for this watch, as one that enters is created.
        eventType: now ? before ? eventType.updated : eventType.created : eventType.destroyed,
        ...(now && before && old !== undefined ? { old: toWire(wire, old) } : {}),
        bookmark: bookmarkOf(revision)
      }])
    }

    const bootstrap = () => {
      const nothing = tombstone(wire, { namespace: request.namespace, type: request.type, id: "" })
      const contents: ReadonlyArray<object> = [
        ...store.list(request.type, request.namespace)
          .filter(({ metadata }) => wanted(metadata.id) && matches(queries, metadata.labels))
          .map((stored) => ({ resource: toWire(wire, stored), eventType: eventType.created })),
        ...(request.apiVersion >= 1
          ? [{ resource: nothing, eventType: eventType.bootstrapped, bookmark: bookmarkOf(from) }]
          : []),
        ...(how?.bootstrapBookmark === true
          ? [{ resource: nothing, eventType: eventType.noop, bookmark: bookmarkOf(from) }]
          : [])
      ]
      if (how?.aggregated === true) return send(contents)
      for (const event of contents) send([event])
    }

    // A message without events says that the watch is established.
    send([])
    if (bookmark === undefined && request.id !== undefined) {
      const key = { namespace: request.namespace, type: request.type, id: request.id }
      const found = store.get(key)
      send([{
        resource: found === undefined ? tombstone(wire, key) : toWire(wire, found),
        eventType: found === undefined ? eventType.destroyed : eventType.created,
        bookmark: bookmarkOf(from)
      }])
    } else if (bookmark === undefined && how?.bootstrapContents === true) bootstrap()
    watches.add(entry)
    leave = store.subscribe(onChange)
    for (const change of missed) onChange(change)
    sink.onCancel(end)
  }

  return {
    watch,
    count: () => watches.size,
    cutAll: () => {
      for (const each of Array.from(watches)) each.cut()
    },
    /** Ends all watches in the same way: the server stops, or the next time is killed. */
    stopAll: () => {
      const how = nextCut()
      for (const each of Array.from(watches)) each.cut(how)
    }
  }
}
