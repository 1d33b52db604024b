/**
 * kind's scheme: two labels, nothing else; the network `kind` is shared by all its clusters.
 *
 * Source: kind's docker provider (`constants.go`, `provision.go`, `network.go`); kind knows a node by its cluster label
 * alone, and wants 6443 of the one control plane, or of the load balancer, published.
 */
import type { NodeRole } from "../../Model.ts"
import { saysOwned } from "../Labels.ts"
import type { MadeScheme } from "../Scheme.ts"

const clusterLabel = "io.x-k8s.kind.cluster"
const roleLabel = "io.x-k8s.kind.role"

const roles: ReadonlyMap<string, NodeRole> = new Map([
  ["control-plane", "control-plane"],
  ["worker", "worker"],
  ["external-load-balancer", "load-balancer"],
  ["external-etcd", "helper"]
])

const kindRole = { "control-plane": "control-plane", worker: "worker", "load-balancer": "external-load-balancer" }

export const kind: MadeScheme = {
  name: "kind",
  filter: (cluster) => ({ label: [cluster === undefined ? clusterLabel : `${clusterLabel}=${cluster}`] }),
  recognise: ({ labels }) => {
    const cluster = labels[clusterLabel]
    if (cluster === undefined) return undefined
    const rawRole = labels[roleLabel] ?? ""
    return { cluster, role: roles.get(rawRole) ?? "worker", rawRole }
  },
  controlPlaneWaves: (controlPlanes) => [controlPlanes],
  graceSeconds: () => undefined,
  ownsNetwork: (cluster, { labels }) => saysOwned("kind", cluster, labels) === true,
  ownsVolume: (cluster, { labels }) => saysOwned("kind", cluster, labels) === true,
  template: {
    // The longest node name, `<cluster>-external-load-balancer`, is also a host name; the spec checks the names it makes.
    maxNameLength: 63,
    loadBalancer: "required",
    nodeName: ({ cluster, index, role }) => `${cluster}-${kindRole[role]}${index === 0 ? "" : index + 1}`,
    labels: ({ cluster, role }) => ({ [clusterLabel]: cluster, [roleLabel]: kindRole[role] }),
    container: ({ role }) => ({
      Tty: true,
      ...(role === "control-plane" ? { Env: ["KUBECONFIG=/etc/kubernetes/admin.conf"] } : {}),
      ...(role === "load-balancer" ? {} : { Volumes: { "/var": {} } })
    }),
    hostConfig: ({ role }) => ({
      RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 },
      Init: false,
      CgroupnsMode: "private",
      ...(role === "load-balancer" ? {} : {
        Privileged: true,
        // An engine with userns-remap refuses privileged containers without it.
        UsernsMode: "host",
        SecurityOpt: ["seccomp=unconfined", "apparmor=unconfined"],
        Tmpfs: { "/tmp": "", "/run": "" },
        Binds: ["/lib/modules:/lib/modules:ro"]
      })
    }),
    ports: ({ role }) => role === "worker" ? [] : [{ container: 6443, address: "127.0.0.1" }],
    network: () => ({
      name: "kind",
      shared: true,
      labels: {},
      options: { "com.docker.network.bridge.enable_ip_masquerade": "true", "com.docker.network.driver.mtu": "1500" },
      ipv6: true
    }),
    volumes: () => []
  }
}
