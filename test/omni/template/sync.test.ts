import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"
import type { Template } from "../../../src/omni/template/Model.ts"
import { plan, type TemplateChanges } from "../../../src/omni/template/Plan.ts"
import { kindOf } from "../../../src/omni/template/Specs.ts"
import { sync } from "../../../src/omni/template/Sync.ts"
import { writeOrder } from "../../../src/omni/template/Translate.ts"
import * as Policy from "../../../src/Policy.ts"
import { InvalidInput, RateLimited, Transport } from "../../../src/Reason.ts"
import { Seed, templateOf } from "./generated.ts"
import { account, failure, type Held } from "./heldState.ts"
import { cluster, machine, plainTemplate } from "./support.ts"

/** The types of the wire, in the order of writing. */
const kinds = writeOrder.map((name) => kindOf(name).type.split(".")[0] ?? "")

const instant = Schedule.recurs(5)

const policy = Effect.succeed(Policy.make({}))

const syncTo = (held: Held, template: string | Template, options: Parameters<typeof sync>[2] = {}) =>
  sync({ state: held.state, policy }, template, options)

const lines = ({ changes }: TemplateChanges) => changes.map(({ action, id, kind }) => `${action} ${kind} ${id}`)

const writes = (held: Held) => held.calls.filter(({ isWrite }) => isWrite)

/** The resources of a cluster, without versions. */
const contentOf = (held: Held) =>
  [...held.resources.values()]
    .filter(({ metadata: { type } }) => !/^(?:TalosVersions|MachineClasses|MachineStatuses)/.test(type))
    .map(({ metadata: { annotations, id, labels, owner, phase, type }, spec }) => ({
      type,
      id,
      labels,
      annotations,
      owner,
      phase,
      spec
    }))
    .sort((a, b) => `${a.type}/${a.id}` < `${b.type}/${b.id}` ? -1 : 1)

const settled = (template: Template) =>
  Effect.gen(function*() {
    const held = account()
    yield* syncTo(held, template)
    return contentOf(held)
  })

