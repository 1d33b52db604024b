/** Docker's methods beyond the provider: adding and removing nodes, logs, commands in nodes, orphans. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Docker from "kubelayer/layers/Docker"
import * as DockerClient from "kubelayer/layers/DockerClient"
import type { Orphan } from "kubelayer/Provider"
import { Provider } from "kubelayer/Provider"
import type { OperationReport } from "kubelayer/Report"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { randomWord } from "../../src/internal/Session.ts"

const host = process.env["KUBELAYER_ENGINE"] ?? ""
const image = "kubelayer-node:obedient"
const nodes: Docker.NodeSpec = { image, pull: "never" }
const docker = (options: Docker.Options = {}) => Layer.fresh(Docker.layer({ host, nodes, ...options }))

const told = (report: OperationReport) => report.outcomes.map((entry) => `${entry.name} ${entry.outcome._tag}`)
const uniqueName = (prefix: string) => `${prefix}-${randomWord(5)}`

describe("addNodes and removeNodes", () => {
  it.live("give new nodes the first free names and addresses", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = uniqueName("live")
      yield* service.createNodesScoped({ cluster, controlPlanes: 1, workers: 2 })
      const removed = yield* service.removeNodes(cluster, [`${cluster}-worker`, "stranger"])
      assert.sameMembers(told(removed), [`${cluster}-worker Done`, "stranger AlreadyDone"])

      const added = yield* service.addNodes(cluster, { workers: 2 })
      assert.sameMembers(told(added), [
        `kubelayer-${cluster} AlreadyDone`,
        `${cluster}-worker Done`,
        `${cluster}-worker3 Done`
      ])
      const found = yield* service.provider.listNodes(cluster)
      assert.deepStrictEqual(found.map((node) => node.name), [
        `${cluster}-control-plane`,
        `${cluster}-worker`,
        `${cluster}-worker2`,
        `${cluster}-worker3`
      ])
      const addresses = found.flatMap((node) => node.addresses.private)
      assert.strictEqual(new Set(addresses).size, 4)
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("make a second control plane of a kind cluster only with a load balancer", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = uniqueName("live")
      yield* service.createNodesScoped({ cluster, controlPlanes: 1, workers: 0 })
      const refused = yield* Effect.flip(service.addNodes(cluster, { controlPlanes: 1 }))
      assert.strictEqual(refused._tag, "InvalidSpec")
      assert.include(refused.message, "loadBalancer.image")
      assert.lengthOf(yield* service.provider.listNodes(cluster), 1)

      yield* service.addNodes(cluster, { controlPlanes: 1, loadBalancer: nodes })
      const roles = (yield* service.provider.listNodes(cluster)).map((node) => node.rawRole)
      assert.deepStrictEqual(roles, ["control-plane", "control-plane", "external-load-balancer"])
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "kind" }))))

  it.live("refuse a cluster that is not there, and numbers that are none", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = uniqueName("live")
      assert.strictEqual((yield* Effect.flip(service.addNodes(cluster, { workers: 1 })))._tag, "ClusterNotFound")
      assert.strictEqual((yield* Effect.flip(service.addNodes(cluster, { workers: 0.5 })))._tag, "InvalidSpec")
      assert.strictEqual((yield* Effect.flip(service.addNodes(cluster, {})))._tag, "InvalidSpec")
    }).pipe(Effect.provide(docker())))
})

/** Writes ten lines at each start and then waits. */
const talkative: Docker.NodeSpec = {
  ...nodes,
  entrypoint: [
    "/bin/sh",
    "-c",
    "trap 'exit 0' TERM; for i in 0 1 2 3 4; do echo out $i; echo err $i >&2; done; while :; do sleep 99 & wait $!; done"
  ]
}

