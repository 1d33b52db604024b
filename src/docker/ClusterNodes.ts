/**
 * Finds the containers that are nodes of a cluster: the list behind every read, and the check behind every change.
 *
 * The engine filters by the labels of the scheme where there is one scheme. Every container of the reply is recognised
 * again here, so that a filter that an engine misreads selects nothing of another owner.
 */
import * as Effect from "effect/Effect"
import type { ClusterName } from "../Model.ts"
import type { Change, Owner } from "../Resource.ts"
import type { Client } from "./Client.ts"
import * as Labels from "./Labels.ts"
import type { Filter, Membership, Scheme } from "./Scheme.ts"
import type { CallFailure } from "./Transport.ts"
import { type ContainerSummary, type Event, labelsOf, nameOf } from "./Wire.ts"

/** A container of a list. */
export interface Container {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly container: ContainerSummary
  /** The node of a container, with its cluster; none if no scheme in force recognises it. */
  readonly member: { readonly scheme: Scheme; readonly membership: Membership } | undefined
}

/** A container that is a node. */
export type NodeContainer = Container & { readonly member: NonNullable<Container["member"]> }

export const isNode = (container: Container): container is NodeContainer =>
  container.member !== undefined && container.member.membership.cluster !== ""

export const stateOf = ({ container }: Pick<Container, "container">): string => container.State.toLowerCase()

const factsOf = (container: ContainerSummary) => ({ name: nameOf(container), labels: labelsOf(container) })

/** The containers of a list, each a node of at most one cluster: in the first scheme that recognises it. */
const classify = (
  schemes: ReadonlyArray<Scheme>,
  containers: ReadonlyArray<ContainerSummary>
): ReadonlyArray<Container> => {
  const world = containers.map(factsOf)
  return containers.map((container, index): Container => {
    const facts = world[index] ?? factsOf(container)
    for (const scheme of schemes) {
      const membership = scheme.recognise(facts, world)
      if (membership !== undefined) return { ...facts, container, member: { scheme, membership } }
    }
    return { ...facts, container, member: undefined }
  })
}

/** One call for all schemes: the engine filters where there is one scheme, and returns everything where there are more. */
const filterOf = (schemes: ReadonlyArray<Scheme>, cluster?: ClusterName): Filter =>
  schemes.length === 1 ? schemes[0]?.filter(cluster) ?? {} : {}

/**
 * Whether a container belongs to a cluster of these schemes: to this one, where one is given. An entry of a list that
 * cannot be decoded fails the list only where it does.
 */
const belongs =
  (schemes: ReadonlyArray<Scheme>, cluster?: ClusterName) =>
  (facts: { readonly name: string; readonly labels: Readonly<Record<string, string>> }): boolean =>
    schemes.some((scheme) => {
      const found = scheme.recognise(facts, [facts])?.cluster
      return found !== undefined && (cluster === undefined || found === cluster)
    })

/** The containers that may be of a cluster, or all containers where no cluster is named. */
export const listContainers = (
  client: Pick<Client, "listContainers">,
  schemes: ReadonlyArray<Scheme>,
  cluster: ClusterName | undefined
): Effect.Effect<ReadonlyArray<Container>, CallFailure> =>
  Effect.map(
    client.listContainers(cluster === undefined ? {} : filterOf(schemes, cluster), belongs(schemes, cluster)),
    (containers) => classify(schemes, containers)
  )

/** The names of all clusters, in any order, also those that cannot be referred to. */
export const clusterNames = (
  client: Pick<Client, "listContainers">,
  schemes: ReadonlyArray<Scheme>
): Effect.Effect<ReadonlyArray<string>, CallFailure> =>
  Effect.map(client.listContainers(filterOf(schemes), belongs(schemes)), (containers) => [
    ...new Set(classify(schemes, containers).filter(isNode).map(({ member }) => member.membership.cluster))
  ])

/** The owner of a container, by the marks of the scheme; the labels of kubelayer say which operation created it. */
export const ownerOf = (container: Container): Owner | undefined => {
  if (!isNode(container)) return undefined
  const { membership, scheme } = container.member
  const isOurs = container.labels[Labels.owned] === `${scheme.name}/${membership.cluster}`
  return { cluster: membership.cluster, ...(isOurs ? Labels.markOf(container.labels) : {}) }
}

/** Actions that say nothing of a container's state; healthchecks would otherwise cause a list every few seconds. */
const silent =
  /^(?:exec(?:_|$)|health_status|top$|resize$|attach$|detach$|archive-path|extract-to-dir|copy$|export$|commit$)/

/** The events that concern nodes of the schemes, and the filter that the engine applies first. */
export const nodeEvents = (schemes: ReadonlyArray<Scheme>) => ({
  // No label: Podman 4.3 delivers no event at all where the filter is the key of a label.
  filter: { type: ["container"] },
  /** The cluster that an event is about, or all clusters; undefined where it is about none. */
  changeOf: (event: Event): Change | undefined => {
    if (silent.test(event.Action ?? "")) return undefined
    const { name = "", ...labels } = event.Actor?.Attributes ?? {}
    const facts = { name, labels }
    for (const scheme of schemes) {
      if (scheme.mayConcern?.(facts) === true) return {}
      const cluster = scheme.mayConcern === undefined ? scheme.recognise(facts, [facts])?.cluster : undefined
      if (cluster !== undefined) return { cluster }
    }
    return undefined
  }
})
