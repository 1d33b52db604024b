import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { OmniService } from "kubelayer/layers/Omni"
import { ClusterName } from "kubelayer/Model"
import { makePlan, type Plan, PlanStep } from "kubelayer/Plan"
import { OperationReport } from "kubelayer/Report"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Address, BackendsService } from "../../src/cli/Backends.ts"
import { command, onMemory, simulator } from "./support/run.ts"
import { makeScreen } from "./support/screen.ts"

const document = (name: string, fields: string, backend = "memory") =>
  `apiVersion: kubelayer/v1\nkind: Cluster\nbackend: ${backend}\nname: ${name}\n${fields}`

/** A folder of files, removed at the end. */
const withFiles = <A, E>(
  files: Readonly<Record<string, string>>,
  f: (path: (name: string) => string) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "desired-"))
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(join(folder, name, ".."), { recursive: true })
        writeFileSync(join(folder, name), text)
      }
      return folder
    }),
    (folder) => f((name) => join(folder, name)),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )

describe("plan", () => {
  it.effect("shows creates, surplus nodes and totals of several clusters, and writes nothing to the backend", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const input = `${document("dev", "controlPlanes: 1\nworkers: 1\n")}---\n${document("new", "workers: 1\n")}`
      const { code, stdout } = yield* command(["plan", "-f", "-"], {
        backends: onMemory(memory),
        screen: makeScreen({ input })
      })
      assert.strictEqual(code, 0)
      assert.include(stdout, "- delete node dev-worker2")
      assert.include(stdout, "+ create node new-worker")
      assert.include(stdout, "1 to delete, 4 unchanged")
      const writes = (yield* memory.calls).filter(({ operation }) =>
        ["create", "start", "stop", "delete"].includes(operation)
      )
      assert.lengthOf(writes, 0)
    }))

  it.effect("exits with 8 with --exit-code where something is to be done, and with 0 where nothing is", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      const exitCode = (fields: string) =>
        Effect.map(
          command(["diff", "-f", "-", "--exit-code"], {
            backends,
            screen: makeScreen({ input: document("dev", fields) })
          }),
          ({ code }) => code
        )
      assert.strictEqual(yield* exitCode("workers: 3\n"), 8)
      assert.strictEqual(yield* exitCode("workers: 2\n"), 0)
    }))

  it.effect("reads every document of a folder and resolves files beside the document", () =>
    withFiles(
      { "a.yaml": document("a", ""), "b.yml": document("b", "workers: 1\n"), "notes.txt": "no document" },
      (path) =>
        Effect.gen(function*() {
          const { stdout } = yield* command(["plan", "-f", path("."), "-o", "json"], {
            backends: onMemory(yield* simulator)
          })
          const plans = JSON.parse(stdout) as ReadonlyArray<{ readonly clusterName: string }>
          assert.deepStrictEqual(plans.map(({ clusterName }) => clusterName), ["a", "b"])
        })
    ))

  it.effect("reports issues of several files at once, with file, line and column", () =>
    withFiles(
      { "a.yaml": document("a", "wrkers: 1\n"), "b.yaml": document("B", "") },
      (path) =>
        Effect.gen(function*() {
          const { code, stderr } = yield* command(["plan", "-f", path("a.yaml"), "-f", path("b.yaml")], {
            backends: onMemory(yield* simulator)
          })
          assert.strictEqual(code, 2)
          assert.include(stderr, `${path("a.yaml")}:5:1 wrkers: unknown field; did you mean workers?`)
          assert.include(stderr, `${path("b.yaml")}:4:1 name: must be a cluster name`)
        })
    ))

  it.effect("gives line and column to issues that the backend finds", () =>
    Effect.gen(function*() {
      const input = document("dev", "labels:\n  kubelayer.cluster: other\n")
      const { code, stderr } = yield* command(["plan", "-f", "-"], {
        backends: onMemory(yield* simulator),
        screen: makeScreen({ input })
      })
      assert.strictEqual(code, 2)
      assert.include(stderr, "stdin:6:3 labels.kubelayer.cluster")
    }))

  it.effect("opens the backend, instance and scheme that a document names", () =>
    Effect.gen(function*() {
      const opened: Array<Address> = []
      const input = `${document("a", "instance: eu\n", "hetzner")}---\n${
        document("b", "scheme: kind\n", "docker")
      }---\n${document("c", "", "docker")}`
      yield* command(["plan", "-f", "-", "-b", "memory", "--scheme", "talos"], {
        backends: onMemory(yield* simulator, opened),
        screen: makeScreen({ input })
      })
      assert.deepStrictEqual(opened, [
        { backend: "hetzner", instance: "eu" },
        { backend: "docker", scheme: "kind" },
        { backend: "docker", scheme: "kubelayer" }
      ])
    }))
})

