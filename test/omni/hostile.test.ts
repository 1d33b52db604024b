/** The Omni backend against invalid responses, races, wrong clocks, invalid names and old servers. */
import { create, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import * as grpc from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Omni from "kubelayer/layers/Omni"
import { inspect } from "node:util"
import * as Cosi from "../../src/omni/proto/cosi_pb.ts"
import * as Specs from "../../src/omni/proto/specs_pb.ts"
import { accountKey, makeKeys } from "./support/keys.ts"
import { tagOf, world } from "./support/world.ts"

const cluster = { name: "dev", kubernetes: { version: "v1.34.1" }, talos: { version: "v1.11.2" } } as const
const byClass = (workers: number): Omni.Template => ({
  cluster,
  controlPlane: { machineClass: { name: "small", size: 1 } },
  workers: [{ machineClass: { name: "small", size: workers } }]
})

// -----------------------------------------------------------------------------
// A server that says what it likes
// -----------------------------------------------------------------------------

type Answer = (method: string) => ReadonlyArray<Uint8Array>

/** A gRPC server that gives the same bytes to whatever it is asked, and the layer over it. */
const lying = (answer: Answer) =>
  Effect.gen(function*() {
    const server = new grpc.Server()
    const identity = (value: unknown) => value as Buffer
    const handlers: Record<string, unknown> = {}
    const definition: Record<string, grpc.MethodDefinition<Buffer, Buffer>> = {}
    for (
      const [name, stream] of [
        ["Get", false],
        ["List", true],
        ["Watch", true],
        ["Create", false],
        ["Update", false],
        ["Teardown", false],
        ["TeardownAndDestroy", false]
      ] as const
    ) {
      definition[name] = {
        path: `/cosi.resource.State/${name}`,
        requestStream: false,
        responseStream: stream,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity
      }
      handlers[name] = stream
        ? (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
          for (const each of answer(name)) call.write(Buffer.from(each))
          if (name === "List") call.end()
        }
        : (_: unknown, callback: grpc.sendUnaryData<Buffer>) => callback(null, Buffer.from(answer(name)[0] ?? []))
    }
    server.addService(definition, handlers as grpc.UntypedServiceImplementation)
    const port = yield* Effect.acquireRelease(
      Effect.callback<number>((resume) =>
        server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (_, port) =>
          resume(Effect.succeed(port)))
      ),
      () =>
        Effect.sync(() =>
          server.forceShutdown()
        )
    )
    const { privateKey } = yield* Effect.promise(() => makeKeys())
    return yield* Omni.make({
      endpoint: `http://127.0.0.1:${port}`,
      serviceAccountKey: accountKey(privateKey),
      machineClass: "small",
      policy: { retry: Schedule.recurs(0), requestTimeout: "2 seconds" }
    })
  })

const resource = (type: string, id: string, metadata: object = {}, spec: Uint8Array = new Uint8Array()) =>
  create(Cosi.ResourceSchema, {
    metadata: {
      namespace: "default",
      type: `${type}.omni.sidero.dev`,
      id,
      version: "1",
      phase: "running",
      ...metadata
    },
    spec: { protoSpec: spec, yamlSpec: "{}" }
  })

const got = (of: Cosi.Resource) => toBinary(Cosi.GetResponseSchema, create(Cosi.GetResponseSchema, { resource: of }))
const listed = (of: Cosi.Resource) =>
  toBinary(Cosi.ListResponseSchema, create(Cosi.ListResponseSchema, { resource: of }))