describe("logs", () => {
  it.live("follow a node over restarts and neither lose nor double a line", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = uniqueName("live")
      yield* service.createNodesScoped({ cluster, controlPlanes: 1, workers: 0, nodes: talkative })
      const node = `${cluster}-control-plane`
      const seen = { stdout: [] as Array<string>, stderr: [] as Array<string> }
      const follower = yield* service.logs(cluster, node, { follow: true }).pipe(
        Stream.runForEach((line) => Effect.sync(() => seen[line.source].push(line.text))),
        Effect.forkChild
      )
      const restarts = 3
      for (let count = 0; count < restarts; count++) {
        yield* service.provider.stopNodes(cluster)
        yield* service.provider.startNodes(cluster)
      }
      const expected = (word: string) =>
        Array.from({ length: 5 * (restarts + 1) }, (_, index) => `${word} ${index % 5}`)
      // The last lines are on their way; the log ends when its node is gone, so nothing has to be waited for by the clock.
      yield* Stream.runDrain(Stream.takeUntil(
        Stream.fromEffectRepeat(
          Effect.andThen(Effect.sleep("20 millis"), Effect.sync(() => seen.stderr.length + seen.stdout.length))
        ),
        (count) => count >= 10 * (restarts + 1)
      )).pipe(Effect.timeout("20 seconds"))
      yield* service.provider.deleteNodes(cluster)
      yield* Fiber.join(follower).pipe(Effect.timeout("10 seconds"))
      assert.deepStrictEqual(seen.stdout, expected("out"))
      assert.deepStrictEqual(seen.stderr, expected("err"))
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("give the last lines, and end, where they are not followed", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = uniqueName("live")
      yield* service.createNodesScoped({ cluster, controlPlanes: 1, workers: 0, nodes: talkative })
      yield* service.provider.stopNodes(cluster)
      const lines = yield* Stream.runCollect(service.logs(cluster, `${cluster}-control-plane`, { tail: 2 }))
      assert.lengthOf(lines, 2)
      const error = yield* Effect.flip(Stream.runDrain(service.logs(cluster, "stranger")))
      assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "NotFoundError")
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe("exec", () => {
  it.live("gives both outputs and, last, the exit code", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = uniqueName("live")
      yield* service.createNodesScoped({ cluster, controlPlanes: 1, workers: 0 })
      const events = yield* Stream.runCollect(service.exec(cluster, `${cluster}-control-plane`, {
        command: ["sh", "-c", "echo out $WORD; pwd; echo err >&2; exit 7"],
        env: { WORD: "there" },
        workingDirectory: "/tmp"
      }))
      const text = (source: string) =>
        events.flatMap((event) =>
          event.source === source && "bytes" in event ? [Buffer.from(event.bytes).toString()] : []
        )
          .join("")
      assert.strictEqual(text("stdout"), "out there\n/tmp\n")
      assert.strictEqual(text("stderr"), "err\n")
      assert.deepStrictEqual(events.at(-1), { source: "exit", code: 7 })
    }).pipe(Effect.scoped, Effect.provide(docker())))

  it.live("is as fast or slow as its consumer, and loses nothing of a large output", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const cluster = uniqueName("live")
      yield* service.createNodesScoped({ cluster, controlPlanes: 1, workers: 0 })
      const total = yield* service.exec(cluster, `${cluster}-control-plane`, {
        command: ["dd", "if=/dev/zero", "bs=65536", "count=320"]
      }).pipe(
        Stream.filter((event) => event.source === "stdout"),
        Stream.runFold(() => 0, (sum, event) => sum + ("bytes" in event ? event.bytes.length : 0))
      )
      assert.strictEqual(total, 65_536 * 320)
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

describe("client", () => {
  it.live("is dockerode on the same engine, with typed errors", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      assert.isString((yield* DockerClient.use(service, (engine) => engine.version())).ApiVersion)
      const error = yield* Effect.flip(
        DockerClient.use(service, (engine) => engine.getContainer("no-such-container").inspect())
      )
      assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "NotFoundError")
    }).pipe(Effect.provide(docker())))
})

describe("sweep", () => {
  const maker = fileURLToPath(new URL("./support/makeAndWait.ts", import.meta.url))

  /** A real process that makes a cluster for its scope and is then killed, so that nobody cleans up. */
  const killedMaker = (cluster: string) =>
    Effect.callback<void, Error>((resume) => {
      const child = spawn(process.execPath, [maker, host, image, cluster], { stdio: ["ignore", "pipe", "inherit"] })
      child.stdout.on("data", () => child.kill("SIGKILL"))
      child.on("exit", (_code, signal) =>
        resume(signal === "SIGKILL" ? Effect.void : Effect.fail(new Error("the maker ended by itself"))))
      return Effect.sync(() =>
        child.kill("SIGKILL")
      )
    })

  it.live("finds what a process that was killed has left, and nothing of one that lives", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const dead = uniqueName("live")
      const alive = uniqueName("live")
      yield* service.createNodesScoped({ cluster: alive, controlPlanes: 1, workers: 0 })
      yield* killedMaker(dead)
      yield* Effect.addFinalizer(() => Effect.ignore(service.provider.deleteNodes(dead)))

      const names = (orphans: ReadonlyArray<Orphan>) =>
        orphans.filter((orphan) => orphan.clusterName === dead).map((orphan) => orphan.name)
      const expected = [`${dead}-control-plane`, `${dead}-worker`, `kubelayer-${dead}`, `${dead}-data`]
      const listed = yield* service.sweep({ olderThan: 0 })
      assert.sameMembers(names(listed), expected)
      assert.notInclude(listed.map((orphan) => orphan.clusterName).join(), alive)
      assert.isEmpty(names(yield* service.sweep({ olderThan: "1 hour" })))
      assert.lengthOf(yield* service.provider.listNodes(dead), 2)

      yield* service.sweep({ olderThan: 0, remove: true })
      assert.isEmpty(yield* service.provider.listNodes(dead))
      assert.isEmpty(yield* service.resources(dead))
      assert.lengthOf(yield* service.provider.listNodes(alive), 1)
    }).pipe(Effect.scoped, Effect.provide(docker())))
})

