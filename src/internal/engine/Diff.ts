/**
 * Compares the desired things with one list of the backend: one item for each node and resource. Pure.
 */
import type { ClusterName, NodeInfo } from "../../Model.ts"
import { type PlanAction, PlanStep } from "../../Plan.ts"
import { Difference, Differs, NameTaken, type Reason, type ResourceDifferences } from "../../Reason.ts"
import type { AnyNodeResource, AnyResource, Fate, Owner, Want, World } from "../../Resource.ts"
import { byName } from "../Operation.ts"
import { type AnyBackend, kindsOf } from "./Look.ts"

/** One node or resource: what is wanted, what there is, and the step between them. */
export interface Item<Read = unknown, Write extends Read = Read> {
  readonly resource: AnyResource<Read, Write>
  /** Undefined for what no spec requests. */
  readonly wanted: unknown
  readonly actual: unknown
  /** It exists, and has to be gone before it is created again. */
  readonly obstacle: unknown
  readonly owner: Owner | undefined
  /** It is still being created by another operation, so its step may change. */
  readonly isUnfinished: boolean
  readonly step: PlanStep
}

export interface DiffOptions {
  readonly cluster: ClusterName
  readonly world: World
  /** The fates that are known. Things of an undone operation count as being removed. */
  readonly fates?: ReadonlyMap<string, Fate>
  /** Nodes of addNodes are neither different nor surplus. */
  readonly ignoresAdded?: boolean
  /** Only what is wanted is compared, as for added and replaced nodes. */
  readonly ignoresSurplus?: boolean
  readonly allowFewerControlPlanes?: boolean
}

const remedyActions = { replace: "refuse", update: "update", repair: "repair" } as const

const actionOf = (differences: ReadonlyArray<Difference>): PlanAction => {
  for (const remedy of ["replace", "update", "repair"] as const) {
    if (differences.some((difference) => difference.remedy === remedy)) return remedyActions[remedy]
  }
  return "unchanged"
}

const isNode = <Read, Write extends Read>(
  resource: AnyResource<Read, Write>,
  node: AnyNodeResource<Read, Write>
): resource is AnyNodeResource<Read, Write> => resource === node

/** The rank of each kind: kinds of one order share a wave. */
const wavesOf = <Read, Write extends Read>(
  backend: Pick<AnyBackend<Read, Write>, "node" | "resources">
): ReadonlyMap<AnyResource<Read, Write>, number> => {
  const kinds = kindsOf<Read, Write>(backend)
  const orders = [...new Set(kinds.map(({ order }) => order))].sort((a, b) => a - b)
  return new Map(kinds.map((kind) => [kind, orders.indexOf(kind.order)]))
}

export const diff = <Read, Write extends Read>(
  backend: Pick<AnyBackend<Read, Write>, "node" | "resources">,
  wants: ReadonlyArray<Want<Read, Write>>,
  options: DiffOptions
): ReadonlyArray<Item<Read, Write>> => {
  const { cluster, world } = options
  const waves = wavesOf<Read, Write>(backend)
  const matched = new Map<AnyResource<Read, Write>, Set<unknown>>()
  const isUndone = (owner: Owner | undefined) =>
    owner?.operation !== undefined && options.fates?.get(owner.operation) === "undone"

  const wantedItem = ({ resource, wanted }: Want<Read, Write>): Item<Read, Write> => {
    const name = resource.nameOf(wanted)
    const found = world.of<unknown>(resource).find((actual) =>
      resource.matches === undefined
        ? resource.identity(actual).name === name
        : resource.matches(wanted, actual)
    )
    const wave = waves.get(resource) ?? 0
    const details = resource.details?.(wanted)
    const shown = details === undefined || Object.keys(details).length === 0 ? {} : { details }
    const base = { kind: resource.kind, name, wave, ...shown }
    const item = (
      step: Omit<ConstructorParameters<typeof PlanStep>[0], "kind" | "name" | "wave">,
      rest: Partial<Item<Read, Write>> = {}
    ): Item<Read, Write> => ({
      resource,
      wanted,
      actual: undefined,
      obstacle: undefined,
      owner: undefined,
      isUnfinished: false,
      ...rest,
      step: new PlanStep({ ...base, ...step })
    })
    const isShared = resource.isShared?.(wanted) === true
    if (found === undefined) {
      return resource.create === undefined
        ? item({ action: "refuse", differences: [], why: `there is no ${resource.kind} ${name}` })
        : item({ action: "create", differences: [] })
    }
    matched.set(resource, (matched.get(resource) ?? new Set()).add(found))
    const { id } = resource.identity(found)
    const known = id === undefined || id === "" ? {} : { id }
    const owner = resource.owner(found, world)
    const isOwn = owner?.cluster === cluster
    if ((isOwn || isShared) && (resource.isGoing?.(found) === true || isUndone(owner))) {
      return item({ action: "create", differences: [] }, { obstacle: found, owner })
    }
    if (!isOwn && !isShared) {
      const holder = resource.holder?.(found, world) ??
        (owner === undefined
          ? `a ${resource.kind} of no cluster`
          : `${resource.kind} ${name} of cluster ${owner.cluster}`)
      return item({
        ...known,
        action: "refuse",
        differences: [],
        holder,
        why: `the name is used by ${holder}, which this cluster does not own`
      }, { actual: found, owner })
    }
    const isPassedOver = options.ignoresAdded === true && owner?.added === true
    const differences = isPassedOver ? [] : resource.diff(wanted, found, world)
    const action = actionOf(differences)
    const runs = action !== "unchanged" || !isNode(resource, backend.node) ||
      (resource.info(found, cluster, world) as NodeInfo).state === "running"
    return item({ ...known, action: runs ? action : "start", differences }, {
      actual: found,
      owner,
      isUnfinished: resource.isUnfinished?.(found) === true
    })
  }

  const items = wants.map(wantedItem)
  return options.ignoresSurplus === true
    ? items
    : [...items, ...surplusItems<Read, Write>(backend, options, matched, Math.max(0, ...waves.values()) + 1)]
}

