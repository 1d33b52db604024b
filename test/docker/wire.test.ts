/**
 * Requests on the socket, as the Docker Engine API reference defines them, and responses that no real engine sends.
 *
 * Every call must end with the right error, by its deadline, and leave no connection.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as DockerClient from "kubelayer/layers/DockerClient"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import {
  converse,
  cutAfter,
  empty,
  hangUp,
  json,
  pieces,
  refusal,
  type Reply,
  type Script,
  silence,
  stallAfter,
  text,
  until
} from "./support/Conversation.ts"
import { type EngineSettings, pretend } from "./support/pretend.ts"
import { failureOf, kindNode, reasonTag, serviceAt } from "./support/service.ts"

const world = { containers: [kindNode("dev-worker"), kindNode("dev-control-plane", "dev", "control-plane")] }

/** Answers the list of containers so, and leaves the rest to the engine. */
const listIs = (reply: Reply): Script => ({ path }) => path === "/containers/json" ? reply : undefined

/** Answers one kind of request so. */
const replyTo = (method: string, path: RegExp, reply: Reply): Script => (heard) =>
  heard.method === method && path.test(heard.path) ? reply : undefined

const kindOver = Effect.fnUntraced(function*(
  settings: EngineSettings,
  policy: NonNullable<Parameters<typeof serviceAt>[1]>["policy"] = {}
) {
  const engine = yield* pretend({ world, ...settings })
  return { engine, docker: yield* serviceAt(engine, { scheme: "kind", policy }) }
})

const half = "[{\"Id\":\"4fe\",\"Names\":[\"/dev-wor"

describe("requests", () => {
  it.live("a list asks the engine for all states and for the cluster's labels, in the version agreed on", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* kindOver({})
      assert.deepStrictEqual(
        (yield* docker.provider.listNodes("dev")).map(({ name }) => name),
        ["dev-control-plane", "dev-worker"]
      )
      assert.deepStrictEqual(engine.heard, [
        { method: "GET", version: undefined, path: "/_ping", query: {}, body: undefined },
        {
          method: "GET",
          version: "1.41",
          path: "/containers/json",
          query: { all: "true", filters: "{\"label\":[\"io.x-k8s.kind.cluster=dev\"]}" },
          body: undefined
        }
      ])
    }))

  it.live("stop and start name the container by its id; a stop has the grace of its scheme", () =>
    Effect.gen(function*() {
      const labels = { "talos.owned": "true", "talos.cluster.name": "dev", "talos.type": "worker" }
      const engine = yield* pretend({ world: { containers: [{ id: "4fe", name: "node", labels, state: "running" }] } })
      const { provider } = yield* serviceAt(engine, { scheme: "talos" })
      yield* provider.stopNodes("dev")
      yield* provider.startNodes("dev")
      assert.deepStrictEqual(engine.changes().map(({ body, path, query }) => ({ body, path, query })), [
        { path: "/containers/4fe/stop", query: { t: "30" }, body: undefined },
        { path: "/containers/4fe/start", query: {}, body: undefined }
      ])
    }))

  it.live("a delete removes by force, with the anonymous volumes, and only by id", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* kindOver({})
      yield* docker.provider.deleteNodes("dev")
      assert.sameDeepMembers(
        engine.changes().map(({ method, path, query }) => ({ method, path, query })),
        ["id-of-dev-worker", "id-of-dev-control-plane"].map((id) => ({
          method: "DELETE",
          path: `/containers/${id}`,
          query: { force: "true", v: "true" }
        }))
      )
    }))

  it.live("an id that could mean something in a path stays one part of it", () =>
    Effect.gen(function*() {
      const odd = { ...kindNode("dev-worker"), id: "a/../b?c=d#e" }
      const { docker, engine } = yield* kindOver({ world: { containers: [odd] } })
      yield* docker.provider.stopNodes("dev")
      assert.strictEqual(engine.changes()[0]?.path, "/containers/a%2F..%2Fb%3Fc%3Dd%23e/stop")
    }))
})

