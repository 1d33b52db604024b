/**
 * Docker as the engine of kubelayer runs it: its kinds, its power, its fates, its events.
 *
 * Networks and named volumes are created before nodes, and removed after them.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { fail, want } from "../Backend.ts"
import { isReason } from "../internal/CallFailures.ts"
import { dotted, specIssues } from "../internal/SpecIssues.ts"
import type { ClusterName } from "../Model.ts"
import type { Overrides } from "../Policy.ts"
import type { AddedNodes } from "../Provider.ts"
import { InvalidSpec, type ProviderUnavailable } from "../ProviderError.ts"
import { AmbiguousCluster, type BackendError, NameTaken, NotFoundError, UnsupportedError } from "../Reason.ts"
import type { Backend, CallFailure, Issue, Replaced, Want, World } from "../Resource.ts"
import type { Client, Reading, Writing } from "./Client.ts"
import { clusterNames, type Container, isNode, type NodeContainer, nodeEvents } from "./ClusterNodes.ts"
import { type Desired, desiredOf, namedVolumes, networksOfNode, type WantedNode } from "./Desired.ts"
import { makeFates } from "./Fates.ts"
import * as Labels from "./Labels.ts"
import { makeNetworks, type NetworkKind } from "./Networks.ts"
import { makeNodes, type NodeKind } from "./Nodes.ts"
import { power } from "./Power.ts"
import { isMade, type MadeScheme, type Scheme } from "./Scheme.ts"
import { kubelayer } from "./schemes/Kubelayer.ts"
import { type DockerClusterSpec, type NodeDefaults, type Role, validate } from "./Spec.ts"
import { SpecSchema } from "./SpecSchema.ts"
import { networkNames } from "./Users.ts"
import { makeVolumes, type VolumeKind } from "./Volumes.ts"

/**
 * How many nodes of each role are added, and what they are created from where the layer's options do not say.
 *
 * @category models
 * @since 0.1.0
 */
export interface AddNodes extends NodeDefaults, AddedNodes {}

/** The kinds of one layer, which know each other. */
export interface Kinds {
  readonly nodes: NodeKind
  readonly networks: NetworkKind
  readonly volumes: VolumeKind
}

export const makeKinds = (schemes: ReadonlyArray<Scheme>): Kinds => {
  const nodes = makeNodes(schemes, () => networks)
  const networks: NetworkKind = makeNetworks(schemes, nodes)
  return { nodes, networks, volumes: makeVolumes(schemes, nodes) }
}

// -----------------------------------------------------------------------------
// Specs
// -----------------------------------------------------------------------------

const decodeSpec = Schema.decodeUnknownResult(SpecSchema, { errors: "all", onExcessProperty: "error" })

/** A spec without the fields that are left undefined. */
const given = (spec: unknown): unknown =>
  Array.isArray(spec)
    ? spec.map(given)
    : typeof spec === "object" && spec !== null
    ? Object.fromEntries(
      Object.entries(spec).flatMap(([key, value]) => value === undefined ? [] : [[key, given(value)]])
    )
    : spec

/** All validation errors: those of single fields, and those of several fields together. */
const issuesOf = (scheme: MadeScheme, defaults: NodeDefaults, spec: DockerClusterSpec): ReadonlyArray<Issue> => {
  const input = given(spec)
  const decoded = decodeSpec(input)
  const issues: Array<Issue> = []
  const add = (some: ReadonlyArray<Issue>) => {
    for (const issue of some) if (!issues.some(({ path }) => path === issue.path)) issues.push(issue)
  }
  const ofFields = Result.isFailure(decoded)
    ? specIssues(decoded.failure.issue, input).map(({ message, path }) => ({ path: dotted(path), message }))
    : []
  try {
    add(validate(scheme, defaults, spec))
  } catch {
    // The fields have other types than the spec's, which is reported below.
  }
  // The control planes may be in pools.
  add(ofFields.filter(({ path }) => path !== "controlPlanes" || issues.some((issue) => issue.path === path)))
  return issues.length === 0 && ofFields.some(({ path }) => path !== "controlPlanes") ? ofFields : issues
}

