/**
 * The service `cosi.resource.State` of a fake Omni: reads, writes and teardowns. Watches are in `Watch.ts`.
 *
 * Source: COSI resource API; Omni 1.9.3 as recorded.
 */
import type {
  CreateRequest,
  DestroyRequest,
  GetRequest,
  ListRequest,
  TeardownAndDestroyRequest,
  TeardownRequest,
  UpdateRequest
} from "../../omni/proto/cosi_pb.ts"
import { checkAccess, kindOf, type Role, type Verb } from "./Access.ts"
import { checkQueries, idTest, matches } from "./Query.ts"
import { code, missingText, notFound, Refusal, wrongPhase } from "./Refusal.ts"
import type { Call } from "./Service.ts"
import type { Key, Store, Stored } from "./Store.ts"
import type { Throttle } from "./Throttle.ts"
import type { Validation } from "./Validation.ts"
import { fromWire, toWire, type Wire } from "./Wire.ts"

export interface StateOptions {
  readonly wire: Wire
  readonly store: Store
  readonly validation: Validation
  readonly throttle: Throttle
  /** Types that this server does not know. */
  readonly absent: ReadonlySet<string>
  readonly violated: (what: string) => void
}

const phases: ReadonlySet<string> = new Set(["running", "tearingDown"])

export const makeState = ({ absent, store, throttle, validation, violated, wire }: StateOptions) => {
  const { cosi, protobuf } = wire
  let destroyerWins = false

  const allow = (type: string, verb: Verb, role: Role) => checkAccess(type, verb, role, absent)
  const keyOf = ({ id, namespace, type }: Key): Key => ({ namespace, type, id })
  const needed = (key: Key): Stored => {
    const found = store.get(key)
    if (found === undefined) throw notFound(key)
    return found
  }

  const get = (request: GetRequest, { role }: Call) => {
    allow(request.type, "read", role)
    return protobuf.create(cosi.GetResponseSchema, { resource: toWire(wire, needed(keyOf(request))) })
  }

  const list = (request: ListRequest, { role }: Call) => {
    allow(request.type, "read", role)
    const queries = checkQueries(request.options?.labelQuery ?? [])
    const wanted = idTest(request.options?.idQuery)
    return store.list(request.type, request.namespace)
      .filter(({ metadata }) => wanted(metadata.id) && matches(queries, metadata.labels))
      .map((stored) => protobuf.create(cosi.ListResponseSchema, { resource: toWire(wire, stored) }))
  }

  const create = async (request: CreateRequest, { role }: Call) => {
    const { metadata, spec } = fromWire(wire, request.resource, "create")
    allow(metadata.type, "create", role)
    if (metadata.updated === 0) violated(`Create ${metadata.type}: without the time of the update, which is then 1970`)
    validation.checkWrite({ metadata, spec }, "create")
    const owner = request.options?.owner ?? ""
    if (owner !== "") violated(`Create ${metadata.type}: with the owner ${owner}, which locks the caller out`)
    await throttle(metadata.type, spec.length)
    return protobuf.create(cosi.CreateResponseSchema, {
      resource: toWire(wire, store.create({ metadata: { ...metadata, owner }, spec }))
    })
  }

  const update = async (request: UpdateRequest, { role }: Call) => {
    if (request.options === undefined) {
      violated("Update: without options, which a server does not survive")
      throw new Refusal(code.internal, "runtime error: invalid memory address or nil pointer dereference")
    }
    const resource = fromWire(wire, request.newResource, "update")
    allow(resource.metadata.type, "update", role)
    const { expectedPhase, owner } = request.options
    if (expectedPhase !== undefined && !phases.has(expectedPhase)) {
      throw new Refusal(code.unknown, `unknown phase: ${expectedPhase}`)
    }
    if (resource.metadata.owner !== owner) violated(`Update ${resource.metadata.type}: with an owner`)
    if (store.get(resource.metadata) !== undefined) validation.checkWrite(resource, "update")
    await throttle(resource.metadata.type, resource.spec.length)
    return protobuf.create(cosi.UpdateResponseSchema, {
      resource: toWire(
        wire,
        store.update(resource, { owner, ...(expectedPhase === undefined ? {} : { expectedPhase }) })
      )
    })
  }

  const removing = (request: Key, { role }: Call): Key => {
    allow(request.type, "destroy", role)
    validation.checkRemoval(request)
    return keyOf(request)
  }

  /** Links belong to a controller, and users may delete them all the same. */
  const ownerFor = (key: Key, owner: string): string =>
    kindOf(key.type) === "Links" ? store.get(key)?.metadata.owner ?? owner : owner

  const teardown = async (request: TeardownRequest, call: Call) => {
    const key = removing(request, call)
    await throttle(key.type, store.get(key)?.spec.length ?? 0)
    return protobuf.create(cosi.TeardownResponseSchema, {
      destroyReady: store.teardown(key, ownerFor(key, request.options?.owner ?? ""))
    })
  }

  const destroy = (request: DestroyRequest, call: Call) => {
    const key = removing(request, call)
    store.destroy(key, ownerFor(key, request.options?.owner ?? ""))
    return protobuf.create(cosi.DestroyResponseSchema, {})
  }

  /** Waits until a resource has no finalizers; gives whether it still exists. */
  const released = (key: Key, { onCancel }: Call): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const found = store.get(key)
        if (found !== undefined && found.metadata.finalizers.length > 0) return
        leave()
        resolve(found !== undefined)
      }
      const leave = store.subscribe((change) => {
        if (change.resource.metadata.id === key.id && change.resource.metadata.type === key.type) check()
      })
      onCancel(() => {
        leave()
        reject(new Refusal(code.cancelled, "context canceled"))
      })
      check()
    })

  const teardownAndDestroy = async (request: TeardownAndDestroyRequest, call: Call) => {
    const key = removing(request, call)
    const owner = ownerFor(key, request.options?.owner ?? "")
    const read = needed(key)
    // The server reads, then updates: of calls that read at once, one wins.
    await Promise.resolve()
    const found = needed(key)
    if (read.metadata.phase === "running" && found.metadata.phase !== "running") {
      throw wrongPhase(key, found.metadata.version, "teardown")
    }
    await throttle(key.type, found.spec.length)
    store.teardown(key, owner)
    if (await released(key, call)) {
      // The server's own destroyer is about as fast.
      destroyerWins = !destroyerWins
      if (destroyerWins || store.get(key) === undefined) {
        store.drop(key)
        throw new Refusal(code.notFound, `failed to destroy: ${missingText(key)}`)
      }
      store.destroy(key, owner)
    }
    return protobuf.create(cosi.TeardownAndDestroyResponseSchema, {})
  }

  return { get, list, create, update, teardown, destroy, teardownAndDestroy }
}
