/**
 * k3d's scheme: `app=k3d` on everything, the cluster and the role on nodes, a network and an image volume a cluster.
 *
 * Source: k3d's `pkg/types` and `pkg/runtimes/docker`. k3d lists, stops and deletes containers with these labels. Its
 * own start needs more: ready lines in the logs, and a tools image.
 */
import { byName } from "../../internal/Operation.ts"
import type { NodeRole } from "../../Model.ts"
import { saysOwned } from "../Labels.ts"
import type { MadeScheme } from "../Scheme.ts"

const app = "k3d"
const clusterLabel = "k3d.cluster"
const roleLabel = "k3d.role"
const networkLabel = "k3d.cluster.network"
const externalNetworkLabel = "k3d.cluster.network.external"
const initLabel = "k3d.server.init"

const roles: ReadonlyMap<string, NodeRole> = new Map([
  ["server", "control-plane"],
  ["agent", "worker"],
  ["loadbalancer", "load-balancer"],
  ["registry", "helper"],
  ["noRole", "helper"]
])

const k3dRole = { "control-plane": "server", worker: "agent", "load-balancer": "loadbalancer" }

const networkName = (cluster: string): string => `k3d-${cluster}`
const imageVolume = (cluster: string): string => `k3d-${cluster}-images`

export const k3d: MadeScheme = {
  name: "k3d",
  filter: (cluster) => ({ label: ["app=k3d", cluster === undefined ? clusterLabel : `${clusterLabel}=${cluster}`] }),
  recognise: ({ labels }) => {
    const cluster = labels[clusterLabel]
    if (labels["app"] !== app || cluster === undefined) return undefined
    const rawRole = labels[roleLabel] ?? ""
    return { cluster, role: roles.get(rawRole) ?? "helper", rawRole }
  },
  // etcd wants the first member up before the others, and the same addresses as before: one by one, in number order.
  controlPlaneWaves: (servers) =>
    [...servers]
      .sort((a, b) =>
        Number(b.labels[initLabel] === "true") - Number(a.labels[initLabel] === "true") || byName(a.name, b.name)
      )
      .map((server) => [server]),
  graceSeconds: (role) => role === "control-plane" ? 30 : undefined,
  ownsNetwork: (cluster, { labels, name }, nodes) => {
    const said = saysOwned("k3d", cluster, labels)
    if (said !== undefined || labels["app"] !== app) return said === true
    const mine = nodes.filter((node) => node.labels[networkLabel] === name)
    if (mine.some((node) => node.labels[externalNetworkLabel] === "true")) return false
    return mine.length > 0 || name === networkName(cluster)
  },
  ownsVolume: (cluster, { labels }) =>
    saysOwned("k3d", cluster, labels) ?? (labels["app"] === app && labels[clusterLabel] === cluster),
  mentions: ({ labels, name }) => [labels[clusterLabel], /^k3d-(.+)$/.exec(name)?.[1]],
  template: {
    maxNameLength: 32,
    loadBalancer: "optional",
    nodeName: ({ cluster, index, role }) =>
      role === "load-balancer" ? `k3d-${cluster}-serverlb` : `k3d-${cluster}-${k3dRole[role]}-${index}`,
    labels: ({ cluster, counts, index, role }) => ({
      app,
      [clusterLabel]: cluster,
      [roleLabel]: k3dRole[role],
      [networkLabel]: networkName(cluster),
      [externalNetworkLabel]: "false",
      "k3d.cluster.imageVolume": imageVolume(cluster),
      "k3d.cluster.url": `https://k3d-${cluster}-server-0:6443`,
      ...(role === "control-plane" && counts.controlPlanes > 1 ? { [initLabel]: String(index === 0) } : {})
    }),
    container: ({ counts, index, role }) => ({
      // The file that `k3d kubeconfig` reads.
      Env: ["K3S_KUBECONFIG_OUTPUT=/output/kubeconfig.yaml"],
      // k3d compares the argument with the label of the first server.
      ...(role === "load-balancer" ? {} : {
        Cmd: [
          k3dRole[role],
          ...(role === "control-plane" && counts.controlPlanes > 1 && index === 0 ? ["--cluster-init"] : [])
        ]
      })
    }),
    hostConfig: () => ({
      Privileged: true,
      Init: true,
      UsernsMode: "host",
      RestartPolicy: { Name: "unless-stopped" },
      Tmpfs: { "/run": "", "/var/run": "" }
    }),
    ports: ({ counts, index, role }) =>
      role === "load-balancer" || role === "control-plane" && index === 0 && counts.loadBalancers === 0
        ? [{ container: 6443, address: "0.0.0.0" }]
        : [],
    network: (cluster) => ({
      name: networkName(cluster),
      shared: false,
      labels: { app },
      options: { "com.docker.network.bridge.enable_ip_masquerade": "true" },
      ipv6: false
    }),
    volumes: (cluster) => [{
      name: imageVolume(cluster),
      target: "/k3d/images",
      labels: { app, [clusterLabel]: cluster }
    }]
  }
}