describe("answers that are none", () => {
  const answers: Readonly<Record<string, readonly [reply: Reply, reason: string]>> = {
    "the engine dies in the middle of a body of known length": [cutAfter(half, 5000), "Transport"],
    "the engine dies in the middle of a chunked body": [cutAfter(half), "Transport"],
    "the engine dies after the headers": [cutAfter("", 5000), "Transport"],
    "the engine hangs up": [hangUp, "Transport"],
    "the engine stalls in the middle of a body": [stallAfter(half, 5000), "RequestTimeout"],
    "the engine stalls after the headers": [stallAfter(""), "RequestTimeout"],
    "the engine never answers": [silence, "RequestTimeout"],
    "a proxy's page instead of JSON": [text(200, "<html><body>Sign in</body></html>"), "InvalidResponse"],
    "garbage": [text(200, "[{\"Id\":}]"), "InvalidResponse"],
    "nothing with status 200": [empty(200), "InvalidResponse"],
    "an object where a list is due": [json({ containers: [] }), "InvalidResponse"],
    "an entry without an id": [json([{ Names: ["/dev-worker"], State: "running" }]), "InvalidResponse"],
    "a redirect": [text(302, "", { Location: "http://127.0.0.1:9/login" }), "InvalidResponse"],
    "status 500 in the engine's form": [refusal(500, "boltdb: database not open"), "ServerFault"],
    "status 502 of a proxy": [text(502, "<h1>Bad Gateway</h1>"), "ServerFault"],
    "status 429": [refusal(429, "slow down"), "RateLimited"],
    "status 401": [text(401, "no"), "Unauthorized"]
  }

  for (const [name, [reply, reason]] of Object.entries(answers)) {
    it.live(`${name}: ${reason}, and no connection is left`, () =>
      Effect.gen(function*() {
        const { docker, engine } = yield* kindOver(
          { script: listIs(reply) },
          reason === "RequestTimeout" ? { requestTimeout: "200 millis" } : {}
        )
        const error = yield* failureOf(docker.provider.listNodes("dev"))
        assert.strictEqual(reasonTag(error), reason)
        yield* until("no connection is left", () => engine.connections() === 0)
      }))
  }

  it.live("the error says which request it was, and in one line what came instead", () =>
    Effect.gen(function*() {
      const page = `<html>\n<body>\n${"<p>Sign in to the hotel</p>\n".repeat(100)}</body></html>`
      const { docker } = yield* kindOver({ script: listIs(text(200, page)) })
      const { message } = yield* failureOf(docker.provider.listNodes("dev"))
      assert.match(
        message,
        /^docker listNodes for cluster dev: InvalidResponse: GET \/containers\/json: a proxy or web server sent an HTML page/
      )
      assert.notInclude(message, "<")
      assert.notInclude(message, "\n")
      assert.isBelow(message.length, 500)
    }))

  it.live("a redirect leads nowhere else", () =>
    Effect.gen(function*() {
      const elsewhere = yield* converse(() => undefined, { address: "127.0.0.1" })
      const redirect = text(302, "", { Location: elsewhere.host.replace("tcp://", "http://") })
      const { docker } = yield* kindOver({ script: listIs(redirect) })
      assert.match((yield* failureOf(docker.provider.listNodes("dev"))).message, /answered with a redirect/)
      const other = yield* failureOf(DockerClient.use(docker, (dockerode) => dockerode.listContainers()))
      assert.strictEqual(reasonTag(other), "InvalidResponse")
      assert.deepStrictEqual(elsewhere.heard, [])
    }))

  it.live("null where Go has an empty list is an empty list, also in an entry", () =>
    Effect.gen(function*() {
      const nulls = {
        Id: "4fe",
        Names: ["/dev-worker"],
        Labels: { "io.x-k8s.kind.cluster": "dev" },
        State: "running",
        Ports: null,
        NetworkSettings: { Networks: null },
        Mounts: null
      }
      const unlabelled = { Id: "4ff", Names: null, Labels: null, State: "running", NetworkSettings: null }
      const { docker } = yield* kindOver({ script: listIs(json([nulls, unlabelled])) })
      assert.deepStrictEqual((yield* docker.provider.listNodes("dev")).map(({ name }) => name), ["dev-worker"])
      const none = yield* kindOver({
        script: ({ method, path }) =>
          method === "GET" && /^\/(containers\/json|networks)$/.test(path)
            ? json(null)
            : path === "/volumes"
            ? json({ Volumes: null, Warnings: null })
            : undefined
      })
      assert.deepStrictEqual(yield* none.docker.provider.listNodes("dev"), [])
      assert.deepStrictEqual(yield* none.docker.resources("dev"), [])
    }))

  it.live("a list that comes byte by byte is the same list", () =>
    Effect.gen(function*() {
      const name = "dev-wörker"
      const entry = { Id: "4fe", Names: [`/${name}`], Labels: { "io.x-k8s.kind.cluster": "dev" }, State: "running" }
      const bytes = [...new TextEncoder().encode(JSON.stringify([entry]))].map((byte) => Uint8Array.of(byte))
      const { docker } = yield* kindOver({ script: listIs(pieces(bytes)) })
      assert.deepStrictEqual((yield* docker.provider.listNodes("dev")).map((node) => node.name), [name])
    }))
})

