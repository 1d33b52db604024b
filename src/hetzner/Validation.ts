/**
 * Validates a spec without a call: all issues at once, each with its path.
 *
 * The bounds are the API's own. `Catalogue.ts` checks the values that only the project or the catalogue knows.
 */
import * as IpNetwork from "effect/net/IpNetwork"
import * as Result from "effect/Result"
import type { ClusterName } from "../Model.ts"
import { suggestCidr } from "./Cidr.ts"
import { reserved } from "./Labels.ts"
import { nameOfPoolServer, nameOfServer, namesOf } from "./Names.ts"
import { groupCount } from "./Placement.ts"
import {
  type AddNodes,
  clusterWide,
  countOf,
  defaultRange,
  type Fault,
  fieldOfRole,
  type FirewallRule,
  type HetznerClusterSpec,
  merged,
  mergedPool,
  type NodeDefaults,
  type PoolSpec,
  roles,
  type ServerSpec,
  userDataOf,
  type VolumeSpec
} from "./Spec.ts"
import { issuesOfShape } from "./SpecShape.ts"

type Add = (path: string, message: string) => void

/** A bound that no project reaches, so that a slip of the keyboard buys no million of servers. */
const mostNodes = 1000
const mostUserData = 32 * 1024
const maxHostName = 63
const mostRules = 50
const mostAddressesOfRule = 100
/** The API counts each address of a rule as one. */
const mostEffectiveRules = 500

const shown = (value: unknown): string => typeof value === "string" ? JSON.stringify(value) : String(value)

const word = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/
const subdomain = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/
const hostLabel = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

const isLabelKey = (key: string): boolean => {
  const slash = key.indexOf("/")
  return slash === -1 ? word.test(key) : subdomain.test(key.slice(0, slash)) && word.test(key.slice(slash + 1))
}

const checkLabels = (path: string, labels: ServerSpec["labels"], add: Add) => {
  for (const [key, value] of Object.entries(labels ?? {})) {
    const prefix = reserved.find((prefix) => key.startsWith(prefix))
    if (!isLabelKey(key)) {
      add(path, `${shown(key)} is not a label's key: at most 63 letters, digits, \`.\`, \`_\` and \`-\``)
    } else if (prefix !== undefined) add(`${path}.${key}`, `the keys ${prefix}* say whose a server is`)
    if (typeof value !== "string" || value !== "" && !word.test(value)) {
      add(
        `${path}.${key}`,
        `${shown(value)} is not a label's value: at most 63 letters, digits, \`.\`, \`_\` and \`-\``
      )
    }
  }
}

const checkWords = (path: string, words: ReadonlyArray<string>, add: Add) =>
  words.forEach((each, index) => {
    if (typeof each !== "string" || !word.test(each)) add(`${path}[${index}]`, `${shown(each)} is not a name`)
    else if (words.indexOf(each) !== index) add(`${path}[${index}]`, `${shown(each)} is there twice`)
  })

/** The grammar of the API: terms of a key, `!key`, `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`. */
const isSelector = (text: unknown): boolean =>
  typeof text === "string" && text.length <= 2048 &&
  /^(?:!?[\w./-]+|[\w./-]+\s*(?:==?|!=)\s*[\w.-]*|[\w./-]+\s+(?:not)?in\s*\([\w., -]*\))(?:\s*,\s*(?:!?[\w./-]+|[\w./-]+\s*(?:==?|!=)\s*[\w.-]*|[\w./-]+\s+(?:not)?in\s*\([\w., -]*\)))*$/
    .test(text)

const checkServer = (path: string, server: ServerSpec, add: Add) => {
  const otherwise = "neither here, nor in `nodes`, nor in the layer's options"
  const { image } = server
  if (image === undefined || image === "") add(`${path}.image`, `no image is given, ${otherwise}`)
  else if (typeof image === "object") {
    if (!isSelector(image.selector)) {
      add(`${path}.image.selector`, `${shown(image.selector)} is not a label selector such as os=talos,version=v1.12`)
    }
  } else if (typeof image === "number" ? !Number.isSafeInteger(image) || image < 1 : !word.test(image)) {
    add(`${path}.image`, `${shown(image)} is neither the name of an image nor an id`)
  }
  const types = server.serverTypes ?? []
  if (types.length === 0) add(`${path}.serverTypes`, `no server type is given, ${otherwise}`)
  checkWords(`${path}.serverTypes`, types, add)
  checkWords(`${path}.locations`, server.locations ?? [], add)
  const userData = userDataOf(server)
  if (userData !== undefined && typeof userData !== "string") add(`${path}.userData`, "is not a text")
  else if (userData !== undefined) {
    const size = new TextEncoder().encode(userData).length
    if (size > mostUserData) add(`${path}.userData`, `has ${size} bytes, at most ${mostUserData} are allowed`)
  }
  checkLabels(`${path}.labels`, server.labels, add)
}

