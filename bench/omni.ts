/**
 * Measures Omni's backend over a fake Omni in the same process: the calls of a wait, the delay of a change, the
 * decoding of a large cluster, and signing.
 *
 * The fake server's own work is in every time that goes over the wire.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Omni from "../src/layers/Omni.ts"
import type { ClusterName } from "../src/Model.ts"
import { toNodes } from "../src/omni/ClusterNodes.ts"
import { makeSigner } from "../src/omni/Signing.ts"
import { decode, Kinds, loadProtos } from "../src/omni/Wire.ts"
import * as OmniFake from "../src/testing/OmniFake.ts"
import { atMost, below, exactly, type Measured, type NotMeasured, type Row } from "./row.ts"
import { inTurns, median, millisOf, now, percentile, spread } from "./samples.ts"

const cluster = "dev" as ClusterName
const MACHINES = 500
const CHANGES = 300
const SIGNATURES = 300
const ROUNDS = 15

const asNotMeasured = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, NotMeasured, R> =>
  Effect.mapError(self, (error) => ({ message: error instanceof Error ? error.message : String(error) }))

const stage = (options: OmniFake.Options = {}) =>
  Effect.gen(function*() {
    const fake = yield* OmniFake.make(options)
    const omni = yield* Omni.make({ endpoint: fake.endpoint, serviceAccountKey: fake.serviceAccountKey })
    return { fake, omni }
  })

const measured = <E>(work: Effect.Effect<Measured, E, Scope.Scope>): Effect.Effect<Measured, NotMeasured> =>
  asNotMeasured(Effect.scoped(work))

/** Three wait for a cluster that grows for a second; the count is that of the calls after the first list of each. */
const wait = (count: (calls: ReadonlyArray<string>) => number) =>
  measured(Effect.gen(function*() {
    const { fake, omni } = yield* stage({ pace: "50 millis" })
    const [id = ""] = yield* fake.addCluster(cluster, { controlPlanes: 1, workers: 2 })
    yield* fake.changeMachine(id, { connected: false })
    yield* fake.settled
    const before = (yield* fake.calls).length
    const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(omni.awaitReady(cluster)))
    yield* Effect.sleep("500 millis")
    const calls = (yield* fake.calls).slice(before).map(({ method, type }) => `${method} ${type}`)
    yield* fake.changeMachine(id, { connected: true })
    yield* Effect.forEach(fibers, Fiber.join)
    return { value: count(calls), detail: `3 waiters: ${calls.join(", ")}` }
  }))

const latency = measured(Effect.gen(function*() {
  const { fake, omni } = yield* stage({ pace: 0 })
  const [id = ""] = yield* fake.addCluster(cluster, { controlPlanes: 1, workers: 19, machine: { power: "on" } })
  const arrivals = yield* Queue.unbounded<readonly [at: number, ready: number]>()
  yield* omni.provider.watchCluster(cluster).pipe(
    Stream.runForEach(({ nodesReady }) => Effect.flatMap(now, (at) => Queue.offer(arrivals, [at, nodesReady]))),
    Effect.forkScoped
  )
  yield* Queue.take(arrivals)
  const times: Array<number> = []
  for (let change = 0; change < CHANGES; change++) {
    const power = change % 2 === 0 ? "off" : "on"
    const wanted = power === "on" ? 20 : 19
    const began = yield* now
    yield* fake.changeMachine(id, { power })
    let [at, ready] = yield* Queue.take(arrivals)
    while (ready !== wanted) [at, ready] = yield* Queue.take(arrivals)
    times.push(at - began)
    // The reaction of the fake's controllers is another change.
    yield* fake.settled
    yield* Effect.sleep("5 millis")
    yield* Queue.clear(arrivals)
  }
  return { value: percentile(times, 0.99), detail: `${spread(times)}; ${CHANGES} changes` }
}))

const statusCalls = measured(Effect.gen(function*() {
  const { fake, omni } = yield* stage()
  yield* fake.addCluster(cluster, { controlPlanes: 3, workers: MACHINES - 3 })
  yield* omni.provider.checkAvailable
  const before = (yield* fake.calls).length
  const taken = yield* millisOf(omni.provider.getClusterStatus(cluster))
  const calls = (yield* fake.calls).slice(before).map(({ method, type }) => `${method} ${type}`)
  return { value: calls.length, detail: `${calls.join(", ")}; ${taken.toFixed(0)} ms with the fake's own work` }
}))

