/**
 * The spec of nodes in containers, and its validation.
 *
 * Validation needs no engine: it finds all issues at once, each with its path, before any call. `Desired.ts` turns a
 * valid spec into the desired things.
 */
import * as IpNetwork from "effect/net/IpNetwork"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { maxNameLength } from "../Model.ts"
import type { ClusterSpec, NodePool } from "../Provider.ts"
import type { Issue } from "../Resource.ts"
import { reserved } from "./Labels.ts"
import type { MadeScheme, NewNode, PortMapping } from "./Scheme.ts"

/**
 * The container of a role. A field that a role leaves open comes from `nodes`, then from the options of the layer, then
 * from the scheme.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeSpec {
  /** An image reference, as `docker pull` takes it. */
  readonly image?: string
  /** When to pull: if it is not there (the default), before every create, or not at all. */
  readonly pull?: "missing" | "always" | "never"
  readonly entrypoint?: ReadonlyArray<string>
  readonly command?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly ports?: ReadonlyArray<PortMapping>
  /**
   * Volumes to mount. With a `name` of the cluster's `volumes`, all nodes of the role share it; `perNode` creates one
   * for each. Without a name it is anonymous and deleted with its node.
   */
  readonly volumes?: ReadonlyArray<{
    readonly name?: string
    readonly target: string
    readonly readOnly?: boolean
  }>
  /** Folders of the engine's host. */
  readonly binds?: ReadonlyArray<{ readonly source: string; readonly target: string; readonly readOnly?: boolean }>
  /** Folders in memory. */
  readonly tmpfs?: ReadonlyArray<string>
  /** Names of the cluster's `networks` that the node joins, beside the main one. */
  readonly networks?: ReadonlyArray<string>
  readonly privileged?: boolean
  /** Processors, as `0.5`. */
  readonly cpus?: number
  readonly memoryBytes?: number
  readonly restart?: "no" | "always" | "unless-stopped" | "on-failure"
}

/**
 * The defaults of nodes, which a spec can replace.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeDefaults {
  /** For control planes and workers. A load balancer is another thing, and takes nothing from here. */
  readonly nodes?: NodeSpec
  readonly controlPlane?: NodeSpec
  readonly worker?: NodeSpec
  /**
   * The load balancer, created if this is given and the scheme leaves it open. kind creates one with more than one
   * control plane, and then needs its image.
   */
  readonly loadBalancer?: NodeSpec
  readonly network?: {
    /** IPv4 CIDR. The first free one of the scheme's pool where none is given. */
    readonly subnet?: string
  }
  /** Networks beside the main one. They are called `<cluster>-<name>`; `external` ones exist and are called `name`. */
  readonly networks?: ReadonlyArray<{ readonly name: string; readonly subnet?: string; readonly external?: boolean }>
  /**
   * Named volumes. They are called `<cluster>-<name>`, or `<node>-<name>` with `perNode`; they outlive their nodes and
   * are deleted with the cluster.
   */
  readonly volumes?: ReadonlyArray<{ readonly name: string; readonly perNode?: boolean }>
}

/**
 * The containers of a new cluster. A field that is given here replaces the layer's. The image is a field of `nodes`:
 * `{ cluster: "dev", controlPlanes: 1, workers: 2, nodes: { image: "kindest/node:v1.34.0" } }`.
 *
 * @category models
 * @since 0.1.0
 */
export interface DockerClusterSpec extends ClusterSpec, NodeDefaults {
  /** Nodes in pools with names, with fields of their own. */
  readonly pools?: ReadonlyArray<DockerNodePool>
}

/**
 * A pool of nodes that are created alike.
 *
 * @category models
 * @since 0.2.0
 */
export interface DockerNodePool extends NodePool, NodeSpec {
  readonly labels?: Readonly<Record<string, string>>
}

export type Role = NewNode["role"]

const specField: { readonly [R in Role]: "controlPlane" | "worker" | "loadBalancer" } = {
  "control-plane": "controlPlane",
  worker: "worker",
  "load-balancer": "loadBalancer"
}

/** One role's spec, merged from the layer's options and the call's; records are merged, other fields replaced. */
export const merged = (
  role: Role,
  defaults: NodeDefaults,
  spec: DockerClusterSpec,
  pool?: NodeSpec
): NodeSpec => {
  const field = specField[role]
  const shared = (given: NodeDefaults) => role === "load-balancer" ? undefined : given.nodes
  const layers = [
    shared(defaults),
    defaults[field],
    { labels: spec.labels ?? {} },
    shared(spec),
    spec[field],
    pool
  ]
  return layers.reduce<NodeSpec>((result, next) => ({
    ...result,
    ...next,
    env: { ...result.env, ...next?.env },
    labels: { ...result.labels, ...next?.labels }
  }), {})
}