const unsupported = ({ name, template }: Scheme): string =>
  "unsupported" in template ? template.unsupported : `nodes of the scheme ${name} cannot be created`

// -----------------------------------------------------------------------------
// What a spec requests
// -----------------------------------------------------------------------------

const wantsOf = (
  kinds: Kinds,
  { networks, nodes, volumes }: Pick<Desired, "networks" | "nodes" | "volumes">
): ReadonlyArray<Want<Reading, Writing>> => [
  ...networks.map((network) => want(kinds.networks, network)),
  ...volumes.map((volume) => want(kinds.volumes, volume)),
  ...nodes.map((node) => want(kinds.nodes, node))
]

/** The listed nodes of a cluster. */
const nodesOf = ({ nodes }: Kinds, cluster: ClusterName, world: World): ReadonlyArray<NodeContainer> =>
  world.of(nodes).filter(isNode).filter(({ member }) => member.membership.cluster === cluster)

/** Refuses what cannot be repaired: networks that have to exist, and nodes of another scheme. */
const checkWorld = (kinds: Kinds, { design, networks }: Desired, world: World): Effect.Effect<void, BackendError> => {
  const absent = networks.find(({ external, name }) => external && world.named(kinds.networks, name) === undefined)
  if (absent !== undefined) {
    return fail(new NotFoundError({ detail: `there is no network "${absent.name}", and the spec calls it external` }))
  }
  const other = nodesOf(kinds, design.cluster, world).find(({ member }) => member.scheme.name !== design.scheme.name)
  if (other === undefined) return Effect.void
  const by = `${other.member.scheme.name} cluster ${design.cluster}`
  return fail(new NameTaken({ detail: `the name is used by ${by}`, by }))
}

// -----------------------------------------------------------------------------
// Added and replaced nodes
// -----------------------------------------------------------------------------

const roles = ["control-plane", "worker", "load-balancer"] as const satisfies ReadonlyArray<Role>

const countOf = (nodes: ReadonlyArray<NodeContainer>, role: Role): number =>
  nodes.filter(({ member }) => member.membership.role === role).length

/** The network that all nodes of a cluster are in, where it is not that of the scheme. */
const otherNetwork = (nodes: ReadonlyArray<NodeContainer>, own: string): string | undefined => {
  const [first, ...rest] = nodes.filter(({ member }) => member.membership.role !== "helper")
  if (first === undefined) return undefined
  const shared = networkNames(first).filter((name) => rest.every((node) => networkNames(node).includes(name)))
  return shared.includes(own) ? undefined : shared[0]
}

/** The same nodes in the network that the cluster is in. */
const joined = (desired: Desired, nodes: ReadonlyArray<NodeContainer>): Desired => {
  const own = desired.design.network.name
  const name = otherNetwork(nodes, own)
  if (name === undefined) return desired
  const network = { name, shared: true, labels: {}, options: {}, ipv6: false }
  const design = { ...desired.design, network, networkName: desired.design.networkName }
  const wanted = desired.nodes.map((node) => ({ ...node, design }))
  return {
    ...desired,
    design,
    nodes: wanted,
    networks: [
      { ...network, external: true, design },
      ...desired.networks.filter((each) => each.name !== own)
    ]
  }
}

/** The values that some of the desired nodes need. */
const partOf = (desired: Desired, nodes: ReadonlyArray<WantedNode>): Desired => {
  const networks = new Set(nodes.flatMap(networksOfNode))
  const volumes = new Set([
    ...nodes.flatMap(namedVolumes),
    ...desired.design.scheme.template.volumes(desired.design.cluster).map(({ name }) => name)
  ])
  return {
    design: { ...desired.design, nodes },
    nodes: nodes.map((node) => ({ ...node, design: { ...node.design, nodes } })),
    networks: desired.networks.filter(({ name }) => networks.has(name)),
    volumes: desired.volumes.filter(({ name }) => volumes.has(name))
  }
}

