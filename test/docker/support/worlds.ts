/**
 * Random worlds on an engine, and an oracle that returns the owner of each thing.
 *
 * The oracle is written from the tools' documentation of their labels and names, and shares no code with the library.
 * A world has cluster names that are prefixes and suffixes of each other, and names that no cluster can have. Some
 * containers have the labels of several tools, or a label that is missing or misspelt.
 */
import type { SchemeName } from "kubelayer/layers/Docker"
import type { Container, Labels, World as Seed } from "./pretend.ts"
import { type Random, randomOf } from "./random.ts"

export type World = Required<Omit<Seed, "images">>
type Network = World["networks"][number]
type Volume = World["volumes"][number]

export const schemeNames: ReadonlyArray<SchemeName> = ["kubelayer", "kind", "k3d", "talos", "vcluster", "kwok"]

/** Names that a cluster can have. */
export const clusters = [
  ..."a b ab a-b a.b a.b.c a-b.c b.c dev dev2 dev-worker Dev d_e cp cp.a node kwok-a k3d-a var a.var kind".split(" "),
  "constructor",
  "x".repeat(63)
]

/** Values that a label may have all the same. */
const impossible = ["", " ", "-a", "a-", "a/b", "a,b", "dév", "a b", "x".repeat(64), "https://a:6443", "__proto__"]

// -----------------------------------------------------------------------------
// Worlds
// -----------------------------------------------------------------------------

const anyName = (random: Random): string => random.chance(0.9) ? random.pick(clusters) : random.pick(impossible)

/** The marks of one tool on a container, sometimes with a fault. */
const marks: Readonly<Record<SchemeName, (cluster: string, random: Random) => Labels>> = {
  kubelayer: (cluster, random) => ({
    [random.chance(0.95) ? "kubelayer.cluster" : "kubelayer.Cluster"]: cluster,
    "kubelayer.role": random.pick(["control-plane", "worker", "", "toString"])
  }),
  kind: (cluster, random) => ({
    [random.chance(0.95) ? "io.x-k8s.kind.cluster" : "io.x-k8s.kind.clusters"]: cluster,
    "io.x-k8s.kind.role": random.pick(["control-plane", "worker", "external-load-balancer", "constructor", "Worker"])
  }),
  k3d: (cluster, random) => ({
    ...(random.chance(0.9) ? { app: random.pick(["k3d", "k3d", "k3d", "k3D", "k3d "]) } : {}),
    ...(random.chance(0.95) ? { "k3d.cluster": cluster } : {}),
    "k3d.role": random.pick(["server", "agent", "loadbalancer", "registry", "noRole", "__proto__"]),
    "k3d.cluster.network": random.pick([`k3d-${cluster}`, `k3d-${cluster}`, "shared", `k3d-${anyName(random)}`]),
    "k3d.cluster.network.external": random.pick(["false", "false", "true"])
  }),
  talos: (cluster, random) => ({
    ...(random.chance(0.9) ? { "talos.owned": random.pick(["true", "true", "true", "True", "1", ""]) } : {}),
    ...(random.chance(0.95) ? { "talos.cluster.name": cluster } : {}),
    "talos.type": random.pick(["controlplane", "worker", "init", "valueOf"])
  }),
  vcluster: () => ({}),
  kwok: (cluster, random) =>
    random.chance(0.9)
      ? { "com.docker.compose.project": random.pick(["kwok-", "kwok-", "kwok-", "kwok", ""]) + cluster }
      : {}
}

const components = ["etcd", "kube-apiserver", "kube-scheduler", "kwok-controller", "prometheus", "dashboard"]

const containerName = (scheme: SchemeName, cluster: string, random: Random): string => {
  const other = anyName(random)
  switch (scheme) {
    case "vcluster":
      return random.pick([
        `vcluster.cp.${cluster}`,
        `vcluster.cp.${cluster}`,
        `vcluster.node.${cluster}.w1`,
        `vcluster.node.${cluster}.my.dotted.node`,
        `vcluster.node.${cluster}.${other}`,
        `vcluster.lb.${cluster}.lb`,
        `vcluster.node.${cluster}`,
        `vcluster.node.${cluster}.`,
        `vclusterXcp.${cluster}`,
        `my-vcluster.cp.${cluster}`
      ])
    case "kwok":
      return random.pick([
        `kwok-${cluster}-${random.pick(components)}`,
        `kwok-${cluster}-${random.pick(components)}`,
        `kwok-${cluster}-${random.pick(components)}-2`,
        `kwok-${other}-${random.pick(components)}`,
        `kwok-${cluster}-`,
        `kwok-${cluster}`
      ])
    default:
      return random.pick([
        `${cluster}-control-plane`,
        `${cluster}-worker${random.below(5)}`,
        `k3d-${cluster}-server-0`,
        cluster,
        other
      ])
  }
}

const states = ["running", "running", "exited", "created", "paused", "restarting"]

const made = ["kubelayer", "kind", "k3d", "talos"]