const ipv4 = (text: string) => Result.getOrUndefined(IpNetwork.ipv4FromString(text))

const privateRanges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]

const prefixOf = (network: string): number => Number(network.slice(network.indexOf("/") + 1))

const checkNetwork = (
  network: { readonly ipRange: string; readonly subnet: string; readonly zone: string | undefined },
  nodes: number,
  add: Add
) => {
  const range = ipv4(network.ipRange)
  const subnet = ipv4(network.subnet)
  const isWithin = (outer: string, inner: NonNullable<typeof range>) => {
    const parsed = ipv4(outer)
    return parsed !== undefined && IpNetwork.containsNetwork(parsed, inner)
  }
  if (range === undefined) {
    add("network.ipRange", `${shown(network.ipRange)} is not an IPv4 network such as ${defaultRange}`)
  } else {
    if (!privateRanges.some((outer) => isWithin(outer, range))) {
      add("network.ipRange", `${network.ipRange} is not private; private are ${privateRanges.join(", ")}`)
    }
    if (prefixOf(network.ipRange) > 24) add("network.ipRange", `${network.ipRange} is smaller than a /24`)
  }
  // If the range is invalid, the subnet that follows from it is no second issue.
  if (subnet === undefined) {
    if (range !== undefined) {
      add("network.subnet", `${shown(network.subnet)} is not an IPv4 network such as 10.0.1.0/24`)
    }
    return
  }
  if (range !== undefined && !isWithin(network.ipRange, subnet)) {
    add("network.subnet", `${network.subnet} is not inside of ${network.ipRange}`)
  }
  if (prefixOf(network.subnet) > 30) add("network.subnet", `${network.subnet} is smaller than a /30`)
  // Network, gateway and broadcast addresses are not for servers.
  const room = Math.max(0, Number(IpNetwork.addressCount(subnet)) - 3)
  if (nodes > room) add("network.subnet", `${network.subnet} has room for ${room} servers, ${nodes} are requested`)
  if (network.zone !== undefined && !word.test(network.zone)) {
    add("network.zone", `${shown(network.zone)} is not a name`)
  }
}

const isPort = (port: string): boolean => {
  if (port === "any") return true
  const [from, to, ...rest] = port.split("-")
  const ends = [from, to ?? from].map((end) => /^\d{1,5}$/.test(end ?? "") ? Number(end) : 0)
  return rest.length === 0 && ends.every((end) => end >= 1 && end <= 65_535) && (ends[0] ?? 0) <= (ends[1] ?? 0)
}

const checkRule = (path: string, rule: FirewallRule, add: Add): number => {
  const isIn = rule.direction === "in"
  if (!isIn && rule.direction !== "out") add(`${path}.direction`, `${shown(rule.direction)} is none of in, out`)
  const hasPort = rule.protocol === "tcp" || rule.protocol === "udp"
  if (!hasPort && !["icmp", "esp", "gre"].includes(rule.protocol)) {
    add(`${path}.protocol`, `${shown(rule.protocol)} is none of tcp, udp, icmp, esp, gre`)
  } else if (hasPort && rule.port === undefined) add(`${path}.port`, `${rule.protocol} needs a port, or \`any\``)
  else if (!hasPort && rule.port !== undefined) add(`${path}.port`, `${rule.protocol} has no ports`)
  if (rule.port !== undefined && (typeof rule.port !== "string" || !isPort(rule.port))) {
    add(`${path}.port`, `${shown(rule.port)} is not a port, a range such as 1024-5000, or \`any\``)
  }
  const [wanted, other] = isIn ? ["sourceIps", "destinationIps"] as const : ["destinationIps", "sourceIps"] as const
  const addresses = rule[wanted] ?? []
  if (addresses.length === 0) add(`${path}.${wanted}`, "is empty, so the rule would let nothing through")
  if (addresses.length > mostAddressesOfRule) {
    add(`${path}.${wanted}`, `has ${addresses.length} networks, at most ${mostAddressesOfRule} are allowed`)
  }
  if ((rule[other] ?? []).length > 0) add(`${path}.${other}`, `is not for the direction ${rule.direction}`)
  addresses.forEach((cidr, index) => {
    if (typeof cidr !== "string" || Result.isFailure(IpNetwork.fromString(cidr))) {
      const near = typeof cidr === "string" ? suggestCidr(cidr) : undefined
      add(
        `${path}.${wanted}[${index}]`,
        `${shown(cidr)} is not a network such as 203.0.113.0/24 or ::/0${
          near === undefined ? "" : `; did you mean ${near}?`
        }`
      )
    }
  })
  if ((rule.description ?? "").length > 255) add(`${path}.description`, "is longer than 255 characters")
  return addresses.length
}

