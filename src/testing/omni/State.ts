/**
 * The service `cosi.resource.State` of a fake Omni over its store: reads, writes, teardowns and watches.
 *
 * Each call has been let in already; here stand what it does and what it refuses. A watch that is cut or whose bookmark is
 * too old fails as a real server's does.
 */
import type { ServerWritableStream } from "@grpc/grpc-js"
import type {
  CreateRequest,
  DestroyRequest,
  GetRequest,
  LabelQuery,
  ListRequest,
  TeardownAndDestroyRequest,
  TeardownRequest,
  UpdateRequest,
  WatchRequest,
  WatchResponse
} from "../../omni/proto/cosi_pb.ts"
import { check, type Role } from "./Access.ts"
import { fits, idTest, lacksValue } from "./Query.ts"
import { code, notFound, Refusal, wrongPhase } from "./Refusal.ts"
import type { Change, Key, Store, Stored } from "./Store.ts"
import { checkRemoval, checkWrite } from "./Validation.ts"
import { fromWire, tombstone, toWire, type Wire } from "./Wire.ts"

export interface StateOptions {
  readonly wire: Wire
  readonly store: Store
  readonly role: () => Role
  /** Kinds that this server is too old to know. */
  readonly absent: ReadonlySet<string>
  readonly violated: (what: string) => void
  /** Whether the next event of a watch cuts it instead. */
  readonly cutsNow: () => boolean
}

/** A watch that is open, as far as it can be cut from outside. */
export interface OpenWatch {
  readonly cut: () => void
}

const eventType = { created: 0, updated: 1, destroyed: 2, bootstrapped: 3, noop: 5 } as const

const bookmarkOf = (revision: number): Uint8Array => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(revision))
  return bytes
}

/** As a client of gRPC sees it when a server goes. */
const cuts = [
  { code: code.internal, details: "Received RST_STREAM with code 0 (Call ended without gRPC status)" },
  { code: code.unavailable, details: "Connection dropped" }
] as const