/** The values of a spec and of the options of the layer that concern the cluster as a whole. */
export const clusterWide = (defaults: NodeDefaults, spec: DockerClusterSpec) => ({
  subnet: spec.network?.subnet ?? defaults.network?.subnet,
  networks: spec.networks ?? defaults.networks ?? [],
  volumes: spec.volumes ?? defaults.volumes ?? []
})

/** The number of nodes of each role in a spec. */
export const counts = (scheme: MadeScheme, defaults: NodeDefaults, spec: DockerClusterSpec): NewNode["counts"] => {
  const inPools = (role: Role) =>
    (spec.pools ?? []).filter((pool) => pool.role === role).reduce((sum, { count }) => sum + count, 0)
  const controlPlanes = spec.controlPlanes + inPools("control-plane")
  return {
    controlPlanes,
    workers: spec.workers + inPools("worker"),
    loadBalancers: scheme.template.loadBalancer === "required"
      ? Number(controlPlanes > 1)
      : scheme.template.loadBalancer === "optional"
      ? Number((spec.loadBalancer ?? defaults.loadBalancer) !== undefined)
      : 0
  }
}

/** How many nodes of a role are outside of pools. */
export const countOf = (role: Role, spec: DockerClusterSpec, all: NewNode["counts"]): number =>
  role === "control-plane" ? spec.controlPlanes : role === "worker" ? spec.workers : all.loadBalancers

/** No engine reaches this bound; a typing error cannot create a million containers. */
const mostNodes = 1000
/** The minimum of the engine itself. */
const leastMemory = 6 * 1024 * 1024

const resourceName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/
const absolute = /^\/[^:,\0\n]*$/
/** `registry:port/path:tag@digest`, all but the path optional; what a URL may have beside it is none of an image's. */
const imageReference =
  /^(?:[a-zA-Z0-9.-]+(?::\d+)?\/|\[[0-9a-fA-F:]+\](?::\d+)?\/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{0,127})?(?:@[a-z0-9+._-]+:[0-9a-fA-F]{32,})?$/

const parseSubnet = (subnet: string) => Result.getOrUndefined(IpNetwork.ipv4FromString(subnet))

/** Whether two host addresses overlap. No address means both families; a wildcard means its own family only. */
const overlap = (a: string | undefined, b: string | undefined): boolean => {
  if (a === undefined || b === undefined || a === b) return true
  const isSameFamily = a.includes(":") === b.includes(":")
  return isSameFamily && [a, b].some((address) => address === "0.0.0.0" || address === "::")
}

type Add = (path: string, message: string) => void

const checkPorts = (path: string, ports: ReadonlyArray<PortMapping>, add: Add) =>
  ports.forEach((port, index) => {
    const at = `${path}.ports[${index}]`
    const inRange = (value: number) => Number.isInteger(value) && value >= 1 && value <= 65_535
    if (!inRange(port.container)) add(`${at}.container`, `must be a port from 1 to 65535, got ${port.container}`)
    if (port.host !== undefined && !inRange(port.host)) {
      add(`${at}.host`, `must be a port from 1 to 65535, got ${port.host}`)
    }
    if (port.protocol !== undefined && !["tcp", "udp", "sctp"].includes(port.protocol)) {
      add(`${at}.protocol`, `must be tcp, udp or sctp, got ${JSON.stringify(port.protocol)}`)
    }
    if (port.address !== undefined && Result.isFailure(NetAddress.ipFromString(port.address))) {
      add(`${at}.address`, `must be an IP address, got ${JSON.stringify(port.address)}`)
    }
  })

const checkMounts = (path: string, node: NodeSpec, declared: ReadonlySet<string>, add: Add) => {
  const targets = new Map<string, string>()
  const target = (at: string, value: string) => {
    if (!absolute.test(value)) return add(at, `must be an absolute path, got ${JSON.stringify(value)}`)
    const other = targets.get(value)
    if (other === undefined) targets.set(value, at)
    else add(at, `${value} is already the target of ${other}`)
  }
  node.volumes?.forEach((volume, index) => {
    const at = `${path}.volumes[${index}]`
    if (volume.name !== undefined && !declared.has(volume.name)) {
      add(`${at}.name`, `${JSON.stringify(volume.name)} is not one of the cluster's volumes`)
    }
    target(`${at}.target`, volume.target)
  })
  node.binds?.forEach((bind, index) => {
    const at = `${path}.binds[${index}]`
    if (!absolute.test(bind.source)) add(`${at}.source`, `must be an absolute path, got ${JSON.stringify(bind.source)}`)
    target(`${at}.target`, bind.target)
  })
  node.tmpfs?.forEach((folder, index) => target(`${path}.tmpfs[${index}]`, folder))
}

