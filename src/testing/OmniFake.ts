/**
 * A fake Omni: a real gRPC server on the loopback interface that keeps resources as Omni does, plays its controllers, and
 * verifies signatures.
 *
 * It is for tests of programs that use `kubelayer/layers/Omni`, and for a first try without an account. It was written
 * from what is known of the wire and shares nothing with the client but the proto files. It runs on the Clock of the layer
 * that makes it, checks what it is sent (`violations`), and can be made to fail, lag, forget and cut.
 *
 * @since 0.1.0
 */
import type { DescMethod, Message } from "@bufbuild/protobuf"
import type * as Grpc from "@grpc/grpc-js"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Role } from "./omni/Access.ts"
import { callOf, makeCalls, type OmniCall, type OrderedFailure } from "./omni/Calls.ts"
import { label, makeController, typeOf } from "./omni/Controller.ts"
import { type Machine, type MachineOptions, makeMachine } from "./omni/Machines.ts"
import { makeManagement } from "./omni/Management.ts"
import { code, Refusal } from "./omni/Refusal.ts"
import { makeAccounts } from "./omni/Signatures.ts"
import { makeState } from "./omni/State.ts"
import { makeStore } from "./omni/Store.ts"
import { definitionOf, loadWire, schemaOf } from "./omni/Wire.ts"

export type { Role } from "./omni/Access.ts"
export type { OmniCall, OrderedFailure } from "./omni/Calls.ts"
export type { MachineOptions } from "./omni/Machines.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * A version of Talos that the fake offers.
 *
 * @category models
 * @since 0.1.0
 */
export interface TalosVersion {
  readonly version: string
  readonly kubernetes: ReadonlyArray<string>
  readonly deprecated?: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many free machines there are to begin with; none by default. More can be added. */
  readonly machines?: number | ReadonlyArray<MachineOptions>
  /** Machine classes by name, with the selectors of the machines that they take. */
  readonly machineClasses?: Readonly<Record<string, ReadonlyArray<string>>>
  readonly talosVersions?: ReadonlyArray<TalosVersion>
  /** From one step of the controllers to the next; 2 ms by default. */
  readonly pace?: Duration.Input
  /** How long each call takes; nothing by default. */
  readonly latency?: Duration.Input
  /** Kinds, in the plural, that the server is too old to know; `MachineInstallDiskConfigs` by default, as in releases up to 1.10. */
  readonly absentKinds?: ReadonlyArray<string>
  /** With a certificate the server speaks TLS. PEM. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** The port; a free one by default. */
  readonly port?: number
}

/**
 * A resource as the fake holds it.
 *
 * @category models
 * @since 0.1.0
 */
export interface FakeResource {
  readonly id: string
  readonly version: number
  readonly owner: string
  readonly phase: "running" | "tearingDown"
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly finalizers: ReadonlyArray<string>
  /** As protobuf writes it in JSON. */
  readonly spec: unknown
}

/**
 * What a test can do with a fake Omni.
 *
 * @category models
 * @since 0.1.0
 */