export const makeState = (options: StateOptions) => {
  const { store, violated, wire } = options
  const { cosi, protobuf } = wire
  const watches = new Set<OpenWatch>()
  let ownDestroyerWins = false
  let phaseRace = false
  let cutCount = 0

  const allowed = (type: string, verb: Parameters<typeof check>[1]) => check(type, verb, options.role(), options.absent)
  const keyOf = ({ id, namespace, type }: Key): Key => ({ namespace, type, id })
  const needed = (key: Key): Stored => {
    const found = store.get(key)
    if (found === undefined) throw notFound(key)
    return found
  }

  const asked = (what: string, queries: ReadonlyArray<LabelQuery>): ReadonlyArray<LabelQuery> => {
    for (const key of lacksValue(queries)) violated(`${what}: a term on the label ${key} lacks its value`)
    return queries
  }

  const get = (request: GetRequest) => {
    allowed(request.type, "read")
    return protobuf.create(cosi.GetResponseSchema, { resource: toWire(wire, needed(keyOf(request))) })
  }

  const list = (request: ListRequest) => {
    allowed(request.type, "read")
    const queries = asked(`List ${request.type}`, request.options?.labelQuery ?? [])
    const wanted = idTest(request.options?.idQuery)
    return store.list(request.type, request.namespace)
      .filter(({ metadata }) => wanted(metadata.id) && fits(queries, metadata.labels))
      .map((stored) => protobuf.create(cosi.ListResponseSchema, { resource: toWire(wire, stored) }))
  }

  const create = (request: CreateRequest) => {
    const { metadata, spec } = fromWire(wire, request.resource, "create")
    allowed(metadata.type, "create")
    if (metadata.updated === 0) violated(`Create ${metadata.type}: no time of the update, which is then 1970`)
    if (store.get(metadata) === undefined) checkWrite(wire, store, { metadata, spec }, "create")
    const owner = request.options?.owner ?? ""
    if (owner !== "") violated(`Create ${metadata.type}: with the owner ${owner}, which shuts the caller out`)
    return protobuf.create(cosi.CreateResponseSchema, {
      resource: toWire(wire, store.create({ metadata: { ...metadata, owner }, spec }))
    })
  }

  const update = (request: UpdateRequest) => {
    if (request.options === undefined) {
      violated("Update: without options, over which a server falls")
      throw new Refusal(code.internal, "runtime error: invalid memory address or nil pointer dereference")
    }
    const resource = fromWire(wire, request.newResource, "update")
    allowed(resource.metadata.type, "update")
    if (resource.metadata.owner !== "") violated(`Update ${resource.metadata.type}: with an owner`)
    if (store.get(resource.metadata) !== undefined) checkWrite(wire, store, resource, "update")
    const { expectedPhase, owner } = request.options
    return protobuf.create(cosi.UpdateResponseSchema, {
      resource: toWire(
        wire,
        store.update(resource, { owner, ...(expectedPhase === undefined ? {} : { expectedPhase }) })
      )
    })
  }

  const removing = (request: { readonly namespace: string; readonly type: string; readonly id: string }): Key => {
    allowed(request.type, "destroy")
    checkRemoval(wire, store, request)
    return keyOf(request)
  }

  /** A controller of Omni's own owns what users may delete, such as links; that is no matter to them. */
  const ownerFor = (key: Key, owner: string): string =>
    key.type.startsWith("Links.") ? store.get(key)?.metadata.owner ?? owner : owner

  const teardown = (request: TeardownRequest) => {
    const key = removing(request)
    return protobuf.create(cosi.TeardownResponseSchema, {
      destroyReady: store.teardown(key, ownerFor(key, request.options?.owner ?? ""))
    })
  }

  const destroy = (request: DestroyRequest) => {
    const key = removing(request)
    store.destroy(key, ownerFor(key, request.options?.owner ?? ""))
    return protobuf.create(cosi.DestroyResponseSchema, {})
  }

  /** Waits until nothing holds a resource any more; gives whether it is still there. */
  const released = (key: Key, cancelled: (f: () => void) => void): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const look = (): boolean => {
        const found = store.get(key)
        if (found !== undefined && found.metadata.finalizers.length > 0) return false
        leave()
        resolve(found !== undefined)
        return true
      }
      const leave = store.subscribe((change) => {
        if (change.resource.metadata.id === key.id && change.resource.metadata.type === key.type) look()
      })
      cancelled(() => {
        leave()
        reject(new Refusal(code.cancelled, "context canceled"))
      })
      look()
    })

  const teardownAndDestroy = async (request: TeardownAndDestroyRequest, cancelled: (f: () => void) => void) => {
    const key = removing(request)
    const owner = ownerFor(key, request.options?.owner ?? "")
    const found = needed(key)
    if (found.metadata.phase === "tearingDown") {
      phaseRace = !phaseRace
      if (phaseRace) throw wrongPhase(key, found.metadata.version, "teardown")
    }
    store.teardown(key, owner)
    const there = await released(key, cancelled)
    if (there) {
      ownDestroyerWins = !ownDestroyerWins
      // For what nothing holds, the server's own destroyer is about as fast.
      if (ownDestroyerWins && !key.type.startsWith("Clusters.")) {
        store.drop(key)
        throw new Refusal(code.notFound, `failed to destroy: ${notFound(key).message}`)
      }
      if (store.get(key) !== undefined) store.destroy(key, owner)
    }
    return protobuf.create(cosi.TeardownAndDestroyResponseSchema, {})
  }

  // ---------------------------------------------------------------------------
  // Watch
  // ---------------------------------------------------------------------------

  const watch = (call: ServerWritableStream<WatchRequest, WatchResponse>): void => {
    const { request } = call
    allowed(request.type, "read")
    const { options: how } = request
    const queries = asked(`Watch ${request.type}`, how?.labelQuery ?? [])
    const wanted = idTest(how?.idQuery)
    if ((how?.tailEvents ?? 0) !== 0) throw new Refusal(code.unknown, "tail events is not supported")
    if (request.id !== undefined && (how?.bootstrapContents === true || queries.length > 0)) {
      throw new Refusal(code.unimplemented, "watching a resource by id has neither a bootstrap nor a label query")
    }
    const bookmark = how?.startFromBookmark
    if (bookmark !== undefined && how?.bootstrapContents === true) {
      throw new Refusal(code.unknown, "bookmark and bootstrap cannot be used together")
    }
    if (request.apiVersion < 1) violated(`Watch ${request.type}: with API version 0, which is told of no bootstrap`)

    let from = store.revision()
    let missed: ReadonlyArray<Change> = []
    if (bookmark !== undefined) {
      const dead = new Refusal(code.failedPrecondition, "failed to watch: invalid watch bookmark")
      if (bookmark.length !== 8) throw dead
      from = Number(Buffer.from(bookmark).readBigUInt64BE())
      const since = store.since(from)
      if (since === undefined) throw dead
      missed = since
    }

    const send = (events: ReadonlyArray<object>) =>
      void call.write(protobuf.create(cosi.WatchResponseSchema, { event: [...events] as never }))
    const concerns = ({ metadata }: Stored): boolean =>
      metadata.type === request.type && metadata.namespace === request.namespace &&
      (request.id === undefined || metadata.id === request.id) && wanted(metadata.id)

    let open = true
    const end = () => {
      open = false
      leave()
      watches.delete(entry)
    }
    const cut = () => {
      if (!open) return
      end()
      call.emit("error", cuts[cutCount++ % cuts.length])
    }
    const entry: OpenWatch = { cut }

    const tell = ({ old, resource, revision, what }: Change) => {
      if (!open || !concerns(resource)) return
      const now = what !== "destroyed" && fits(queries, resource.metadata.labels)
      const before = what === "destroyed"
        ? fits(queries, resource.metadata.labels)
        : old !== undefined && fits(queries, old.metadata.labels)
      if (!now && !before) return
      // An event that a cut swallows comes again with the bookmark of the one before.
      if (options.cutsNow()) return cut()
      send([{
        resource: toWire(wire, resource),
        eventType: now ? before ? eventType.updated : eventType.created : eventType.destroyed,
        ...(now && before && old !== undefined ? { old: toWire(wire, old) } : {}),
        bookmark: bookmarkOf(revision)
      }])
    }

    let leave: () => void = () => undefined
    // That the watch is established is said by a message without events.
    send([])
    if (bookmark === undefined) {
      if (request.id !== undefined) {
        const key = { namespace: request.namespace, type: request.type, id: request.id }
        const found = store.get(key)
        send([{
          resource: found === undefined ? tombstone(wire, key) : toWire(wire, found),
          eventType: found === undefined ? eventType.destroyed : eventType.created,
          bookmark: bookmarkOf(from)
        }])
      } else if (how?.bootstrapContents === true) {
        const contents = store.list(request.type, request.namespace)
          .filter(({ metadata }) => wanted(metadata.id) && fits(queries, metadata.labels))
          .map((stored) => ({ resource: toWire(wire, stored), eventType: eventType.created }))
        if (how.aggregated && contents.length > 0) send(contents)
        else for (const event of contents) send([event])
        const nothing = tombstone(wire, { namespace: request.namespace, type: request.type, id: "" })
        if (request.apiVersion >= 1) {
          send([{ resource: nothing, eventType: eventType.bootstrapped, bookmark: bookmarkOf(from) }])
        }
        if (how.bootstrapBookmark) {
          send([{ resource: nothing, eventType: eventType.noop, bookmark: bookmarkOf(from) }])
        }
      }
    }
    watches.add(entry)
    leave = store.subscribe(tell)
    for (const change of missed) tell(change)
    call.on("cancelled", end)
    call.on("close", end)
  }

  return {
    get,
    list,
    create,
    update,
    teardown,
    destroy,
    teardownAndDestroy,
    watch,
    watches,
    cutAll: () => {
      for (const each of Array.from(watches)) each.cut()
    }
  }
}
