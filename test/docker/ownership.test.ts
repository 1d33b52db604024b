/**
 * No operation touches what is not the cluster's: random worlds of near misses against an oracle that is written from the
 * tools' own documents. Ten thousand worlds through what selects, some through the whole layer and a socket.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { SchemeName } from "kubelayer/layers/Docker"
import type { ClusterName } from "kubelayer/Model"
import type { Owner, World } from "kubelayer/Resource"
import { makeKinds } from "../../src/docker/Backend.ts"
import type { Client } from "../../src/docker/Client.ts"
import { clusterNames } from "../../src/docker/ClusterNodes.ts"
import type { Scheme } from "../../src/docker/Scheme.ts"
import { chosenSchemes, schemes } from "../../src/docker/Schemes.ts"
import type { ContainerSummary, Network, Volume } from "../../src/docker/Wire.ts"
import { matching, pretend } from "./support/pretend.ts"
import { failureOf, serviceAt } from "./support/service.ts"
import {
  clusters,
  clustersOf,
  nodesOf,
  resourcesOf,
  schemeNames,
  type World as Containers,
  worldOf
} from "./support/worlds.ts"

/** The calls that select, over a world that filters as an engine does. */
const clientOver = (world: Containers): Client => {
  const lists: Partial<Client> = {
    listContainers: (filters = {}) =>
      Effect.sync(() =>
        world.containers.filter(matching(filters)).map((
          { id, labels, name, networks = [], state, volumes = [] }
        ): ContainerSummary => ({
          Id: id,
          Names: [`/${name}`],
          Labels: labels,
          State: state,
          NetworkSettings: { Networks: Object.fromEntries(networks.map((each) => [each, {}])) },
          Mounts: volumes.map((Name) => ({ Type: "volume", Name }))
        }))
      ),
    listNetworks: Effect.sync(() =>
      world.networks.map(({ id, labels, name }): Network => ({ Id: id, Name: name, Labels: labels }))
    ),
    listVolumes: Effect.sync(() => world.volumes.map(({ labels, name }): Volume => ({ Name: name, Labels: labels }))),
    removeNetwork: () => Effect.void,
    removeVolume: () => Effect.void
  }
  return lists as Client
}

/** Selects the nodes and resources that a delete of a cluster removes, as the engine of kubelayer does. */
const selected = Effect.fnUntraced(function*(client: Client, schemes: ReadonlyArray<Scheme>, cluster: ClusterName) {
  const kinds = makeKinds(schemes)
  const read = { client, schemes }
  const containers = yield* kinds.nodes.list(read, cluster)
  const networks = yield* kinds.networks.list(read, cluster)
  const volumes = yield* kinds.volumes.list(read, cluster)
  const lists = new Map<unknown, ReadonlyArray<unknown>>([
    [kinds.nodes, containers],
    [kinds.networks, networks],
    [kinds.volumes, volumes]
  ])
  const look = {
    of: (kind: unknown) => lists.get(kind) ?? [],
    named: () => undefined,
    isLeaving: () => false,
    get earlier() {
      return look
    }
  } as unknown as World
  const own = <A>(kind: { readonly owner: (actual: A, world: World) => Owner | undefined }, all: ReadonlyArray<A>) =>
    all.filter((actual) => kind.owner(actual, look)?.cluster === cluster)
  const nodes = own(kinds.nodes, containers)
  return {
    nodes,
    schemes: new Set(nodes.map(({ member }) => member?.scheme.name)),
    resources: [
      ...own(kinds.networks, networks).map(({ Name }) => `network ${Name}`),
      ...own(kinds.volumes, volumes).map(({ Name }) => `volume ${Name}`)
    ]
  }
})

const auto = { choice: "auto", names: Object.keys(schemes) as ReadonlyArray<SchemeName> } as const

const choices: ReadonlyArray<{ readonly choice: SchemeName | "auto"; readonly names: ReadonlyArray<SchemeName> }> = [
  ...schemeNames.map((name) => ({ choice: name, names: [name] })),
  auto
]