describe("syncing a template", () => {
  it.effect("creates missing resources in the order of their dependencies, and reports them", () =>
    Effect.gen(function*() {
      const held = account()
      const report = yield* syncTo(held, plainTemplate)
      assert.deepStrictEqual(lines(report), [
        "create Cluster dev",
        "create MachineSet dev-control-planes",
        "create MachineSet dev-workers",
        `create MachineSetNode ${machine(1)}`,
        `create MachineSetNode ${machine(2)}`,
        `create MachineSetNode ${machine(3)}`
      ])
      assert.deepStrictEqual(lines(yield* syncTo(held, plainTemplate)), [])
      assert.isTrue(contentOf(held).every(({ owner }) => owner === ""))
    }))

  it.effect("lists the steps of a sync in the plan, and writes nothing", () =>
    Effect.gen(function*() {
      const held = account()
      yield* syncTo(held, {
        ...plainTemplate,
        cluster: { ...cluster, patches: [{ name: "old", inline: { machine: {} } }] }
      })
      held.calls.length = 0
      const next: Template = {
        cluster: { ...cluster, talos: { version: "v1.11.5" } },
        controlPlane: { machines: [machine(1), machine(2)] },
        workers: [{ name: "new", machines: [machine(4)] }]
      }
      const told = yield* plan(held.state, next)
      assert.deepStrictEqual(writes(held), [])
      assert.deepStrictEqual(lines(told), [
        "destroy ConfigPatch 200-cluster-dev-old",
        "destroy MachineSet dev-workers",
        "create MachineSet dev-new",
        `create MachineSetNode ${machine(4)}`,
        "update Cluster dev"
      ])
      assert.deepStrictEqual(told.changes.find(({ action }) => action === "update")?.differences, [
        "talosVersion: 1.12.1 → 1.11.5"
      ])
      const done = yield* syncTo(held, next)
      assert.deepStrictEqual([...done.changes].sort(byKey), [...told.changes].sort(byKey))
      // Creates, then updates, then machines and sets, then the rest.
      assert.deepStrictEqual(writes(held).map(({ id, method }) => `${method} ${id}`), [
        "create dev-new",
        `create ${machine(4)}`,
        "update dev",
        "teardown dev-workers",
        "teardownAndDestroy dev-workers",
        "teardown 200-cluster-dev-old",
        "teardownAndDestroy 200-cluster-dev-old"
      ])
    }))

  it.effect("touches nothing of another cluster, of a controller, or of a machine class", () =>
    Effect.gen(function*() {
      const held = account()
      const label = (name: string) => ({ "omni.sidero.dev/cluster": name })
      held.put("Clusters", "prod")
      held.put("MachineSets", "prod-workers", { labels: label("prod") })
      held.put("ConfigPatches", "200-cluster-prod-a", { labels: label("prod") })
      held.put("ConfigPatches", "system", { labels: label("dev"), owner: "SomeController" })
      held.put("MachineSetNodes", machine(9), {
        labels: { ...label("dev"), "omni.sidero.dev/managed-by-machine-set-node-controller": "" }
      })
      const before = contentOf(held)
      yield* syncTo(held, plainTemplate)
      yield* syncTo(held, { cluster, controlPlane: {} })
      const after = contentOf(held)
      for (const each of before) assert.deepInclude(after, each)
    }))

  it.effect("refuses ids that are held by others, before it writes", () =>
    Effect.gen(function*() {
      const held = account()
      held.put("Clusters", "prod")
      held.put("MachineSets", "prod-workers", { labels: { "omni.sidero.dev/cluster": "prod" } })
      held.put("MachineSetNodes", machine(1), {
        labels: { "omni.sidero.dev/cluster": "prod", "omni.sidero.dev/machine-set": "prod-workers" }
      })
      held.put("ConfigPatches", "shared", { labels: {} })
      const faults = yield* syncTo(held, {
        ...plainTemplate,
        cluster: { ...cluster, patches: [{ idOverride: "shared", inline: { machine: {} } }] }
      }).pipe(Effect.flip)
      assert.deepStrictEqual(faults._tag === "InvalidSpec" ? faults.issues.map(({ message }) => message) : [], [
        "there is a ConfigPatch shared already, and it is of no cluster that is named; nothing of it was touched",
        `machine ${machine(1)} is taken by cluster prod`
      ])
      assert.deepStrictEqual(writes(held), [])
    }))

  it.effect("keeps the owner annotation of the cluster, and reports no difference for it", () =>
    Effect.gen(function*() {
      const held = account()
      yield* syncTo(held, plainTemplate, { marks: { "kubelayer.owned": "dev" } })
      assert.deepStrictEqual(lines(yield* syncTo(held, plainTemplate)), [])
      yield* syncTo(held, { ...plainTemplate, cluster: { ...cluster, labels: { a: "b" } } })
      assert.strictEqual(held.resources.get("Clusters/dev")?.metadata.annotations["kubelayer.owned"], "dev")
    }))

  it.effect("recreates a resource that is being torn down, after it is gone", () =>
    Effect.gen(function*() {
      const held = account()
      yield* syncTo(held, plainTemplate)
      yield* held.state.teardown({ type: "MachineSetNodes.omni.sidero.dev" } as never, machine(3))
      assert.deepStrictEqual(lines(yield* syncTo(held, plainTemplate)), [`recreate MachineSetNode ${machine(3)}`])
      assert.strictEqual(held.resources.get(`MachineSetNodes/${machine(3)}`)?.metadata.phase, "running")
    }))

  it.effect("reads a patch however it is stored", () =>
    Effect.gen(function*() {
      const held = account()
      const patched: Template = {
        ...plainTemplate,
        cluster: { ...cluster, patches: [{ idOverride: "p", inline: { machine: { env: { a: "1" } } } }] }
      }
      yield* syncTo(held, patched)
      const stored = held.resources.get("ConfigPatches/p")
      assert.isDefined(stored)
      if (stored === undefined) return
      const store = (spec: object, yaml: string) =>
        void held.resources.set("ConfigPatches/p", { ...stored, spec: spec as never, yaml })
      // Compressed in a way that only the server reads; its YAML has the text.
      store(
        { data: "", compressedData: new Uint8Array([1]) },
        "compresseddata: []\ndata: |\n  machine: {env: {a: '1'}}\n"
      )
      assert.deepStrictEqual(lines(yield* syncTo(held, patched)), [])
      for (const text of ["machine: [", "machine: {env: {a: '2'}}", ""]) {
        store({ data: text, compressedData: new Uint8Array() }, "")
        assert.deepStrictEqual(lines(yield* plan(held.state, patched)), ["update ConfigPatch p"])
      }
      store({ data: "", compressedData: new Uint8Array([1]) }, "data: [")
      assert.deepStrictEqual(lines(yield* syncTo(held, patched)), ["update ConfigPatch p"])
      assert.deepStrictEqual(lines(yield* syncTo(held, patched)), [])
    }))

  it.effect("lets no locked machine go", () =>
    Effect.gen(function*() {
      const held = account()
      const locked = (isLocked: boolean): Template => ({
        cluster,
        controlPlane: { machines: [machine(1)] },
        workers: [{ machines: [machine(2), machine(3)] }],
        machines: [{ name: machine(3), locked: isLocked }]
      })
      const without: Template = { ...locked(true), workers: [{ machines: [machine(2)] }], machines: [] }
      yield* syncTo(held, locked(true))
      held.calls.length = 0
      const error = yield* syncTo(held, without).pipe(Effect.flip)
      assert.strictEqual(error._tag === "BackendError" ? error.reason._tag : error._tag, "Protected")
      assert.include(error.message, machine(3))
      assert.deepStrictEqual(writes(held), [])
      yield* syncTo(held, locked(false))
      assert.deepStrictEqual(lines(yield* syncTo(held, without)), [`destroy MachineSetNode ${machine(3)}`])
    }))

  it.effect("refuses a cluster that is locked or being deleted, unless there is nothing to do", () =>
    Effect.gen(function*() {
      for (
        const [given, reason] of [
          [{ annotations: { "omni.sidero.dev/cluster-locked": "" } }, "Protected"],
          [{ phase: "tearingDown" }, "Locked"]
        ] as const
      ) {
        const held = account()
        yield* syncTo(held, plainTemplate)
        const found = held.resources.get("Clusters/dev")
        held.put("Clusters", "dev", { ...found?.metadata, spec: found?.spec as unknown as object, ...given } as never)
        held.calls.length = 0
        const error = yield* syncTo(held, { ...plainTemplate, workers: [] }).pipe(Effect.flip)
        assert.strictEqual(error._tag === "BackendError" ? error.reason._tag : error._tag, reason)
        assert.deepStrictEqual(writes(held), [])
      }
    }))

  it.effect("keeps the lock of a cluster and reports no difference for it (O21)", () =>
    Effect.gen(function*() {
      const held = account()
      yield* syncTo(held, plainTemplate)
      const found = held.resources.get("Clusters/dev")
      const annotations = { ...found?.metadata.annotations, "omni.sidero.dev/cluster-locked": "" }
      held.put("Clusters", "dev", { ...found?.metadata, annotations, spec: found?.spec as unknown as object } as never)
      held.calls.length = 0
      assert.deepStrictEqual((yield* plan(held.state, plainTemplate)).changes, [])
      assert.deepStrictEqual((yield* syncTo(held, plainTemplate)).changes, [])
      assert.deepStrictEqual(writes(held), [])
      assert.deepStrictEqual(held.resources.get("Clusters/dev")?.metadata.annotations, annotations)
    }))

  it.effect("shows manifests and health checks of the cluster before it removes them (O18)", () =>
    Effect.gen(function*() {
      const held = account()
      const labels = { "omni.sidero.dev/cluster": "dev" }
      yield* syncTo(held, plainTemplate)
      held.put("KubernetesManifestGroups", "200-cluster-dev-ns", { labels, spec: { data: "a: 1\n", mode: 1 } })
      held.put("KubernetesHealthChecks", "cluster-dev-hc", { labels, spec: { job: "a: 1\n" } })
      held.put("KubernetesHealthChecks", "cluster-other-hc", {
        labels: { "omni.sidero.dev/cluster": "other" },
        spec: { job: "a: 1\n" }
      })
      const { changes } = yield* plan(held.state, plainTemplate)
      assert.deepStrictEqual(changes.map(({ action, id, kind }) => `${action} ${kind} ${id}`), [
        "destroy KubernetesManifestGroup 200-cluster-dev-ns",
        "destroy KubernetesHealthCheck cluster-dev-hc"
      ])
      assert.deepStrictEqual(held.ids("KubernetesHealthChecks"), ["cluster-dev-hc", "cluster-other-hc"])
      yield* syncTo(held, plainTemplate)
      assert.deepStrictEqual(held.ids("KubernetesManifestGroups"), [])
      assert.deepStrictEqual(held.ids("KubernetesHealthChecks"), ["cluster-other-hc"])
    }))

  it.effect("names the resource and its place in the template when a write is refused (O13)", () =>
    Effect.gen(function*() {
      const held = account()
      held.before = ({ id, method }) =>
        method === "create" && id === "201-cluster-dev-bad"
          ? Effect.fail(failure(new InvalidInput({ detail: "failed to validate: no" })))
          : Effect.void
      const patch = (name: string) => ({ name, inline: { machine: { sysctls: { a: name } } } })
      const error = yield* syncTo(held, {
        ...plainTemplate,
        cluster: { ...cluster, patches: [patch("good"), patch("bad")] }
      }).pipe(Effect.flip)
      assert.match(
        error.message,
        /of resource ConfigPatch 201-cluster-dev-bad: InvalidInput: cluster\.patches\[1\]: failed to validate: no/
      )
    }))

  it.effect("waits while the server limits its writes, up to the time that a resource may take (O26)", () =>
    Effect.gen(function*() {
      const held = account()
      const start = yield* Clock.currentTimeMillis
      held.before = ({ isWrite }) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          isWrite && now - start < 120_000
            ? Effect.fail(failure(new RateLimited({ detail: "etcd write throttled out" })))
            : Effect.void)
      const fiber = yield* Effect.forkChild(syncTo(held, plainTemplate))
      yield* TestClock.adjust("20 minutes")
      assert.isNotEmpty((yield* Fiber.join(fiber)).changes)
      held.before = ({ isWrite }) =>
        isWrite ? Effect.fail(failure(new RateLimited({ detail: "etcd write throttled out" }))) : Effect.void
      const never = yield* Effect.forkChild(Effect.flip(syncTo(held, { ...plainTemplate, workers: [] })))
      yield* TestClock.adjust("2 hours")
      assert.match((yield* Fiber.join(never)).message, /RateLimited: .*etcd write throttled out/)
    }))
})

