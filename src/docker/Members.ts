/**
 * Which containers are whose: the one list call behind every read, and the check on the client behind every act.
 *
 * The engine filters by the scheme's labels where there is one scheme; what comes back is recognised again here, so that
 * a filter that an engine misreads can select nothing foreign.
 */
import * as Effect from "effect/Effect"
import { byName, byRoleThenName } from "../internal/Operation.ts"
import { type ClusterName, isClusterName, type NodeInfo } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import type { Client } from "./Client.ts"
import type { Scheme } from "./Schemes.ts"
import { toNode } from "./Translate.ts"
import type { CallFailure } from "./Transport.ts"
import { type ContainerSummary, labelsOf, nameOf } from "./Wire.ts"

/** A container that is a node of a cluster. */
export interface Member {
  readonly node: NodeInfo
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly container: ContainerSummary
  readonly scheme: Scheme
}

export const subjectOf = (member: Member): Subject => ({ kind: "node", name: member.name, id: member.container.Id })

/** The nodes among containers, by one scheme. Names that no cluster can have are given apart. */
export const classify = (
  scheme: Scheme,
  containers: ReadonlyArray<ContainerSummary>
): { readonly members: ReadonlyArray<Member>; readonly foreignNames: ReadonlyArray<string> } => {
  const members: Array<Member> = []
  const foreignNames = new Set<string>()
  for (const container of containers) {
    const name = nameOf(container)
    const labels = labelsOf(container)
    const membership = scheme.recognise({ name, labels })
    if (membership === undefined) continue
    if (isDockerClusterName(membership.cluster)) {
      members.push({ node: toNode(container, membership), name, labels, container, scheme })
    } else {
      foreignNames.add(membership.cluster)
    }
  }
  return { members, foreignNames: [...foreignNames] }
}

/** Letters beyond ASCII are a cluster's name on Omni only. */
const isDockerClusterName = (name: string): boolean => isClusterName(name) && /^[\x21-\x7e]+$/.test(name)

/** What is listed for one cluster, in the order of `listNodes`. */
export const members = (
  client: Client,
  scheme: Scheme,
  cluster: ClusterName
): Effect.Effect<ReadonlyArray<Member>, CallFailure> =>
  Effect.map(
    client.listContainers({ label: scheme.filter(cluster) }),
    (containers) =>
      classify(scheme, containers).members
        .filter((member) => member.node.clusterName === cluster)
        .sort((a, b) => byRoleThenName(a.node, b.node))
  )

const warned = new Set<string>()

/** The names of all clusters. A name that cannot be referred to is left out, with one warning in this process. */
export const clusters = (client: Client, scheme: Scheme): Effect.Effect<ReadonlyArray<ClusterName>, CallFailure> =>
  Effect.gen(function*() {
    const found = classify(scheme, yield* client.listContainers({ label: scheme.filter() }))
    for (const name of found.foreignNames) {
      if (name === "" || warned.has(`${scheme.name}/${name}`)) continue
      warned.add(`${scheme.name}/${name}`)
      yield* Effect.logWarning(
        `${scheme.name} has containers of a cluster ${
          JSON.stringify(name.slice(0, 80))
        }; no cluster can have that name, so it is left out`
      )
    }
    return [...new Set(found.members.map((member) => member.node.clusterName))].sort(byName)
  })