describe("retries", () => {
  it.live("a read that is cut is sent again as often as the policy says, then its error is given", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* kindOver({ script: listIs(cutAfter(half)) }, { retry: Schedule.recurs(2) })
      assert.strictEqual(reasonTag(yield* failureOf(docker.provider.listNodes("dev"))), "Transport")
      assert.strictEqual(engine.told().filter((each) => each === "GET /containers/json").length, 3)
    }))

  it.live("a read that stalls is sent again within the same bounds, and each time the connection is closed", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* kindOver(
        { script: listIs(stallAfter(half)) },
        { retry: Schedule.recurs(1), requestTimeout: "120 millis" }
      )
      assert.strictEqual(reasonTag(yield* failureOf(docker.provider.listNodes("dev"))), "RequestTimeout")
      yield* until("both requests are closed", () => engine.abandoned.length === 2)
      assert.strictEqual(engine.connections(), 0)
    }))

  it.live("retries without an end of their own end with the read's time", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* kindOver(
        { script: listIs(refusal(500, "not yet")) },
        { retry: Schedule.spaced("20 millis"), readTimeout: "150 millis" }
      )
      assert.strictEqual(reasonTag(yield* failureOf(docker.provider.listNodes("dev"))), "ServerFault")
      assert.isAbove(engine.told().length, 2)
    }))

  it.live("a read that fails once and then works gives its answer", () =>
    Effect.gen(function*() {
      let lists = 0
      const { docker } = yield* kindOver({
        script: (heard) => heard.path === "/containers/json" && lists++ === 0 ? cutAfter(half) : undefined
      }, { retry: Schedule.recurs(2) })
      assert.strictEqual((yield* docker.provider.listNodes("dev")).length, 2)
    }))

  it.live("a Retry-After beyond the deadline fails with RateLimited at once", () =>
    Effect.gen(function*() {
      const busy = text(429, "{\"message\":\"slow down\"}", { "Retry-After": "3600" })
      const { docker, engine } = yield* kindOver({ script: listIs(busy) }, { retry: Schedule.spaced("1 millis") })
      const error = yield* failureOf(docker.provider.listNodes("dev"))
      assert.strictEqual(reasonTag(error), "RateLimited")
      assert.strictEqual(engine.told().filter((each) => each === "GET /containers/json").length, 1)
    }))

  it.live("a retry waits for the time of the Retry-After header", () =>
    Effect.gen(function*() {
      const at: Array<number> = []
      const { docker } = yield* kindOver({
        script: (heard) => {
          if (heard.path !== "/containers/json") return undefined
          at.push(performance.now())
          return at.length === 1 ? text(503, "{\"message\":\"starting\"}", { "Retry-After": "1" }) : undefined
        }
      }, { retry: Schedule.spaced("1 millis") })
      yield* docker.provider.listNodes("dev")
      const [first = 0, second = 0] = at
      assert.isAtLeast(second - first, 990)
    }))

  it.live("a create whose reply is cut is sent again only after a list shows that nothing was created", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* kindOver({
        world: { images: ["node"] },
        script: replyTo("POST", /^\/containers\/create$/, hangUp)
      }, { retry: Schedule.recurs(3) })
      const error = yield* failureOf(
        docker.createNodes({ cluster: "dev", controlPlanes: 1, workers: 0, nodes: { image: "node" } })
      )
      assert.strictEqual(error._tag, "NodesNotCreated")
      const after = engine.told().slice(engine.told().indexOf("POST /containers/create"))
        .filter((call) => call === "POST /containers/create" || call === "GET /containers/json")
      // The policy retries three times, and never without a list that shows that nothing was created.
      assert.lengthOf(after.filter((call) => call === "POST /containers/create"), 4)
      assert.notInclude(after.join(), "POST /containers/create,POST /containers/create")
      assert.strictEqual(after.at(-1), "GET /containers/json")
      // No cluster owns the network that all kind clusters share.
      assert.deepStrictEqual(engine.networks.map(({ name }) => name), ["kind"])
    }))

  it.live("one node whose start hangs fails by its deadline, and the others are started", () =>
    Effect.gen(function*() {
      const containers = ["a", "b", "c"].map((name) => ({ ...kindNode(name), state: "exited" }))
      const { docker, engine } = yield* kindOver({
        world: { containers },
        script: replyTo("POST", /^\/containers\/id-of-b\/start$/, silence)
      }, { nodeTimeout: { start: "300 millis" } })
      const error = yield* failureOf(docker.provider.startNodes("dev"))
      assert.strictEqual(error._tag, "NodesFailed")
      assert.deepStrictEqual(
        error._tag === "NodesFailed" ? error.report.outcomes.map((each) => `${each.name} ${each.outcome._tag}`) : [],
        ["a Done", "b Failed", "c Done"]
      )
      yield* until("the start is closed", () => engine.abandoned.length === 1)
    }))
})