const byKey = (a: { readonly kind: string; readonly id: string }, b: { readonly kind: string; readonly id: string }) =>
  `${a.kind}/${a.id}` < `${b.kind}/${b.id}` ? -1 : 1

describe("a sync that is disturbed", () => {
  it.effect("is finished by the next, wherever it was interrupted", () =>
    Effect.gen(function*() {
      const from: Template = {
        ...plainTemplate,
        cluster: { ...cluster, patches: [{ name: "a", inline: { machine: {} } }] },
        machines: [{ name: machine(3), kernelArgs: ["x"], install: { disk: "/dev/sda" } }]
      }
      const to: Template = {
        cluster: { ...cluster, patches: [{ name: "b", inline: { machine: {} } }] },
        controlPlane: { machines: [machine(1)] },
        workers: [{ name: "w", machines: [machine(2), machine(5)] }]
      }
      const wanted = yield* Effect.gen(function*() {
        const held = account()
        yield* syncTo(held, from)
        yield* syncTo(held, to)
        return contentOf(held)
      })
      let calls = 1
      for (let at = 0; at < calls; at++) {
        for (const isAnswerLost of [false, true]) {
          const held = account()
          yield* syncTo(held, from)
          held.calls.length = 0
          const reached = yield* Deferred.make<void>()
          let left = at
          const hook = () =>
            left-- === 0 ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) : Effect.void
          if (isAnswerLost) held.after = hook
          else held.before = hook
          const fiber = yield* Effect.forkChild(syncTo(held, to))
          yield* Effect.raceFirst(Deferred.await(reached), Fiber.await(fiber))
          yield* Fiber.interrupt(fiber)
          const sent = held.calls.length
          yield* Effect.yieldNow
          assert.strictEqual(held.calls.length, sent)
          held.before = held.after = () => Effect.void
          yield* syncTo(held, to)
          assert.deepStrictEqual(contentOf(held), wanted)
          const first = held.calls.length
          assert.deepStrictEqual(lines(yield* syncTo(held, to)), [])
          calls = Math.max(calls, first)
        }
      }
    }))

  it.effect("continues after lost responses, and creates nothing twice", () =>
    Effect.gen(function*() {
      const held = account()
      const cut = new Set<string>()
      held.after = (call) => {
        const key = `${call.method} ${call.type} ${call.id}`
        if (!call.isWrite || cut.has(key)) return Effect.void
        cut.add(key)
        return Effect.fail(failure(new Transport({ detail: "cut" })))
      }
      const quick = Effect.succeed(Policy.make({ retry: instant }))
      const report = yield* sync({ state: held.state, policy: quick }, plainTemplate)
      assert.strictEqual(report.changes.length, 6)
      assert.deepStrictEqual(contentOf(held), yield* settled(plainTemplate))
      const creates = writes(held).filter(({ method }) => method === "create").map(({ id, type }) => `${type}/${id}`)
      assert.strictEqual(new Set(creates).size, creates.length)
    }))

  it.effect("beside another of the same template: both succeed", () =>
    Effect.gen(function*() {
      const held = account()
      held.before = () => Effect.yieldNow
      const both = yield* Effect.all([syncTo(held, plainTemplate), syncTo(held, plainTemplate)], { concurrency: 2 })
      assert.strictEqual(both[0].changes.length + both[1].changes.length, 6)
      assert.deepStrictEqual(contentOf(held), yield* settled(plainTemplate))
    }))

  it.effect("by a faster writer lists again", () =>
    Effect.gen(function*() {
      const held = account()
      let isDone = false
      held.before = (call) =>
        Effect.sync(() => {
          if (isDone || call.method !== "create" || call.type !== "MachineSets") return
          isDone = true
          held.put("MachineSets", call.id, {
            labels: { "omni.sidero.dev/cluster": "dev" },
            spec: { updateStrategy: 0 }
          })
        })
      yield* syncTo(held, plainTemplate)
      assert.deepStrictEqual(contentOf(held), yield* settled(plainTemplate))
    }))

  it.effect("by a new owner of a resource leaves it unchanged", () =>
    Effect.gen(function*() {
      const held = account()
      const patched = (value: string): Template => ({
        ...plainTemplate,
        cluster: { ...cluster, patches: [{ idOverride: "mine", inline: { machine: { env: { a: value } } } }] }
      })
      yield* syncTo(held, patched("1"))
      const labels = { "omni.sidero.dev/cluster": "prod" }
      held.before = (call) =>
        Effect.sync(() => {
          if (call.method === "get" && call.id === "mine") held.put("ConfigPatches", "mine", { labels })
        })
      const error = yield* syncTo(held, patched("2")).pipe(Effect.flip)
      assert.match(String(error), /there is a ConfigPatch mine already, and it is of cluster prod/)
      assert.deepStrictEqual(held.resources.get("ConfigPatches/mine")?.metadata.labels, labels)
    }))

  it.effect("by a writer that never stops ends with a conflict", () =>
    Effect.gen(function*() {
      const held = account()
      const patched = { ...plainTemplate, cluster: { ...cluster, patches: [{ name: "a", inline: { machine: {} } }] } }
      yield* syncTo(held, patched)
      const key = "ConfigPatches/200-cluster-dev-a"
      held.before = (call) =>
        Effect.sync(() => {
          // A new patch exists at every list of the sync and is gone before every write.
          if (call.method === "list" && call.type === "ConfigPatches") {
            held.put("ConfigPatches", "200-cluster-dev-a", { labels: { "omni.sidero.dev/cluster": "dev" } })
          } else if (call.method === "get" && call.type === "ConfigPatches") held.resources.delete(key)
        })
      const error = yield* syncTo(held, patched).pipe(Effect.flip)
      assert.strictEqual(error._tag === "BackendError" ? error.reason._tag : error._tag, "Conflict")
    }))
})

