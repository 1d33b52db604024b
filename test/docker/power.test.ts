/** Start and stop on fakes of Docker 20.10 and 29 and of Podman 4.3 and 5.8, in simulated time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import type { OperationReport } from "kubelayer/Report"
import { DockerFake } from "kubelayer/testing"
import { simulated } from "../../src/testing/SimulatedTime.ts"

const flavors: ReadonlyArray<DockerFake.Options> = [
  { flavor: "docker", version: "20.10.24" },
  { flavor: "docker", version: "29.0.0" },
  { flavor: "podman", version: "4.3.1" },
  { flavor: "podman", version: "5.8.2" }
]

const labels = { "io.x-k8s.kind.cluster": "dev", "io.x-k8s.kind.role": "worker" }

interface World {
  readonly fake: DockerFake.DockerFakeService
  readonly docker: Docker.DockerService
  /** POSTs to the engine; its status. */
  readonly send: (target: string) => Effect.Effect<number>
  /** Creates and starts a node by the API, as another tool would. */
  readonly node: (name: string, body?: Readonly<Record<string, unknown>>) => Effect.Effect<void>
}

/** A test on every engine, with images whose processes behave as named. */
const onEach = (title: string, test: (world: World) => Effect.Effect<unknown, unknown>, chosen = flavors) => {
  for (const options of chosen) {
    it.live(`${title}: ${options.flavor} ${options.version}`, () =>
      simulated(Effect.scoped(Effect.gen(function*() {
        const fake = yield* DockerFake.make({
          ...options,
          listen: "none",
          images: {
            node: {},
            crashing: { exits: { code: 3, afterMillis: 200 } },
            slow: { onTerm: { afterMillis: 100_000 } },
            stubborn: { onTerm: "ignore" }
          }
        })
        const docker = yield* Effect.provide(Docker.make({ scheme: "kind" }), fake.transport)
        const send = (target: string, body?: unknown) =>
          Effect.map(
            fake.answer({
              method: "POST",
              target,
              contentType: "application/json",
              body: body === undefined ? "" : JSON.stringify(body)
            }),
            (answer) => answer._tag === "Reply" ? answer.status : 0
          )
        const node = Effect.fnUntraced(function*(name: string, body: Readonly<Record<string, unknown>> = {}) {
          assert.strictEqual(
            yield* send(`/containers/create?name=${name}`, { Image: "node", Labels: labels, ...body }),
            201
          )
          assert.strictEqual(yield* send(`/containers/${name}/start`), 204)
        })
        yield* test({ fake, docker, node, send })
        assert.deepStrictEqual(yield* fake.violations, [])
      }))))
  }
}

const always = { HostConfig: { RestartPolicy: { Name: "always" } } }
const outcomes = (report: OperationReport) =>
  report.outcomes.map(({ name, outcome }) =>
    `${name} ${outcome._tag}${"forced" in outcome && outcome.forced ? " forced" : ""}`
  )

/** The report, also where nodes failed. */
const reportOf = <E>(operation: Effect.Effect<OperationReport, E>): Effect.Effect<OperationReport, E> =>
  Effect.catchIf(
    operation,
    (error): error is E & { readonly report: OperationReport } =>
      typeof error === "object" && error !== null && "_tag" in error && error._tag === "NodesFailed",
    (error) => Effect.succeed(error.report)
  )

const failureIn = (report: OperationReport): string =>
  report.outcomes.map(({ outcome }) => outcome._tag === "Failed" ? outcome.error.message : "").join("")

