/**
 * Which containers are whose: the one list call behind every read, and the check on the client behind every act.
 *
 * The engine filters by the scheme's labels where there is one scheme; what comes back is recognised again here, so that
 * a filter that an engine misreads can select nothing foreign.
 */
import * as Effect from "effect/Effect"
import { failWith } from "../internal/Method.ts"
import { byRoleThenName } from "../internal/Operation.ts"
import { type ClusterName, isClusterName, type NodeInfo } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import { AmbiguousCluster } from "../Reason.ts"
import type { Client } from "./Client.ts"
import type { Filter, Scheme } from "./Scheme.ts"
import { toNode } from "./Translate.ts"
import type { CallFailure } from "./Transport.ts"
import { type ContainerSummary, type Event, labelsOf, nameOf } from "./Wire.ts"

/** A container that is a node of a cluster. */
export interface Member {
  readonly node: NodeInfo
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly container: ContainerSummary
  readonly scheme: Scheme
}

export const subjectOf = (member: Member): Subject => ({ kind: "node", name: member.name, id: member.container.Id })

const factsOf = (container: ContainerSummary) => ({ name: nameOf(container), labels: labelsOf(container) })

/**
 * The nodes among containers: each container is a node of at most one cluster, in the first scheme that recognises it.
 * Names that no cluster can have are given apart, as `scheme/name`.
 */
export const classify = (
  schemes: ReadonlyArray<Scheme>,
  containers: ReadonlyArray<ContainerSummary>
): { readonly members: ReadonlyArray<Member>; readonly foreignNames: ReadonlyArray<string> } => {
  const members: Array<Member> = []
  const foreignNames = new Set<string>()
  const world = containers.map(factsOf)
  const namesThatCanBe = new Map<string, boolean>()
  const canBe = (name: string): boolean => {
    const known = namesThatCanBe.get(name)
    if (known !== undefined) return known
    const can = isDockerClusterName(name)
    namesThatCanBe.set(name, can)
    return can
  }
  containers.forEach((container, index) => {
    const facts = world[index] ?? factsOf(container)
    for (const scheme of schemes) {
      const membership = scheme.recognise(facts, world)
      if (membership === undefined) continue
      if (canBe(membership.cluster)) {
        members.push({ node: toNode(container, membership), ...facts, container, scheme })
      } else if (membership.cluster !== "") {
        foreignNames.add(`${scheme.name}/${membership.cluster}`)
      }
      return
    }
  })
  return { members, foreignNames: [...foreignNames] }
}

/** Letters beyond ASCII are a cluster's name on Omni only. */
const isDockerClusterName = (name: string): boolean => isClusterName(name) && /^[\x21-\x7e]+$/.test(name)

/** One call for all schemes: the engine filters where there is one, and gives everything where there are more. */
const filterOf = (schemes: ReadonlyArray<Scheme>, cluster?: ClusterName): Filter =>
  schemes.length === 1 ? schemes[0]?.filter(cluster) ?? {} : {}

/** What the engine is to tell of a cluster's containers as they change, and whether such an event concerns it. */
export const eventsOf = (schemes: ReadonlyArray<Scheme>, cluster: ClusterName) => {
  const { label } = filterOf(schemes, cluster)
  return {
    filter: { type: ["container"], ...(label === undefined ? {} : { label }) },
    concerns: (event: Event): boolean => {
      const { name = "", ...labels } = event.Actor?.Attributes ?? {}
      const facts = { name, labels }
      return schemes.some((scheme) =>
        scheme.mayConcern?.(facts) ?? scheme.recognise(facts, [facts])?.cluster === cluster
      )
    }
  }
}

/**
 * Whether a container belongs to a cluster of these schemes: to this one, where one is given. An engine that filtered by
 * labels has said so already.
 */
const belongs =
  (schemes: ReadonlyArray<Scheme>, cluster?: ClusterName) =>
  (facts: { readonly name: string; readonly labels: Readonly<Record<string, string>> }): boolean =>
    schemes.some((scheme) => {
      const found = scheme.recognise(facts, [facts])?.cluster
      return found !== undefined && (cluster === undefined || found === cluster)
    })

/** What is listed for one cluster, in the order of `listNodes`. A name that stands in two schemes is refused. */
export const members = (
  client: Client,
  schemes: ReadonlyArray<Scheme>,
  cluster: ClusterName
): Effect.Effect<ReadonlyArray<Member>, CallFailure> =>
  Effect.flatMap(client.listContainers(filterOf(schemes, cluster), belongs(schemes, cluster)), (containers) => {
    const found = classify(schemes, containers).members.filter((member) => member.node.clusterName === cluster)
    const candidates = [...new Set(found.map((member) => member.scheme.name))].map((scheme) => `${scheme}/${cluster}`)
    return candidates.length > 1
      ? failWith(
        new AmbiguousCluster({
          detail: `${cluster} is a cluster in several schemes: ${candidates.join(", ")}`,
          candidates
        })
      )
      : Effect.succeed(found.sort((a, b) => byRoleThenName(a.node, b.node)))
  })

const warned = new Set<string>()

/** The names of all clusters. A name that cannot be referred to is left out, with one warning in this process. */
export const clusters = (
  client: Client,
  schemes: ReadonlyArray<Scheme>
): Effect.Effect<ReadonlyArray<ClusterName>, CallFailure> =>
  Effect.gen(function*() {
    const found = classify(schemes, yield* client.listContainers(filterOf(schemes), belongs(schemes)))
    for (const name of found.foreignNames) {
      if (warned.has(name)) continue
      warned.add(name)
      yield* Effect.logWarning(
        `there are containers of ${JSON.stringify(name.slice(0, 80))}; no cluster can have that name, so it is left out`
      )
    }
    return [...new Set(found.members.map((member) => member.node.clusterName))].sort()
  })