/** Everything that can be asked of a layer, each with its exit. */
const everything = (omni: Omni.OmniService) => {
  const { provider } = omni
  const short = { timeout: "300 millis" } as const
  return Effect.forEach(
    Object.entries(
      {
        listNodes: provider.listNodes("dev"),
        listAllClusters: provider.listAllClusters,
        nodesExist: provider.nodesExist("dev"),
        getClusterStatus: provider.getClusterStatus("dev"),
        startNodes: provider.startNodes("dev"),
        stopNodes: provider.stopNodes("dev"),
        deleteNodes: provider.deleteNodes("dev"),
        checkAvailable: provider.checkAvailable,
        watchCluster: Stream.runDrain(Stream.take(provider.watchCluster("dev"), 1)),
        createNodes: omni.createNodes({ cluster: "dev", controlPlanes: 1, workers: 1 }),
        sync: omni.sync(byClass(1)),
        plan: omni.planTemplate(byClass(1)),
        kubeconfig: omni.kubeconfig("dev"),
        talosconfig: omni.talosconfig("dev"),
        talosVersions: omni.talosVersions,
        availableMachines: omni.availableMachines,
        awaitReady: omni.awaitReady("dev", short),
        awaitUpgrade: omni.awaitUpgrade("dev", short),
        whyBlocked: omni.whyBlocked("dev"),
        sweep: omni.sweep({ olderThan: 0, remove: true })
      } as Record<string, Effect.Effect<unknown, { readonly _tag: string }>>
    ),
    ([name, effect]) => Effect.map(Effect.exit(Effect.timeoutOption(effect, "3 seconds")), (exit) => ({ name, exit })),
    { concurrency: "unbounded" }
  )
}

const defectsIn = (all: ReadonlyArray<{ readonly name: string; readonly exit: Exit.Exit<unknown, unknown> }>) =>
  all.flatMap(({ exit, name }) =>
    Exit.isFailure(exit) && (Cause.hasDies(exit.cause) || Cause.hasInterrupts(exit.cause))
      ? [`${name}: ${Cause.pretty(exit.cause)}`]
      : []
  )

describe("a server that lies", () => {
  const junk = new Uint8Array([0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3])
  const hostile = "../\u001b[31m\n${x}"
  const answers: Record<string, Answer> = {
    "with bytes that are no message": () => [junk],
    "with nothing": () => [new Uint8Array()],
    "with specs that are no specs": (method) =>
      method === "List"
        ? [listed(resource("Clusters", "dev", {}, junk))]
        : [got(resource("Clusters", "dev", {}, junk))],
    "with resources that were not asked for": (method) =>
      method === "List"
        ? [listed(resource("MachineSetNodes", "x", { labels: { "omni.sidero.dev/cluster": "prod" } }))]
        : [got(resource("ConfigPatches", "other"))],
    "with names and times that cannot be": (method) => {
      const metadata = {
        labels: {
          "omni.sidero.dev/cluster": "dev",
          "omni.sidero.dev/node-name": hostile,
          ["__proto__"]: "x",
          constructor: "y"
        },
        annotations: { "omni.sidero.dev/cluster-locked": hostile },
        created: { seconds: 2n ** 62n, nanos: -5 },
        finalizers: [hostile],
        version: "-1e9",
        phase: "somewhere"
      }
      return method === "List"
        ? [listed(resource("Clusters", hostile, metadata)), listed(resource("Clusters", "dev", metadata))]
        : [got(resource("Clusters", "dev", metadata))]
    }
  }

  for (const [how, answer] of Object.entries(answers)) {
    it.live(`${how} is no defect of ours`, () =>
      Effect.gen(function*() {
        const omni = yield* lying(answer)
        assert.deepStrictEqual(defectsIn(yield* everything(omni)), [])
      }), 30_000)
  }

  it.live("about whose machines they are is not believed", () =>
    Effect.gen(function*() {
      const spec = toBinary(
        Specs.ClusterMachineStatusSpecSchema,
        create(Specs.ClusterMachineStatusSpecSchema, { stage: 4, ready: true })
      )
      const of = (id: string, name: string) =>
        listed(resource("ClusterMachineStatuses", id, { labels: { "omni.sidero.dev/cluster": name } }, spec))
      const omni = yield* lying(() => [of("a", "dev"), of("b", "prod"), of("c", "devil")])
      assert.deepStrictEqual((yield* omni.provider.listNodes("dev")).map(({ id }) => id), ["a"])
    }), 30_000)
})

// -----------------------------------------------------------------------------
// Servers with a temper
// -----------------------------------------------------------------------------

