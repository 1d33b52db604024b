/**
 * The scheme of vCluster's docker driver: names, and no labels at all. Its clusters are managed, not created.
 *
 * Source: vCluster's docker driver. The names of workers and clusters may have dots. A worker belongs to the cluster
 * with the longest name that fits and has a control plane. Without such a cluster it has no owner.
 */
import { saysOwned } from "../Labels.ts"
import type { ContainerFacts, Scheme } from "../Scheme.ts"

const controlPlane = "vcluster.cp."
const rest = { "vcluster.node.": "worker", "vcluster.lb.": "load-balancer" } as const

/** The mounts of every node; a volume is named after its node and one of these. */
const volumes = ["var", "etc", "bin", "cni-bin"]

/** The volume of a control plane, or of a node without dots in its own name. */
const volumeName = new RegExp(`^vcluster\\.(?:cp\\.(.+)|node\\.(.+)\\.[^.]+)\\.(?:${volumes.join("|")})$`)

const known = new WeakMap<ReadonlyArray<ContainerFacts>, ReadonlyArray<string>>()

/** The clusters that have a control plane, longest name first. They are computed once for each list. */
const clustersOf = (world: ReadonlyArray<ContainerFacts>): ReadonlyArray<string> => {
  const found = known.get(world) ??
    world
      .flatMap(({ name }) => name.startsWith(controlPlane) ? [name.slice(controlPlane.length)] : [])
      .sort((a, b) => b.length - a.length)
  known.set(world, found)
  return found
}

export const vcluster: Scheme = {
  name: "vcluster",
  // The engine treats this as a regular expression; its result is filtered again.
  filter: () => ({ name: ["^/?vcluster[.]"] }),
  recognise: ({ name }, world) => {
    if (name.startsWith(controlPlane)) {
      return { cluster: name.slice(controlPlane.length), role: "control-plane", rawRole: "cp" }
    }
    for (const [prefix, role] of Object.entries(rest)) {
      if (!name.startsWith(prefix)) continue
      const tail = name.slice(prefix.length)
      const cluster = clustersOf(world).find((each) => tail.startsWith(`${each}.`) && tail.length > each.length + 1)
      return cluster === undefined ? undefined : { cluster, role, rawRole: prefix.split(".")[1] ?? "" }
    }
    return undefined
  },
  mayConcern: ({ name }) => name.startsWith("vcluster."),
  controlPlaneWaves: (controlPlanes) => [controlPlanes],
  deletesControlPlanesLast: true,
  knownByName: true,
  graceSeconds: () => undefined,
  ownsNetwork: (cluster, { labels, name }) =>
    saysOwned("vcluster", cluster, labels) === undefined && name === `vcluster.${cluster}`,
  ownsVolume: (cluster, { labels, name }, nodes) => {
    if (saysOwned("vcluster", cluster, labels) !== undefined) return false
    const of = (node: string) => volumes.some((volume) => name === `${node}.${volume}`)
    if (of(`${controlPlane}${cluster}`) || nodes.some((node) => of(node.name))) return true
    // A node that is gone: only a name without dots of its own can be no other cluster's.
    const prefix = `vcluster.node.${cluster}.`
    const [node, volume, ...more] = name.startsWith(prefix) ? name.slice(prefix.length).split(".") : []
    return more.length === 0 && node !== undefined && node !== "" && volumes.includes(volume ?? "")
  },
  mentions: ({ name }) => {
    const [, ofControlPlane, ofNode] = volumeName.exec(name) ?? []
    return [ofControlPlane, ofNode, /^vcluster\.(.+)$/.exec(name)?.[1]]
  },
  template: {
    unsupported:
      "a vCluster node needs files that vCluster's own driver writes (binaries, vcluster.yaml, resolv.conf); " +
      "create it with `vcluster create`"
  }
}