describe("apply", () => {
  it.effect("creates what is missing, and reports that nothing is to do when it runs again", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const backends = onMemory(memory)
      const input = document(
        "new",
        "pools:\n- { name: cp, role: control-plane, count: 1 }\n- { name: web, role: worker, count: 2 }\n"
      )
      const first = yield* command(["apply", "-f", "-"], { backends, screen: makeScreen({ input }) })
      assert.strictEqual(first.code, 0, first.stderr)
      assert.include(first.stderr, "+ create node new-web-2")
      assert.deepStrictEqual(
        (yield* memory.provider.listNodes("new")).map(({ name, pool }) => `${name} ${pool}`),
        ["new-cp-1 cp", "new-web-1 web", "new-web-2 web"]
      )
      const again = yield* command(["apply", "-f", "-"], { backends, screen: makeScreen({ input }) })
      assert.deepStrictEqual(again, { code: 0, stdout: "", stderr: "new: nothing to do\n" })
    }))

  it.effect("asks before it deletes, and deletes nothing without a terminal or -y", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const backends = onMemory(memory)
      const input = document("dev", "workers: 1\n")
      const silent = yield* command(["apply", "-f", "-"], { backends, screen: makeScreen({ input }) })
      assert.strictEqual(silent.code, 2)
      const asked = makeScreen({ input, isTerminal: true, answers: ["no"] })
      const declined = yield* command(["apply", "-f", "-"], { backends, screen: asked })
      assert.strictEqual(declined.code, 1)
      assert.include(declined.stderr, "delete 1 of cluster \"dev\"")
      assert.lengthOf(yield* memory.provider.listNodes("dev"), 3)
      const yes = yield* command(["apply", "-y", "-f", "-", "-o", "json"], { backends, screen: makeScreen({ input }) })
      assert.strictEqual(yes.code, 0, yes.stderr)
      assert.strictEqual((JSON.parse(yes.stdout) as { readonly operation: string }).operation, "apply")
      assert.lengthOf(yield* memory.provider.listNodes("dev"), 2)
    }))

  it.effect("fails before any change and asks nothing where a step is refused", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      yield* memory.addNode({ cluster: "dev", role: "control-plane" })
      const input = document("dev", "controlPlanes: 1\nworkers: 0\n")
      const screen = makeScreen({ input, isTerminal: true, answers: ["y"] })
      const { code, stderr } = yield* command(["apply", "-f", "-"], { backends: onMemory(memory), screen })
      assert.strictEqual(code, 1)
      assert.notInclude(stderr, "[y/N]")
      assert.lengthOf(yield* memory.provider.listNodes("dev"), 4)
    }))

  it.effect("carries out exactly a saved plan, also several in one file", () =>
    withFiles({}, (path) =>
      Effect.gen(function*() {
        const memory = yield* simulator
        const backends = onMemory(memory)
        const input = `${document("dev", "workers: 3\n")}---\n${document("new", "")}`
        const saved = yield* command(["plan", "-f", "-", "-o", "json"], { backends, screen: makeScreen({ input }) })
        writeFileSync(path("plan.json"), saved.stdout)
        const applied = yield* command(["apply", path("plan.json")], { backends })
        assert.strictEqual(applied.code, 0, applied.stderr)
        assert.lengthOf(yield* memory.provider.listNodes("dev"), 4)
        assert.lengthOf(yield* memory.provider.listNodes("new"), 1)
      })))

  it.effect("stops at the first stale plan with 9, shows the new plan, and changes nothing of it", () =>
    withFiles({}, (path) =>
      Effect.gen(function*() {
        const memory = yield* simulator
        const backends = onMemory(memory)
        const input = `${document("dev", "workers: 3\n")}---\n${document("new", "")}`
        const saved = yield* command(["plan", "-f", "-", "-o", "json"], { backends, screen: makeScreen({ input }) })
        writeFileSync(path("plan.json"), saved.stdout)
        yield* memory.removeNode("dev-worker")
        const { code, stderr, stdout } = yield* command(["apply", path("plan.json"), "-o", "json"], { backends })
        assert.strictEqual(code, 9)
        assert.include(stderr, "is stale")
        assert.include(stderr, "+ create node dev-worker\n")
        const failure = JSON.parse(stdout) as { readonly plan: { readonly steps: ReadonlyArray<object> } }
        assert.isNotEmpty(failure.plan.steps)
        assert.lengthOf(yield* memory.provider.listNodes("dev"), 2)
        assert.isFalse(yield* memory.provider.nodesExist("new"))
      })))

  it.effect("exits with 2 for a plan that was edited, is of another version, or is no JSON", () =>
    withFiles(
      { "text.json": "not JSON", "version.json": "{\"version\":99,\"backend\":\"memory\"}" },
      (path) =>
        Effect.gen(function*() {
          const backends = onMemory(yield* simulator)
          const input = document("dev", "workers: 3\n")
          const saved = yield* command(["plan", "-f", "-", "-o", "json"], { backends, screen: makeScreen({ input }) })
          writeFileSync(path("edited.json"), saved.stdout.replace("dev-worker3", "dev-worker9"))
          for (
            const [name, says] of [["edited.json", /edited/], ["version.json", /version 99/], [
              "text.json",
              /no JSON/
            ]] as const
          ) {
            const { code, stderr } = yield* command(["apply", path(name)], { backends })
            assert.strictEqual(code, 2, name)
            assert.match(stderr, says)
          }
        })
    ))
})