describe("a server", () => {
  it.live("that is too old for the teardown method gets updates instead", () =>
    Effect.gen(function*() {
      const { fake, ids, omni, provider } = yield* world({ fake: { machines: 4 } })
      yield* fake.settled
      for (const method of ["Teardown", "TeardownAndDestroy"]) {
        const message = `unknown method ${method} for service cosi.resource.State`
        yield* fake.failNext({ method, code: 12, message, times: Number.POSITIVE_INFINITY })
      }
      yield* omni.sync(byClass(1))
      yield* omni.sync({ ...byClass(1), workers: [] })
      yield* fake.settled
      assert.deepStrictEqual(yield* ids("MachineSets"), ["dev-control-planes"])
      yield* provider.deleteNodes("dev")
      assert.deepStrictEqual(yield* ids("Clusters"), [])
      assert.deepStrictEqual(yield* fake.violations, [])
    }), 30_000)

  it.live(
    "with a wrong clock or without the account is reported as Unauthorized, and the call is not retried",
    () =>
      Effect.gen(function*() {
        const { fake, omni, provider } = yield* world()
        yield* fake.setSkew("10 minutes")
        const before = (yield* fake.calls).length
        const skewed = yield* provider.listNodes("dev").pipe(Effect.flip)
        assert.strictEqual(tagOf(skewed), "Unauthorized")
        assert.match(skewed.message, /clock/)
        assert.strictEqual((yield* fake.calls).length, before + 1)
        yield* fake.setSkew(0)
        assert.deepStrictEqual(yield* provider.listNodes("dev"), [])
        yield* fake.forgetAccounts
        for (const call of [provider.listNodes("dev"), omni.planTemplate(byClass(1)), omni.sweep({ olderThan: 0 })]) {
          const error = yield* (call as Effect.Effect<unknown, { readonly _tag: string }>).pipe(Effect.flip)
          assert.strictEqual(tagOf(error), "Unauthorized")
        }
        assert.isFalse(yield* provider.isAvailable)
      }),
    30_000
  )

  it.live("that goes away in the middle of a sync, and comes back, finds it again", () =>
    Effect.gen(function*() {
      const { fake, omni } = yield* world({ fake: { machines: 4, latency: "3 millis" } })
      yield* fake.settled
      for (const wait of [5, 20, 40, 60]) {
        const fiber = yield* Effect.forkChild(Effect.exit(omni.sync(byClass(wait % 3))))
        yield* Effect.sleep(wait)
        yield* fake.setAvailable(false)
        const exit = yield* Fiber.join(fiber)
        assert.isFalse(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        yield* fake.setAvailable(true)
      }
      yield* omni.sync(byClass(2)).pipe(Effect.retry({ times: 20, schedule: Schedule.spaced("100 millis") }))
      assert.deepStrictEqual((yield* omni.planTemplate(byClass(2))).changes, [])
    }), 30_000)
})

// -----------------------------------------------------------------------------
// Races
// -----------------------------------------------------------------------------

describe("at once", () => {
  it.live(
    "a sync and a delete end with the cluster or without it, and never with half of it",
    () =>
      Effect.gen(function*() {
        const { fake, ids, omni, provider } = yield* world({ fake: { machines: 4 } })
        yield* fake.settled
        for (let round = 0; round < 8; round++) {
          yield* omni.sync(byClass(1))
          const [synced, deleted] = yield* Effect.all([
            Effect.exit(omni.sync(byClass(round % 3))),
            Effect.exit(Effect.andThen(Effect.sleep(round), provider.deleteNodes("dev")))
          ], { concurrency: 2 })
          assert.isFalse(Exit.isFailure(synced) && Cause.hasDies(synced.cause))
          assert.isTrue(Exit.isSuccess(deleted))
          yield* provider.deleteNodes("dev")
          yield* fake.settled
          for (const kind of ["Clusters", "MachineSets", "MachineSetNodes", "ConfigPatches"]) {
            assert.deepStrictEqual(yield* ids(kind), [], `${kind} in round ${round}`)
          }
        }
        assert.deepStrictEqual(yield* fake.violations, [])
      }),
    30_000
  )

  it.live(
    "two creates of one cluster by two processes give one cluster, and a failure of one takes nothing of the other",
    () =>
      Effect.gen(function*() {
        const { fake, ids, omni } = yield* world({ fake: { machines: 6 } })
        yield* fake.settled
        const second = yield* Omni.make({
          endpoint: fake.endpoint,
          serviceAccountKey: fake.serviceAccountKey,
          machineClass: "small"
        })
        const spec = { cluster: "dev", controlPlanes: 1, workers: 2 }
        const both = yield* Effect.all([Effect.exit(omni.createNodes(spec)), Effect.exit(second.createNodes(spec))], {
          concurrency: 2
        })
        assert.isTrue(both.some(Exit.isSuccess))
        yield* fake.settled
        assert.deepStrictEqual(yield* ids("Clusters"), ["dev"])
        assert.strictEqual((yield* omni.provider.listNodes("dev")).length, 3)
        assert.deepStrictEqual(yield* fake.violations, [])
      }),
    30_000
  )

  it.live("everything interrupted leaves no watch open and sends nothing more", () =>
    Effect.gen(function*() {
      const { fake, newCalls, omni } = yield* world({ fake: { machines: 2, latency: "5 millis" } })
      yield* fake.addCluster("dev", { controlPlanes: 1, workers: 1 })
      yield* fake.hold("dev", true)
      for (const wait of [1, 8, 30, 120]) {
        const fiber = yield* Effect.forkChild(Effect.exit(everything(omni)))
        yield* Effect.sleep(wait)
        yield* Fiber.interrupt(fiber)
        yield* Effect.sleep("60 millis")
        yield* newCalls
        yield* Effect.sleep("60 millis")
        assert.deepStrictEqual(yield* newCalls, [])
        assert.strictEqual(yield* fake.openWatches, 0)
      }
    }), 30_000)
})

// -----------------------------------------------------------------------------
// Callers without types
// -----------------------------------------------------------------------------

describe("a caller without types", () => {
  const names = [
    "",
    " ",
    "../x",
    "a/b",
    "a'\"b",
    "${x}",
    "a\nb",
    "\u202Eb",
    "a,b=c",
    "x".repeat(254),
    5,
    null,
    undefined,
    {},
    []
  ]

  it.live("is refused before anything is sent, whatever the name", () =>
    Effect.gen(function*() {
      const { newCalls, omni } = yield* world()
      const { provider } = omni
      for (const name of names as ReadonlyArray<string>) {
        for (
          const call of [
            provider.listNodes(name),
            provider.deleteNodes(name),
            provider.startNodes(name),
            Stream.runDrain(provider.watchCluster(name)),
            omni.createNodes({ cluster: name, controlPlanes: 1, workers: 0 }),
            omni.kubeconfig(name),
            omni.talosconfig(name),
            omni.awaitReady(name),
            omni.awaitUpgrade(name),
            omni.whyBlocked(name),
            omni.sync({ ...byClass(1), cluster: { ...cluster, name } }),
            omni.planTemplate({ ...byClass(1), cluster: { ...cluster, name } })
          ] as ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string; readonly message: string }>>
        ) {
          const error = yield* Effect.flip(call)
          assert.include(["InvalidClusterName", "InvalidSpec"], error._tag)
          assert.notMatch(error.message.replace(/\n {2}- /g, ""), /[\n\u202E]/)
        }
      }
      assert.deepStrictEqual(yield* newCalls, [])
    }), 30_000)

  it.live("gets all issues of a spec with the wrong shape together", () =>
    Effect.gen(function*() {
      const { newCalls, omni } = yield* world()
      const wrong: ReadonlyArray<unknown> = [
        { cluster: "dev" },
        { cluster: "dev", controlPlanes: "3", workers: -1 },
        { cluster: "dev", controlPlanes: Number.NaN, workers: 1.5 },
        { cluster: "dev", controlPlanes: 1, workers: 1e9 },
        { cluster: "dev", controlPlanes: 1, workers: 0, labels: { "omni.sidero.dev/cluster": "x", a: 5 } },
        { cluster: "dev", controlPlanes: 1, workers: 0, labels: "x" },
        { cluster: "dev", controlPlanes: 1, workers: 0, labels: [1] }
      ]
      for (const spec of wrong) {
        const error = yield* omni.createNodes(spec as never).pipe(Effect.flip)
        assert.strictEqual(error._tag, "InvalidSpec", inspect(spec))
      }
      for (const options of [{ ttl: -1 }, { ttl: "soon" }, { ttl: Number.NaN }, { user: "" }, { ttl: "20000 weeks" }]) {
        const error = yield* omni.kubeconfig("dev", options as never).pipe(Effect.flip)
        assert.strictEqual(error._tag, "InvalidSpec", inspect(options))
      }
      assert.deepStrictEqual(yield* newCalls, [])
    }), 30_000)
})