const surplusItems = <Read, Write extends Read>(
  backend: Pick<AnyBackend<Read, Write>, "node" | "resources">,
  options: DiffOptions,
  matched: ReadonlyMap<AnyResource<Read, Write>, ReadonlySet<unknown>>,
  wave: number
): ReadonlyArray<Item<Read, Write>> => {
  const { cluster, world } = options
  return kindsOf<Read, Write>(backend).flatMap((resource) =>
    world.of<unknown>(resource).flatMap((actual): ReadonlyArray<Item<Read, Write>> => {
      if (matched.get(resource)?.has(actual) === true) return []
      const owner = resource.owner(actual, world)
      if (owner?.cluster !== cluster || resource.isGoing?.(actual) === true) return []
      if (owner.operation !== undefined && options.fates?.get(owner.operation) === "undone") return []
      if (options.ignoresAdded === true && owner.added === true) return []
      const node = isNode(resource, backend.node)
      const isSurplus = resource.isSurplus?.(actual, world) ?? node
      if (!isSurplus) return []
      const isControlPlane = node &&
        (resource.info(actual, cluster, world) as NodeInfo).role === "control-plane"
      const refused = isControlPlane && options.allowFewerControlPlanes !== true
      const { id, name } = resource.identity(actual)
      return [{
        resource,
        wanted: undefined,
        actual,
        obstacle: undefined,
        owner,
        isUnfinished: resource.isUnfinished?.(actual) === true,
        step: new PlanStep({
          kind: resource.kind,
          name,
          ...(id === undefined || id === "" ? {} : { id }),
          action: refused ? "refuse" : "delete",
          why: refused
            ? "the spec requests fewer control planes, which can cost the cluster its data. Set `allowFewerControlPlanes` to delete it"
            : "the spec does not request it",
          differences: [],
          wave
        })
      }]
    })
      // The highest numbers go first.
      .sort((a, b) => byName(b.step.name, a.step.name))
  )
}

const isReported = (action: PlanAction): action is ResourceDifferences["action"] =>
  action === "update" || action === "delete" || action === "refuse"

const sentenceOf = (step: PlanStep): string =>
  `${step.kind} ${JSON.stringify(step.name)}${step.why === undefined ? "" : `: ${step.why}`}` +
  (step.differences.length === 0 ? "" : `: ${step.differences.map(String).join(", ")}`)

/**
 * Why steps cannot be carried out: all of them in one reason; undefined where they can. `NameTaken` where something that
 * the cluster does not own uses a name, else `Differs`.
 */
export const refusalOf = (
  cluster: ClusterName,
  steps: ReadonlyArray<PlanStep>,
  actions: ReadonlyArray<PlanAction>
): Reason | undefined => {
  const refused = steps.filter((step) => actions.includes(step.action))
  if (refused.length === 0) return undefined
  const sentences = refused.map(sentenceOf).join("; ")
  const holders = refused.flatMap(({ holder }) => holder ?? [])
  return holders.length > 0
    ? new NameTaken({
      detail: `cluster ${JSON.stringify(cluster)} cannot be created: ${sentences}`,
      by: [...new Set(holders)].join(", ")
    })
    : new Differs({
      detail: `cluster ${JSON.stringify(cluster)} exists and is not as requested: ${sentences}`,
      differences: refused.flatMap((step): ReadonlyArray<ResourceDifferences> =>
        isReported(step.action)
          ? [{
            kind: step.kind,
            name: step.name,
            ...(step.id === undefined ? {} : { id: step.id }),
            action: step.action,
            ...(step.why === undefined ? {} : { why: step.why }),
            differences: step.differences
          }]
          : []
      )
    })
}
