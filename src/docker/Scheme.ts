/**
 * What a label scheme is: how a tool marks its nodes, and what follows from it.
 *
 * A scheme says how a container is recognised (on the engine by a filter, and again here), in which order its nodes
 * start, how long they may take to stop, which networks and volumes are a cluster's own, and what a node that we make
 * has to look like for the scheme's tool to know it. The schemes are in `schemes/`, their table in `Schemes.ts`.
 */
import type { ClusterName, NodeRole } from "../Model.ts"

/** What a scheme looks at in a container. */
export interface ContainerFacts {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
}

/** Whose node a container is. `cluster` is as the label has it, and may be no valid name. */
export interface Membership {
  readonly cluster: string
  readonly role: NodeRole
  readonly rawRole: string
}

/** A node, network or volume, as far as ownership goes. */
export type Labelled = { readonly name: string; readonly labels: Readonly<Record<string, string>> }

/** The nodes of a new cluster that a template is asked for. */
export interface NewNode {
  readonly cluster: ClusterName
  readonly role: "control-plane" | "worker" | "load-balancer"
  /** From 0, within the role. */
  readonly index: number
  readonly counts: { readonly controlPlanes: number; readonly workers: number; readonly loadBalancers: number }
}

/** A port that is published. Without `host`, a free one is chosen when the node is made, so that it survives a stop. */
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
  /** Shared with clusters that others made: made where it is missing, never deleted. */
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
  /** What the engine filters by; the containers of every cluster where none is named, perhaps among others. */
  readonly filter: (cluster?: ClusterName) => Filter
  /** Whose a container is. `world` is everything that was listed with it. */
  readonly recognise: (
    container: ContainerFacts,
    world: ReadonlyArray<ContainerFacts>
  ) => Membership | undefined
  /** Whether an event may concern some cluster, where a container alone does not tell whose it is. */
  readonly mayConcern?: (container: ContainerFacts) => boolean
  /** Waves of control planes, one after the other; the rest follows as one wave. */
  readonly controlPlaneWaves: <A extends Labelled>(controlPlanes: ReadonlyArray<A>) => ReadonlyArray<ReadonlyArray<A>>
  /** Without its control plane the rest of a cluster is nobody's, so it goes last. */
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
  /** How a node is made, or why none is. */
  readonly template: Template | { readonly unsupported: string }
}

/** How the nodes of a scheme are made. */
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

/** The names of the schemes. */
export type SchemeName = "kubelayer" | "kind" | "k3d" | "talos" | "vcluster" | "kwok"

/** A scheme, or all of them at once: every container is then classified to exactly one. */
export type SchemeChoice = SchemeName | "auto"