describe("any two templates, one after the other", () => {
  it.effect.prop("end where the second alone ends, and then rest", [Seed, Seed], ([a, b]) =>
    Effect.gen(function*() {
      // A machine that is locked could not leave.
      const unlocked = (template: Template): Template => ({
        ...template,
        machines: (template.machines ?? []).map((each) => ({ ...each, locked: false }))
      })
      const [first, second] = [unlocked(templateOf(a)), unlocked(templateOf(b))]
      const held = account()
      held.unknown = new Set(a % 2 === 0 ? [] : ["MachineInstallDiskConfigs"])
      yield* syncTo(held, first)
      // A set that has nodes cannot turn to a machine class; nothing is written then.
      held.calls.length = 0
      const result = yield* Effect.result(syncTo(held, second))
      if (Result.isFailure(result)) {
        assert.match(String(result.failure), /has to be empty before that changes/)
        assert.deepStrictEqual(writes(held), [])
        return
      }
      assert.deepStrictEqual(lines(yield* syncTo(held, second)), [])
      assert.deepStrictEqual((yield* plan(held.state, second)).changes, [])
      const ranks = held.calls.flatMap(({ method, type }) => method === "create" ? [kinds.indexOf(type)] : [])
      assert.deepStrictEqual(ranks, [...ranks].sort((x, y) => x - y))
      const alone = yield* Effect.gen(function*() {
        const other = account()
        other.unknown = held.unknown
        yield* syncTo(other, second)
        return contentOf(other)
      })
      const stays = /^(?:KernelArgs|MachineInstallDiskConfigs)/
      assert.deepStrictEqual(
        contentOf(held).filter(({ type }) => !stays.test(type)),
        alone.filter(({ type }) => !stays.test(type))
      )
      for (const each of alone) assert.deepInclude(contentOf(held), each)
    }), 30_000)
})