const checkFirewall = (rules: ReadonlyArray<FirewallRule>, add: Add) => {
  if (rules.length > mostRules) add("firewall.rules", `has ${rules.length} rules, at most ${mostRules} are allowed`)
  const effective = rules.reduce((sum, rule, index) => sum + checkRule(`firewall.rules[${index}]`, rule, add), 0)
  if (effective > mostEffectiveRules) {
    add("firewall.rules", `has ${effective} networks in all, at most ${mostEffectiveRules} are allowed`)
  }
}

const checkVolumes = (volumes: ReadonlyArray<VolumeSpec>, add: Add) =>
  volumes.forEach((volume, index) => {
    const path = `volumes[${index}]`
    if (!word.test(volume.name)) add(`${path}.name`, `${shown(volume.name)} is not a name`)
    if (volumes.findIndex(({ each, name }) => name === volume.name && each === volume.each) !== index) {
      add(`${path}.name`, `${shown(volume.name)} is there twice`)
    }
    if (!Number.isInteger(volume.sizeGb) || volume.sizeGb < 10 || volume.sizeGb > 10_240) {
      add(`${path}.sizeGb`, `${volume.sizeGb} is not a whole number from 10 to 10240`)
    }
    if (volume.each !== undefined && !roles.includes(volume.each)) {
      add(`${path}.each`, `${shown(volume.each)} is none of ${roles.join(", ")}`)
    }
    if (volume.each !== undefined && volume.location !== undefined) {
      add(`${path}.location`, "is where the node is, since the volume is attached to it")
    }
    if (volume.format !== undefined && !["ext4", "xfs"].includes(volume.format)) {
      add(`${path}.format`, `${shown(volume.format)} is none of ext4, xfs`)
    }
  })

const publicKey = /^(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}(?: .*)?$/

const checkKeys = (keys: NonNullable<NodeDefaults["sshKeys"]>, add: Add) =>
  keys.forEach((key, index) => {
    const path = `sshKeys[${index}]`
    if (typeof key === "object") {
      if (key.name === "") add(`${path}.name`, "is empty")
      if (!publicKey.test(key.publicKey.trim())) {
        add(`${path}.publicKey`, "is not a public key such as ssh-ed25519 AAAA…")
      }
    } else if (key === "" || typeof key === "string" && /PRIVATE KEY/.test(key)) {
      // The pasted text may be a secret, so it is not shown.
      add(path, "is not the name, fingerprint or id of a key")
    }
  })

const checkDerivedNames = (cluster: string, names: ReadonlyArray<string>, add: Add) => {
  const longest = names.reduce((a, b) => b.length > a.length ? b : a, "")
  if (longest.length > maxHostName) {
    add("cluster", `the name ${longest} has ${longest.length} characters, at most ${maxHostName} are allowed`)
  }
  if (!cluster.split(".").every((label) => hostLabel.test(label))) {
    add("cluster", `${shown(cluster)} begins no host name: between dots are letters, digits and inner \`-\``)
  }
}

const checkPools = (
  pools: ReadonlyArray<PoolSpec>,
  defaults: NodeDefaults,
  spec: HetznerClusterSpec,
  add: Add
) =>
  pools.forEach((pool, index) => {
    const path = `pools[${index}]`
    if (pools.findIndex(({ name }) => name === pool.name) < index) {
      add(`${path}.name`, `${shown(pool.name)} is used by two pools`)
    }
    checkLabels(`${path}.labels`, pool.labels, add)
    checkServer(path, { ...mergedPool(pool, defaults, spec), labels: {} }, add)
    checkVolumes(pool.volumes ?? [], (at, message) => add(`${path}.${at}`, message))
  })

