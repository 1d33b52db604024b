/**
 * Compares the resources of a server with those of a template, and gives the changes. Pure.
 *
 * Contents are compared by their documents, so that the spacing of another tool is no difference. Annotations of
 * kubelayer and the lock of a cluster are kept. A resource that the template does not have is destroyed; settings of a
 * machine that outlive its cluster are released instead.
 */
import * as Labels from "../Labels.ts"
import { dotted, visible } from "./Issue.ts"
import { type Expected, inWriteOrder, type KindName, type PlainSpecs } from "./Translate.ts"

interface ActualOf<K extends KindName> {
  readonly kind: K
  readonly id: string
  readonly labels: Labels.Labels
  readonly annotations: Labels.Labels
  readonly isTearingDown: boolean
  readonly spec: PlainSpecs[K]
}

/** A resource of the server, a user's and not a controller's, that a template may speak of. */
export type Actual = { readonly [K in KindName]: ActualOf<K> }[KindName]

/** One step of a sync. */
export type Change =
  | { readonly action: "create"; readonly kind: KindName; readonly id: string; readonly expected: Expected }
  /** It is being torn down; it is created again when it is gone. */
  | { readonly action: "recreate"; readonly kind: KindName; readonly id: string; readonly expected: Expected }
  | {
    readonly action: "update"
    readonly kind: KindName
    readonly id: string
    readonly expected: Expected
    readonly differences: ReadonlyArray<string>
  }
  /** It stays, and no template manages it any more. */
  | { readonly action: "release"; readonly kind: KindName; readonly id: string }
  | { readonly action: "destroy"; readonly kind: KindName; readonly id: string; readonly labels: Labels.Labels }

// -----------------------------------------------------------------------------
// Differences
// -----------------------------------------------------------------------------

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The paths at which two values differ; of lists of another length, the list's own. */
const differing = (
  a: unknown,
  b: unknown,
  path: ReadonlyArray<string | number>
): ReadonlyArray<ReadonlyArray<string | number>> => {
  if (Object.is(a, b)) return []
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length ? a.flatMap((each, index) => differing(each, b[index], [...path, index])) : [path]
  }
  if (isMapping(a) && isMapping(b)) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) =>
      Object.hasOwn(a, key) === Object.hasOwn(b, key)
        ? differing(a[key], b[key], [...path, key])
        // A field that is there with nothing in it says as much as none.
        : a[key] === undefined && b[key] === undefined
        ? []
        : [[...path, key]]
    )
  }
  return [path]
}

/** A template neither sets nor removes these: kubelayer's own, and the lock of a cluster. */
const isKept = (key: string): boolean => key.startsWith(Labels.ownPrefix) || key === Labels.clusterLocked

/** The annotations that a resource has to have: those of the template, and those that a sync keeps. */
export const annotationsFor = (expected: Labels.Labels, actual: Labels.Labels): Labels.Labels => ({
  ...Object.fromEntries(Object.entries(actual).filter(([key]) => isKept(key))),
  ...expected
})

/** One field in which a resource differs. A content may be secret, so its values are not in it. */
export interface FieldDifference {
  /** Such as `talosVersion`, `label team`, or `content machine.env.A`. */
  readonly field: string
  readonly isContent: boolean
  readonly actual: unknown
  readonly requested: unknown
}

/** A value for people. */
const brief = (value: unknown): string =>
  value === undefined ? "nothing" : visible(typeof value === "string" ? value : JSON.stringify(value) ?? "", 60)

const valueAt = (value: unknown, path: ReadonlyArray<string | number>): unknown =>
  path.reduce<unknown>(
    (at, part) =>
      Array.isArray(at) && typeof part === "number"
        ? at[part]
        : isMapping(at) && Object.hasOwn(at, part)
        ? at[part]
        : undefined,
    value
  )

/** A spec as it is compared: contents by their documents, so that the text of another tool is no difference. */
const comparable = (spec: object): object => {
  if (!("documents" in spec) || !("data" in spec)) return spec
  const { data: _data, documents, ...rest } = spec
  return { ...rest, content: documents }
}

