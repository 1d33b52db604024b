/** Each field of a spec, inspected on the engine in the containers that were created from it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import { docker, nodes } from "./support/docker.ts"
import { everythingOf, image, inspect, network, networks, newCluster, volumes } from "./support/engine.ts"
import { freePort } from "./support/port.ts"
import { failing, told } from "./support/told.ts"

const idle = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 99 & wait $!; done"]

describe.concurrent("a node is created", () => {
  it.live("with its command, variables, labels, limits and restart policy", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* service.createNodes({
        cluster: c,
        controlPlanes: 1,
        workers: 1,
        labels: { team: "blue" },
        nodes: { env: { SHARED: "a=b c", OVER: "nodes" }, labels: { tier: "any" } },
        controlPlane: { privileged: true, restart: "unless-stopped" },
        worker: {
          env: { OVER: "worker" },
          labels: { tier: "worker" },
          entrypoint: idle.slice(0, 2),
          command: idle.slice(2),
          cpus: 0.25,
          memoryBytes: 64 * 1024 * 1024,
          restart: "on-failure",
          privileged: false
        }
      })
      const controlPlane = yield* inspect(`${c}-control-plane`)
      const worker = yield* inspect(`${c}-worker`)

      assert.includeMembers([...controlPlane.Config.Env], ["FROM=layer", "SHARED=a=b c", "OVER=nodes"])
      assert.includeMembers([...worker.Config.Env], ["FROM=layer", "SHARED=a=b c", "OVER=worker"])
      assert.notInclude(worker.Config.Env, "OVER=nodes")
      assert.deepInclude(controlPlane.Config.Labels, { team: "blue", tier: "any", "kubelayer.role": "control-plane" })
      assert.deepInclude(worker.Config.Labels, { team: "blue", tier: "worker", "kubelayer.cluster": c })

      assert.deepStrictEqual(controlPlane.Config.Entrypoint, ["/sbin/kubelayer-init"])
      assert.deepStrictEqual([worker.Config.Entrypoint, worker.Config.Cmd], [idle.slice(0, 2), idle.slice(2)])

      assert.strictEqual(worker.HostConfig.NanoCpus, 250_000_000)
      assert.strictEqual(worker.HostConfig.Memory, 64 * 1024 * 1024)
      assert.strictEqual(worker.HostConfig.RestartPolicy.Name, "on-failure")
      assert.isFalse(worker.HostConfig.Privileged)
      assert.strictEqual(controlPlane.HostConfig.Memory, 0)
      assert.strictEqual(controlPlane.HostConfig.RestartPolicy.Name, "unless-stopped")
      assert.isTrue(controlPlane.HostConfig.Privileged)
    }).pipe(Effect.scoped, Effect.provide(docker({ nodes: { ...nodes, env: { FROM: "layer" } } }))))

  it.live("with folders of the host, in memory, and volumes: shared, one a node, anonymous", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      yield* service.createNodes({
        cluster: c,
        controlPlanes: 1,
        workers: 2,
        volumes: [{ name: "shared" }, { name: "own", perNode: true }],
        nodes: {
          volumes: [{ name: "shared", target: "/shared" }, { name: "own", target: "/own" }, { target: "/nameless" }]
        },
        controlPlane: {
          volumes: [{ name: "shared", target: "/shared", readOnly: true }],
          binds: [{ source: "/tmp", target: "/host", readOnly: true }, { source: "/tmp", target: "/host2" }],
          tmpfs: ["/scratch"]
        }
      })
      const mounts = (name: string) =>
        Effect.map(inspect(name), (node) =>
          node.Mounts.map((mount) => {
            const source = mount.Type === "volume" ? mount.Name ?? "" : mount.Source
            const what = /^[0-9a-f]{64}$/.test(source) ? "anonymous" : source
            return `${what} ${mount.Destination} ${mount.RW ? "rw" : "ro"}`
          }).toSorted())
      assert.deepStrictEqual(yield* mounts(`${c}-control-plane`), [
        "/tmp /host ro",
        "/tmp /host2 rw",
        `${c}-shared /shared ro`
      ])
      for (const worker of [`${c}-worker`, `${c}-worker2`]) {
        assert.deepStrictEqual(
          yield* mounts(worker),
          ["anonymous /nameless rw", `${c}-shared /shared rw`, `${worker}-own /own rw`].toSorted()
        )
      }
      assert.deepStrictEqual(Object.keys((yield* inspect(`${c}-control-plane`)).HostConfig.Tmpfs ?? {}), ["/scratch"])

      const anonymous = (yield* inspect(`${c}-worker`)).Mounts.find((mount) => mount.Destination === "/nameless")?.Name
      const report = yield* service.provider.deleteNodes(c)
      for (const name of [`${c}-shared`, `${c}-worker-own`, `${c}-worker2-own`]) {
        assert.strictEqual(told(report)[name], "Done")
      }
      assert.deepStrictEqual(yield* everythingOf(c), [])
      assert.notInclude((yield* volumes).map((each) => each.Name), anonymous)
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("in extra networks, its own and an external one", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const lan = `${c}.lan`
      yield* network(lan)
      yield* service.createNodes({
        cluster: c,
        controlPlanes: 1,
        workers: 1,
        network: { subnet: "10.198.7.0/28" },
        networks: [{ name: "storage", subnet: "10.198.7.16/28" }, { name: lan, external: true }],
        worker: { networks: ["storage", lan] }
      })
      const joined = (name: string) =>
        Effect.map(inspect(name), (node) => Object.keys(node.NetworkSettings.Networks).toSorted())
      assert.deepStrictEqual(yield* joined(`${c}-control-plane`), [`kubelayer-${c}`])
      assert.deepStrictEqual(yield* joined(`${c}-worker`), [`${c}-storage`, lan, `kubelayer-${c}`].toSorted())
      const subnets = new Map((yield* networks).map((each) => [each.Name, each.IPAM.Config?.[0]?.Subnet]))
      assert.strictEqual(subnets.get(`kubelayer-${c}`), "10.198.7.0/28")
      assert.strictEqual(subnets.get(`${c}-storage`), "10.198.7.16/28")
      assert.match(
        (yield* inspect(`${c}-worker`)).NetworkSettings.Networks[`kubelayer-${c}`]?.IPAddress ?? "",
        /^10\.198\.7\./
      )

      yield* service.provider.deleteNodes(c)
      assert.deepStrictEqual(yield* everythingOf(c), [`network ${lan}`])
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("with ports at the requested address and number, or at a number that does not change", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const host = yield* freePort
      yield* service.createNodes({
        cluster: c,
        controlPlanes: 1,
        workers: 1,
        controlPlane: {
          ports: [
            { container: 6443, host, address: "127.0.0.1" },
            { container: 53, protocol: "udp", address: "127.0.0.1" }
          ]
        },
        worker: { ports: [{ container: 80 }] }
      })
      const { PortBindings } = (yield* inspect(`${c}-control-plane`)).HostConfig
      assert.deepStrictEqual(PortBindings["6443/tcp"], [{ HostIp: "127.0.0.1", HostPort: String(host) }])
      assert.strictEqual(PortBindings["53/udp"]?.[0]?.HostIp, "127.0.0.1")
      assert.match(PortBindings["53/udp"]?.[0]?.HostPort ?? "", /^[1-9]\d+$/)

      const mappings = yield* service.portMappings(c)
      const of = (container: number) => mappings.find((port) => port.container === container)
      assert.deepInclude(of(6443), { node: `${c}-control-plane`, host, protocol: "tcp", address: "127.0.0.1" })
      assert.deepInclude(of(53), { protocol: "udp", host: Number(PortBindings["53/udp"]?.[0]?.HostPort) })
      assert.deepInclude(of(80), { node: `${c}-worker`, address: "0.0.0.0" })
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe.concurrent("a node that differs from the spec", () => {
  it.live("is reported, and nothing changes", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const c = yield* newCluster()
      const spec = { cluster: c, controlPlanes: 1, workers: 1 }
      yield* service.createNodes(spec)
      const before = yield* inspect(`${c}-worker`)
      const error = yield* failing(
        "BackendError",
        service.createNodes({ ...spec, worker: { image: image("slow"), env: { A: "1" } } })
      )
      assert.strictEqual(error.reason._tag, "Differs")
      for (const words of [`${c}-worker`, "kubelayer-node:obedient", "kubelayer-node:slow", "env"]) {
        assert.include(error.message, words)
      }
      assert.strictEqual((yield* inspect(`${c}-worker`)).State.StartedAt, before.State.StartedAt)
      const again = yield* service.createNodes(spec)
      assert.deepStrictEqual(new Set(Object.values(told(again))), new Set(["AlreadyDone"]))
    }).pipe(Effect.scoped, Effect.provide(docker())))
})
