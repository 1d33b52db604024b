/**
 * The labels that say whose something is at Hetzner: ours, KSail's, or a user's own scheme; and the selectors over them.
 *
 * The labels in a reply decide ownership (`classify`), not the selector of the request. Everything that kubelayer
 * creates carries its labels too, also with another ownership, so that a sweep finds it. Values at Hetzner are at most
 * 63 of `[A-Za-z0-9._-]`. Source: Hetzner Cloud API reference, "Labels" and "Label Selector".
 */
import { digestOf } from "../internal/Digest.ts"
import type { ClusterName, NodeRole } from "../Model.ts"

export type LabelMap = Readonly<Record<string, string>>

/** The identity of a resource. */
export interface Labelled {
  readonly id: number
  readonly name: string
  readonly labels: LabelMap
}

const cluster = "kubelayer.cluster"
const role = "kubelayer.role"
/** The process that created it, encoded; see `encodeSession`. */
export const session = "kubelayer.session"
/** The create call that created it; a clean-up removes exactly the things with its own id. */
export const operation = "kubelayer.operation"
/**
 * `true`: it is deleted when a scope of the process that created it closes, so it is an orphan once that process has
 * exited.
 */
export const bound = "kubelayer.bound"
/** `true`: the create of it has not ended yet. */
export const pending = "kubelayer.pending"
/** The name of the thing whose `pending` label is also that of this one: the first that its create created. */
export const pendingOn = "kubelayer.pending-on"
/** `true`: it is a node of `addNodes`. */
export const added = "kubelayer.added"
/** The node pool of a server. */
export const pool = "kubelayer.pool"
/** The fate of the things of an operation, on the placement group that records it. */
export const fate = "kubelayer.fate"
/** `true`: it outlives the cluster. */
export const keep = "kubelayer.keep"
/** The spec of a server, field by field, so that a later create can name a difference. */
export const spec = "kubelayer.spec"

/** The cluster autoscaler marks the servers that it adds by the node group that it adds them to. */
const nodeGroup = "hcloud/node-group"

const ksail = { owned: "ksail.owned", cluster: "ksail.cluster.name", role: "ksail.node.type" } as const

/** Keys of these prefixes are not for a caller's own labels. */
export const reserved: ReadonlyArray<string> = ["kubelayer.", "ksail.", "hetzner.cloud/", nodeGroup]

/** Whether some tool marked it as a cluster's, whichever ownership this layer has. */
export const isMarked = (labels: LabelMap): boolean =>
  Object.keys(labels).some((key) => reserved.some((prefix) => key.startsWith(prefix)))

export const isAutoscaled = (labels: LabelMap): boolean => labels[nodeGroup] !== undefined

// -----------------------------------------------------------------------------
// Selectors and sessions
// -----------------------------------------------------------------------------