const specDifferences = (expected: Expected, actual: Actual): ReadonlyArray<FieldDifference> => {
  const [old, next] = [comparable(actual.spec), comparable(expected.spec)]
  return differing(old, next, []).map((path) =>
    path[0] === "content"
      // A single document has no number.
      ? {
        field: `content ${dotted(path.length > 2 ? path.slice(2) : path.slice(1))}`.trim(),
        isContent: true,
        actual: undefined,
        requested: undefined
      }
      : { field: dotted(path), isContent: false, actual: valueAt(old, path), requested: valueAt(next, path) }
  )
}

const textDifferences = (
  name: string,
  expected: Labels.Labels,
  actual: Labels.Labels
): ReadonlyArray<FieldDifference> =>
  differing(actual, expected, []).map((path) => ({
    field: `${name} ${visible(String(path[0]))}`,
    isContent: false,
    actual: valueAt(actual, path),
    requested: valueAt(expected, path)
  }))

/** The fields in which a resource differs from what it should be; none where it is as it should be. */
export const fieldDifferences = (expected: Expected, actual: Actual): ReadonlyArray<FieldDifference> => [
  ...specDifferences(expected, actual),
  ...textDifferences("label", expected.labels, actual.labels),
  ...textDifferences(
    "annotation",
    annotationsFor(expected.annotations, actual.annotations),
    actual.annotations
  )
]

/** The same, one line each. */
export const differences = (expected: Expected, actual: Actual): ReadonlyArray<string> =>
  fieldDifferences(expected, actual).map(({ actual: old, field, isContent, requested }) =>
    isContent ? field : `${field}: ${brief(old)} → ${brief(requested)}`
  )

// -----------------------------------------------------------------------------
// Changes
// -----------------------------------------------------------------------------

const keyOf = ({ id, kind }: { readonly kind: KindName; readonly id: string }): string => `${kind}/${id}`

const removal = (actual: Actual, machines: ReadonlySet<string>): ReadonlyArray<Change> => {
  const { id, kind, labels } = actual
  const isManaged = Object.hasOwn(actual.annotations, Labels.managedByTemplates)
  if (kind === "KernelArgs" || kind === "MachineInstallDiskConfig") {
    // Set by hand, or no template's any more.
    if (!isManaged) return []
    return kind === "MachineInstallDiskConfig" && machines.has(id)
      ? [{ action: "destroy", kind, id, labels }]
      : [{ action: "release", kind, id }]
  }
  return [{ action: "destroy", kind, id, labels }]
}

/** A resource that is destroyed with another one needs no step. */
const reduced = (changes: ReadonlyArray<Change>): ReadonlyArray<Change> => {
  const going = new Set(changes.flatMap((change) => change.action === "destroy" ? [keyOf(change)] : []))
  return changes.filter((change) =>
    change.action !== "destroy" || change.kind !== "MachineSetNode" ||
    !going.has(keyOf({ kind: "MachineSet", id: change.labels[Labels.machineSet] ?? "" }))
  )
}

/** The changes, in the order of writing within each action. */
export const diff = (expected: ReadonlyArray<Expected>, actual: ReadonlyArray<Actual>): ReadonlyArray<Change> => {
  const found = new Map(actual.map((each) => [keyOf(each), each]))
  const wanted = new Set(expected.map(keyOf))
  const machines = new Set(expected.flatMap(({ id, kind }) => kind === "MachineSetNode" ? [id] : []))
  const writes = expected.flatMap((each): ReadonlyArray<Change> => {
    const { id, kind } = each
    const existing = found.get(keyOf(each))
    if (existing === undefined) return [{ action: "create", kind, id, expected: each }]
    if (existing.isTearingDown) return [{ action: "recreate", kind, id, expected: each }]
    const different = differences(each, existing)
    return different.length === 0 ? [] : [{ action: "update", kind, id, expected: each, differences: different }]
  })
  const removals = actual.filter((each) => !wanted.has(keyOf(each))).flatMap((each) => removal(each, machines))
  return [...inWriteOrder(writes), ...reduced(inWriteOrder(removals))]
}