/** Reading the answers of a list of machines into nodes, against the generated decoder on the same bytes. */
const decoding = measured(Effect.gen(function*() {
  const protos = yield* Effect.promise(loadProtos)
  const { cosi, protobuf, specs } = protos
  const answers = Array.from({ length: MACHINES }, (_, index) =>
    protobuf.toBinary(
      cosi.ListResponseSchema,
      protobuf.create(cosi.ListResponseSchema, {
        resource: {
          metadata: {
            namespace: "default",
            type: Kinds.ClusterMachineStatus.type,
            id: `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`,
            version: "7",
            owner: "ClusterMachineStatusController",
            phase: "running",
            created: { seconds: 1_760_000_000n, nanos: 1 },
            updated: { seconds: 1_760_000_100n, nanos: 1 },
            labels: {
              "omni.sidero.dev/cluster": cluster,
              "omni.sidero.dev/machine-set": `${cluster}-workers`,
              "omni.sidero.dev/role-worker": "",
              "omni.sidero.dev/connected": "",
              "omni.sidero.dev/hostname": `machine-${index}`,
              "omni.sidero.dev/node-name": `machine-${index}`
            },
            annotations: {},
            finalizers: ["ClusterMachineController"]
          },
          spec: {
            protoSpec: protobuf.toBinary(
              specs.ClusterMachineStatusSpecSchema,
              protobuf.create(specs.ClusterMachineStatusSpecSchema, {
                ready: true,
                stage: 4,
                configUpToDate: true,
                managementAddress: "fdae:41e4:649b:9303::1",
                configApplyStatus: 2
              })
            ),
            yamlSpec: "ready: true\nstage: 4\nconfiguptodate: true\nmanagementaddress: fdae:41e4:649b:9303::1\n"
          }
        }
      })
    ))
  const generated = () =>
    answers.map((bytes) => {
      const { resource } = protobuf.fromBinary(cosi.ListResponseSchema, bytes)
      return protobuf.fromBinary(specs.ClusterMachineStatusSpecSchema, resource?.spec?.protoSpec ?? new Uint8Array())
    })
  const ours = () =>
    toNodes(
      cluster,
      answers.flatMap((bytes) => {
        const { resource } = protobuf.fromBinary(cosi.ListResponseSchema, bytes)
        return resource === undefined ? [] : [decode(protos, Kinds.ClusterMachineStatus, resource)]
      })
    )
  const contestants = { ours: millisOf(Effect.sync(ours)), generated: millisOf(Effect.sync(generated)) }
  yield* inTurns(10, contestants)
  const times = yield* inTurns(ROUNDS, contestants)
  return {
    value: median(times.ours) / median(times.generated),
    detail: `${spread(times.ours)} into sorted nodes, against ${spread(times.generated)} of the generated decoder`
  }
}))

const signing = measured(Effect.gen(function*() {
  const fake = yield* OmniFake.make()
  const signer = yield* makeSigner(fake.serviceAccountKey)
  yield* signer.sign("/cosi.resource.State/Get")
  const times: Array<number> = []
  for (let each = 0; each < SIGNATURES; each++) times.push(yield* millisOf(signer.sign("/cosi.resource.State/Get")))
  return { value: median(times), detail: `${spread(times)}; ${SIGNATURES} signatures after the first` }
}))

export const omniRows: ReadonlyArray<Row> = [
  {
    id: "omni.wait.streams",
    what: "streams on which three wait for one cluster",
    target: exactly(1),
    measure: wait((calls) => calls.filter((call) => call.startsWith("Watch")).length)
  },
  {
    id: "omni.wait.polls",
    what: "calls of a wait after its first list and its stream, while nothing happens",
    target: exactly(0),
    measure: wait((calls) => calls.filter((call) => !call.startsWith("Watch") && call !== "Get Clusters").length)
  },
  {
    id: "omni.watch.latency",
    what: "ms from a change on the server to the element at the caller, p99",
    target: below(50),
    measure: latency
  },
  {
    id: "omni.status.calls",
    what: `calls for the status and the nodes of ${MACHINES} machines`,
    target: exactly(2),
    measure: statusCalls
  },
  {
    id: "omni.decode",
    what: `${MACHINES} machines into nodes, / the generated decoder alone`,
    target: atMost(3),
    measure: decoding
  },
  { id: "omni.sign", what: "ms for a signature after the first, median", target: atMost(2), measure: signing }
]