export interface OmniFakeService {
  /** `http://127.0.0.1:PORT`, or https. */
  readonly endpoint: string
  /** Of an account that may do everything; made for this fake and good for nothing else. */
  readonly serviceAccountKey: string
  /** The key of one more account. */
  readonly makeAccount: (name: string, lifetime?: Duration.Input) => Effect.Effect<string>
  /** Destroys all accounts: no key is known any more. */
  readonly forgetAccounts: Effect.Effect<void>
  /** Adds a free machine; gives its id. */
  readonly addMachine: (options?: MachineOptions) => Effect.Effect<string>
  /** The machine is no more, as after it was wiped. */
  readonly removeMachine: (id: string) => Effect.Effect<void>
  readonly changeMachine: (
    id: string,
    change: Partial<Pick<Machine, "connected" | "power" | "held">>
  ) => Effect.Effect<void>
  readonly machines: Effect.Effect<ReadonlyArray<Readonly<Machine>>>
  /** A cluster that runs already, on machines of its own; gives their ids, control planes first. */
  readonly addCluster: (
    name: string,
    nodes: { readonly controlPlanes: number; readonly workers: number; readonly machine?: MachineOptions }
  ) => Effect.Effect<ReadonlyArray<string>>
  /** The resources of a kind, in the plural, such as `Clusters`. */
  readonly resources: (kind: string) => Effect.Effect<ReadonlyArray<FakeResource>>
  /** Stores a resource as somebody else would; its spec in the JSON of protobuf. */
  readonly put: (
    kind: string,
    resource: Partial<Omit<FakeResource, "id" | "version">> & { readonly id: string }
  ) => Effect.Effect<void>
  readonly remove: (kind: string, id: string) => Effect.Effect<void>
  /** All calls so far. */
  readonly calls: Effect.Effect<ReadonlyArray<OmniCall>>
  /** What was sent against the protocol. */
  readonly violations: Effect.Effect<ReadonlyArray<string>>
  /** How many watches are open. */
  readonly openWatches: Effect.Effect<number>
  readonly failNext: (failure: OrderedFailure) => Effect.Effect<void>
  /** The same for every such call, as long as the scope is open. */
  readonly failWhile: (failure: Omit<OrderedFailure, "times">) => Effect.Effect<void, never, Scope.Scope>
  /** Cuts every watch that is open. */
  readonly cutWatches: Effect.Effect<void>
  /** Cuts a watch in place of every n-th event that any is to get, so often; 0 ends it. */
  readonly cutEvery: (events: number, times?: number) => Effect.Effect<void>
  /** Forgets what has happened: watches that resume from before have to start anew. */
  readonly expireBookmarks: Effect.Effect<void>
  /** The last finalizer of a cluster stays on, or goes. */
  readonly hold: (cluster: string, held: boolean) => Effect.Effect<void>
  readonly setRole: (role: Role) => Effect.Effect<void>
  readonly setEula: (accepted: boolean) => Effect.Effect<void>
  /** How far the server's clock is ahead of this machine's. */
  readonly setSkew: (skew: Duration.Input) => Effect.Effect<void>
  /** Without the server nobody can connect; it comes back on the same port, and has kept its resources. */
  readonly setAvailable: (available: boolean) => Effect.Effect<void>
  /** Waits until the controllers have nothing to do. */
  readonly settled: Effect.Effect<void>
}