/** All issues of a spec; none if it is valid. */
export const faults = (defaults: NodeDefaults, spec: HetznerClusterSpec): ReadonlyArray<Fault> => {
  const found: Array<Fault> = []
  const add: Add = (path, message) => void found.push({ path, message })
  const whole = (path: "controlPlanes" | "workers", least: number) => {
    const value = spec[path]
    if (Number.isInteger(value) && value >= least && value <= mostNodes) return value
    add(path, `${value} is not a whole number from ${least} to ${mostNodes}`)
    // One node of the role is checked all the same, so that its other issues are reported too.
    return 1
  }
  const pools = spec.pools ?? []
  const inPools = pools.some(({ count, role }) => role === "control-plane" && count > 0)
  const asked = { ...spec, controlPlanes: whole("controlPlanes", inPools ? 0 : 1), workers: whole("workers", 0) }
  const wide = clusterWide(defaults, spec)
  const total = pools.reduce((sum, { count }) => sum + count, asked.controlPlanes + asked.workers)
  checkLabels("labels", spec.labels, add)
  for (const role of roles) {
    // The labels of every node have been checked.
    if (countOf(role, asked) > 0) checkServer(fieldOfRole(role), merged(role, defaults, { ...asked, labels: {} }), add)
  }
  checkPools(pools, defaults, asked, add)
  const selector = typeof wide.existingNetwork === "object" ? wide.existingNetwork.selector : undefined
  if (
    selector !== undefined && !/^[\w./-]+(?:\s*==?\s*[\w.-]*)?(?:\s*,\s*[\w./-]+(?:\s*==?\s*[\w.-]*)?)*$/.test(selector)
  ) {
    add("network.existing.selector", `${shown(selector)} is not a list of labels such as team=blue,env=test`)
  }
  if (wide.network !== undefined) checkNetwork(wide.network, total, add)
  else if (wide.existingNetwork === undefined && !wide.publicNet.ipv4 && !wide.publicNet.ipv6) {
    add("publicNet", "a server without a network needs a public address")
  }
  if (wide.rules !== undefined) {
    checkFirewall(wide.rules, add)
    if (!wide.publicNet.ipv4 && !wide.publicNet.ipv6) add("firewall", "it guards public addresses, and there are none")
  }
  if (wide.loadBalancer?.public === false && wide.network === undefined && wide.existingNetwork === undefined) {
    add("loadBalancer.public", "a private load balancer needs a network")
  }
  checkKeys(wide.sshKeys, add)
  checkVolumes(wide.volumes, add)
  const floating = wide.floatingIp?.type
  if (floating !== undefined && floating !== "ipv4" && floating !== "ipv6") {
    add("floatingIp.type", `${shown(floating)} is none of ipv4, ipv6`)
  }
  const names = namesOf(asked.cluster as ClusterName)
  const servers = roles.filter((role) => countOf(role, asked) > 0)
    .map((role) => nameOfServer(asked.cluster as ClusterName, role, countOf(role, asked)))
  checkDerivedNames(asked.cluster, [
    ...servers,
    ...pools.filter(({ count }) => count > 0).flatMap((pool) => {
      const name = nameOfPoolServer(asked.cluster as ClusterName, pool.name, pool.count)
      return [name, ...(pool.volumes ?? []).map((volume) => `${name}-${volume.name}`)]
    }),
    ...(wide.network === undefined ? [] : [names.network]),
    ...(wide.rules === undefined ? [] : [names.firewall]),
    ...(wide.placementGroups ? [names.group(groupCount(total))] : []),
    ...wide.volumes.map((volume) =>
      volume.each === undefined
        ? names.volume(volume.name)
        : `${nameOfServer(asked.cluster as ClusterName, volume.each, countOf(volume.each, asked))}-${volume.name}`
    )
  ], add)
  return found
}

/** All validation errors of a spec. A spec that was read from somewhere may have another shape than its type says. */
export const issuesOf = (defaults: NodeDefaults, spec: HetznerClusterSpec): ReadonlyArray<Fault> => {
  const shape = issuesOfShape(spec)
  if (shape.length === 0) return faults(defaults, spec)
  try {
    const paths = new Set(shape.map(({ path }) => path))
    return [...shape, ...faults(defaults, spec).filter(({ path }) => !paths.has(path))]
  } catch {
    return shape
  }
}

/** The validation errors of added nodes. */
export const issuesOfAdded = (defaults: NodeDefaults, nodes: AddNodes): ReadonlyArray<Fault> => {
  const { controlPlanes = 0, pool: _, workers = 0, ...rest } = nodes
  return issuesOf(defaults, { ...rest, cluster: "cluster", controlPlanes: Math.max(1, controlPlanes), workers })
    .filter(({ path }) => controlPlanes > 0 || !path.startsWith("controlPlane"))
}
