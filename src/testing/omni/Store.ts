/**
 * The resources of a fake Omni: a store with versions, owners, phases and finalizers, and a log of what changed.
 *
 * The rules are those of the COSI resource API: a key is namespace, type and id; each change counts the version up by
 * one; a destroy needs a teardown before, and no finalizer. What is stored is never changed in place. It does not know who
 * calls, nor what Omni makes of a resource.
 */
import { code, exists, notFound, owned, pendingFinalizers, Refusal, versionConflict, wrongPhase } from "./Refusal.ts"

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
  /** Whether it can be destroyed now. */
  readonly teardown: (key: Key, owner: string) => boolean
  readonly destroy: (key: Key, owner: string) => void
  /** Without any rule: what a controller does, or time. */
  readonly put: (resource: Stored) => void
  readonly drop: (key: Key) => void
  readonly revision: () => number
  /** All changes after a revision; undefined where so old ones are forgotten. */
  readonly since: (revision: number) => ReadonlyArray<Change> | undefined
  /** Forgets all changes so far: older bookmarks are dead. */
  readonly compact: () => void
  readonly subscribe: (listener: (change: Change) => void) => () => void
}

const keyOf = ({ id, namespace, type }: Key): string => `${namespace}\0${type}\0${id}`

export const makeStore = (now: () => number): Store => {
  const resources = new Map<string, Stored>()
  const listeners = new Set<(change: Change) => void>()
  let log: Array<Change> = []
  let revision = 1
  let oldest = 1

  const tell = (what: Change["what"], resource: Stored, old: Stored | undefined) => {
    revision++
    const change: Change = { revision, what, resource, old }
    log.push(change)
    // One that a listener adds is told of later changes only.
    for (const listener of Array.from(listeners)) listener(change)
  }

  const put = (resource: Stored) => {
    const key = keyOf(resource.metadata)
    const old = resources.get(key)
    resources.set(key, resource)
    tell(old === undefined ? "created" : "updated", resource, old)
  }

  const drop = (key: Key) => {
    const old = resources.get(keyOf(key))
    if (old === undefined) return
    resources.delete(keyOf(key))
    tell("destroyed", old, undefined)
  }

  const needed = (key: Key): Stored => {
    const found = resources.get(keyOf(key))
    if (found === undefined) throw notFound(key)
    return found
  }

  const ofOwner = (found: Stored, owner: string) => {
    if (found.metadata.owner !== owner) throw owned(found.metadata, found.metadata.version, found.metadata.owner)
  }

  return {
    get: (key) => resources.get(keyOf(key)),
    list: (type, namespace) =>
      [...resources.values()]
        .filter(({ metadata }) => metadata.type === type && metadata.namespace === namespace)
        .sort((a, b) => a.metadata.id < b.metadata.id ? -1 : 1),
    create: ({ metadata, spec }) => {
      const there = resources.get(keyOf(metadata))
      if (there !== undefined) throw exists(metadata, there.metadata.version)
      const made: Stored = { metadata: { ...metadata, version: 1, created: now() }, spec }
      put(made)
      return made
    },
    update: ({ metadata, spec }, { expectedPhase, owner }) => {
      const found = needed(metadata)
      // An update that names an owner takes the resource over; only what has another owner is refused.
      if (found.metadata.owner !== "" && found.metadata.owner !== owner) ofOwner(found, owner)
      if (found.metadata.version !== metadata.version) {
        throw versionConflict(metadata, metadata.version, found.metadata.version)
      }
      if (expectedPhase !== undefined && found.metadata.phase !== expectedPhase) {
        throw wrongPhase(metadata, found.metadata.version, "update", expectedPhase)
      }
      const made: Stored = {
        metadata: { ...metadata, version: found.metadata.version + 1, created: found.metadata.created },
        spec
      }
      put(made)
      return made
    },
    teardown: (key, owner) => {
      const found = needed(key)
      ofOwner(found, owner)
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
      ofOwner(found, owner)
      if (found.metadata.finalizers.length > 0) {
        throw pendingFinalizers(key, found.metadata.version, found.metadata.finalizers)
      }
      if (found.metadata.phase !== "tearingDown") {
        throw new Refusal(
          code.unknown,
          `failed to destroy: ${wrongPhase(key, found.metadata.version, "teardown", "tearingDown").message}`
        )
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