const checkEnv = (path: string, env: NodeSpec["env"], add: Add) => {
  for (const [name, value] of Object.entries(env ?? {})) {
    // The name may contain a value by mistake.
    const shown = name.replace(/[=\0].*$/s, "…")
    if (name === "" || shown !== name) add(path, `must be the name of a variable, got ${JSON.stringify(shown)}`)
    if (typeof value !== "string" || value.includes("\0")) add(`${path}.${shown}`, "must be text without NUL")
  }
}

const checkLabels = (path: string, labels: NodeSpec["labels"], add: Add) => {
  for (const [key, value] of Object.entries(labels ?? {})) {
    const prefix = reserved.find((prefix) => key.startsWith(prefix))
    if (key === "") add(path, "the key of a label must not be empty")
    else if (prefix !== undefined || key === "app") {
      add(
        `${path}.${key}`,
        `${prefix === undefined ? "app" : `${prefix}*`} is reserved: these labels decide which cluster owns a node`
      )
    }
    if (typeof value !== "string") add(`${path}.${key}`, "must be text")
  }
}

const checkNode = (
  path: string,
  node: NodeSpec,
  declared: { readonly volumes: ReadonlySet<string>; readonly networks: ReadonlySet<string> },
  add: Add
) => {
  if (node.image === undefined || node.image === "") {
    add(`${path}.image`, "is required: set it here, in `nodes` or in the options of the layer")
  } else if (typeof node.image !== "string" || !imageReference.test(node.image)) {
    // It may be a URL with a password, so it is not shown.
    add(`${path}.image`, "must be an image reference such as registry.example:5000/name:tag")
  }
  if (node.pull !== undefined && !["missing", "always", "never"].includes(node.pull)) {
    add(`${path}.pull`, `must be missing, always or never, got ${JSON.stringify(node.pull)}`)
  }
  for (const field of ["entrypoint", "command"] as const) {
    const words: unknown = node[field] ?? []
    const areTexts = Array.isArray(words) && words.every((word) => typeof word === "string" && !word.includes("\0"))
    if (!areTexts) add(`${path}.${field}`, "must be a list of texts without NUL")
  }
  checkPorts(path, node.ports ?? [], add)
  checkMounts(path, node, declared.volumes, add)
  checkEnv(`${path}.env`, node.env, add)
  checkLabels(`${path}.labels`, node.labels, add)
  node.networks?.forEach((name, index) => {
    if (!declared.networks.has(name)) {
      add(`${path}.networks[${index}]`, `${JSON.stringify(name)} is not one of the cluster's networks`)
    }
  })
  if (node.cpus !== undefined && !(Number.isFinite(node.cpus) && node.cpus >= 0.01)) {
    add(`${path}.cpus`, `must be 0.01 processors or more, got ${node.cpus}`)
  }
  if (node.memoryBytes !== undefined && !(Number.isInteger(node.memoryBytes) && node.memoryBytes >= leastMemory)) {
    add(`${path}.memoryBytes`, `must be an integer of ${leastMemory} bytes or more, got ${node.memoryBytes}`)
  }
  if (node.restart !== undefined && !["no", "always", "unless-stopped", "on-failure"].includes(node.restart)) {
    add(`${path}.restart`, `must be no, always, unless-stopped or on-failure, got ${JSON.stringify(node.restart)}`)
  }
}

const checkNames = (path: string, names: ReadonlyArray<string>, add: Add) =>
  names.forEach((name, index) => {
    if (!resourceName.test(name)) {
      add(
        `${path}[${index}].name`,
        `must consist of letters, digits, \`.\`, \`_\` and \`-\`, got ${JSON.stringify(name)}`
      )
    }
    if (names.indexOf(name) !== index) add(`${path}[${index}].name`, `duplicate name ${JSON.stringify(name)}`)
  })

const checkSubnet = (path: string, subnet: string | undefined, nodes: number, add: Add) => {
  if (subnet === undefined) return
  const network = parseSubnet(subnet)
  if (network === undefined) {
    return add(path, `must be an IPv4 network such as 10.89.0.0/24, got ${JSON.stringify(subnet)}`)
  }
  // Network, gateway and broadcast addresses are not for nodes.
  const room = Number(IpNetwork.addressCount(network)) - 3
  if (nodes > room) add(path, `${subnet} has room for ${Math.max(0, room)} nodes, ${nodes} are requested`)
}

