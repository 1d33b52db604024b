/**
 * Values of variables and credentials in addresses go only to the engine.
 *
 * No error, report, progress event, log line, span, `inspect` or JSON shows them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Cluster from "kubelayer/Cluster"
import * as Docker from "kubelayer/layers/Docker"
import * as DockerClient from "kubelayer/layers/DockerClient"
import * as Provider from "kubelayer/Provider"
import { inspect } from "node:util"
import { cutAfter, pieces, refusal, type Script, silence, until } from "./support/Conversation.ts"
import { type FakeEngine, pretend, type World } from "./support/pretend.ts"
import { impatient, serviceAt } from "./support/service.ts"

const secret = "hunter2"

/** Everything that a program could come to see of an effect, as text. */
const shownBy = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<string> =>
  Effect.gen(function*() {
    const shown: Array<string> = []
    const show = (value: unknown) => {
      shown.push(inspect(value, { depth: 12, showHidden: true }), String(value))
      try {
        shown.push(JSON.stringify(value) ?? "")
      } catch {
        // A circular value has no JSON.
      }
      if (value instanceof Error) shown.push(value.message, value.stack ?? "")
      if (typeof value === "object" && value !== null && "message" in value) shown.push(String(value.message))
    }
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const logger = Logger.make(({ cause, fiber, message }) => {
      show(message)
      show(cause)
      show(fiber.getRef(References.CurrentLogAnnotations))
    })
    const exit = yield* effect.pipe(
      Provider.onEvent((event) => Effect.sync(() => show(event))),
      Effect.provide(Layer.mergeAll(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel, "All"))),
      Effect.provideService(Tracer.Tracer, tracer),
      Effect.exit
    )
    if (Exit.isSuccess(exit)) show(exit.value)
    else {
      for (const reason of exit.cause.reasons) show(reason._tag === "Fail" ? reason.error : reason)
      const error = Exit.isFailure(exit)
        ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
        : undefined
      if (typeof error === "object" && error !== null && "report" in error) {
        show(error.report)
        show(Cluster.toJson(error.report as Parameters<typeof Cluster.toJson>[0]))
      }
    }
    for (const span of spans) {
      show([span.name, [...span.attributes], span.status])
      if (span instanceof Tracer.NativeSpan) show(span.events)
    }
    assert.isAbove(spans.length, 0)
    return shown.join("\n")
  })

const spec: Docker.DockerClusterSpec = {
  cluster: "dev",
  controlPlanes: 1,
  workers: 1,
  nodes: { image: "node", env: { TOKEN: secret } },
  worker: { env: { USERDATA: `x${secret}x` } }
}

const engineWith = (script: Script = () => undefined, world: World = {}) =>
  pretend({ script, world: { images: ["node"], ...world } })

/** The secret went where it belongs, or the test shows nothing. */
const assertSent = (engine: FakeEngine) =>
  assert.isTrue(engine.heard.some(({ body }) => JSON.stringify(body ?? "").includes(secret)), "the secret was not sent")

