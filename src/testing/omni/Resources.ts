/** How the controllers of a fake Omni read and write resources: without the rules that bind users. */
import type { Message, MessageInitShape } from "@bufbuild/protobuf"
import type { GenMessage } from "@bufbuild/protobuf/codegenv2"
import { typeOf } from "./Access.ts"
import { label } from "./Labels.ts"
import type { Metadata, Store, Stored } from "./Store.ts"
import { namespaceOf, type Wire } from "./Wire.ts"

type Labels = Readonly<Record<string, string>>

const sameLabels = (a: Labels, b: Labels): boolean => {
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name])
}

/** Owners whose names do not follow from the kind. */
const owners: Readonly<Record<string, string>> = {
  LoadBalancerStatuses: "LoadBalancerController",
  MachineSetNodes: "",
  KubernetesVersions: "VersionsController",
  TalosVersions: "VersionsController"
}

/** `ClusterStatusController` owns `ClusterStatuses`. */
const ownerOf = (kind: string): string => owners[kind] ?? `${kind.replace(/(s)es$|s$/, "$1")}Controller`

export const makeResources = (wire: Wire, store: Store, now: () => number) => {
  const { protobuf } = wire
  const key = (kind: string, id: string) => ({ namespace: namespaceOf(kind), type: typeOf(kind), id })

  const list = (kind: string) => store.list(typeOf(kind), namespaceOf(kind))
  const get = (kind: string, id: string) => store.get(key(kind, id))
  const read = <M extends Message>(schema: GenMessage<M>, stored: Stored): M => protobuf.fromBinary(schema, stored.spec)
  const ofCluster = (kind: string, cluster: string) =>
    list(kind).filter(({ metadata }) => metadata.labels[label.cluster] === cluster)
  const ofSet = (kind: string, set: string) => list(kind).filter(({ metadata }) => metadata.labels[label.set] === set)

  const change = (stored: Stored, changes: Partial<Metadata>) =>
    store.put({
      ...stored,
      metadata: { ...stored.metadata, version: stored.metadata.version + 1, updated: now(), ...changes }
    })

  /** Stores a status, unless it is stored already. A status that is torn down is left alone. */
  const write = <M extends Message>(
    kind: string,
    id: string,
    schema: GenMessage<M>,
    init: MessageInitShape<GenMessage<M>>,
    labels: Labels = {},
    finalizers: ReadonlyArray<string> = []
  ): void => {
    const spec = protobuf.toBinary(schema, protobuf.create(schema, init))
    const old = get(kind, id)
    if (old !== undefined) {
      if (old.metadata.phase !== "running") return
      if (Buffer.compare(old.spec, spec) === 0 && sameLabels(old.metadata.labels, labels)) return
    }
    store.put({
      metadata: {
        ...key(kind, id),
        version: (old?.metadata.version ?? 0) + 1,
        owner: ownerOf(kind),
        phase: "running",
        created: old?.metadata.created ?? now(),
        updated: now(),
        finalizers: old?.metadata.finalizers ?? finalizers,
        labels,
        annotations: old?.metadata.annotations ?? {}
      },
      spec
    })
  }

  return {
    list,
    get,
    read,
    ofCluster,
    ofSet,
    write,
    change,
    tearDown: (stored: Stored) => {
      if (stored.metadata.phase === "running") change(stored, { phase: "tearingDown" })
    },
    /** Destroys a resource without a teardown. */
    drop: (kind: string, id: string) => store.drop(key(kind, id)),
    /** Tears a resource down, then destroys it. */
    remove: (kind: string, id: string) => {
      const found = get(kind, id)
      if (found === undefined) return
      if (found.metadata.phase === "running") change(found, { phase: "tearingDown", finalizers: [] })
      store.drop(key(kind, id))
    },
    /** Adds finalizers one by one, as controllers do. */
    hold: (stored: Stored, finalizers: ReadonlyArray<string>) => {
      for (const finalizer of finalizers) {
        const current = store.get(stored.metadata)
        if (current === undefined || current.metadata.finalizers.includes(finalizer)) continue
        change(current, { finalizers: [...current.metadata.finalizers, finalizer] })
      }
    },
    release: (stored: Stored, finalizers: ReadonlyArray<string>) => {
      const left = stored.metadata.finalizers.filter((finalizer) => !finalizers.includes(finalizer))
      if (left.length < stored.metadata.finalizers.length) change(stored, { finalizers: left })
    }
  }
}

export type Resources = ReturnType<typeof makeResources>