/** Two ports on one address and number cannot both be published, whichever nodes they are of. */
const checkHostPorts = (
  roles: ReadonlyArray<{ readonly path: string; readonly count: number; readonly ports: ReadonlyArray<PortMapping> }>,
  add: Add
) => {
  const taken: Array<{ readonly port: PortMapping; readonly at: string }> = []
  for (const { count, path, ports } of roles) {
    ports.forEach((port, index) => {
      if (port.host === undefined) return
      const at = `${path}.ports[${index}].host`
      if (count > 1) return add(at, `${count} nodes of this role cannot all use host port ${port.host}`)
      const other = taken.find(({ port: held }) =>
        held.host === port.host && (held.protocol ?? "tcp") === (port.protocol ?? "tcp") &&
        overlap(held.address, port.address)
      )
      if (other === undefined) taken.push({ port, at })
      else add(at, `host port ${port.host} is already used by ${other.at}`)
    })
  }
}

const checkNodeName = (path: string, name: string, add: Add) => {
  if (name.length > maxNameLength) {
    add(path, `the node name ${name} has ${name.length} characters, at most ${maxNameLength} are allowed`)
  }
}

/** All issues that concern several fields; none where the cluster can be created. */
export const validate = (scheme: MadeScheme, defaults: NodeDefaults, spec: DockerClusterSpec): ReadonlyArray<Issue> => {
  const found: Array<Issue> = []
  const add: Add = (path, message) => void found.push({ path, message })
  const { template } = scheme
  const { networks, subnet, volumes } = clusterWide(defaults, spec)

  if (spec.cluster.length > template.maxNameLength) {
    add(
      "cluster",
      `a name of ${spec.cluster.length} characters is too long for ${scheme.name} (${template.maxNameLength})`
    )
  }
  const whole = (path: "controlPlanes" | "workers", least: number) => {
    const value = spec[path]
    if (Number.isInteger(value) && value >= least && value <= mostNodes) return value
    add(path, `must be an integer from ${least} to ${mostNodes}, got ${value}`)
    // One node of the role is checked all the same, so that its other issues are reported too.
    return 1
  }
  const pools = spec.pools ?? []
  const hasControlPlanes = pools.some(({ count, role }) => role === "control-plane" && count > 0)
  const asked = {
    ...spec,
    controlPlanes: whole("controlPlanes", hasControlPlanes ? 0 : 1),
    workers: whole("workers", 0)
  }
  if (spec.loadBalancer !== undefined && template.loadBalancer === "none") {
    add("loadBalancer", `${scheme.name} has no load balancers`)
  }
  checkNames("volumes", volumes.map(({ name }) => name), add)
  checkNames("networks", networks.map(({ name }) => name), add)
  checkLabels("labels", spec.labels, add)

  const all = counts(scheme, defaults, asked)
  const declared = {
    volumes: new Set(volumes.map(({ name }) => name)),
    networks: new Set(networks.map(({ name }) => name))
  }
  const roles = (["control-plane", "worker", "load-balancer"] as const)
    .map((role) => ({
      role,
      count: countOf(role, asked, all),
      path: specField[role] as string,
      // The labels of every node have been checked.
      node: merged(role, defaults, { ...asked, labels: {} })
    }))
    .filter(({ count }) => count > 0)
  for (const { count, node, path, role } of roles) {
    checkNode(path, node, declared, add)
    checkNodeName(
      "cluster",
      template.nodeName({ cluster: asked.cluster as NewNode["cluster"], role, index: count - 1 }),
      add
    )
  }
  pools.forEach(({ count, name, role, ...own }, index) => {
    const path = `pools[${index}]`
    if (pools.findIndex((pool) => pool.name === name) < index) {
      add(`${path}.name`, `duplicate name ${JSON.stringify(name)}`)
    }
    if (count === 0) return
    const node = merged(role, defaults, { ...asked, labels: {} }, own)
    checkNode(path, node, declared, add)
    checkNodeName(`${path}.name`, `${asked.cluster}-${name}-${count}`, add)
    roles.push({ role, count, path, node })
  })
  checkHostPorts(roles.map(({ count, node, path }) => ({ count, path, ports: node.ports ?? [] })), add)
  const total = all.controlPlanes + all.workers + all.loadBalancers
  checkSubnet("network.subnet", subnet, total, add)
  networks.forEach((network, index) => checkSubnet(`networks[${index}].subnet`, network.subnet, total, add))
  return found
}
