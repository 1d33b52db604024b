/** Clusters of kind, k3d and Talos that the tools or kubelayer created, inspected without kubelayer. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import { course, docker, listening, nodes } from "./support/docker.ts"
import {
  ask,
  container,
  containers,
  everythingOf,
  inspect,
  type Inspected,
  isPodman,
  nameOf,
  network,
  networks,
  newCluster,
  removeNetwork,
  start,
  states,
  volume,
  volumes
} from "./support/engine.ts"
import { told } from "./support/told.ts"

type Labels = Readonly<Record<string, string>>

const kindLabels = (cluster: string, role?: string): Labels => ({
  "io.x-k8s.kind.cluster": cluster,
  ...(role === undefined ? {} : { "io.x-k8s.kind.role": role })
})

const k3dLabels = (cluster: string, role: string, more: Labels = {}): Labels => ({
  app: "k3d",
  "k3d.cluster": cluster,
  "k3d.role": role,
  "k3d.cluster.network": `k3d-${cluster}`,
  ...more
})

const talosLabels = (cluster: string, type: string): Labels => ({
  "talos.owned": "true",
  "talos.cluster.name": cluster,
  "talos.type": type
})

const listed = (service: Docker.DockerService, cluster: string) =>
  Effect.map(
    service.provider.listNodes(cluster),
    (nodes) => nodes.map((node) => `${node.name} ${node.role} ${node.rawRole} ${node.state}`)
  )

const allOf = (names: ReadonlyArray<string>, state: string) => names.map((name) => `${name} ${state}`).toSorted()

describe.concurrent("a cluster that kind made", () => {
  it.live("is listed, started, stopped and deleted with its load balancer, and nothing else is", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* container(`${c}-worker10`, { labels: kindLabels(c, "worker") })
      yield* container(`${c}-worker2`, { labels: kindLabels(c, "worker") })
      yield* container(`${c}-odd`, { labels: kindLabels(c) })
      yield* container(`${c}-external-load-balancer`, { labels: kindLabels(c, "external-load-balancer") })
      yield* container(`${c}-control-plane2`, { labels: kindLabels(c, "control-plane") })
      yield* container(`${c}-control-plane`, { labels: kindLabels(c, "control-plane") })
      // Its name matches kind's pattern, but it is unlabelled.
      yield* container(`${c}-worker3`)

      const names = ["control-plane", "control-plane2", "odd", "worker2", "worker10", "external-load-balancer"]
        .map((name) => `${c}-${name}`)
      assert.deepStrictEqual(yield* listed(service, c), [
        `${c}-control-plane control-plane control-plane stopped`,
        `${c}-control-plane2 control-plane control-plane stopped`,
        `${c}-odd worker  stopped`,
        `${c}-worker2 worker worker stopped`,
        `${c}-worker10 worker worker stopped`,
        `${c}-external-load-balancer load-balancer external-load-balancer stopped`
      ])
      assert.include(yield* service.provider.listAllClusters, c)

      const { events, listen } = listening()
      const started = yield* listen(service.provider.startNodes(c))
      assert.deepStrictEqual(told(started), Object.fromEntries(names.map((name) => [name, "Done"])))
      assert.deepStrictEqual(yield* states("io.x-k8s.kind.cluster", c), allOf(names, "running"))
      assert.isBelow(
        course(events).lastIndexOf(`< ${c}-control-plane2`),
        course(events).findIndex((entry) => entry.startsWith("> ") && !entry.includes("control-plane"))
      )

      yield* start(`${c}-worker3`)
      yield* service.provider.stopNodes(c)
      assert.deepStrictEqual(yield* states("io.x-k8s.kind.cluster", c), allOf(names, "exited"))
      assert.strictEqual((yield* inspect(`${c}-worker3`)).State.Status, "running")

      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(c), [`container ${c}-worker3`])
      assert.notInclude(yield* service.provider.listAllClusters, c)
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "kind" }))))

  it.live("is not the one whose name begins with its own", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const a = yield* newCluster()
      const b = `${a}-worker`
      // The first is a node of `a` and called as the other cluster is.
      yield* container(`${a}-worker`, { labels: kindLabels(a, "worker") })
      yield* container(`${b}-control-plane`, { labels: kindLabels(b, "control-plane") })
      yield* container(`${b}-worker`, { labels: kindLabels(b, "worker") })
      assert.deepStrictEqual((yield* service.provider.listNodes(a)).map((node) => node.name), [`${a}-worker`])

      yield* service.provider.startNodes(a)
      assert.deepStrictEqual(
        yield* states("io.x-k8s.kind.cluster", b),
        allOf([`${b}-control-plane`, `${b}-worker`], "created")
      )
      yield* service.provider.startNodes(b)
      yield* service.provider.stopNodes(a)
      yield* service.provider.deleteNodes(a)
      assert.deepStrictEqual(yield* states("io.x-k8s.kind.cluster", a), [])
      assert.deepStrictEqual(
        yield* states("io.x-k8s.kind.cluster", b),
        allOf([`${b}-control-plane`, `${b}-worker`], "running")
      )
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "kind" }))))
})

describe.concurrent("a cluster that k3d made", () => {
  it.live("starts its first server first, the others one by one in the order of their numbers, then the rest", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const name = (rest: string) => `k3d-${c}-${rest}`
      const init = (value: boolean) => ({ "k3d.server.init": String(value) })
      yield* network(`k3d-${c}`, { app: "k3d" })
      yield* volume(`k3d-${c}-images`, { app: "k3d", "k3d.cluster": c })
      yield* container(name("agent-0"), { labels: k3dLabels(c, "agent") })
      yield* container(name("serverlb"), { labels: k3dLabels(c, "loadbalancer") })
      yield* container(name("server-10"), { labels: k3dLabels(c, "server", init(false)) })
      yield* container(name("server-2"), { labels: k3dLabels(c, "server", init(true)) })
      yield* container(name("server-0"), { labels: k3dLabels(c, "server", init(false)) })
      yield* container(name("tools"), { labels: k3dLabels(c, "noRole") })
      yield* container(`${c}-registry`, { labels: k3dLabels(c, "registry") })
      // Without the label of the tool it is not owned by the cluster.
      yield* container(name("agent-1"), { labels: { "k3d.cluster": c, "k3d.role": "agent" } })

      assert.deepStrictEqual(yield* listed(service, c), [
        `${name("server-0")} control-plane server stopped`,
        `${name("server-2")} control-plane server stopped`,
        `${name("server-10")} control-plane server stopped`,
        `${name("agent-0")} worker agent stopped`,
        `${name("serverlb")} load-balancer loadbalancer stopped`,
        `${name("tools")} helper noRole stopped`,
        `${c}-registry helper registry stopped`
      ])

      const { events, listen } = listening()
      yield* listen(service.provider.startNodes(c))
      assert.deepStrictEqual(course(events).slice(0, 6), [
        `> ${name("server-2")}`,
        `< ${name("server-2")}`,
        `> ${name("server-0")}`,
        `< ${name("server-0")}`,
        `> ${name("server-10")}`,
        `< ${name("server-10")}`
      ])
      const began = yield* Effect.forEach(
        ["server-2", "server-0", "server-10", "agent-0"],
        (rest) => Effect.map(inspect(name(rest)), ({ State }) => State.StartedAt)
      )
      assert.deepStrictEqual(began, began.toSorted())

      const stopping = listening()
      yield* stopping.listen(service.provider.stopNodes(c))
      const firstServer = course(stopping.events).findIndex((entry) => entry.startsWith(`> k3d-${c}-server-`))
      assert.isBelow(course(stopping.events).lastIndexOf(`< ${name("agent-0")}`), firstServer)

      const report = yield* service.provider.deleteNodes(c)
      assert.strictEqual(told(report)[`k3d-${c}`], "Done")
      assert.deepStrictEqual(yield* everythingOf(c), [`container ${name("agent-1")}`])
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "k3d" }))))

  it.live("may be called in upper case, and keeps a network that is not its own", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const word = yield* newCluster("x")
      const c = `Kle.${word}`
      const external = { "k3d.cluster.network": `${word}-lan`, "k3d.cluster.network.external": "true" }
      yield* network(`${word}-lan`)
      yield* container(`k3d-${c}-server-0`, { labels: k3dLabels(c, "server", external) })
      yield* container(`k3d-${c}-agent-0`, { labels: k3dLabels(c, "agent", external) })
      // For a label, another case is another cluster.
      const lower = c.toLowerCase()
      yield* container(`k3d-${lower}-server-0`, { labels: k3dLabels(lower, "server") })

      assert.include(yield* service.provider.listAllClusters, c)
      assert.strictEqual((yield* service.provider.startNodes(c)).done.length, 2)
      assert.strictEqual((yield* service.provider.stopNodes(c)).done.length, 2)
      assert.deepStrictEqual(yield* states("k3d.cluster", lower), [`k3d-${lower}-server-0 created`])
      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(word), [`container k3d-${lower}-server-0`, `network ${word}-lan`])
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "k3d" }))))

  it.live("keeps a registry that serves another network too", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* network(`k3d-${c}`, { app: "k3d" })
      const lan = yield* network(`${c}-lan`)
      yield* container(`k3d-${c}-server-0`, { labels: k3dLabels(c, "server"), network: `k3d-${c}` })
      const registry = yield* container(`${c}-registry`, { labels: k3dLabels(c, "registry"), network: `k3d-${c}` })
      yield* ask("POST", `/networks/${lan}/connect`, { Container: registry })
      const report = yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(told(report), {
        [`k3d-${c}-server-0`]: "Done",
        [`${c}-registry`]: "Skipped",
        [`k3d-${c}`]: "Done"
      })
      assert.deepStrictEqual(Object.keys((yield* inspect(registry)).NetworkSettings.Networks), [`${c}-lan`])
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "k3d" }))))
})

describe.concurrent("a cluster that talosctl made", () => {
  it.live("is listed, started, stopped and deleted with its network", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* network(c, { "talos.owned": "true", "talos.cluster.name": c })
      yield* network(`${c}-b`, { "talos.owned": "true", "talos.cluster.name": `${c}-b` })
      yield* container(`${c}-worker-1`, { labels: talosLabels(c, "worker") })
      yield* container(`${c}-controlplane-2`, { labels: talosLabels(c, "controlplane") })
      yield* container(`${c}-controlplane-1`, { labels: talosLabels(c, "init") })
      yield* container(`${c}-worker-2`, { labels: { "talos.cluster.name": c, "talos.type": "worker" } })
      assert.deepStrictEqual(yield* listed(service, c), [
        `${c}-controlplane-1 control-plane init stopped`,
        `${c}-controlplane-2 control-plane controlplane stopped`,
        `${c}-worker-1 worker worker stopped`
      ])
      const { events, listen } = listening()
      yield* listen(service.provider.startNodes(c))
      const order = course(events)
      const sent = order.indexOf(`> ${c}-worker-1`)
      assert.isBelow(order.indexOf(`< ${c}-controlplane-1`), sent)
      assert.isBelow(order.indexOf(`< ${c}-controlplane-2`), sent)
      yield* service.provider.stopNodes(c)
      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(c), [`container ${c}-worker-2`, `network ${c}-b`])
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "talos" }))))
})

// -----------------------------------------------------------------------------
// What kubelayer makes for the tools
// -----------------------------------------------------------------------------

const ofKubelayer = /^kubelayer\./

/** The labels by which the scheme's own tool goes. */
const toolLabels = (labels: Labels) =>
  Object.fromEntries(Object.entries(labels).filter(([key]) => !ofKubelayer.test(key)))

