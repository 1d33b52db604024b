/**
 * The owner labels of kubelayer on a Docker engine.
 *
 * Every container, network and volume that kubelayer creates has them, in every scheme, beside the labels by which the
 * scheme's own tool knows its nodes (`schemes/`).
 */
import type { ClusterName } from "../Model.ts"
import type { Mark } from "../Resource.ts"

/** `<scheme>/<cluster>`: kubelayer created it for this cluster. Neither part can contain a slash. */
export const owned = "kubelayer.owned"
/** The process that created it, see `internal/Session.ts`. */
const session = "kubelayer.session"
/** The operation that created it; a roll-back removes exactly what has its own. */
export const operation = "kubelayer.operation"
/** `true`: it is deleted when a scope of its process closes, so it is an orphan once that process has exited. */
const bound = "kubelayer.bound"
/** `true`: it is a node of addNodes, which no spec requests. */
const added = "kubelayer.added"
/** The pool of a node. */
export const pool = "kubelayer.pool"
/** The decision about an operation, on a volume of its own; see `Fates.ts`. */
export const fate = "kubelayer.fate"
/** The requested values, field by field, so that a later create can name a difference. */
export const spec = "kubelayer.spec"

/** Keys of these prefixes are not for a caller's own labels. */
export const reserved: ReadonlyArray<string> = ["kubelayer.", "io.x-k8s.kind.", "k3d.", "talos."]

/** The value of `owned`. */
export const owner = (scheme: string, cluster: ClusterName): string => `${scheme}/${cluster}`

/** Whether the owner label names this cluster; undefined where there is no owner label. */
export const saysOwned = (
  scheme: string,
  cluster: ClusterName,
  labels: Readonly<Record<string, string>>
): boolean | undefined => labels[owned] === undefined ? undefined : labels[owned] === owner(scheme, cluster)

/** The labels of everything that an operation creates. */
export const ownership = (scheme: string, cluster: ClusterName, mark: Mark): Record<string, string> => ({
  [owned]: owner(scheme, cluster),
  [session]: mark.session,
  [operation]: mark.operation,
  ...(mark.bound ? { [bound]: "true" } : {}),
  ...(mark.added ? { [added]: "true" } : {})
})

/** The marks in labels. */
export const markOf = (labels: Readonly<Record<string, string>>): Partial<Mark> => ({
  ...(labels[operation] === undefined ? {} : { operation: labels[operation] }),
  ...(labels[session] === undefined ? {} : { session: labels[session] }),
  ...(labels[bound] === "true" ? { bound: true } : {}),
  ...(labels[added] === "true" ? { added: true } : {})
})

/** The owner of something, for people, as its labels name it. */
export const holder = (labels: Readonly<Record<string, string>>): string => {
  const ours = labels[owned]
  if (ours !== undefined) return `kubelayer cluster ${ours}`
  const kind = labels["io.x-k8s.kind.cluster"]
  if (kind !== undefined) return `kind cluster ${kind}`
  const k3d = labels["k3d.cluster"]
  if (k3d !== undefined) return `k3d cluster ${k3d}`
  const talos = labels["talos.cluster.name"]
  if (talos !== undefined) return `talos cluster ${talos}`
  const compose = labels["com.docker.compose.project"]
  return compose === undefined ? "something without an owner label" : `compose project ${compose}`
}