describe("interruption", () => {
  const replies: Readonly<Record<string, Reply>> = {
    "before the headers": silence,
    "after the headers": stallAfter(""),
    "in the middle of a body": stallAfter(half)
  }
  for (const [when, reply] of Object.entries(replies)) {
    it.live(`${when} closes the connection`, () =>
      Effect.gen(function*() {
        const { docker, engine } = yield* kindOver({ script: listIs(reply) }, { requestTimeout: "1 hour" })
        const fiber = yield* Effect.forkChild(docker.provider.listNodes("dev"))
        yield* until("the list is asked for", () => engine.told().includes("GET /containers/json"))
        const exit = yield* Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber))
        assert.isTrue(Exit.hasInterrupts(exit))
        yield* until("the engine sees it", () => engine.abandoned.length === 1)
        yield* until("no connection is left", () => engine.connections() === 0)
      }))
  }

  it.live("a process that interrupts its calls and has nothing else to do ends", () =>
    Effect.gen(function*() {
      const { engine } = yield* kindOver({
        script: ({ path }) =>
          path === "/containers/json" ? stallAfter(half) : path === "/networks" ? silence : undefined
      })
      const program = fileURLToPath(new URL("./support/interrupting.ts", import.meta.url))
      let told = ""
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => execFile(process.execPath, [program, engine.host], (_error, out, err) => told = out + err)),
        (child) => Effect.sync(() => void child.kill("SIGKILL"))
      )
      yield* until(
        "it waits for answers",
        () => ["GET /containers/json", "GET /networks", "GET /events"].every((each) => engine.told().includes(each))
      )
      child.stdin?.end()
      yield* until("it has ended", () => child.exitCode !== null && told !== "")
      assert.deepStrictEqual([child.exitCode, told], [0, "interrupted\n"])
    }), 20_000)

  it.live("a stream that is no longer listened to is closed", () =>
    Effect.gen(function*() {
      const { docker, engine } = yield* kindOver({})
      const [first] = yield* Stream.runCollect(Stream.take(docker.provider.watchCluster("dev"), 1))
      assert.strictEqual(first?.phase, "running")
      yield* until("the events are closed", () => engine.abandoned.length === 1)
      assert.strictEqual(engine.abandoned[0]?.path, "/events")
      assert.strictEqual(engine.connections(), 0)
    }))

  it.live("a stop that is interrupted sends nothing more", () =>
    Effect.gen(function*() {
      const containers = ["a", "b", "c", "d"].map((name) => kindNode(name))
      const { docker, engine } = yield* kindOver(
        { world: { containers }, script: replyTo("POST", /\/stop$/, silence) },
        { requestTimeout: "1 hour", concurrency: { stop: 2 } }
      )
      const fiber = yield* Effect.forkChild(docker.provider.stopNodes("dev"))
      yield* until("two are being stopped", () => engine.changes().length === 2)
      yield* Fiber.interrupt(fiber)
      yield* until("the engine sees it", () => engine.abandoned.length === 2)
      assert.strictEqual(engine.changes().length, 2)
    }))
})

