/** `kubelayer/promise` over Memory and Mock: values, rejections, aborts, watches, and what is released. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Memory from "kubelayer/layers/Memory"
import * as Mock from "kubelayer/layers/Mock"
import { ClusterStatus } from "kubelayer/Model"
import { AbortError, connect } from "kubelayer/promise"
import { InvalidSpec, NodesFailed, NoNodes } from "kubelayer/ProviderError"
import { Locked, Protected } from "kubelayer/Reason"

const clusters = { dev: { controlPlanes: 1, workers: 1, state: "stopped" } } as const
const spec = { cluster: "tmp", controlPlanes: 1, workers: 1 }

const rejection = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise
  } catch (error) {
    return error
  }
  return assert.fail("it was not rejected")
}

/** Rejects where it takes longer than a person would wait for it. */
const soon = <A>(promise: Promise<A>): Promise<A> =>
  Promise.race([
    promise,
    new Promise<never>((_, reject) => setTimeout(() => reject(new Error("not within 3 s")), 3000).unref())
  ])

describe("a connection", () => {
  it("has the methods of the provider, of the creator and of its own as promises (U14)", async () => {
    await using memory = await connect.memory({ clusters })
    assert.strictEqual(memory.backend, "memory")
    const report = await memory.startNodes("dev")
    assert.deepStrictEqual(report.done.map(({ name }) => name), ["dev-control-plane", "dev-worker"])
    assert.deepStrictEqual(await memory.listAllClusters(), ["dev"] as never)
    assert.deepStrictEqual(await memory.provider.nodesExist("dev"), true)
    assert.isTrue(await memory.isAvailable())
    assert.isAbove((await memory.calls()).length, 0)
    assert.strictEqual((await memory.creator.createNodes(spec)).done.length > 0, true)
  })

  it("gives undefined where a service gives none (U14)", async () => {
    await using memory = await connect.memory({ clusters })
    assert.instanceOf(await memory.getClusterStatus("dev"), ClusterStatus)
    assert.isUndefined(await memory.getClusterStatus("prod"))
  })

  it("rejects with the service's own errors (U14)", async () => {
    await using memory = await connect.memory({ clusters })
    const error = await rejection(memory.startNodes("prod"))
    assert.instanceOf(error, NoNodes)
    await memory.failNext({ operation: "start", node: "dev-worker", reason: new Protected({ detail: "in use" }) })
    const failed = await rejection(memory.startNodes("dev"))
    assert.instanceOf(failed, NodesFailed)
    assert.deepStrictEqual(failed.reasons.map(({ _tag }) => _tag), ["Protected"])
  })

  it("is refused with the error of its layer", async () => {
    assert.instanceOf(await rejection(connect.memory({ clusters: { Dev: clusters.dev } })), InvalidSpec)
    const error = await rejection(connect.hetzner({ token: "" }))
    assert.instanceOf(error, InvalidSpec)
  })

  it("connects any layer, with the key of its service", async () => {
    await using mock = await connect(Mock.Mock, Mock.layer({ nodesExist: true }), { createNodesScoped: true })
    assert.isTrue(await mock.nodesExist("dev"))
    await using shared = await connect.mock({ nodesExist: { dev: true, "*": false } })
    assert.isFalse(await shared.nodesExist("prod"))
    assert.deepStrictEqual((await shared.calls()).map(({ method }) => method), ["nodesExist"])
  })

  it("is closed once: its calls are aborted, and what it held is released", async () => {
    const context = await Effect.runPromise(Layer.buildWithScope(Memory.layer({ clusters }), Scope.makeUnsafe()))
    const service = Context.get(context, Memory.Memory)
    const memory = await connect(Memory.Memory, Layer.succeed(Memory.Memory, service), {
      createNodesScoped: true,
      failWhile: true
    })
    await memory.createNodesScoped(spec)
    await memory.setLatency({ operation: "start", latency: "50 millis" })
    const starting = rejection(memory.startNodes("dev"))
    await new Promise((resolve) => setTimeout(resolve, 20))
    await soon(memory.close())
    assert.instanceOf(await soon(starting), AbortError)
    assert.instanceOf(await rejection(memory.listAllClusters()), AbortError)
    await memory.close()
    assert.deepStrictEqual(await Effect.runPromise(service.provider.listAllClusters), ["dev"] as never)
  })
})