describe("stopNodes", () => {
  onEach(
    "gives a node its grace, so that its process exits with its own code (P3)",
    ({ docker, fake, node }) =>
      Effect.gen(function*() {
        yield* node("dev-worker")
        assert.deepStrictEqual(outcomes(yield* docker.provider.stopNodes("dev")), ["dev-worker Done"])
        const [container] = (yield* fake.state).containers
        assert.strictEqual(container?.state, "exited")
        assert.strictEqual(container?.exitCode, 0)
        const stop = (yield* fake.calls).find(({ path }) => path.endsWith("/stop"))
        assert.deepStrictEqual(stop?.query, { t: "10" })
      })
  )

  onEach("stops a paused node (P5)", ({ docker, fake, node, send }) =>
    Effect.gen(function*() {
      yield* node("dev-worker")
      assert.strictEqual(yield* send("/containers/dev-worker/pause"), 204)
      assert.deepStrictEqual(outcomes(yield* docker.provider.stopNodes("dev")), ["dev-worker Done"])
      assert.strictEqual((yield* fake.state).containers[0]?.state, "exited")
    }))

  onEach(
    "ends the restarts of a node that its engine keeps restarting (P2)",
    ({ docker, fake, node }) =>
      Effect.gen(function*() {
        for (const wait of [150, 250, 10_050]) {
          const name = `dev-worker${wait}`
          yield* node(name, { Image: "crashing", ...always })
          yield* Effect.sleep(wait)
          yield* docker.provider.stopNodes("dev")
          const before = (yield* fake.state).containers.find((each) => each.name === name)
          yield* Effect.sleep("5 minutes")
          const after = (yield* fake.state).containers.find((each) => each.name === name)
          assert.strictEqual(after?.state, "exited", `${wait} ms`)
          assert.strictEqual(after?.restartCount, before?.restartCount, `${wait} ms`)
        }
      })
  )

  onEach(
    "takes a node with a restart policy that is at rest for AlreadyDone (P2)",
    ({ docker, node }) =>
      Effect.gen(function*() {
        yield* node("dev-worker", always)
        yield* docker.provider.stopNodes("dev")
        assert.deepStrictEqual(outcomes(yield* docker.provider.stopNodes("dev")), ["dev-worker AlreadyDone"])
      })
  )

  onEach("waits for the grace that the container itself has (D13)", ({ docker, fake, node }) =>
    Effect.gen(function*() {
      yield* node("dev-worker", { Image: "slow", StopTimeout: 120 })
      assert.deepStrictEqual(outcomes(yield* reportOf(docker.provider.stopNodes("dev"))), ["dev-worker Done"])
      const stops = (yield* fake.calls).filter(({ path }) => path.endsWith("/stop"))
      assert.deepStrictEqual(stops.map(({ query }) => query), [{ t: "120" }])
      assert.strictEqual((yield* fake.state).containers[0]?.exitCode, 0)
    }))
})

describe("startNodes", () => {
  onEach(
    "reports a node in a restart loop as Failed with its exit code, whenever it is listed (D12)",
    (world) =>
      Effect.gen(function*() {
        const { docker, node } = world
        yield* node("dev-worker", { Image: "crashing", ...always })
        for (const wait of [150, 100, 230, 1000]) {
          yield* Effect.sleep(wait)
          const report = yield* reportOf(docker.provider.startNodes("dev"))
          assert.deepStrictEqual(outcomes(report), ["dev-worker Failed"], `after ${wait} ms`)
          assert.match(failureIn(report), /exit code 3/)
          assert.include(failureIn(report), "log of the node")
        }
      })
  )

  onEach(
    "is AlreadyDone for nodes that run well, also those with a restart policy (D12)",
    ({ docker, fake, node }) =>
      Effect.gen(function*() {
        yield* node("dev-worker", always)
        yield* node("dev-worker2")
        assert.deepStrictEqual(outcomes(yield* docker.provider.startNodes("dev")), [
          "dev-worker AlreadyDone",
          "dev-worker2 AlreadyDone"
        ])
        yield* Effect.sleep("2 hours")
        yield* fake.clearCalls
        yield* docker.provider.startNodes("dev")
        assert.deepStrictEqual((yield* fake.calls).map(({ path }) => path), ["/containers/json"])
        yield* docker.provider.stopNodes("dev")
        assert.deepStrictEqual(outcomes(yield* docker.provider.startNodes("dev")), [
          "dev-worker Done",
          "dev-worker2 Done"
        ])
      })
  )

  onEach(
    "names the exit code of a node, and not an older error of the engine (P14)",
    ({ docker, fake, node, send }) =>
      Effect.gen(function*() {
        yield* node("dev-worker")
        assert.strictEqual(yield* send("/containers/dev-worker/start"), 304)
        yield* fake.behave("dev-worker", { exits: { code: 7 } })
        yield* fake.exit("dev-worker", 7)
        const report = yield* reportOf(docker.provider.startNodes("dev"))
        assert.deepStrictEqual(outcomes(report), ["dev-worker Failed"])
        assert.match(failureIn(report), /exit code 7/)
        assert.notInclude(failureIn(report), "is running")
        assert.include(failureIn(report), "log of the node")
      })
  )

  onEach(
    "names a network that is gone, and says to create it again (D2)",
    ({ docker, fake, node, send }) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: "mine" })
        yield* node("dev-worker", { HostConfig: { NetworkMode: "mine" } })
        assert.strictEqual(yield* send("/containers/dev-worker/stop?t=1"), 204)
        const removed = yield* fake.answer({ method: "DELETE", target: "/networks/mine", body: "" })
        assert.strictEqual(removed._tag === "Reply" ? removed.status : 0, 204)
        const report = yield* reportOf(docker.provider.startNodes("dev"))
        assert.deepStrictEqual(outcomes(report), ["dev-worker Failed"])
        assert.include(failureIn(report), "network \"mine\" of the node does not exist")
        assert.include(failureIn(report), "createNodes")
        // Podman does not remove a network that a stopped container uses.
      }),
    flavors.filter(({ flavor }) => flavor === "docker")
  )
})
