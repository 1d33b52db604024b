/**
 * The names of everything that a cluster has at Hetzner. They follow from the cluster's name alone, so that a call whose
 * reply was lost is found again, and two creates at once meet.
 */
import type { ClusterName } from "../Model.ts"

export const nameOfServer = (cluster: ClusterName, role: "control-plane" | "worker", number: number): string =>
  `${cluster}-${role}-${number}`

export const nameOfPoolServer = (cluster: ClusterName, pool: string, number: number): string =>
  `${cluster}-${pool}-${number}`

export const namesOf = (cluster: ClusterName) => ({
  network: `${cluster}-network`,
  firewall: `${cluster}-firewall`,
  floatingIp: `${cluster}-ip`,
  loadBalancer: `${cluster}-load-balancer`,
  groupPrefix: `${cluster}-placement-`,
  group: (number: number) => `${cluster}-placement-${number}`,
  volume: (name: string) => `${cluster}-${name}`
})