describe("the options of a call", () => {
  it("abort it: the promise is rejected with an AbortError that has the signal's reason (U14)", async () => {
    await using memory = await connect.memory({ clusters, latency: { start: "1 hour" } })
    const controller = new AbortController()
    const starting = rejection(memory.startNodes("dev", { signal: controller.signal }))
    setTimeout(() => controller.abort("enough"), 20)
    const error = await soon(starting)
    assert.instanceOf(error, AbortError)
    assert.deepStrictEqual([error.name, error.code, error.cause], ["AbortError", "ABORT_ERR", "enough"])
    assert.instanceOf(await rejection(memory.listNodes("dev", { signal: controller.signal })), AbortError)
  })

  it("an aborted create leaves nothing (U14)", async () => {
    await using memory = await connect.memory({ latency: { start: "50 millis" } })
    const controller = new AbortController()
    const creating = rejection(memory.createNodes(spec, {
      signal: controller.signal,
      onEvent: (event) => event._tag === "Sent" && event.subject.kind === "node" && controller.abort()
    }))
    assert.instanceOf(await soon(creating), AbortError)
    const { nodes, resources } = await memory.world()
    assert.deepStrictEqual({ nodes, resources }, { nodes: [], resources: [] })
  })

  it("get the events, in order; what they throw is ignored", async () => {
    await using memory = await connect.memory({ clusters })
    const settled: Array<string> = []
    await memory.startNodes("dev", {
      onEvent: async (event) => {
        await Promise.resolve()
        if (event._tag === "Settled") settled.push(event.subject.name)
        throw new Error("of the caller")
      }
    })
    assert.deepStrictEqual(settled, ["dev-control-plane", "dev-worker"])
  })

  it("override the policy", async () => {
    await using memory = await connect.memory({ clusters })
    await memory.failNext({ operation: "list", reason: new Locked({ detail: "busy" }) })
    const error = await rejection(memory.listNodes("dev", { policy: { retry: Schedule.recurs(0) } }))
    assert.propertyVal(error, "_tag", "BackendError")
  })

  it("come after the method's own options too, and an empty record is none of them", async () => {
    const seen: Array<ReadonlyArray<unknown>> = []
    const service = {
      ...Context.get(await Effect.runPromise(Effect.scoped(Layer.build(Mock.layer()))), Mock.Mock),
      own: (...args: ReadonlyArray<unknown>) => Effect.sync(() => void seen.push(args))
    }
    const key = Context.Service<typeof service>("test/Own")
    await using own = await connect(key, Layer.succeed(key, service), { createNodesScoped: true })
    await own.own({ nodes: ["a"] }, { onEvent: () => {} })
    await own.own({ signal: undefined, nodes: ["a"] })
    await own.own({})
    assert.deepStrictEqual(seen, [[{ nodes: ["a"] }], [{ signal: undefined, nodes: ["a"] }], [{}]])
  })
})

describe("a watch", () => {
  it("is an async iterable; leaving the loop ends it (U14)", async () => {
    await using memory = await connect.memory({ clusters })
    const phases: Array<string> = []
    for await (const status of memory.watchCluster("dev")) {
      phases.push(status.phase)
      if (status.phase === "stopped") void memory.startNodes("dev")
      if (status.ready) break
    }
    assert.strictEqual(phases[0], "stopped")
    assert.strictEqual(phases.at(-1), "running")
  })

  it("throws an AbortError when its signal is aborted, and when its connection is closed (U14)", async () => {
    const memory = await connect.memory({ clusters })
    const drained = async (signal?: AbortSignal) => {
      for await (const _ of memory.watchCluster("dev", signal === undefined ? {} : { signal })) void _
    }
    const controller = new AbortController()
    const first = rejection(drained(controller.signal))
    const second = rejection(drained())
    setTimeout(() => controller.abort(), 20)
    assert.instanceOf(await soon(first), AbortError)
    await memory.close()
    assert.instanceOf(await soon(second), AbortError)
  })
})

describe("a scoped create", () => {
  it("is deleted at the end of the block (U14)", async () => {
    await using memory = await connect.memory()
    {
      await using held = await memory.createNodesScoped(spec)
      assert.strictEqual(held.value.clusterName, "tmp")
      assert.deepStrictEqual(await memory.listAllClusters(), ["tmp"] as never)
    }
    assert.deepStrictEqual(await memory.listAllClusters(), [])
  })

  it("that fails leaves nothing, and rejects", async () => {
    await using memory = await connect.memory()
    await memory.failNext({ operation: "start", node: "tmp-worker", reason: new Protected({ detail: "no" }) })
    assert.propertyVal(await rejection(memory.createNodesScoped(spec)), "_tag", "NodesNotCreated")
    assert.deepStrictEqual(await memory.listAllClusters(), [])
  })
})