const isValue = (text: string): boolean => /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/.test(text)
const isKey = (text: string): boolean =>
  /^(?:[a-z0-9.-]{1,253}\/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/.test(text)

/**
 * The selector for resources that have all of these labels; where a value is undefined, with any value. A key or a value
 * that no label can have would mean something to the selector, so it selects nothing at all.
 */
export const selector = (labels: Readonly<Record<string, string | undefined>>): string => {
  const terms = Object.entries(labels)
  return terms.every(([key, value]) => isKey(key) && isValue(value ?? ""))
    ? terms.map(([key, value]) => value === undefined ? key : `${key}=${value}`).join(",")
    : `${cluster},!${cluster}`
}

/** Selects what an autoscaler added, of whatever cluster. */
export const autoscaled = selector({ [nodeGroup]: undefined })

const mostOfValue = 63

/**
 * A session as a label's value. `/` becomes `_.` and `:` becomes `_-`; no host name has a `_`. The place of a session that
 * would be too long is replaced by a digest, so that nothing can be proven of it.
 */
export const encodeSession = (text: string): string => {
  const encode = (plain: string) => plain.replaceAll("_", "-").replaceAll("/", "_.").replaceAll(":", "_-")
  const encoded = encode(text)
  if (encoded.length <= mostOfValue && isValue(encoded)) return encoded
  const [place = "", ...rest] = text.split("/")
  return encode([`h${digestOf(place)}`, ...rest].join("/"))
}

export const decodeSession = (text: string): string => text.replaceAll("_.", "/").replaceAll("_-", ":")

// -----------------------------------------------------------------------------
// Ownership
// -----------------------------------------------------------------------------

/** The owner of a thing: the name of the cluster and, for a server, its role in the words of the labels. */
export interface Owner {
  readonly cluster: string
  readonly role?: string
}

/**
 * A labelling of a user's own.
 *
 * @category models
 * @since 0.1.0
 */
export interface CustomOwnership {
  /** The labels of everything that is a cluster's; `selectorFor` of the API is built from them. */
  readonly labelsFor: (cluster: string, role?: "control-plane" | "worker") => Readonly<Record<string, string>>
  /** The owner of a thing with these labels; undefined if it has none. */
  readonly classify: (
    labels: Readonly<Record<string, string>>
  ) => { readonly cluster: string; readonly role?: string } | undefined
  /** A selector for all that is a cluster's, where it is not simply all labels of `labelsFor`. */
  readonly selectorFor?: (cluster: string) => string
}

export interface Ownership {
  readonly name: string
  readonly selectorFor: (cluster: ClusterName) => string
  readonly classify: (labels: LabelMap) => Owner | undefined
  readonly labelsFor: (cluster: ClusterName, role?: "control-plane" | "worker") => Record<string, string>
}

/** Ours: what kubelayer makes carries these. */
const kubelayer: Ownership = {
  name: "kubelayer",
  selectorFor: (name) => selector({ [cluster]: name }),
  classify: (labels) => {
    const name = labels[cluster]
    return name === undefined
      ? undefined
      : { cluster: name, ...(labels[role] === undefined ? {} : { role: labels[role] }) }
  },
  labelsFor: (name, as) => ({ [cluster]: name, ...(as === undefined ? {} : { [role]: as }) })
}

/** The labels of KSail: its clusters, and the things that kubelayer creates for it. */
const ofKsail: Ownership = {
  name: "ksail",
  selectorFor: (name) => selector({ [ksail.owned]: "true", [ksail.cluster]: name }),
  classify: (labels) => {
    const name = labels[ksail.cluster]
    if (labels[ksail.owned] !== "true" || name === undefined) return undefined
    return { cluster: name, ...(labels[ksail.role] === undefined ? {} : { role: labels[ksail.role] }) }
  },
  labelsFor: (name, as) => ({
    [ksail.owned]: "true",
    [ksail.cluster]: name,
    ...(as === undefined ? {} : { [ksail.role]: as === "control-plane" ? "controlplane" : as })
  })
}

const custom = (given: CustomOwnership): Ownership => ({
  name: "custom",
  selectorFor: (name) => given.selectorFor?.(name) ?? selector(given.labelsFor(name)),
  // A function of the user's own that throws owns nothing.
  classify: (labels) => {
    try {
      const owner = given.classify(labels)
      return typeof owner?.cluster === "string" ? owner : undefined
    } catch {
      return undefined
    }
  },
  labelsFor: (name, as) => ({ ...given.labelsFor(name, as) })
})

/**
 * How the servers of a cluster are marked.
 *
 * @category models
 * @since 0.1.0
 */
export type OwnershipChoice = "kubelayer" | "ksail" | CustomOwnership

export const ownershipOf = (choice: OwnershipChoice): Ownership =>
  choice === "kubelayer" ? kubelayer : choice === "ksail" ? ofKsail : custom(choice)

/** A role in the words of the tool that labelled the server. Everything except a control plane is a worker. */
export const roleOf = (raw: string | undefined): NodeRole =>
  /^(?:control-?plane|master|server)$/i.test(raw ?? "") ? "control-plane" : "worker"

/** The owner of a resource, for people, as in `a network ${holder}`: the cluster, or the content of its labels. */
export const holder = (labels: LabelMap): string => {
  const own = labels[cluster]
  if (own !== undefined) return `of kubelayer cluster ${own}`
  const other = labels[ksail.cluster]
  if (other !== undefined) return `of KSail cluster ${other}`
  const first = Object.entries(labels).sort(([a], [b]) => a < b ? -1 : 1)[0]
  return first === undefined ? "without labels" : `labelled ${first[0]}=${first[1]}`
}

/** The labels of a caller's own, without those that a tool sets. */
export const ownLabels = (labels: LabelMap): LabelMap =>
  Object.fromEntries(
    Object.entries(labels).filter(([key]) => !reserved.some((prefix) => key.startsWith(prefix)))
  )
