/**
 * Resources in memory behind the interface of `State`. A test can count, fail or delay every call, which a server in
 * another fiber does not allow so exactly. Deleting a cluster deletes its sets, and deleting a set deletes its nodes.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Kind, Metadata, Resource, State } from "../../../src/omni/State.ts"
import {
  BackendError,
  Conflict,
  InvalidInput,
  NameTaken,
  NotFoundError,
  type Reason,
  UnsupportedError
} from "../../../src/Reason.ts"

type AnyResource = Resource<never>

interface Call {
  readonly method: string
  readonly type: string
  readonly id: string
  readonly isWrite: boolean
}

export interface Held {
  readonly state: State
  readonly calls: Array<Call>
  readonly resources: Map<string, AnyResource>
  readonly put: (type: string, id: string, given?: {
    readonly spec?: object
    readonly labels?: Record<string, string>
    readonly annotations?: Record<string, string>
    readonly owner?: string
    readonly phase?: Metadata["phase"]
    readonly created?: string
  }) => void
  readonly ids: (type: string) => ReadonlyArray<string>
  /** Runs before each call takes effect, and may fail it. */
  before: (call: Call) => Effect.Effect<void, BackendError>
  /** Runs after a call took effect: what fails here is an answer that was lost. */
  after: (call: Call) => Effect.Effect<void, BackendError>
  unknown: ReadonlySet<string>
}

export const failure = (reason: Reason) => new BackendError({ provider: "omni", operation: "test", reason })

const cluster = "omni.sidero.dev/cluster"