const inspected = (cluster: string) =>
  Effect.gen(function*() {
    const own = (yield* containers).filter((each) => nameOf(each).includes(cluster))
    const all = yield* Effect.forEach(own, (each) => inspect(each.Id))
    return new Map(all.map((each) => [each.Name.slice(1), each]))
  })

const one = (all: ReadonlyMap<string, Inspected>, name: string): Inspected => {
  const found = all.get(name)
  if (found === undefined) throw new Error(`there is no ${name}, but ${[...all.keys()].join(", ")}`)
  return found
}

const networkCalled = (name: string) => Effect.map(networks, (all) => all.filter((each) => each.Name === name))

/** Host ports are chosen when a node is created, so that they stay the same. */
const published = (node: Inspected) =>
  Object.entries(node.HostConfig.PortBindings).flatMap(([port, bindings]) =>
    bindings.map(({ HostIp, HostPort }) => {
      assert.match(HostPort, /^[1-9]\d+$/)
      return `${HostIp} ${port}`
    })
  )

const anonymous = (node: Inspected) =>
  node.Mounts.filter((mount) => mount.Type === "volume" && /^[0-9a-f]{64}$/.test(mount.Name ?? ""))
    .map((mount) => mount.Destination).toSorted()

describe.concurrent("createNodes", () => {
  it.live("makes what kind knows as its own, in kind's network", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* removeNetwork("kind")
      const report = yield* service.createNodes({
        cluster: c,
        controlPlanes: 2,
        workers: 1,
        loadBalancer: nodes
      })
      const names = [`${c}-control-plane`, `${c}-control-plane2`, `${c}-worker`, `${c}-external-load-balancer`]
      for (const name of names) assert.strictEqual(told(report)[name], "Done")
      const all = yield* inspected(c)
      assert.sameMembers([...all.keys()], names)
      for (const [name, node] of all) {
        const role = name === `${c}-external-load-balancer`
          ? "external-load-balancer"
          : name === `${c}-worker`
          ? "worker"
          : "control-plane"
        const balancer = role === "external-load-balancer"
        assert.deepStrictEqual(toolLabels(node.Config.Labels), kindLabels(c, role))
        assert.strictEqual(node.Config.Hostname, name)
        assert.isTrue(node.Config.Tty)
        assert.strictEqual(node.HostConfig.Privileged, !balancer)
        // Podman leaves both out of what it reports.
        if (!(yield* isPodman)) {
          assert.strictEqual(node.HostConfig.CgroupnsMode, "private")
          assert.isFalse(node.HostConfig.Init)
        }
        assert.deepStrictEqual(node.HostConfig.RestartPolicy, { Name: "on-failure", MaximumRetryCount: 1 })
        assert.deepStrictEqual(Object.keys(node.NetworkSettings.Networks), ["kind"])
        assert.deepStrictEqual(published(node), role === "worker" ? [] : ["127.0.0.1 6443/tcp"])
        assert.strictEqual(node.Config.Env.includes("KUBECONFIG=/etc/kubernetes/admin.conf"), role === "control-plane")
        if (balancer) continue
        assert.deepStrictEqual(anonymous(node), ["/var"])
        assert.deepStrictEqual(Object.keys(node.HostConfig.Tmpfs ?? {}).toSorted(), ["/run", "/tmp"])
        // Podman adds the propagation.
        assert.match((node.HostConfig.Binds ?? []).join(" "), /(?:^| )\/lib\/modules:\/lib\/modules:ro\b/)
        assert.includeMembers([...node.HostConfig.SecurityOpt ?? []], ["seccomp=unconfined", "apparmor=unconfined"])
      }
      // kind's own network has no labels; with one of ours it would be taken for this cluster's.
      const [shared] = yield* networkCalled("kind")
      assert.deepStrictEqual(shared?.Labels, {})
      // Podman takes no such option; it masquerades always.
      if (!(yield* isPodman)) {
        assert.strictEqual(shared?.Options["com.docker.network.bridge.enable_ip_masquerade"], "true")
      }
      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(c), [])
      assert.lengthOf(yield* networkCalled("kind"), 1)
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "kind" }))))

  it.live("makes what k3d knows as its own, with its network and image volume", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* service.createNodes({ cluster: c, controlPlanes: 2, workers: 1, loadBalancer: nodes })
      const all = yield* inspected(c)
      const server = one(all, `k3d-${c}-server-0`)
      const roles = {
        [`k3d-${c}-server-0`]: "server",
        [`k3d-${c}-server-1`]: "server",
        [`k3d-${c}-agent-0`]: "agent",
        [`k3d-${c}-serverlb`]: "loadbalancer"
      }
      assert.sameMembers([...all.keys()], Object.keys(roles))
      for (const [name, node] of all) {
        const labels = toolLabels(node.Config.Labels)
        assert.strictEqual(labels["app"], "k3d")
        assert.strictEqual(labels["k3d.cluster"], c)
        assert.strictEqual(labels["k3d.role"], roles[name])
        assert.strictEqual(labels["k3d.cluster.network"], `k3d-${c}`)
        assert.strictEqual(labels["k3d.cluster.network.external"], "false")
        assert.strictEqual(labels["k3d.cluster.imageVolume"], `k3d-${c}-images`)
        assert.strictEqual(node.Config.Hostname, name)
        assert.isTrue(node.HostConfig.Privileged)
        assert.isTrue(node.HostConfig.Init)
        if (!(yield* isPodman)) assert.strictEqual(node.HostConfig.UsernsMode, "host")
        assert.strictEqual(node.HostConfig.RestartPolicy.Name, "unless-stopped")
        // Podman follows the link in the image from one to the other.
        assert.deepStrictEqual(
          Object.keys(node.HostConfig.Tmpfs ?? {}).toSorted(),
          (yield* isPodman) ? ["/run"] : ["/run", "/var/run"]
        )
        assert.deepStrictEqual(Object.keys(node.NetworkSettings.Networks), [`k3d-${c}`])
        assert.deepStrictEqual(published(node), name === `k3d-${c}-serverlb` ? ["0.0.0.0 6443/tcp"] : [])
        assert.deepStrictEqual(
          node.Mounts.filter((mount) => mount.Name === `k3d-${c}-images`).map((mount) => mount.Destination),
          ["/k3d/images"]
        )
      }
      assert.strictEqual(server.Config.Labels["k3d.server.init"], "true")
      assert.strictEqual(one(all, `k3d-${c}-server-1`).Config.Labels["k3d.server.init"], "false")
      assert.deepStrictEqual(server.Config.Cmd?.slice(0, 1), ["server"])
      assert.deepStrictEqual(one(all, `k3d-${c}-agent-0`).Config.Cmd?.slice(0, 1), ["agent"])
      assert.strictEqual((yield* networkCalled(`k3d-${c}`))[0]?.Labels["app"], "k3d")
      const images = (yield* volumes).find((each) => each.Name === `k3d-${c}-images`)
      assert.deepInclude(toolLabels(images?.Labels ?? {}), { app: "k3d", "k3d.cluster": c })
      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(c), [])
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "k3d" }))))

  it.live("makes what talosctl knows as its own, with its network, fixed addresses and folders", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* service.createNodes({
        cluster: c,
        controlPlanes: 2,
        workers: 1,
        controlPlane: { env: { USERDATA: "eA==" } }
      })
      const all = yield* inspected(c)
      const types = {
        [`${c}-controlplane-1`]: "controlplane",
        [`${c}-controlplane-2`]: "controlplane",
        [`${c}-worker-1`]: "worker"
      }
      assert.sameMembers([...all.keys()], Object.keys(types))
      const [own] = yield* networkCalled(c)
      assert.deepStrictEqual(toolLabels(own?.Labels ?? {}), { "talos.owned": "true", "talos.cluster.name": c })
      assert.match(own?.Options[(yield* isPodman) ? "mtu" : "com.docker.network.driver.mtu"] ?? "", /^\d+$/)
      const prefix = own?.IPAM.Config?.[0]?.Subnet.split(".").slice(0, 3).join(".") ?? ""
      assert.match(prefix, /^10\.\d+\.\d+$/)
      const addresses = [...all.values()].map((node) => node.NetworkSettings.Networks[c]?.IPAddress)
      assert.sameMembers(addresses, [2, 3, 4].map((last) => `${prefix}.${last}`))
      for (const [name, node] of all) {
        assert.deepStrictEqual(toolLabels(node.Config.Labels), talosLabels(c, types[name] ?? ""))
        assert.strictEqual(node.Config.Hostname, name)
        assert.isTrue(node.HostConfig.Privileged)
        assert.isTrue(node.HostConfig.ReadonlyRootfs)
        assert.include(node.Config.Env, "PLATFORM=container")
        assert.strictEqual(node.Config.Env.includes("USERDATA=eA=="), types[name] === "controlplane")
        assert.deepStrictEqual(
          published(node).toSorted(),
          name === `${c}-controlplane-1` ? ["127.0.0.1 50000/tcp", "127.0.0.1 6443/tcp"] : []
        )
        assert.deepStrictEqual(anonymous(node), ["/opt", "/system/state", "/var"])
        // Podman reports such mounts as Tmpfs, and adds /var/tmp where the root is read-only.
        assert.deepStrictEqual(
          [
            ...(node.HostConfig.Mounts ?? []).filter((mount) => mount.Type === "tmpfs").map((mount) => mount.Target),
            ...Object.keys(node.HostConfig.Tmpfs ?? {})
          ].filter((target) => target !== "/var/tmp").toSorted(),
          ["/run", "/system", "/tmp"]
        )
      }
      const before = (yield* volumes).length
      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(c), [])
      assert.isBelow((yield* volumes).length, before, "anonymous volumes go with their nodes")
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "talos" }))))
})