/** The cluster as it is and as many nodes more; the first free names of each role are the new ones. */
const added = (
  kinds: Kinds,
  defaults: NodeDefaults,
  cluster: ClusterName,
  nodes: AddNodes,
  world: World,
  taken: ReadonlySet<string>
): Effect.Effect<ReadonlyArray<Want<Reading, Writing>>, InvalidSpec | CallFailure> => {
  const present = nodesOf(kinds, cluster, world)
  const [first] = present
  const scheme = first?.member.scheme ?? kubelayer
  if (!isMade(scheme)) return fail(new UnsupportedError({ detail: unsupported(scheme) }))
  const { controlPlanes = 0, onFailure: _, pool, workers = 0, ...how } = nodes
  const isFree = (name: string) => !taken.has(name) && world.named(kinds.nodes, name) === undefined
  const room = present.length + taken.size + controlPlanes + workers
  const inPool = pool !== undefined
  const whole: DockerClusterSpec = {
    ...how,
    cluster,
    controlPlanes: countOf(present, "control-plane") + (inPool ? 0 : controlPlanes + taken.size),
    workers: countOf(present, "worker") + (inPool ? 0 : workers + taken.size),
    ...(inPool
      ? { pools: [{ name: pool, role: controlPlanes > 0 ? "control-plane" : "worker", count: room }] }
      : {})
  }
  const issues = validate(scheme, defaults, whole)
  if (issues.length > 0) return Effect.fail(new InvalidSpec({ issues }))
  const desired = joined(desiredOf(scheme, defaults, whole, cluster), present)
  const balancers = desired.nodes.filter(({ place }) => place.role === "load-balancer").length
  const missing = {
    "control-plane": controlPlanes,
    worker: workers,
    // A second control plane may need one where the first did not.
    "load-balancer": Math.max(0, balancers - countOf(present, "load-balancer"))
  }
  const fresh = roles.flatMap((role) =>
    desired.nodes
      .filter((node) =>
        node.place.role === role && isFree(node.name) && (role === "load-balancer" || node.pool === pool)
      )
      .slice(0, missing[role])
  )
  return Effect.succeed(wantsOf(kinds, partOf(desired, fresh)))
}

/** Keys of labels that kubelayer and the schemes set themselves. */
const isReserved = (key: string): boolean => key === "app" || Labels.reserved.some((prefix) => key.startsWith(prefix))

/** The same nodes again, from the layer's options; the image and the labels of a node that exists are kept. */
const replaced = (
  kinds: Kinds,
  defaults: NodeDefaults,
  cluster: ClusterName,
  some: ReadonlyArray<Replaced<Container>>,
  world: World
): Effect.Effect<ReadonlyArray<Want<Reading, Writing>>, CallFailure> => {
  const present = nodesOf(kinds, cluster, world)
  const scheme = present[0]?.member.scheme ?? kubelayer
  if (!isMade(scheme)) return fail(new UnsupportedError({ detail: unsupported(scheme) }))
  const pools = new Map(present.flatMap(({ labels, member: { membership: { role } } }) => {
    const pool = labels[Labels.pool]
    return pool === undefined || (role !== "control-plane" && role !== "worker") ? [] : [[pool, role] as const]
  }))
  const room = present.length + some.length
  const desired = joined(
    desiredOf(scheme, defaults, {
      cluster,
      controlPlanes: room,
      workers: room,
      pools: [...pools].map(([name, role]) => ({ name, role, count: room }))
    }, cluster),
    present
  )
  const nodes = some.flatMap(({ name, node }) => {
    const wanted = desired.nodes.find((each) => each.name === name)
    if (wanted === undefined) return []
    const own = Object.entries(node?.labels ?? {}).filter(([key]) => !isReserved(key))
    return [{
      ...wanted,
      spec: {
        ...wanted.spec,
        image: wanted.spec.image === "" ? node?.container.Image ?? "" : wanted.spec.image,
        labels: { ...Object.fromEntries(own), ...wanted.spec.labels }
      }
    }]
  })
  const unknown = some.find(({ name }) => !nodes.some((node) => node.name === name))
  return unknown === undefined
    ? Effect.succeed(wantsOf(kinds, partOf(desired, nodes)))
    : fail(
      new UnsupportedError({ detail: `node ${unknown.name} has a name that the scheme ${scheme.name} does not create` })
    )
}

