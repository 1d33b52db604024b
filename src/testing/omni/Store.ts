/**
 * The resources of a fake Omni: a store with versions, owners, phases and finalizers, and a log of changes.
 *
 * A key is namespace, type and id. Each change raises the version by one. A stored resource is never changed in place.
 * Source: COSI resource API; Omni 1.9.3 as recorded.
 */
import { exists, notFound, owned, pendingFinalizers, versionConflict, wrongPhase } from "./Refusal.ts"

type Phase = "running" | "tearingDown"

export interface Metadata {
  readonly namespace: string
  readonly type: string
  readonly id: string
  readonly version: number
  readonly owner: string
  readonly phase: Phase
  readonly created: number
  readonly updated: number
  readonly finalizers: ReadonlyArray<string>
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export interface Stored {
  readonly metadata: Metadata
  /** The spec's bytes. */
  readonly spec: Uint8Array
}

export interface Change {
  readonly revision: number
  readonly what: "created" | "updated" | "destroyed"
  readonly resource: Stored
  readonly old: Stored | undefined
}

export interface Key {
  readonly namespace: string
  readonly type: string
  readonly id: string
}

export interface Store {
  readonly get: (key: Key) => Stored | undefined
  /** By id. */
  readonly list: (type: string, namespace: string) => ReadonlyArray<Stored>
  readonly create: (
    resource: Omit<Stored, "metadata"> & { readonly metadata: Omit<Metadata, "version" | "created"> }
  ) => Stored
  /** Replaces labels, annotations, finalizers, phase and spec. */
  readonly update: (resource: Stored, options: { readonly owner: string; readonly expectedPhase?: string }) => Stored
  /** Gives whether the resource can be destroyed now. */
  readonly teardown: (key: Key, owner: string) => boolean
  readonly destroy: (key: Key, owner: string) => void
  /** Stores without any rule, as a controller does. */
  readonly put: (resource: Stored) => void
  readonly drop: (key: Key) => void
  readonly revision: () => number
  /** All changes after a revision; undefined if some of them are forgotten. */
  readonly since: (revision: number) => ReadonlyArray<Change> | undefined
  /** Forgets all changes so far: older bookmarks become invalid. */
  readonly compact: () => void
  readonly subscribe: (listener: (change: Change) => void) => () => void
}

const kindKey = ({ namespace, type }: { readonly namespace: string; readonly type: string }): string =>
  `${namespace}\0${type}`

export const makeStore = (now: () => number): Store => {
  const kinds = new Map<string, Map<string, Stored>>()
  /** Lists as they were sorted; a change of the kind drops them. */
  const sorted = new Map<string, ReadonlyArray<Stored>>()
  const listeners = new Set<(change: Change) => void>()
  let log: Array<Change> = []
  let revision = 1
  let oldest = 1

  const find = (key: Key): Stored | undefined => kinds.get(kindKey(key))?.get(key.id)

  const tell = (what: Change["what"], resource: Stored, old: Stored | undefined) => {
    revision++
    const change: Change = { revision, what, resource, old }
    log.push(change)
    // A listener that is added now gets later changes only.
    for (const listener of Array.from(listeners)) listener(change)
  }

  const put = (resource: Stored) => {
    const { metadata } = resource
    const kind = kindKey(metadata)
    const old = find(metadata)
    const resources = kinds.get(kind) ?? new Map<string, Stored>()
    kinds.set(kind, resources.set(metadata.id, resource))
    sorted.delete(kind)
    tell(old === undefined ? "created" : "updated", resource, old)
  }

  const drop = (key: Key) => {
    const old = find(key)
    if (old === undefined) return
    kinds.get(kindKey(key))?.delete(key.id)
    sorted.delete(kindKey(key))
    tell("destroyed", old, undefined)
  }

  const needed = (key: Key): Stored => {
    const found = find(key)
    if (found === undefined) throw notFound(key)
    return found
  }

  const checkOwner = (found: Stored, owner: string, on: "update" | "destroy") => {
    if (found.metadata.owner !== owner) throw owned(found.metadata, found.metadata.version, found.metadata.owner, on)
  }

  return {
    get: find,
    list: (type, namespace) => {
      const kind = kindKey({ namespace, type })
      const found = sorted.get(kind) ??
        [...kinds.get(kind)?.values() ?? []].sort((a, b) => a.metadata.id < b.metadata.id ? -1 : 1)
      sorted.set(kind, found)
      return found
    },
    create: ({ metadata, spec }) => {
      if (find(metadata) !== undefined) throw exists(metadata)
      const created: Stored = { metadata: { ...metadata, version: 1, created: now() }, spec }
      put(created)
      return created
    },
    update: ({ metadata, spec }, { expectedPhase, owner }) => {
      const found = needed(metadata)
      checkOwner(found, owner, "update")
      if (found.metadata.version !== metadata.version) {
        throw versionConflict(metadata, metadata.version, found.metadata.version)
      }
      if (expectedPhase !== undefined && found.metadata.phase !== expectedPhase) {
        throw wrongPhase(metadata, found.metadata.version, "update", expectedPhase)
      }
      const updated: Stored = {
        metadata: { ...metadata, version: found.metadata.version + 1, created: found.metadata.created },
        spec
      }
      put(updated)
      return updated
    },
    teardown: (key, owner) => {
      const found = needed(key)
      checkOwner(found, owner, "update")
      if (found.metadata.phase === "running") {
        put({
          ...found,
          metadata: { ...found.metadata, phase: "tearingDown", version: found.metadata.version + 1, updated: now() }
        })
      }
      return found.metadata.finalizers.length === 0
    },
    destroy: (key, owner) => {
      const found = needed(key)
      checkOwner(found, owner, "destroy")
      if (found.metadata.finalizers.length > 0) {
        throw pendingFinalizers(key, found.metadata.version, found.metadata.finalizers)
      }
      drop(key)
    },
    put,
    drop,
    revision: () => revision,
    since: (bookmark) => bookmark < oldest ? undefined : log.filter((change) => change.revision > bookmark),
    compact: () => {
      log = []
      oldest = revision + 1
    },
    subscribe: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    }
  }
}