describe("pulls", () => {
  const creating = (lines: Reply) =>
    Effect.gen(function*() {
      const engine = yield* pretend({ script: replyTo("POST", /^\/images\/create$/, lines) })
      const docker = yield* serviceAt(engine)
      const error = yield* failureOf(docker.createNodes({
        cluster: "dev",
        controlPlanes: 1,
        workers: 0,
        nodes: { image: "registry.example:5000/kubernetes/node:v1" }
      }))
      return { engine, error }
    })

  it.live("an image is pulled by its name and tag; a registry's port is not a tag", () =>
    Effect.gen(function*() {
      const { engine } = yield* creating(refusal(404, "manifest unknown"))
      assert.deepStrictEqual(engine.heard.find(({ path }) => path === "/images/create")?.query, {
        fromImage: "registry.example:5000/kubernetes/node",
        tag: "v1"
      })
    }))

  const failures: Readonly<Record<string, readonly [Reply, string]>> = {
    "a line with an error, in two pieces": [
      pieces(["{\"status\":\"Pulling\"}\r\n{\"err", "or\":\"manifest unknown\"}\r\n"]),
      "NotFoundError"
    ],
    "a registry that wants a login": [
      pieces(["{\"error\":\"unauthorized: authentication required\"}\r\n"]),
      "Unauthorized"
    ],
    "a registry that limits": [pieces(["{\"error\":\"toomanyrequests: rate limit\"}\r\n"]), "RateLimited"],
    "an error that nobody knows": [pieces(["{\"error\":\"layers from manifest do not match\"}\r\n"]), "UnknownError"],
    "a line that is no JSON": [pieces(["<html>\r\n"]), "InvalidResponse"],
    "a cut in the middle": [cutAfter("{\"status\":\"Pulling\"}\r\n{\"sta"), "Transport"]
  }
  for (const [name, [reply, reason]] of Object.entries(failures)) {
    it.live(`${name} fails with ${reason}, and nothing is created`, () =>
      Effect.gen(function*() {
        const { engine, error } = yield* creating(reply)
        assert.strictEqual(reasonTag(error), reason)
        assert.deepStrictEqual(engine.changes().map(({ path }) => path), ["/images/create"])
      }))
  }

  it.live("a pull in which nothing comes any more ends by its idle deadline", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({
        script: replyTo("POST", /^\/images\/create$/, stallAfter("{\"status\":\"Pulling\"}\r\n"))
      })
      const docker = yield* serviceAt(engine, { policy: { idleTimeout: "100 millis" } })
      const error = yield* failureOf(
        docker.createNodes({ cluster: "dev", controlPlanes: 1, workers: 0, nodes: { image: "other" } })
      )
      assert.strictEqual(reasonTag(error), "Transport")
      yield* until("the pull is closed", () => engine.connections() === 0)
    }))
})