const ownMark = (random: Random, localName: () => string): Labels => {
  if (random.chance(0.5)) return {}
  const scheme = random.pick([...made, ...made, "vcluster", "kwok", "Kind", "minikube"])
  return { "kubelayer.owned": `${scheme}${random.pick(["/", "/", "-"])}${localName()}` }
}

/** The names of each tool's networks and volumes, and names of others. */
const networkNames = (cluster: string): Readonly<Partial<Record<SchemeName, string>>> & { readonly other: string } => ({
  kubelayer: `kubelayer-${cluster}`,
  kind: "kind",
  k3d: `k3d-${cluster}`,
  talos: cluster,
  vcluster: `vcluster.${cluster}`,
  kwok: `kwok-${cluster}`,
  other: `${cluster}-storage`
})

const volumeNames = (cluster: string): ReturnType<typeof networkNames> => ({
  kubelayer: `${cluster}-data`,
  k3d: `k3d-${cluster}-images`,
  vcluster: `vcluster.cp.${cluster}.var`,
  kind: `vcluster.cp.${cluster}.other`,
  talos: `vcluster.node.${cluster}.w1.etc`,
  other: `vcluster.node.${cluster}.my.dotted.node.bin`
})

/** The engine takes only such names. */
const possible = (name: string): string =>
  `${/^[A-Za-z0-9]/.test(name) ? "" : "x"}${name.replace(/[^A-Za-z0-9_.-]/g, "_")}`

const distinct = <A extends { readonly name: string }>(
  all: ReadonlyArray<A>
): ReadonlyArray<A> => [...new Map(all.map((each) => [each.name, each])).values()]

/** The world of a seed: always the same. */
export const worldOf = (seed: number): World => {
  const random = randomOf(seed)
  // A few clusters share a world, so that near misses meet.
  const local = Array.from({ length: 1 + random.below(3) }, () => anyName(random))
  const localName = () => random.chance(0.9) ? random.pick(local) : anyName(random)
  const labelsOf = (scheme: SchemeName): Labels => ({
    ...marks[scheme](localName(), random),
    ...(random.chance(0.15) ? marks[random.pick(schemeNames)](localName(), random) : {}),
    ...(random.chance(0.2) ? { tier: "a" } : {})
  })
  const resource = (names: typeof networkNames) => () => {
    const cluster = localName()
    const scheme = random.pick(schemeNames)
    const labels = random.chance(0.3) ? {} : random.chance(0.2) ? labelsOf(scheme) : marks[scheme](cluster, random)
    return {
      name: possible(
        (random.chance(0.5) ? names(cluster)[scheme] : undefined) ?? random.pick(Object.values(names(cluster)))
      ),
      labels: { ...labels, ...ownMark(random, localName) }
    }
  }
  const networks = distinct(Array.from({ length: random.below(9) }, resource(networkNames)))
    .map((network): Network => ({ ...network, id: `network-${network.name}` }))
  const volumes: ReadonlyArray<Volume> = distinct(Array.from({ length: random.below(9) }, resource(volumeNames)))
  const containers = distinct(Array.from({ length: random.below(14) }, () => {
    const scheme = random.pick(schemeNames)
    const cluster = localName()
    const labels = random.chance(0.1) ? {} : random.chance(0.2) ? labelsOf(scheme) : marks[scheme](cluster, random)
    return {
      name: possible(containerName(scheme, cluster, random)),
      labels,
      state: random.pick(states),
      networks: random.some(networks, 0.25).map(({ name }) => name),
      volumes: random.some(volumes, 0.2).map(({ name }) => name)
    }
  })).map((container, index): Container => ({ ...container, id: `${seed}-${index}` }))
  return { containers, networks, volumes }
}

// -----------------------------------------------------------------------------
// The oracle
// -----------------------------------------------------------------------------

const canBeNamed = (name: string): boolean =>
  name.length > 0 && name.length <= 63 && /^[A-Za-z0-9._-]+$/.test(name) &&
  /^[A-Za-z0-9].*[A-Za-z0-9]$|^[A-Za-z0-9]$/.test(name)

/** The cluster that the marks of a tool on a container name; undefined where they are not that tool's. */
const namedBy: Readonly<
  Record<SchemeName, (container: Container, world: World) => string | undefined>
> = {
  kubelayer: ({ labels }) => labels["kubelayer.cluster"],
  kind: ({ labels }) => labels["io.x-k8s.kind.cluster"],
  k3d: ({ labels }) => labels["app"] === "k3d" ? labels["k3d.cluster"] : undefined,
  talos: ({ labels }) => labels["talos.owned"] === "true" ? labels["talos.cluster.name"] : undefined,
  vcluster: ({ name }, { containers }) => {
    const controlPlane = /^vcluster\.cp\.(.*)$/s.exec(name)?.[1]
    if (controlPlane !== undefined) return controlPlane
    const tail = /^vcluster\.(?:node|lb)\.(.*)$/s.exec(name)?.[1]
    if (tail === undefined) return undefined
    const known = containers.flatMap((each) => /^vcluster\.cp\.(.*)$/s.exec(each.name)?.[1] ?? [])
    let longest: string | undefined
    for (const each of known) {
      const fits = tail.startsWith(`${each}.`) && tail !== `${each}.`
      if (fits && each.length >= (longest ?? "").length) longest = each
    }
    return longest
  },
  kwok: ({ labels, name }) => {
    const project = labels["com.docker.compose.project"] ?? ""
    if (!project.startsWith("kwok-")) return undefined
    return components.some((component) => name === `${project}-${component}`) ? project.slice(5) : undefined
  }
}

