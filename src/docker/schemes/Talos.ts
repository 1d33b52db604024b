/**
 * The scheme of Talos' docker provisioner: three labels on nodes, two on the network, fixed addresses.
 *
 * Source: Talos' `pkg/provision/providers/docker`. The network is known by its labels and must carry an MTU option. A
 * node takes its machine configuration from the variable USERDATA, which the caller's spec gives.
 */
import type { NodeRole } from "../../Model.ts"
import { saysOwned } from "../Labels.ts"
import type { MadeScheme } from "../Scheme.ts"

const ownedLabel = "talos.owned"
const clusterLabel = "talos.cluster.name"
const typeLabel = "talos.type"

const roles: ReadonlyMap<string, NodeRole> = new Map([
  ["controlplane", "control-plane"],
  ["init", "control-plane"],
  ["worker", "worker"],
  ["join", "worker"],
  ["", "worker"]
])

const talosType = { "control-plane": "controlplane", worker: "worker", "load-balancer": "worker" }

const anonymous = ["/var", "/system/state", "/opt"]
const temporary = ["/run", "/system", "/tmp"]

const owns: MadeScheme["ownsVolume"] = (cluster, { labels }) =>
  saysOwned("talos", cluster, labels) ?? (labels[ownedLabel] === "true" && labels[clusterLabel] === cluster)

export const talos: MadeScheme = {
  name: "talos",
  filter: (cluster) => ({
    label: [`${ownedLabel}=true`, cluster === undefined ? clusterLabel : `${clusterLabel}=${cluster}`]
  }),
  recognise: ({ labels }) => {
    const cluster = labels[clusterLabel]
    if (labels[ownedLabel] !== "true" || cluster === undefined) return undefined
    const rawRole = labels[typeLabel] ?? ""
    return { cluster, role: roles.get(rawRole) ?? "helper", rawRole }
  },
  controlPlaneWaves: (controlPlanes) => [controlPlanes],
  // machined's own shutdown takes longer than the engine's ten seconds.
  graceSeconds: () => 30,
  ownsNetwork: owns,
  ownsVolume: owns,
  mentions: ({ labels }) => [labels[clusterLabel]],
  template: {
    maxNameLength: 63,
    loadBalancer: "none",
    nodeName: ({ cluster, index, role }) => `${cluster}-${talosType[role]}-${index + 1}`,
    labels: ({ cluster, role }) => ({ [ownedLabel]: "true", [clusterLabel]: cluster, [typeLabel]: talosType[role] }),
    container: () => ({ Env: ["PLATFORM=container"] }),
    hostConfig: () => ({
      Privileged: true,
      SecurityOpt: ["seccomp:unconfined"],
      ReadonlyRootfs: true,
      Sysctls: { "net.ipv6.conf.all.disable_ipv6": "0" },
      Mounts: [
        ...temporary.map((Target) => ({ Type: "tmpfs", Target })),
        ...anonymous.map((Target) => ({ Type: "volume", Target }))
      ]
    }),
    ports: ({ index, role }) =>
      role === "control-plane" && index === 0
        ? [{ container: 6443, address: "127.0.0.1" }, { container: 50000, address: "127.0.0.1" }]
        : [],
    network: (cluster) => ({
      name: cluster,
      shared: false,
      labels: { [ownedLabel]: "true", [clusterLabel]: cluster },
      options: { "com.docker.network.driver.mtu": "1500" },
      ipv6: false,
      subnet: "10.5.0.0/24"
    }),
    volumes: () => []
  }
}