/** Whether a name can be referred to on Docker. */
const canBeNamed = (name: string): boolean => name.length <= 63 && /^[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?$/.test(name)

const sorted = (all: Iterable<string>): ReadonlyArray<string> => [...all].sort()

describe("the selection of a delete", () => {
  it(
    "in 10,000 worlds, in every scheme: exactly the cluster's nodes, networks and volumes, and exactly the clusters' names",
    () => {
      const totals = choices.map(({ choice, names }) => ({
        choice,
        names,
        inForce: chosenSchemes(choice) ?? [],
        nodes: 0,
        resources: 0,
        ambiguous: 0
      }))
      for (let seed = 1; seed <= 10_000; seed++) {
        const world = worldOf(seed)
        const client = clientOver(world)
        for (const total of totals) {
          const { choice, inForce, names } = total
          const same = (what: string, found: Iterable<string>, wanted: Iterable<string>) => {
            const [left, right] = [sorted(found), sorted(wanted)]
            if (left.join("\n") !== right.join("\n")) {
              assert.deepStrictEqual(left, right, `${what} in world ${seed}, ${choice}`)
            }
            return right.length
          }
          const present = clustersOf(names, world)
          const listed = Effect.runSync(clusterNames(client, inForce))
          same("clusters", listed.filter(canBeNamed), present)
          // One that is there where there is any, and one that need not be.
          for (const cluster of new Set([...present].slice(0, 1).concat(clusters[seed % clusters.length] ?? "a"))) {
            const wanted = nodesOf(names, cluster, world)
            const found = Effect.runSync(selected(client, inForce, cluster as ClusterName))
            if (new Set(wanted.map(({ scheme }) => scheme)).size > 1) {
              assert.isAbove(found.schemes.size, 1, `${cluster} is ambiguous in world ${seed}`)
              total.ambiguous++
              continue
            }
            total.nodes += same(
              `nodes of ${cluster}`,
              found.nodes.map(({ container }) => container.Id),
              wanted.map(({ id }) => id)
            )
            total.resources += same(
              `resources of ${cluster}`,
              found.resources,
              resourcesOf(names, cluster, world)
            )
          }
        }
      }
      // The worlds are of no use where they have nothing to select.
      for (const { ambiguous, choice, nodes, resources } of totals) {
        assert.isAbove(nodes, 1000, choice)
        assert.isAbove(resources, choice === "kwok" ? 20 : 100, choice)
        if (choice === "auto") assert.isAbove(ambiguous, 100)
      }
    },
    120_000
  )
})

describe("requests of operations", () => {
  const touched = ({ body, path }: { readonly path: string; readonly body: unknown }): ReadonlyArray<string> => {
    const [, kind = "", id = ""] = /^\/(containers|networks|volumes)\/([^/]+)/.exec(path) ?? []
    const container = typeof body === "object" && body !== null && "Container" in body
      ? [`containers ${String(body.Container)}`]
      : []
    return [`${kind} ${decodeURIComponent(id)}`, ...container]
  }

  const check = (seed: number) =>
    Effect.scoped(Effect.gen(function*() {
      const world = worldOf(seed)
      // The next choice of schemes in which there is something.
      const turn = choices.map((_, index) => choices[(seed + index) % choices.length] ?? auto)
      const { choice, names } = turn.find((each) => clustersOf(each.names, world).size > 0) ?? auto
      const size = (cluster: string) => nodesOf(names, cluster, world).length
      const [cluster = "a"] = [...clustersOf(names, world)].sort((a, b) => size(b) - size(a))
      const nodes = nodesOf(names, cluster, world)
      const own = resourcesOf(names, cluster, world)
      const ambiguous = new Set(nodes.map(({ scheme }) => scheme)).size > 1
      const engine = yield* pretend({ world })
      const docker = yield* serviceAt(engine, { scheme: choice })
      const { provider } = docker
      if (ambiguous) {
        const error = yield* failureOf(provider.deleteNodes(cluster))
        assert.match(error.message, /AmbiguousCluster/)
        assert.deepStrictEqual(engine.changes(), [])
        return 0
      }
      for (const read of [provider.listNodes(cluster), provider.getClusterStatus(cluster), docker.resources(cluster)]) {
        yield* read
      }
      assert.deepStrictEqual(engine.changes(), [])
      // Only the requests matter here, not whether the operations succeed.
      yield* Effect.exit(provider.startNodes(cluster))
      yield* Effect.exit(provider.stopNodes(cluster))
      yield* Effect.exit(provider.deleteNodes(cluster))
      const allowed = new Set([
        ...nodes.map(({ id }) => `containers ${id}`),
        ...[...own].map((each) => each.replace(/^network /, "networks network-").replace(/^volume /, "volumes "))
      ])
      assert.deepStrictEqual(
        engine.changes().flatMap(touched).filter((each) => !allowed.has(each)),
        [],
        `world ${seed}`
      )
      // Containers of other clusters are unchanged.
      const ids = new Set(nodes.map(({ id }) => id))
      assert.deepStrictEqual(
        engine.containers.filter(({ id }) => !ids.has(id)),
        world.containers.filter(({ id }) => !ids.has(id))
      )
      // The cluster's own networks and volumes stay too when another container uses them.
      const foreign = world.containers.filter(({ id }) => !ids.has(id))
      for (const { name } of world.networks) {
        const stays = !own.has(`network ${name}`) || foreign.some(({ networks }) => networks?.includes(name))
        if (stays) {
          assert.isDefined(engine.networks.find((each) => each.name === name), `network ${name} of world ${seed}`)
        }
      }
      for (const { name } of world.volumes) {
        const stays = !own.has(`volume ${name}`) || foreign.some(({ volumes }) => volumes?.includes(name))
        if (stays) {
          assert.isDefined(engine.volumes.find((each) => each.name === name), `volume ${name} of world ${seed}`)
        }
      }
      return nodes.length
    }))

  it.live(
    "60 worlds through the layer: every call is about the cluster's own, the rest stays as it was",
    () =>
      Effect.gen(function*() {
        const seeds = Array.from({ length: 60 }, (_, index) => 20_001 + index)
        const counts = yield* Effect.forEach(seeds, check, { concurrency: 12 })
        assert.isAbove(counts.reduce((sum, count) => sum + count, 0), 40)
      }),
    60_000
  )
})

describe("createNodes and deleteNodes", () => {
  for (const scheme of ["kubelayer", "kind", "k3d", "talos"] as const) {
    it.live(`${scheme}: a delete removes everything that a create created, and keeps the resources of other schemes`, () =>
      Effect.gen(function*() {
        const namesakes = schemeNames.filter((name) => name !== scheme)
        const world: Containers = {
          containers: [],
          networks: namesakes.map((name, index) => ({
            id: `other-${name}`,
            name: `other-${name}`,
            labels: { "kubelayer.owned": `${name}/dev` },
            subnet: `192.168.${index}.0/24`
          })),
          volumes: namesakes.map((name) => ({ name: `other-${name}`, labels: { "kubelayer.owned": `${name}/dev` } }))
        }
        const engine = yield* pretend({ world: { ...world, images: ["node"] } })
        const docker = yield* serviceAt(engine, { scheme })
        yield* docker.createNodes({
          cluster: "dev",
          controlPlanes: 1,
          workers: 1,
          nodes: { image: "node", volumes: [{ name: "data", target: "/data" }, { name: "own", target: "/own" }] },
          networks: [{ name: "storage", subnet: "10.1.0.0/24" }],
          volumes: [{ name: "data" }, { name: "own", perNode: true }]
        })
        assert.strictEqual(engine.containers.length, 2)
        assert.includeMembers(engine.networks.map(({ name }) => name), ["dev-storage"])
        assert.includeMembers(engine.volumes.map(({ name }) => name), ["dev-data"])
        yield* docker.provider.deleteNodes("dev")
        assert.deepStrictEqual(engine.containers, [])
        // All kind clusters share one network, so no cluster owns it.
        assert.deepStrictEqual(engine.networks.filter(({ name }) => name !== "kind"), world.networks)
        assert.deepStrictEqual(engine.volumes, world.volumes)
      }))
  }
})