// -----------------------------------------------------------------------------
// Backend
// -----------------------------------------------------------------------------

export const makeBackend = (options: {
  readonly client: Client
  readonly schemes: ReadonlyArray<Scheme>
  readonly defaults: NodeDefaults
  readonly name?: string
  readonly policy?: Overrides
}): { readonly kinds: Kinds; readonly backend: Backend<DockerClusterSpec, Container, Reading, Writing, AddNodes> } => {
  const { client, defaults, schemes } = options
  // Of several schemes, nodes are created in kubelayer's own.
  const scheme = schemes.length === 1 ? schemes[0] ?? kubelayer : kubelayer
  const kinds = makeKinds(schemes)
  const { changeOf, filter } = nodeEvents(schemes)
  const withMade = <A, E>(f: (made: MadeScheme) => Effect.Effect<A, E>): Effect.Effect<A, E | BackendError> =>
    isMade(scheme) ? f(scheme) : fail(new UnsupportedError({ detail: unsupported(scheme) }))
  const ping: Effect.Effect<void, ProviderUnavailable> = client.ping
  return {
    kinds,
    backend: {
      backend: "docker",
      ...(options.name === undefined ? {} : { name: options.name }),
      ...(options.policy === undefined ? {} : { policy: options.policy }),
      read: { client, schemes },
      write: { client, schemes },
      target: Effect.map(client.address, (address) => address ?? ""),
      endpoint: client.address,
      ping,
      ...(isMade(scheme) ? {} : { cannotCreate: unsupported(scheme) }),
      validate: (spec) => isMade(scheme) ? issuesOf(scheme, defaults, spec) : [],
      encode: (spec, digest) => encodeSpec(spec, digest),
      decode: (encoded) => {
        const decoded = decodeSpec(encoded)
        return Result.isSuccess(decoded)
          ? { controlPlanes: 1, workers: 0, ...decoded.success } as DockerClusterSpec
          : undefined
      },
      node: kinds.nodes,
      resources: [kinds.networks, kinds.volumes],
      desired: (_, spec, world) =>
        withMade((made) => {
          const desired = desiredOf(made, defaults, spec, spec.cluster as ClusterName)
          return Effect.as(checkWorld(kinds, desired, world), wantsOf(kinds, desired))
        }),
      added: (_, cluster, nodes, world, taken) => added(kinds, defaults, cluster, nodes, world, taken),
      replaced: (_, cluster, some, world) => replaced(kinds, defaults, cluster, some, world),
      power,
      fates: makeFates(kinds.volumes),
      refuse: (cluster, world) => {
        const candidates = [
          ...new Set(nodesOf(kinds, cluster, world).map(({ member }) => `${member.scheme.name}/${cluster}`))
        ]
        return candidates.length < 2 ? undefined : new AmbiguousCluster({
          detail: `${cluster} is a cluster in several schemes: ${candidates.join(", ")}`,
          candidates
        })
      },
      mayStillHappen: (error) => isReason(error, "RequestTimeout"),
      deletesControlPlanesLast: (nodes) =>
        nodes.some((node) => isNode(node) && node.member.scheme.deletesControlPlanesLast === true),
      changes: (read) =>
        Stream.flatMap(read.client.events(filter), (event) => {
          const change = typeof event === "string" ? {} : changeOf(event)
          return change === undefined ? Stream.empty : Stream.succeed(change)
        }),
      clusterNames: (read) => clusterNames(read.client, schemes)
    }
  }
}

/** A spec as JSON; the values of environment variables are digested. */
const encodeSpec = (spec: DockerClusterSpec, digest: (secret: string) => string): Schema.Json => {
  const encode = (value: unknown, isEnv: boolean): unknown =>
    Array.isArray(value)
      ? value.map((item) => encode(item, false))
      : typeof value === "object" && value !== null
      ? Object.fromEntries(
        Object.entries(value).flatMap(([key, field]) =>
          field === undefined
            ? []
            : [[key, isEnv && typeof field === "string" ? digest(field) : encode(field, key === "env")]]
        )
      )
      : value
  return encode(spec, false) as Schema.Json
}