/** To which cluster a container belongs, as `scheme/cluster`, where several schemes are in force. */
const ownerAmong = (schemes: ReadonlyArray<SchemeName>, container: Container, world: World): string | undefined => {
  for (const scheme of schemes) {
    const cluster = namedBy[scheme](container, world)
    if (cluster !== undefined) return canBeNamed(cluster) ? `${scheme}/${cluster}` : undefined
  }
  return undefined
}

/** The ids of a cluster's nodes, each with its scheme. */
export const nodesOf = (
  schemes: ReadonlyArray<SchemeName>,
  cluster: string,
  world: World
): ReadonlyArray<{ readonly id: string; readonly scheme: SchemeName; readonly container: Container }> =>
  world.containers.flatMap((container) => {
    const scheme = schemes.find((each) => ownerAmong(schemes, container, world) === `${each}/${cluster}`)
    return scheme === undefined ? [] : [{ id: container.id, scheme, container }]
  })

/** The names of all clusters that have a node. */
export const clustersOf = (schemes: ReadonlyArray<SchemeName>, world: World): ReadonlySet<string> =>
  new Set(world.containers.flatMap((container) => ownerAmong(schemes, container, world)?.replace(/^\w+\//, "") ?? []))

/**
 * Reads the owner label of a resource that kubelayer created; undefined without one.
 *
 * The owner label alone decides. kubelayer never creates resources of vCluster or KWOK.
 */
const saidToBe = (scheme: SchemeName, cluster: string, { labels }: Volume): boolean | undefined =>
  labels["kubelayer.owned"] === undefined
    ? undefined
    : made.includes(scheme) && labels["kubelayer.owned"] === `${scheme}/${cluster}`

type Owns<A> = (scheme: SchemeName, cluster: string, resource: A, nodes: ReadonlyArray<Container>) => boolean

/** Whether a network is the cluster's own, whose nodes are `nodes`. */
const ownsNetwork: Owns<Network> = (scheme, cluster, network, nodes) => {
  const said = saidToBe(scheme, cluster, network)
  if (said !== undefined) return said
  const { labels, name } = network
  switch (scheme) {
    case "kubelayer":
    case "kind":
      return false
    case "k3d": {
      const using = nodes.filter((node) => node.labels["k3d.cluster.network"] === name)
      const external = using.some((node) => node.labels["k3d.cluster.network.external"] === "true")
      return labels["app"] === "k3d" && !external && (name === `k3d-${cluster}` || using.length > 0)
    }
    case "talos":
      return labels["talos.owned"] === "true" && labels["talos.cluster.name"] === cluster
    case "vcluster":
      return name === `vcluster.${cluster}`
    case "kwok":
      return name === `kwok-${cluster}` && labels["com.docker.compose.project"] === name
  }
}

const ownsVolume: Owns<Volume> = (scheme, cluster, volume, nodes) => {
  const said = saidToBe(scheme, cluster, volume)
  if (said !== undefined) return said
  const { labels, name } = volume
  switch (scheme) {
    case "k3d":
      return labels["app"] === "k3d" && labels["k3d.cluster"] === cluster
    case "talos":
      return labels["talos.owned"] === "true" && labels["talos.cluster.name"] === cluster
    case "vcluster": {
      const [, node = ""] = /^(.*)\.(?:var|etc|bin|cni-bin)$/s.exec(name) ?? []
      const tail = node.startsWith(`vcluster.node.${cluster}.`) ? node.slice(`vcluster.node.${cluster}.`.length) : ""
      return node === `vcluster.cp.${cluster}` || nodes.some((each) => each.name === node) || /^[^.]+$/.test(tail)
    }
    default:
      return false
  }
}

/** The names of the networks and volumes that are a cluster's own, as `network NAME` and `volume NAME`. */
export const resourcesOf = (
  schemes: ReadonlyArray<SchemeName>,
  cluster: string,
  world: World
): ReadonlySet<string> => {
  const nodes = nodesOf(schemes, cluster, world)
  const [first] = nodes
  // With several schemes and no node, a name alone does not decide ownership.
  const candidates = first === undefined
    ? schemes.filter((scheme) => schemes.length === 1 || scheme !== "vcluster")
    : [first.scheme]
  const containers = nodes.map(({ container }) => container)
  const owned = <A extends Volume>(
    kind: string,
    all: ReadonlyArray<A>,
    owns: Owns<A>
  ) =>
    all.filter((each) => candidates.some((scheme) => owns(scheme, cluster, each, containers)))
      .map(({ name }) => `${kind} ${name}`)
  return new Set([...owned("network", world.networks, ownsNetwork), ...owned("volume", world.volumes, ownsVolume)])
}