describe("plans that cost money", () => {
  /** A cloud whose plan is fixed; it keeps what was applied. */
  const cloud = Effect.gen(function*() {
    const memory = yield* simulator
    const cluster = yield* Schema.decodeUnknownEffect(ClusterName)("new")
    const plan = makePlan({
      backend: "hetzner",
      target: "https://api.example",
      operation: "createNodes",
      clusterName: cluster,
      spec: {},
      steps: [
        new PlanStep({ kind: "network", name: "new-network", action: "create", differences: [], wave: 0 }),
        new PlanStep({
          kind: "node",
          name: "new-control-plane-1",
          action: "create",
          differences: [],
          wave: 1,
          details: { price: "3.49 EUR a month net" }
        })
      ]
    })
    const applied: Array<unknown> = []
    const report = new OperationReport({ operation: "apply", clusterName: cluster, outcomes: [], durationMillis: 1 })
    const apply = (_: Plan, given?: unknown) =>
      Effect.sync(() => {
        applied.push(given)
        return report
      })
    const creator = { ...memory.creator, plan: () => Effect.succeed(plan), apply }
    const omni = { planTemplate: () => Effect.succeed(plan), apply } as unknown as OmniService
    const backends: BackendsService = {
      open: ({ backend }) =>
        Effect.succeed({ provider: memory.provider, creator, ...(backend === "omni" ? { omni } : {}) })
    }
    return { applied, backends }
  })

  it.effect("show prices, and buy nothing without an answer", () =>
    Effect.gen(function*() {
      const { applied, backends } = yield* cloud
      const input = document("new", "", "hetzner")
      const shown = yield* command(["plan", "-f", "-"], { backends, screen: makeScreen({ input }) })
      assert.include(shown.stdout, "+ create node new-control-plane-1 (price 3.49 EUR a month net)")
      const silent = yield* command(["apply", "-f", "-"], { backends, screen: makeScreen({ input }) })
      assert.strictEqual(silent.code, 2)
      assert.include(silent.stderr, "buy 1 for cluster \"new\" on hetzner")
      const create = yield* command(["-b", "hetzner", "create", "new"], {
        backends,
        screen: makeScreen({ isTerminal: true, answers: ["n"] })
      })
      assert.strictEqual(create.code, 1)
      assert.lengthOf(applied, 0)
      const screen = makeScreen({ input, isTerminal: true, answers: ["yes"] })
      assert.strictEqual((yield* command(["apply", "-f", "-"], { backends, screen })).code, 0)
      assert.lengthOf(applied, 1)
    }))

  it.effect("give the template again when a plan of a template is applied", () =>
    Effect.gen(function*() {
      const { applied, backends } = yield* cloud
      const input = "kind: Cluster\nname: new\nkubernetes: { version: v1.34.2 }\n---\nkind: ControlPlane\n"
      const { code, stderr } = yield* command(["apply", "-y", "-f", "-"], { backends, screen: makeScreen({ input }) })
      assert.strictEqual(code, 0, stderr)
      assert.deepInclude(applied[0], { template: input, baseDirectory: process.cwd() })
    }))
})

describe("get", () => {
  it.effect("writes a document that plans empty", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const backends = onMemory(memory)
      yield* memory.createNodes({
        cluster: "new",
        controlPlanes: 1,
        workers: 1,
        loadBalancers: 1,
        pools: [{ name: "web", role: "worker", count: 2 }]
      })
      for (const cluster of ["dev", "new"]) {
        const { stdout } = yield* command(["get", cluster, "-o", "yaml", "-b", "memory"], { backends })
        assert.notInclude(stdout, "not empty")
        const planned = yield* command(["plan", "-f", "-", "--exit-code"], {
          backends,
          screen: makeScreen({ input: stdout })
        })
        assert.strictEqual(planned.code, 0, stdout + planned.stdout)
      }
    }))

  it.effect("names in a comment what would still change", () =>
    Effect.gen(function*() {
      const backends = onMemory(yield* simulator)
      const { stdout } = yield* command(["get", "prod", "-b", "memory"], { backends })
      assert.include(stdout, "# A plan of this document is not empty yet:")
      assert.include(stdout, "start node prod-control-plane")
    }))
})

describe("delete of documents", () => {
  it.effect("deletes the clusters that a file names", () =>
    Effect.gen(function*() {
      const memory = yield* simulator
      const screen = makeScreen({ input: `${document("dev", "")}---\n${document("prod", "")}` })
      const { code } = yield* command(["delete", "-f", "-", "-y"], { backends: onMemory(memory), screen })
      assert.strictEqual(code, 0)
      assert.lengthOf(yield* memory.provider.listAllClusters, 0)
    }))
})
