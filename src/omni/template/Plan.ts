/**
 * Plans what a sync of a template would change. Writes nothing.
 *
 * A plan fails where a sync would fail before its first write. Examples are issues of the template, versions and
 * machines that do not exist or do not fit, patches that the server refuses, and ids in use.
 */
import * as Effect from "effect/Effect"
import type { InvalidSpec } from "../../ProviderError.ts"
import type { ServerVersion } from "../ServerVersion.ts"
import type { CallFailure, StateReader as State } from "../State.ts"
import { type Actual, type Change, diff } from "./Diff.ts"
import { invalid } from "./Issue.ts"
import { load, type Loaded, type LoadOptions } from "./Load.ts"
import type { Template } from "./Model.ts"
import { loadYaml } from "./Parse.ts"
import { abilities, abilityIssues, preflight } from "./Preflight.ts"
import { read } from "./Read.ts"
import { clashes, type Expected, translate } from "./Translate.ts"
import { bare } from "./Versions.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface SyncOptions extends LoadOptions {
  /**
   * Takes ids of machines that the account does not have (yet) as they are; the cluster waits for them. Otherwise they
   * are faults.
   */
  readonly allowUnknownMachines?: boolean
  /**
   * Takes machine classes with fewer free machines than requested; the cluster waits for the rest. Otherwise that is
   * `CapacityUnavailable`.
   */
  readonly allowMissingMachines?: boolean
}

/** The values that the layer adds to the options of a caller. */
export interface LayerOptions extends SyncOptions {
  readonly validate?: ((config: string) => Effect.Effect<string | undefined, CallFailure>) | undefined
  readonly version?: ServerVersion | undefined
}

/**
 * One resource that a sync changes.
 *
 * - `destroy`: the template does not speak of it any more.
 * - `create`; `recreate` where it is still being torn down, and has to be gone first.
 * - `update`: `differences` has a line for each; contents of patches are not shown.
 * - `release`: kernel arguments or the install disk of a machine, which stay, and are no template's any more.
 *
 * @category models
 * @since 0.1.0
 */
export interface TemplateChange {
  readonly action: "destroy" | "create" | "recreate" | "update" | "release"
  /** `Cluster`, `MachineSet`, `MachineSetNode`, `ConfigPatch`, ... */
  readonly kind: string
  readonly id: string
  readonly differences: ReadonlyArray<string>
}

/**
 * The changes of a sync, planned or done.
 *
 * @category models
 * @since 0.1.0
 */
export interface TemplateChanges {
  readonly cluster: string
  /** Destroyed resources first, then created, then updated ones. Empty if the cluster is as the template says. */
  readonly changes: ReadonlyArray<TemplateChange>
}

/** A change as its reader sees it. */
export const toTemplateChange = (change: Change): TemplateChange => ({
  action: change.action,
  kind: change.kind,
  id: change.id,
  differences: change.action === "update" ? change.differences : []
})

const rank = { destroy: 0, create: 1, recreate: 1, update: 2, release: 2 } as const

/** Destroys first, then as it is written. */
export const inPlanOrder = <A extends { readonly action: Change["action"] }>(
  changes: ReadonlyArray<A>
): ReadonlyArray<A> => [...changes].sort((a, b) => rank[a.action] - rank[b.action])

/** A template, and what has to be done for it. */
export interface Prepared {
  readonly cluster: string
  readonly changes: ReadonlyArray<Change>
  /** Everything that the template has. */
  readonly expected: ReadonlyArray<Expected>
  readonly actual: ReadonlyArray<Actual>
}

/** Compares a template with the server, and makes sure that the server can take the changes. */
export const prepare = Effect.fnUntraced(function*(
  state: State,
  loaded: Loaded,
  options: LayerOptions
): Effect.fn.Return<Prepared, InvalidSpec | CallFailure> {
  const yaml = yield* loadYaml
  const cluster = loaded.template.cluster.name
  const can = yield* abilities(state, loaded, options.version)
  const expected = translate(loaded, can)
  const early = [...abilityIssues(loaded, can), ...clashes(expected)]
  const found = yield* read(state, yaml, cluster, expected)
  const changes = diff(expected, found.actual)
  const checked = yield* preflight(state, {
    cluster,
    talosVersion: bare(loaded.template.cluster.talos.version),
    changes,
    actual: found.actual,
    nodesIn: found.nodesIn,
    allowUnknownMachines: options.allowUnknownMachines === true,
    allowMissingMachines: options.allowMissingMachines === true,
    validate: options.validate
  })
  const issues = [...early, ...found.issues, ...checked.issues]
  if (issues.length > 0) return yield* invalid(issues, loaded.place)
  yield* checked.capacity
  return { cluster, changes, expected, actual: found.actual }
})

/** The changes of a sync of this template. It writes nothing. */
export const plan = Effect.fnUntraced(function*(
  state: State,
  template: string | Template,
  options: LayerOptions = {}
): Effect.fn.Return<TemplateChanges, InvalidSpec | CallFailure> {
  const loaded = yield* load(template, options)
  const { changes, cluster } = yield* prepare(state, loaded, options)
  return { cluster, changes: inPlanOrder(changes).map(toTemplateChange) }
})