const heldState = (): Held => {
  const resources = new Map<string, AnyResource>()
  const calls: Array<Call> = []
  const short = (kind: Kind<never>) => kind.type.split(".")[0] ?? ""
  const keyOf = (kind: Kind<never>, id: string) => `${short(kind)}/${id}`
  const defaults: Readonly<Record<string, object>> = {
    ConfigPatches: { data: "", compressedData: new Uint8Array() },
    KubernetesManifestGroups: { data: "", compressedData: new Uint8Array(), mode: 0 },
    KubernetesHealthChecks: { job: "" },
    MachineSetNodes: {},
    MachineClasses: { matchLabels: [] },
    MachineStatuses: { connected: true, talosVersion: "" },
    TalosVersions: { deprecated: false, unsupported: false, compatibleKubernetesVersions: [] }
  }
  const specOf = (type: string, spec: object) => ({ ...defaults[type], ...spec }) as never

  const step = <A>(
    method: string,
    kind: Kind<never>,
    id: string,
    isWrite: boolean,
    effect: () => A | Reason
  ): Effect.Effect<A, BackendError> =>
    Effect.gen(function*() {
      const call = { method, type: short(kind), id, isWrite }
      yield* held.before(call)
      calls.push(call)
      const result = effect()
      if (result instanceof Error) return yield* failure(result as Reason)
      yield* held.after(call)
      return result as A
    })

  const isTaken = (resource: AnyResource | undefined) => resource !== undefined

  /** Deletes the resources of a deleted cluster or set, as the controllers do. */
  const destroyed = (key: string) => {
    const gone = resources.get(key)
    resources.delete(key)
    if (gone === undefined) return
    const { id, type } = gone.metadata
    for (const [other, { metadata }] of resources) {
      const isOfSet = type.startsWith("MachineSets") && metadata.type.startsWith("MachineSetNodes") &&
        metadata.labels["omni.sidero.dev/machine-set"] === id
      if (isOfSet || (type.startsWith("Clusters") && metadata.labels[cluster] === id)) resources.delete(other)
    }
  }

  const put: Held["put"] = (type, id, given = {}) => {
    resources.set(`${type}/${id}`, {
      metadata: {
        namespace: "default",
        type: `${type}.omni.sidero.dev`,
        id,
        version: "1",
        owner: given.owner ?? "",
        phase: given.phase ?? "running",
        labels: given.labels ?? {},
        annotations: given.annotations ?? {},
        finalizers: [],
        created: given.created ?? "1970-01-01T00:00:00.000Z"
      },
      spec: specOf(type, given.spec ?? {}),
      yaml: ""
    })
  }

  const missing = (kind: Kind<never>, id: string): Reason =>
    new NotFoundError({ detail: `resource ${kind.type} ${id} doesn't exist` })
  const unknown = (kind: Kind<never>) => held.unknown.has(short(kind))
  const refused = () => new UnsupportedError({ detail: "no access is permitted", status: 7 })

  const get = (kind: Kind<never>, id: string) => step("get", kind, id, false, () => resources.get(keyOf(kind, id)))

  const update = (kind: Kind<never>, { metadata, spec }: { readonly metadata: Metadata; readonly spec: object }) =>
    step("update", kind, metadata.id, true, () => {
      const found = resources.get(keyOf(kind, metadata.id))
      if (found === undefined) return missing(kind, metadata.id)
      if (found.metadata.version !== metadata.version) return new Conflict({ detail: "update conflict" })
      if (found.metadata.phase !== "running") return new Conflict({ detail: "is not in phase running" })
      const version = String(Number(metadata.version) + 1)
      const next = { metadata: { ...metadata, version }, spec: specOf(short(kind), spec), yaml: "" }
      resources.set(keyOf(kind, metadata.id), next)
      return next
    })

  const state = {
    get,
    list: (kind: Kind<never>, labels: Readonly<Record<string, string | boolean>> = {}) =>
      step(
        "list",
        kind,
        "",
        false,
        () =>
          [...resources.values()].filter(({ metadata }) =>
            metadata.type === kind.type &&
            Object.entries(labels).every(([key, value]) =>
              typeof value === "string" ? metadata.labels[key] === value : Object.hasOwn(metadata.labels, key) === value
            )
          )
      ),
    knows: (kind: Kind<never>) => step("knows", kind, "", false, () => !unknown(kind)),
    create: (kind: Kind<never>, given: {
      readonly id: string
      readonly labels?: Record<string, string>
      readonly annotations?: Record<string, string>
      readonly spec: object
    }) =>
      step("create", kind, given.id, true, () => {
        if (unknown(kind)) return refused()
        if (isTaken(resources.get(keyOf(kind, given.id)))) {
          return new NameTaken({ detail: "already exists", by: "a resource" })
        }
        const owner = given.labels?.[cluster]
        const set = given.labels?.["omni.sidero.dev/machine-set"]
        if (short(kind) === "MachineSets" && !isTaken(resources.get(`Clusters/${owner}`))) {
          return new InvalidInput({ detail: `failed to validate: cluster ${owner} doesn't exist` })
        }
        if (short(kind) === "MachineSetNodes" && !isTaken(resources.get(`MachineSets/${set}`))) {
          return new InvalidInput({ detail: `failed to validate: machine set ${set} doesn't exist` })
        }
        put(short(kind), given.id, given)
        return resources.get(keyOf(kind, given.id))
      }),
    update,
    modify: (kind: Kind<never>, id: string, f: (resource: AnyResource) => AnyResource | undefined) => {
      const once: Effect.Effect<unknown, BackendError> = Effect.gen(function*() {
        const found = yield* get(kind, id)
        if (found === undefined) return yield* failure(missing(kind, id))
        const changed = f(found as AnyResource)
        return changed === undefined ? found : yield* update(kind, changed)
      })
      return Effect.retry(once, {
        times: 5,
        while: (error) => error.reason._tag === "Conflict" || error.reason._tag === "Transport"
      })
    },
    teardown: (kind: Kind<never>, id: string) =>
      step("teardown", kind, id, true, () => {
        const found = resources.get(keyOf(kind, id))
        if (found === undefined) return undefined
        resources.set(keyOf(kind, id), { ...found, metadata: { ...found.metadata, phase: "tearingDown" } })
        return { ready: true }
      }),
    destroy: (kind: Kind<never>, id: string) => step("destroy", kind, id, true, () => destroyed(keyOf(kind, id))),
    // A watch of one resource: as it is now, and nothing later.
    watch: (kind: Kind<never>, { id }: { readonly id: string }) =>
      Stream.suspend(() => {
        const resource = resources.get(keyOf(kind, id))
        return Stream.succeed(
          resource === undefined ? { _tag: "Destroyed", id, last: undefined } : { _tag: "Created", resource }
        )
      }),
    teardownAndDestroy: (kind: Kind<never>, id: string) =>
      step("teardownAndDestroy", kind, id, true, () => destroyed(keyOf(kind, id)))
  } as unknown as State

  const held: Held = {
    state,
    calls,
    resources,
    put,
    ids: (type) =>
      [...resources.values()].flatMap(({ metadata }) =>
        metadata.type === `${type}.omni.sidero.dev` ? [metadata.id] : []
      ),
    before: () => Effect.void,
    after: () => Effect.void,
    unknown: new Set(["MachineInstallDiskConfigs"])
  }
  return held
}

/** An account with versions, free machines 1 to 12, and a class that takes them all. */
export const account = (): Held => {
  const held = heldState()
  const talos = (version: string, kubernetes: ReadonlyArray<string>, spec: object = {}) =>
    held.put("TalosVersions", version, { spec: { version, compatibleKubernetesVersions: kubernetes, ...spec } })
  talos("1.8.0", ["1.31.0"], { deprecated: true })
  talos("1.11.5", ["1.33.6", "1.34.1"])
  talos("1.12.1", ["1.33.6", "1.34.1", "1.35.0"])
  talos("1.13.0-beta.0", ["1.34.1", "1.35.0", "1.36.0-rc.0"])
  held.put("MachineClasses", "any", { spec: { matchLabels: ["omni.sidero.dev/available"] } })
  for (let number = 1; number <= 12; number++) {
    held.put("MachineStatuses", `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`, {
      labels: { "omni.sidero.dev/available": "", "omni.sidero.dev/connected": "" }
    })
  }
  return held
}
