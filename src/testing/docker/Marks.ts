/**
 * The labels of the tools, from observation. They are written down separately from the schemes of the product, so that
 * these are really checked.
 */
import type { NodeRole } from "../../Model.ts"

export interface Marks {
  readonly roles: Readonly<Partial<Record<NodeRole, string>>>
  readonly clusterLabel: string
  readonly roleLabel: string
  /** Labels that every node has, whatever its cluster. */
  readonly always: Readonly<Record<string, string>>
  readonly nodeName: (cluster: string, role: string, index: number) => string
  readonly network: (cluster: string) => string
  /** The labels of a network and of a volume that are the cluster's own. */
  readonly resource: (cluster: string) => Readonly<Record<string, string>>
}

const counted = (cluster: string, role: string, index: number) => `${cluster}-${role}${index === 0 ? "" : index + 1}`

export const marks = {
  kubelayer: {
    roles: {
      "control-plane": "control-plane",
      worker: "worker",
      "load-balancer": "load-balancer",
      helper: "helper"
    },
    clusterLabel: "kubelayer.cluster",
    roleLabel: "kubelayer.role",
    always: {},
    nodeName: counted,
    network: (cluster) => `kubelayer-${cluster}`,
    resource: (cluster) => ({ "kubelayer.owned": `kubelayer/${cluster}` })
  },
  kind: {
    roles: {
      "control-plane": "control-plane",
      worker: "worker",
      "load-balancer": "external-load-balancer",
      helper: "external-etcd"
    },
    clusterLabel: "io.x-k8s.kind.cluster",
    roleLabel: "io.x-k8s.kind.role",
    always: {},
    nodeName: counted,
    // kind's network serves all clusters, so a network of one cluster was created by kubelayer.
    network: (cluster) => `${cluster}-network`,
    resource: (cluster) => ({ "kubelayer.owned": `kind/${cluster}` })
  },
  k3d: {
    roles: { "control-plane": "server", worker: "agent", "load-balancer": "loadbalancer", helper: "noRole" },
    clusterLabel: "k3d.cluster",
    roleLabel: "k3d.role",
    always: { app: "k3d" },
    nodeName: (cluster, role, index) => `k3d-${cluster}-${role}-${index}`,
    network: (cluster) => `k3d-${cluster}`,
    resource: (cluster) => ({ app: "k3d", "k3d.cluster": cluster })
  },
  talos: {
    roles: { "control-plane": "controlplane", worker: "worker" },
    clusterLabel: "talos.cluster.name",
    roleLabel: "talos.type",
    always: { "talos.owned": "true" },
    nodeName: (cluster, role, index) => `${cluster}-${role}-${index + 1}`,
    network: (cluster) => cluster,
    resource: (cluster) => ({ "talos.owned": "true", "talos.cluster.name": cluster })
  }
} as const satisfies Record<string, Marks>
