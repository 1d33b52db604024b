/**
 * kubelayer's own scheme: plain labels, a network of the cluster's own with fixed addresses, nothing else presumed.
 */
import { saysOwned } from "../Labels.ts"
import type { MadeScheme } from "../Scheme.ts"

const clusterLabel = "kubelayer.cluster"
const roleLabel = "kubelayer.role"
const roles = new Set(["control-plane", "worker", "load-balancer", "helper"] as const)
type Role = typeof roles extends Set<infer R> ? R : never

const isRole = (value: string): value is Role => (roles as Set<string>).has(value)

const countedName = (cluster: string, role: string, index: number): string =>
  `${cluster}-${role}${index === 0 ? "" : index + 1}`

export const kubelayer: MadeScheme = {
  name: "kubelayer",
  filter: (cluster) => ({ label: [cluster === undefined ? clusterLabel : `${clusterLabel}=${cluster}`] }),
  recognise: ({ labels }) => {
    const cluster = labels[clusterLabel]
    if (cluster === undefined) return undefined
    const rawRole = labels[roleLabel] ?? ""
    return { cluster, role: isRole(rawRole) ? rawRole : "worker", rawRole }
  },
  controlPlaneWaves: (controlPlanes) => [controlPlanes],
  graceSeconds: () => undefined,
  ownsNetwork: (cluster, { labels }) => saysOwned("kubelayer", cluster, labels) === true,
  ownsVolume: (cluster, { labels }) => saysOwned("kubelayer", cluster, labels) === true,
  template: {
    maxNameLength: 63,
    loadBalancer: "optional",
    nodeName: ({ cluster, index, role }) => countedName(cluster, role, index),
    labels: ({ cluster, role }) => ({ [clusterLabel]: cluster, [roleLabel]: role }),
    container: () => ({}),
    hostConfig: () => ({}),
    ports: () => [],
    network: (cluster) => ({
      name: `kubelayer-${cluster}`,
      shared: false,
      labels: {},
      options: {},
      ipv6: false,
      subnet: "10.89.0.0/24"
    }),
    volumes: () => []
  }
}
