/**
 * Finds the owner of a network or volume: by the owner label of kubelayer, or by the marks of the tool that created it.
 */
import { ascii, type ClusterName } from "../Model.ts"
import type { Listed, Owner, World } from "../Resource.ts"
import { type Container, isNode, type NodeContainer } from "./ClusterNodes.ts"
import * as Labels from "./Labels.ts"
import type { Labelled, Scheme } from "./Scheme.ts"

/** The nodes that are listed, and those that the operation listed at first. */
const allNodes = (nodes: Listed<Container>, world: World): ReadonlyArray<NodeContainer> => {
  const now = world.of(nodes)
  const earlier = world.earlier.of(nodes)
  return (earlier === now ? now : [...now, ...earlier]).filter(isNode)
}

/** The owner of a network or volume according to the scheme of its tool. */
type Owns = "ownsNetwork" | "ownsVolume"

/**
 * The owner of a network or volume. Nodes decide where there are any; without nodes the name or the labels of the tool's
 * own decide, but a name alone says nothing where several schemes are in force.
 */
export const ownerOf = (
  schemes: ReadonlyArray<Scheme>,
  nodes: Listed<Container>,
  owns: Owns,
  resource: Labelled,
  world: World
): Owner | undefined => {
  const members = allNodes(nodes, world)
  const nodesOf = (cluster: string) => members.filter(({ member }) => member.membership.cluster === cluster)
  const label = resource.labels[Labels.owned]
  if (label !== undefined) {
    const [name, cluster = ""] = label.split("/")
    const scheme = schemes.find((each) => each.name === name)
    const present = nodesOf(cluster)
    const own = present.filter(({ member }) => member.scheme.name === name)
    // Nodes of another scheme make it another cluster of the same name.
    return scheme !== undefined && (present.length === 0 || own.length > 0) &&
        scheme[owns](cluster as ClusterName, resource, own)
      ? { cluster, ...Labels.markOf(resource.labels) }
      : undefined
  }
  const present = [...new Set(members.map(({ member }) => member.membership.cluster))]
  // A cluster whose name can be referred to goes before one that cannot be deleted anyway.
  for (const cluster of present.sort((a, b) => Number(ascii.test(b)) - Number(ascii.test(a)))) {
    const [first, ...rest] = nodesOf(cluster)
    if (first?.member.scheme[owns](cluster as ClusterName, resource, [first, ...rest]) === true) return { cluster }
  }
  for (const scheme of schemes) {
    if (schemes.length > 1 && scheme.knownByName === true) continue
    for (const cluster of scheme.mentions?.(resource) ?? []) {
      if (cluster === undefined || nodesOf(cluster).length > 0) continue
      if (scheme[owns](cluster as ClusterName, resource, [])) return { cluster }
    }
  }
  return undefined
}
