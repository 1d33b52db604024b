/**
 * The interface of a label scheme: how a tool marks its nodes.
 *
 * A scheme recognises containers (on the engine by a filter, and again here). It defines the start order of nodes,
 * their grace at a stop, and the networks and volumes of a cluster. It also defines the form of new nodes, so that the
 * tool of the scheme recognises them. The schemes are in `schemes/`, their table in `Schemes.ts`.
 */
import type { ClusterName, NodeRole } from "../Model.ts"

/** The fields of a container that a scheme reads. */
export interface ContainerFacts {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

/** The cluster and role of a container. `cluster` is the text of the label, and may be no valid name. */
export interface Membership {
  readonly cluster: string
  readonly role: NodeRole
  readonly rawRole: string
}

/** A node, network or volume, as far as ownership goes. */
export type Labelled = { readonly name: string; readonly labels: Readonly<Record<string, string>> }

/** The request for a new node of a cluster. */
export interface NewNode {
  readonly cluster: ClusterName
  readonly role: "control-plane" | "worker" | "load-balancer"
  /** From 0, within the role. */
  readonly index: number
  readonly counts: { readonly controlPlanes: number; readonly workers: number; readonly loadBalancers: number }
}

/** A published port. Without `host`, a free port is chosen when the node is created, so that it survives a stop. */
export interface PortMapping {
  readonly container: number
  readonly host?: number
  readonly protocol?: "tcp" | "udp" | "sctp"
  /** The host address; all addresses where none is given. */
  readonly address?: string
}

/** The network that the nodes of a new cluster are in. */
export interface NetworkTemplate {
  readonly name: string
  /** Shared with clusters of other tools: created if it is missing, never deleted. */
  readonly shared: boolean
  readonly labels: Readonly<Record<string, string>>
  readonly options: Readonly<Record<string, string>>
  readonly ipv6: boolean
  /** The first subnet to try; fixed addresses are given out where it is set. */
  readonly subnet?: string
}

/** A filter of the engine's lists and events. */
export type Filter = Readonly<Record<string, ReadonlyArray<string>>>

export interface Scheme {
  readonly name: SchemeName
  /** The filter of the engine. Without a cluster it selects the containers of every cluster, and possibly others. */
  readonly filter: (cluster?: ClusterName) => Filter
  /** The owner of a container. `world` is everything that was listed with it. */
  readonly recognise: (
    container: ContainerFacts,
    world: ReadonlyArray<ContainerFacts>
  ) => Membership | undefined
  /** Whether an event may concern some cluster, if a container alone does not show its owner. */
  readonly mayConcern?: (container: ContainerFacts) => boolean
  /** Waves of control planes, one after the other; the rest follows as one wave. */
  readonly controlPlaneWaves: <A extends Labelled>(controlPlanes: ReadonlyArray<A>) => ReadonlyArray<ReadonlyArray<A>>
  /** Without its control plane the rest of a cluster has no owner, so the control plane is deleted last. */
  readonly deletesControlPlanesLast?: boolean
  /** Its networks and volumes are known by their names alone. */
  readonly knownByName?: boolean
  /** Seconds between SIGTERM and SIGKILL; the container's own where undefined. */
  readonly graceSeconds: (role: NodeRole) => number | undefined
  /** Whether a network is the cluster's own. `nodes` are those of its nodes that are left, or were a moment ago. */
  readonly ownsNetwork: (cluster: ClusterName, network: Labelled, nodes: ReadonlyArray<Labelled>) => boolean
  readonly ownsVolume: (cluster: ClusterName, volume: Labelled, nodes: ReadonlyArray<Labelled>) => boolean
  /** The clusters that the name and the labels of a network or volume mention. They may not own it. */
  readonly mentions?: (resource: Labelled) => ReadonlyArray<string | undefined>
  /** How a node is created, or why the scheme creates none. */
  readonly template: Template | { readonly unsupported: string }
}

/** How the nodes of a scheme are created. */
interface Template {
  /** The longest cluster name that the tool takes. */
  readonly maxNameLength: number
  /** `required`: with more than one control plane. `none`: the tool knows no such node. */
  readonly loadBalancer: "required" | "optional" | "none"
  readonly nodeName: (node: Pick<NewNode, "cluster" | "role" | "index">) => string
  readonly labels: (node: NewNode) => Readonly<Record<string, string>>
  /** Fields of the create call; `HostConfig` is merged one level deep. */
  readonly container: (node: NewNode) => Readonly<Record<string, unknown>>
  readonly hostConfig: (node: NewNode) => Readonly<Record<string, unknown>>
  readonly ports: (node: NewNode) => ReadonlyArray<PortMapping>
  readonly network: (cluster: ClusterName) => NetworkTemplate
  /** Volumes that every node of the cluster mounts. */
  readonly volumes: (
    cluster: ClusterName
  ) => ReadonlyArray<
    { readonly name: string; readonly target: string; readonly labels: Readonly<Record<string, string>> }
  >
}

/** A scheme whose nodes we make. */
export type MadeScheme = Scheme & { readonly template: Template }

export const isMade = (scheme: Scheme): scheme is MadeScheme => !("unsupported" in scheme.template)

/** The names of the schemes, in the order of their table. */
const schemeNames = ["kubelayer", "kind", "k3d", "talos", "vcluster", "kwok"] as const

/** The names of the schemes. */
export type SchemeName = (typeof schemeNames)[number]

/** A scheme, or all of them at once: every container is then classified to exactly one. */
export type SchemeChoice = SchemeName | "auto"

/** The values of the option `scheme`. */
export const schemeChoices: ReadonlyArray<SchemeChoice> = [...schemeNames, "auto"]

export const isSchemeChoice = (text: string): text is SchemeChoice => schemeChoices.some((choice) => choice === text)