/** Makes a container by hand, as another tool would. */
const container = (name: string, labels: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function*() {
    const service = yield* Docker.Docker
    yield* Effect.acquireRelease(
      DockerClient.use(service, (engine) => engine.createContainer({ name, Image: image, Labels: labels })),
      (made) => Effect.ignore(DockerClient.use(service, () => made.remove({ force: true })))
    )
  })

describe("every scheme at once", () => {
  it.live("vCluster's nodes belong to the longest cluster name that has a control plane", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const a = uniqueName("live")
      for (const name of [`cp.${a}`, `cp.${a}.b`, `node.${a}.w`, `node.${a}.b.w`, `lb.${a}.l`, "node.nobody.w"]) {
        yield* container(`vcluster.${name}`)
      }
      yield* container(`vcluster-cp-${a}`)
      const names = (cluster: string) =>
        Effect.map(provider.listNodes(cluster), (found) => found.map((node) => `${node.role} ${node.name}`))
      assert.deepStrictEqual(yield* names(a), [
        `control-plane vcluster.cp.${a}`,
        `worker vcluster.node.${a}.w`,
        `load-balancer vcluster.lb.${a}.l`
      ])
      assert.deepStrictEqual(yield* names(`${a}.b`), [
        `control-plane vcluster.cp.${a}.b`,
        `worker vcluster.node.${a}.b.w`
      ])
      const report = yield* provider.deleteNodes(a)
      assert.lengthOf(report.done, 3)
      assert.lengthOf(yield* provider.listNodes(`${a}.b`), 2)
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "vcluster" }))))

  it.live("KWOK's components are known by project and name, and start in their order", () =>
    Effect.gen(function*() {
      const provider = yield* Provider
      const a = uniqueName("live")
      for (const component of ["kube-scheduler", "kube-apiserver", "etcd"]) {
        yield* container(`kwok-${a}-${component}`, { "com.docker.compose.project": `kwok-${a}` })
        yield* container(`kwok-${a}-b-${component}`, { "com.docker.compose.project": `kwok-${a}-b` })
      }
      yield* container(`kwok-${a}-stranger`, { "com.docker.compose.project": `kwok-${a}` })
      const report = yield* provider.startNodes(a)
      assert.sameMembers(
        told(report),
        ["etcd", "kube-apiserver", "kube-scheduler"].map((name) => `kwok-${a}-${name} Done`)
      )
      const others = yield* provider.listNodes(`${a}-b`)
      assert.deepStrictEqual(others.map((node) => node.state), ["stopped", "stopped", "stopped"])
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "kwok" }))))

  it.live("a cluster name found in two schemes fails with AmbiguousCluster, and nothing changes", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const name = uniqueName("live")
      yield* container(`${name}-k`, { "io.x-k8s.kind.cluster": name, "io.x-k8s.kind.role": "worker" })
      yield* container(`${name}-t`, { "talos.owned": "true", "talos.cluster.name": name, "talos.type": "worker" })
      assert.include(yield* service.provider.listAllClusters, name)
      for (const act of [service.provider.startNodes, service.provider.deleteNodes]) {
        const error = yield* Effect.flip(act(name))
        assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "AmbiguousCluster")
        assert.include(error.message, `kind/${name}`)
        assert.include(error.message, `talos/${name}`)
      }
      const refused = yield* Effect.flip(service.createNodes({ cluster: name, controlPlanes: 1, workers: 0 }))
      assert.strictEqual(refused._tag === "BackendError" && refused.reason._tag, "AmbiguousCluster")
    }).pipe(Effect.scoped, Effect.provide(docker({ scheme: "auto" }))))

  it.live("createNodes in the kwok scheme fails and names the command that creates the cluster", () =>
    Effect.gen(function*() {
      const service = yield* Docker.Docker
      const error = yield* Effect.flip(service.createNodes({ cluster: "live-never", controlPlanes: 1, workers: 0 }))
      assert.strictEqual(error._tag === "BackendError" && error.reason._tag, "UnsupportedError")
      assert.include(error.message, "kwokctl create cluster")
    }).pipe(Effect.provide(docker({ scheme: "kwok" }))))
})