describe("values of variables", () => {
  const failing: Readonly<Record<string, Script | undefined>> = {
    "a create that succeeds": undefined,
    "a create that the engine refuses": ({ path }) =>
      path === "/containers/create" ? refusal(400, "invalid hostname") : undefined,
    "a create whose answer is cut": ({ path }) => path === "/containers/create" ? cutAfter("{\"Id\"") : undefined,
    "a start that fails": ({ path }) => path.endsWith("/start") ? refusal(500, "OCI runtime create failed") : undefined,
    "a node that does not stay up": ({ path }) => path.endsWith("/start") ? refusal(500, "boltdb") : undefined
  }
  for (const [name, script] of Object.entries(failing)) {
    it.live(`${name} shows none`, () =>
      Effect.gen(function*() {
        const engine = yield* engineWith(script)
        const docker = yield* serviceAt(engine)
        const shown = yield* shownBy(docker.createNodes(spec))
        assertSent(engine)
        assert.notInclude(shown, secret)
      }))
  }

  it.live("a second create that differs names the field, and neither value", () =>
    Effect.gen(function*() {
      const engine = yield* engineWith()
      const docker = yield* serviceAt(engine)
      yield* docker.createNodes(spec)
      const other = { ...spec, worker: { env: { USERDATA: `other-${secret}` } } }
      const shown = yield* shownBy(docker.createNodes(other))
      assert.match(shown, /is not as requested: .*env/)
      assert.notInclude(shown, secret)
      assert.notInclude(
        yield* shownBy(Effect.all([docker.provider.listNodes("dev"), docker.provider.getClusterStatus("dev")])),
        secret
      )
    }))

  it.live("a create that is interrupted and cannot clean up shows none in what it logs", () =>
    Effect.gen(function*() {
      const engine = yield* engineWith(({ method, path }) =>
        path.endsWith("/start") ? silence : method === "DELETE" ? refusal(500, "device busy") : undefined
      )
      const docker = yield* serviceAt(engine)
      const fiber = yield* Effect.forkChild(shownBy(
        Effect.gen(function*() {
          const creating = yield* Effect.forkChild(docker.createNodes(spec))
          yield* until("a start is sent", () => engine.told().some((each) => each.endsWith("/start")))
          yield* Fiber.interrupt(creating)
        }).pipe(Effect.withSpan("interrupting"))
      ))
      const shown = yield* Fiber.join(fiber)
      assertSent(engine)
      assert.include(shown, "left behind")
      assert.notInclude(shown, secret)
    }))

  it.live("of an invalid spec neither values show, nor what slipped into a name", () =>
    Effect.gen(function*() {
      const docker = yield* serviceAt(yield* engineWith())
      const shown = yield* shownBy(docker.createNodes({
        ...spec,
        workers: -1,
        nodes: {
          image: `https://me:${secret}@registry.example/node`,
          env: { [`TOKEN=${secret}`]: "", A: `${secret}\0`, B: [secret] as unknown as string }
        }
      }))
      assert.match(shown, /must be the name of a variable/)
      assert.match(shown, /must be an image reference/)
      assert.notInclude(shown, secret)
    }))

  it.live("the layer's own options are not shown by what it gives", () =>
    Effect.gen(function*() {
      const { host } = yield* engineWith()
      const options: Docker.Options = {
        host,
        nodes: { image: "node", env: { TOKEN: secret } },
        tls: { key: secret },
        policy: impatient
      }
      const docker = yield* Docker.make(options)
      assert.notInclude(inspect(docker, { depth: 12, showHidden: true }), secret)
      assert.notInclude(JSON.stringify(docker), secret)
      const given = Effect.provide(Effect.context<Provider.Provider | Docker.Docker>(), Docker.layer(options))
      assert.notInclude(inspect(yield* given, { depth: 12, showHidden: true }), secret)
    }))

  it.live("a command in a node", () =>
    Effect.gen(function*() {
      const containers = [{
        id: "4fe",
        name: "dev-worker",
        labels: { "kubelayer.cluster": "dev" },
        state: "running"
      }]
      const engine = yield* engineWith(
        ({ path }) => path.endsWith("/exec") ? refusal(409, "container 4fe is not running") : undefined,
        { containers }
      )
      const docker = yield* serviceAt(engine)
      const shown = yield* shownBy(
        Stream.runDrain(docker.exec("dev", "dev-worker", { command: ["true"], env: { TOKEN: secret } }))
      )
      assertSent(engine)
      assert.include(shown, "not running")
      assert.notInclude(shown, secret)
    }))
})

describe("credentials in addresses", () => {
  for (
    const host of [
      `tcp://me:${secret}@127.0.0.1:1`,
      `ssh://me:${secret}@127.0.0.1`,
      `me:${secret}@`,
      `https://${secret}@127.0.0.1:1`
    ]
  ) {
    it.live(`${host.replace(secret, "…")} as DOCKER_HOST`, () =>
      Effect.gen(function*() {
        const docker = yield* Effect.provide(
          Docker.make({ policy: impatient }),
          ConfigProvider.layer(ConfigProvider.fromEnvRecord({ DOCKER_HOST: host }))
        )
        const calls = [
          docker.provider.listNodes("dev"),
          docker.provider.checkAvailable,
          docker.provider.startNodes("dev"),
          docker.createNodes({ ...spec, nodes: { image: "node" }, worker: {} }),
          Stream.runDrain(docker.provider.watchCluster("dev")),
          DockerClient.use(docker, (dockerode) => dockerode.info())
        ]
        for (const call of calls) {
          const shown = yield* shownBy<unknown, unknown>(call)
          assert.include(shown, "is not available")
          assert.notInclude(shown, secret)
        }
      }))
  }

  it.live("a status shows the engine's address without them", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({
        address: "127.0.0.1",
        world: { containers: [{ id: "4fe", name: "a", labels: { "kubelayer.cluster": "dev" }, state: "running" }] }
      })
      const docker = yield* serviceAt({ host: engine.host.replace("//", `//me:${secret}@`) })
      const shown = yield* shownBy(docker.provider.getClusterStatus("dev"))
      assert.include(shown, engine.host)
      assert.notInclude(shown, secret)
    }))

  it.live("a message of a registry or a proxy shows its URL without them", () =>
    Effect.gen(function*() {
      const line = JSON.stringify({ error: `Get "https://me:${secret}@registry.example/v2/": denied` })
      const engine = yield* pretend({
        script: ({ path }) => path === "/images/create" ? pieces([`${line}\n`]) : undefined
      })
      const docker = yield* serviceAt(engine)
      const shown = yield* shownBy(docker.createNodes({ ...spec, nodes: { image: "other" }, worker: {} }))
      assert.include(shown, "https://registry.example/v2/")
      assert.notInclude(shown, secret)
    }))
})