/**
 * A fake Omni.
 *
 * **Example** (A program against it)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Omni from "kubelayer/layers/Omni"
 * import { OmniFake } from "kubelayer/testing"
 *
 * const program = Effect.gen(function*() {
 *   const fake = yield* OmniFake.OmniFake
 *   yield* fake.addCluster("dev", { controlPlanes: 1, workers: 2 })
 *   const omni = yield* Omni.make({ endpoint: fake.endpoint, serviceAccountKey: fake.serviceAccountKey })
 *   return yield* omni.provider.listNodes("dev")
 * })
 *
 * const nodes = await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(OmniFake.layer())))
 * console.log(nodes.map((node) => `${node.role} ${node.state}`).join(", "))
 * // => control-plane running, worker running, worker running
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class OmniFake extends Context.Service<OmniFake, OmniFakeService>()("kubelayer/testing/OmniFake") {}

const defaultVersions: ReadonlyArray<TalosVersion> = [
  { version: "1.8.4", kubernetes: ["1.30.0", "1.31.0"], deprecated: true },
  { version: "1.10.7", kubernetes: ["1.32.0", "1.33.0"] },
  { version: "1.11.2", kubernetes: ["1.32.0", "1.33.0", "1.34.1"] },
  { version: "1.12.0-beta.1", kubernetes: ["1.34.1", "1.35.0"] }
]

// -----------------------------------------------------------------------------
// The server
// -----------------------------------------------------------------------------

type Unary = Grpc.ServerUnaryCall<Message, Message>
type Streamed = Grpc.ServerWritableStream<Message, Message>

const asError = (error: unknown) =>
  error instanceof Refusal
    ? { code: error.code, details: error.message }
    : { code: code.internal, details: `the fake fell over: ${error instanceof Error ? error.stack : String(error)}` }

/**
 * Starts a fake Omni for as long as the scope is open.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<OmniFakeService, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const now = () => clock.currentTimeMillisUnsafe()
  const sleep = (duration: Duration.Duration): Promise<void> =>
    Effect.runPromiseWith(context)(Effect.sleep(duration)).catch(() => undefined)

  const pace = Duration.fromInputUnsafe(options.pace ?? "2 millis")
  const latency = Duration.fromInputUnsafe(options.latency ?? 0)
  const absent = new Set((options.absentKinds ?? ["MachineInstallDiskConfigs"]).map(typeOf))

  const wire = yield* Effect.promise(loadWire)
  const store = makeStore(now)
  const machines = new Map<string, Machine>()
  const log = makeCalls()
  const stuck = new Set<string>()
  let role: Role = "Admin"
  let eula = true
  let skew = 0
  let cutting = { every: 0, times: 0, seen: 0 }

  // The wall clock is what signatures are made with, whatever Clock the test runs on.
  const accounts = yield* Effect.promise(() =>
    makeAccounts({ now: () => Date.now() + skew, violated: (what) => void log.violations.push(what) })
  )

  // ---------------------------------------------------------------------------
  // Controllers
  // ---------------------------------------------------------------------------

  const controller = makeController(wire, store, machines, { stuck }, now)
  const work = yield* Latch.make(true)
  const atRest = yield* Latch.make(false)
  let dirty = true
  const changed = () => {
    dirty = true
    atRest.closeUnsafe()
    work.openUnsafe()
  }
  store.subscribe(changed)
  yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
    yield* work.await
    yield* work.close
    yield* Effect.sleep(pace)
    dirty = false
    if (controller.round()) yield* work.open
    else if (!dirty) yield* atRest.open
  })))

  let added = 0
  const addMachine = (machineOptions: MachineOptions = {}): string => {
    const machine = makeMachine(++added, machineOptions)
    machines.set(machine.id, machine)
    changed()
    return machine.id
  }

  const put: OmniFakeService["put"] = (kind, resource) =>
    Effect.sync(() => {
      const type = typeOf(kind)
      const key = { namespace: "default", type, id: resource.id }
      const old = store.get(key)
      const schema = schemaOf(wire, type)
      store.put({
        metadata: {
          ...key,
          version: (old?.metadata.version ?? 0) + 1,
          owner: resource.owner ?? old?.metadata.owner ?? "",
          phase: resource.phase ?? old?.metadata.phase ?? "running",
          created: old?.metadata.created ?? now(),
          updated: now(),
          finalizers: resource.finalizers ?? old?.metadata.finalizers ?? [],
          labels: resource.labels ?? old?.metadata.labels ?? {},
          annotations: resource.annotations ?? old?.metadata.annotations ?? {}
        },
        spec: resource.spec === undefined || schema === undefined
          ? old?.spec ?? new Uint8Array()
          : wire.protobuf.toBinary(schema, wire.protobuf.fromJson(schema, resource.spec as never))
      })
    })

  for (const { deprecated, kubernetes, version } of options.talosVersions ?? defaultVersions) {
    yield* put("TalosVersions", {
      id: version,
      owner: "VersionsController",
      spec: { version, compatibleKubernetesVersions: kubernetes, deprecated: deprecated ?? false }
    })
  }
  for (const [name, matchLabels] of Object.entries(options.machineClasses ?? {})) {
    yield* put("MachineClasses", { id: name, spec: { matchLabels } })
  }
  const asked = options.machines ?? 0
  for (const each of typeof asked === "number" ? Array.from({ length: asked }, () => ({})) : asked) addMachine(each)

  // ---------------------------------------------------------------------------
  // Services
  // ---------------------------------------------------------------------------

  const state = makeState({
    wire,
    store,
    role: () => role,
    absent,
    violated: (what) => void log.violations.push(what),
    cutsNow: () => {
      if (cutting.every === 0 || cutting.times === 0) return false
      cutting.seen++
      if (cutting.seen % cutting.every !== 0) return false
      cutting.times--
      return true
    }
  })
  let endpoint = ""
  const management = makeManagement({ wire, store, machines, role: () => role, endpoint: () => endpoint, now, changed })

  /** What every call passes before it is carried out; gives the name of the account. */
  const enter = async (method: string, name: string, request: Message, metadata: Grpc.Metadata) => {
    const call = callOf(name, request)
    log.record(call, request)
    if (Duration.toMillis(latency) > 0) await sleep(latency)
    const failure = log.failureOf(call, false)
    if (failure !== undefined) throw failure
    if (!eula) {
      throw new Refusal(code.failedPrecondition, "EULA has not been accepted; accept it in the web interface first")
    }
    return { call, identity: await accounts.verify(method, metadata) }
  }

  const leave = (call: OmniCall) => {
    const failure = log.failureOf(call, true)
    if (failure !== undefined) throw failure
  }

  const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`

  const unary = (
    method: DescMethod,
    handle: (request: never, call: Unary, identity: string) => Message | Promise<Message>
  ) =>
  (call: Unary, callback: Grpc.sendUnaryData<Message>): void => {
    enter(pathOf(method), method.name, call.request, call.metadata)
      .then(async ({ call: entry, identity }) => {
        const answer = await handle(call.request as never, call, identity)
        leave(entry)
        return answer
      })
      .then((answer) => callback(null, answer), (error) => callback(asError(error)))
  }

  const streamed = (method: DescMethod, handle: (call: Streamed) => void) => (call: Streamed): void => {
    enter(pathOf(method), method.name, call.request, call.metadata)
      // Who has gone meanwhile would never be told to end.
      .then(() => call.cancelled ? undefined : handle(call))
      .catch((error) => void call.emit("error", asError(error)))
  }

  const { method: states } = wire.cosi.State
  const { method: managements } = wire.management.ManagementService
  const cancelled = (call: Unary) => (f: () => void) => void call.on("cancelled", f)

  const implementation = {
    state: {
      Get: unary(states.get, state.get),
      List: streamed(states.list, (call) => {
        for (const item of state.list(call.request as never)) call.write(item)
        call.end()
      }),
      Create: unary(states.create, state.create),
      Update: unary(states.update, state.update),
      Destroy: unary(states.destroy, state.destroy),
      Teardown: unary(states.teardown, state.teardown),
      TeardownAndDestroy: unary(
        states.teardownAndDestroy,
        (request, call) => state.teardownAndDestroy(request, cancelled(call))
      ),
      Watch: streamed(states.watch, (call) => state.watch(call as never))
    },
    management: {
      Kubeconfig: unary(managements.kubeconfig, (request, call) => management.kubeconfig(request, call.metadata)),
      Talosconfig: unary(
        managements.talosconfig,
        (request, call, identity) => management.talosconfig(request, call.metadata, identity)
      ),
      MachinePowerOff: unary(managements.machinePowerOff, (request) => management.power(request, "off")),
      MachinePowerOn: unary(managements.machinePowerOn, (request) => management.power(request, "on"))
    }
  }

  const credentials = options.tls === undefined
    ? wire.grpc.ServerCredentials.createInsecure()
    : wire.grpc.ServerCredentials.createSsl(null, [{
      cert_chain: Buffer.from(options.tls.certificate),
      private_key: Buffer.from(options.tls.key)
    }])

  let server: Grpc.Server | undefined
  let port = options.port ?? 0
  const start = Effect.callback<void>((resume) => {
    const made = new wire.grpc.Server({ "grpc.max_receive_message_length": 32 * 1024 * 1024 })
    made.addService(definitionOf(wire, wire.cosi.State), implementation.state as never)
    made.addService(definitionOf(wire, wire.management.ManagementService), implementation.management as never)
    made.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) => {
      if (error !== null) return resume(Effect.die(error))
      port = bound
      server = made
      resume(Effect.void)
    })
  })
  // Watches learn why they end, as from a server that is stopped; forced, they would all seem to be cancelled.
  const stop = Effect.suspend(() => {
    const running = server
    server = undefined
    if (running === undefined) return Effect.void
    state.cutAll()
    return Effect.map(
      Effect.promise(() => new Promise<void>((resume) => setImmediate(() => setImmediate(resume)))),
      () => running.forceShutdown()
    )
  })
  yield* Effect.acquireRelease(start, () => stop)
  endpoint = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`
  const serviceAccountKey = yield* Effect.promise(() => accounts.make("automation"))
  const settled = Effect.andThen(Effect.yieldNow, atRest.await)

  return {
    endpoint,
    serviceAccountKey,
    makeAccount: (name, lifetime) =>
      Effect.promise(() =>
        accounts.make(name, lifetime === undefined ? undefined : Duration.toSeconds(Duration.fromInputUnsafe(lifetime)))
      ),
    forgetAccounts: Effect.sync(accounts.forget),
    addMachine: (machineOptions) => Effect.sync(() => addMachine(machineOptions)),
    removeMachine: (id) =>
      Effect.sync(() => {
        machines.delete(id)
        for (const kind of ["MachineStatuses", "Links", "ClusterMachineStatuses", "MachineSetNodes"]) {
          store.drop({ namespace: "default", type: typeOf(kind), id })
        }
        changed()
      }),
    changeMachine: (id, change) =>
      Effect.sync(() => {
        const machine = machines.get(id)
        if (machine === undefined) return
        machine.connected = change.connected ?? machine.connected
        machine.power = change.power ?? machine.power
        machine.held = change.held ?? machine.held
        changed()
      }),
    machines: Effect.sync(() => [...machines.values()].map((machine) => ({ ...machine }))),
    addCluster: (name, { controlPlanes, machine, workers }) =>
      Effect.gen(function*() {
        const newest = (options.talosVersions ?? defaultVersions).find(({ deprecated }) => deprecated !== true)
        yield* put("Clusters", {
          id: name,
          spec: {
            talosVersion: newest?.version ?? "",
            kubernetesVersion: newest?.kubernetes.at(-1) ?? "",
            features: {}
          }
        })
        const ids: Array<string> = []
        for (
          const [set, role, count] of [
            ["control-planes", label.controlPlane, controlPlanes],
            ["workers", label.worker, workers]
          ] as const
        ) {
          const labels = { [label.cluster]: name, [role]: "" }
          if (count > 0) yield* put("MachineSets", { id: `${name}-${set}`, labels, spec: { updateStrategy: 1 } })
          for (let index = 0; index < count; index++) {
            const id = addMachine({
              ...machine,
              hostname: `${name}-${set === "workers" ? "worker" : "control-plane"}-${index + 1}`
            })
            controller.arrive(id)
            ids.push(id)
            yield* put("MachineSetNodes", { id, labels: { ...labels, [label.set]: `${name}-${set}` }, spec: {} })
          }
        }
        yield* settled
        return ids
      }),
    resources: (kind) =>
      Effect.sync(() => {
        const schema = schemaOf(wire, typeOf(kind))
        return store.list(typeOf(kind), "default").map(({ metadata, spec }): FakeResource => ({
          id: metadata.id,
          version: metadata.version,
          owner: metadata.owner,
          phase: metadata.phase,
          labels: metadata.labels,
          annotations: metadata.annotations,
          finalizers: metadata.finalizers,
          spec: schema === undefined ? undefined : wire.protobuf.toJson(schema, wire.protobuf.fromBinary(schema, spec))
        }))
      }),
    put,
    remove: (kind, id) => Effect.sync(() => store.drop({ namespace: "default", type: typeOf(kind), id })),
    calls: Effect.sync(() => [...log.calls]),
    violations: Effect.sync(() => [...log.violations]),
    openWatches: Effect.sync(() => state.watches.size),
    failNext: (failure) => Effect.sync(() => void log.order(failure)),
    failWhile: (failure) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => log.order({ ...failure, times: Number.POSITIVE_INFINITY })),
        (withdraw) => Effect.sync(withdraw)
      )),
    cutWatches: Effect.sync(state.cutAll),
    cutEvery: (every, times = Number.POSITIVE_INFINITY) =>
      Effect.sync(() => {
        cutting = { every, times, seen: 0 }
      }),
    expireBookmarks: Effect.sync(store.compact),
    hold: (cluster, held) =>
      Effect.sync(() => {
        if (held) stuck.add(cluster)
        else stuck.delete(cluster)
        changed()
      }),
    setRole: (next) =>
      Effect.sync(() => {
        role = next
      }),
    setEula: (accepted) =>
      Effect.sync(() => {
        eula = accepted
      }),
    setSkew: (next) =>
      Effect.sync(() => {
        skew = Duration.toMillis(Duration.fromInputUnsafe(next))
      }),
    setAvailable: (available) => Effect.suspend(() => available ? server === undefined ? start : Effect.void : stop),
    settled
  }
})

/**
 * `OmniFake` for as long as the layer is in use.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<OmniFake> => Layer.effect(OmniFake, make(options))
