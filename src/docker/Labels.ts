/**
 * The labels that say who made something on a Docker engine, and for which cluster.
 *
 * They stand on every container, network and volume that kubelayer makes, in every scheme, beside the labels by which
 * the scheme's own tool knows its nodes (`schemes/`). A resource without them is never removed for being ours.
 */
import type { ClusterName } from "../Model.ts"

/** `<scheme>/<cluster>`: made by kubelayer for this cluster. Neither part can contain a slash. */
export const owned = "kubelayer.owned"
/** The process that made it, see `internal/Session.ts`. */
export const session = "kubelayer.session"
/** The create call that made it; a clean-up removes exactly what carries its own. */
export const operation = "kubelayer.operation"
/** `true`: it goes when a scope of the process that made it closes, so it is nobody's once that process is dead. */
export const bound = "kubelayer.bound"
/** What was asked for, field by field, so that a later create can name a difference. */
export const spec = "kubelayer.spec"

/** Keys of these prefixes are not for a caller's own labels. */
export const reserved: ReadonlyArray<string> = ["kubelayer.", "io.x-k8s.kind.", "k3d.", "talos."]

/** The value of `owned`. */
export const owner = (scheme: string, cluster: ClusterName): string => `${scheme}/${cluster}`

/** Whether our label says that something is this cluster's; undefined where we did not make it. */
export const saysOwned = (
  scheme: string,
  cluster: ClusterName,
  labels: Readonly<Record<string, string>>
): boolean | undefined => labels[owned] === undefined ? undefined : labels[owned] === owner(scheme, cluster)

/** The labels of one create call. */
export const ownership = (
  scheme: string,
  cluster: ClusterName,
  made: { readonly session: string; readonly operation: string; readonly bound: boolean }
): Record<string, string> => ({
  [owned]: owner(scheme, cluster),
  [session]: made.session,
  [operation]: made.operation,
  ...(made.bound ? { [bound]: "true" } : {})
})

/** Who holds a resource, for people: the cluster it was made for, or what its labels tell. */
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
  return compose === undefined ? "nobody that is known" : `compose project ${compose}`
}
