/** Puts a fake Omni together: its store, controllers, services and server. `OmniFake.ts` exports it. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import { type Role, typeOf } from "./Access.ts"
import { makeAccounts } from "./Accounts.ts"
import { makeCalls } from "./Calls.ts"
import { makeController } from "./Controller.ts"
import { makeDispatch } from "./Dispatch.ts"
import type { FakeResource, OmniFakeService, Options, TalosVersion } from "./FakeService.ts"
import { makeServer } from "./GrpcServer.ts"
import { makeInProcess } from "./InProcess.ts"
import { makeKubeconfigs } from "./Kubeconfigs.ts"
import { label } from "./Labels.ts"
import { type Machine, type MachineOptions, makeMachine } from "./Machines.ts"
import { makeManagement } from "./Management.ts"
import { makeState } from "./State.ts"
import { makeStore } from "./Store.ts"
import { makeThrottle } from "./Throttle.ts"
import { makeValidation } from "./Validation.ts"
import { compareVersions, minorSteps } from "./Versions.ts"
import { makeWatches } from "./Watch.ts"
import { loadWire, namespaceOf, schemaOf } from "./Wire.ts"

const adminName = "automation"

const defaultVersions: ReadonlyArray<TalosVersion> = [
  { version: "1.8.4", kubernetes: ["1.30.0", "1.31.0"], deprecated: true },
  { version: "1.10.7", kubernetes: ["1.32.0", "1.33.0"] },
  { version: "1.11.2", kubernetes: ["1.32.0", "1.33.0", "1.34.1"] },
  { version: "1.12.0-beta.1", kubernetes: ["1.34.1", "1.35.0"] }
]

const defaultExtensions = [
  "siderolabs/gvisor",
  "siderolabs/hello-world-service",
  "siderolabs/iscsi-tools",
  "siderolabs/qemu-guest-agent",
  "siderolabs/tailscale",
  "siderolabs/util-linux-tools"
]

export const makeFake = Effect.fnUntraced(function*(
  options: Options = {}
): Effect.fn.Return<OmniFakeService, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  const now = () => clock.currentTimeMillisUnsafe()
  const sleep = (duration: Duration.Duration): Promise<void> =>
    Effect.runPromiseWith(context)(Effect.sleep(duration)).catch(() => undefined)

  const pace = Duration.fromInputUnsafe(options.pace ?? "2 millis")
  const latency = Duration.fromInputUnsafe(options.latency ?? 0)
  const noticeAfter = Duration.fromInputUnsafe(options.noticeAfter ?? "3 minutes")
  const absent = new Set((options.absentKinds ?? ["MachineInstallDiskConfigs"]).map(typeOf))
  const versions = options.talosVersions ?? defaultVersions

  const wire = yield* Effect.promise(loadWire)
  const store = makeStore(now)
  const machines = new Map<string, Machine>()
  const log = makeCalls()
  const stuck = new Set<string>()
  let role: Role = "Admin"
  let eula = true
  let skew = 0
  let available = true
  let writeLimit = options.writeLimit
  let cutting = { every: 0, times: 0, seen: 0 }
  const violated = (what: string) => void log.violations.push(what)

  // Signatures have the time of the machine, whatever Clock the test runs on.
  const accounts = yield* Effect.promise(() => makeAccounts({ now: () => Date.now() + skew, violated }))

  // ---------------------------------------------------------------------------
  // Controllers
  // ---------------------------------------------------------------------------

  const controller = makeController({
    wire,
    store,
    machines,
    stuck,
    now,
    noticeMillis: Duration.toMillis(noticeAfter)
  })
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
  const settled = Effect.andThen(Effect.yieldNow, atRest.await)

  // ---------------------------------------------------------------------------
  // Resources and machines
  // ---------------------------------------------------------------------------

  let added = 0
  const addMachine = (machineOptions: MachineOptions = {}): string => {
    const machine = makeMachine(++added, machineOptions)
    machines.set(machine.id, machine)
    changed()
    return machine.id
  }

  const keyOf = (kind: string, id: string) => ({ namespace: namespaceOf(kind), type: typeOf(kind), id })

  const put: OmniFakeService["put"] = (kind, resource) =>
    Effect.sync(() => {
      const key = keyOf(kind, resource.id)
      const old = store.get(key)
      const schema = schemaOf(wire, key.type)
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

  for (const { deprecated, kubernetes, version } of versions) {
    yield* put("TalosVersions", {
      id: version,
      owner: "VersionsController",
      spec: {
        version,
        compatibleKubernetesVersions: kubernetes,
        deprecated: deprecated ?? false,
        upgradableTalosVersions: versions.map((each) => each.version).filter((to) => {
          const steps = minorSteps(version, to) ?? -1
          return steps >= 0 && steps <= 2 && compareVersions(to, version) > 0
        })
      }
    })
  }
  for (const version of new Set(versions.flatMap(({ kubernetes }) => kubernetes))) {
    yield* put("KubernetesVersions", { id: version, owner: "VersionsController", spec: { version } })
  }
  yield* put("SysVersions.system.sidero.dev", {
    id: "current",
    spec: { backendVersion: `v${options.serverVersion ?? "1.9.3"}`, instanceName: "fake", backendApiVersion: 1 }
  })
  for (const [name, matchLabels] of Object.entries(options.machineClasses ?? {})) {
    yield* put("MachineClasses", { id: name, spec: { matchLabels } })
  }
  const requested = options.machines ?? 0
  const first = typeof requested === "number" ? Array.from({ length: requested }, () => ({})) : requested
  for (const each of first) addMachine(each)

  // ---------------------------------------------------------------------------
  // Services
  // ---------------------------------------------------------------------------

  let endpoint = ""
  const throttle = makeThrottle(() => writeLimit, now, (millis) => sleep(Duration.millis(millis)))
  const validation = makeValidation({
    wire,
    store,
    machines,
    extensions: new Set(options.extensions ?? defaultExtensions)
  })
  const watches = makeWatches({
    wire,
    store,
    absent,
    violated,
    cutsNow: () => {
      if (cutting.every === 0 || cutting.times === 0) return false
      cutting.seen++
      if (cutting.seen % cutting.every !== 0) return false
      cutting.times--
      return true
    }
  })
  const management = makeManagement({
    wire,
    store,
    accounts,
    machines,
    isConnected: controller.isConnected,
    changed
  })
  const dispatch = makeDispatch({
    wire,
    log,
    accounts,
    watches,
    management,
    state: makeState({ wire, store, validation, throttle, absent, violated }),
    kubeconfigs: makeKubeconfigs({ wire, store, endpoint: () => endpoint, now }),
    delay: () => Duration.toMillis(latency) > 0 ? sleep(latency) : Promise.resolve(),
    eulaAccepted: () => eula,
    endpoint: () => endpoint,
    highestRole: () => role
  })

  const server = yield* Effect.promise(() =>
    makeServer({ wire, dispatch, port: options.port ?? 0, tls: options.tls, beforeStop: watches.stopAll })
  )
  yield* Effect.acquireRelease(server.start, () => server.stop)
  endpoint = server.endpoint()
  const serviceAccountKey = yield* Effect.promise(() => accounts.make(adminName))

  const addCluster: OmniFakeService["addCluster"] = (name, { controlPlanes, machine, workers }) =>
    Effect.gen(function*() {
      const version = versions.find(({ deprecated }) => deprecated !== true)
      const talosVersion = version?.version ?? ""
      yield* put("Clusters", {
        id: name,
        spec: { talosVersion, kubernetesVersion: version?.kubernetes.at(-1) ?? "", features: {} }
      })
      const ids: Array<string> = []
      for (
        const [set, kind, roleName, count] of [
          ["control-planes", "control-plane", label.controlPlane, controlPlanes],
          ["workers", "worker", label.worker, workers]
        ] as const
      ) {
        const labels = { [label.cluster]: name, [roleName]: "" }
        if (count > 0) yield* put("MachineSets", { id: `${name}-${set}`, labels, spec: { updateStrategy: 1 } })
        for (let index = 0; index < count; index++) {
          const id = addMachine({
            talosVersion: `v${talosVersion}`,
            installed: true,
            ...machine,
            hostname: `${name}-${kind}-${index + 1}`
          })
          ids.push(id)
          yield* put("MachineSetNodes", { id, labels: { ...labels, [label.set]: `${name}-${set}` }, spec: {} })
        }
      }
      controller.arrive(name, ids)
      yield* settled
      return ids
    })

  return {
    endpoint,
    serviceAccountKey,
    transport: makeInProcess({
      wire,
      dispatch,
      address: endpoint,
      caller: { name: adminName, role: "Admin" },
      available: () => available
    }),
    makeAccount: (name, lifetime, held) =>
      Effect.promise(() =>
        accounts.make(
          name,
          lifetime === undefined ? undefined : Duration.toSeconds(Duration.fromInputUnsafe(lifetime)),
          held
        )
      ),
    forgetAccounts: Effect.sync(accounts.forget),
    addMachine: (machineOptions) => Effect.sync(() => addMachine(machineOptions)),
    removeMachine: (id) =>
      Effect.sync(() => {
        controller.forgetMachine(id)
        changed()
      }),
    changeMachine: (id, change) =>
      Effect.sync(() => {
        const machine = machines.get(id)
        if (machine === undefined) return
        if (change.connected === true) machine.cutAt = undefined
        machine.connected = change.connected ?? machine.connected
        machine.power = change.power ?? machine.power
        machine.held = change.held ?? machine.held
        changed()
      }),
    cutMachine: (id) =>
      Effect.suspend(() => {
        const machine = machines.get(id)
        if (machine === undefined) return Effect.void
        machine.cutAt = now()
        return Effect.asVoid(Effect.forkDetach(Effect.andThen(Effect.sleep(noticeAfter), Effect.sync(changed))))
      }),
    log: (id, line) => Effect.sync(() => management.log(id, line)),
    machines: Effect.sync(() => [...machines.values()].map((machine) => ({ ...machine }))),
    addCluster,
    resources: (kind) =>
      Effect.sync(() => {
        const schema = schemaOf(wire, typeOf(kind))
        return store.list(typeOf(kind), namespaceOf(kind)).map(({ metadata, spec }): FakeResource => ({
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
    remove: (kind, id) => Effect.sync(() => store.drop(keyOf(kind, id))),
    calls: Effect.sync(() => [...log.calls]),
    violations: Effect.sync(() => [...log.violations]),
    openWatches: Effect.sync(watches.count),
    failNext: (failure) => Effect.sync(() => void log.order(failure)),
    failWhile: (failure) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => log.order({ ...failure, times: Number.POSITIVE_INFINITY })),
        (withdraw) => Effect.sync(withdraw)
      )),
    cutWatches: Effect.sync(watches.cutAll),
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
    setAvailable: (next) =>
      Effect.suspend(() => {
        available = next
        return next ? server.start : server.stop
      }),
    setWriteLimit: (limit) =>
      Effect.sync(() => {
        writeLimit = limit
      }),
    settled
  }
})
