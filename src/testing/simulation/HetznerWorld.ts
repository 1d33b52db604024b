/** The Hetzner Cloud in a simulated run: the layer over the `HttpClient` of the fake. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import { HttpClientError, TransportError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Hetzner from "../../layers/Hetzner.ts"
import { between } from "../faults/Random.ts"
import type { ResourceView, Snapshot } from "../hetzner/Snapshot.ts"
import * as HetznerFake from "../HetznerFake.ts"
import type { Client, Line } from "./Line.ts"
import type { MakeWorld, Thing } from "./SimulatedWorld.ts"

const token = "simulated-token-of-a-project-that-does-not-exist"

/** Layers of one token share what they know, and processes do not, so each process has a token of its own. */
let tokens = 0

const replies = {
  limited: {
    status: 429,
    body: "{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"limit of 3600 requests per hour reached\"}}"
  },
  broken: { status: 500, body: "{\"error\":{\"code\":\"server_error\",\"message\":\"an internal error\"}}" },
  page: { status: 502, body: "<!doctype html><html><body><h1>Bad gateway</h1></body></html>" },
  garbled: { status: 200, body: "{\"servers\":[{\"id\":" }
} as const

const lists =
  /^GET \/v1\/(?:servers|networks|volumes|firewalls|placement_groups|load_balancers|primary_ips|floating_ips|ssh_keys)(?:\?|$)/

/** The client of one process. The text of a reply is read at once, so that it can be shown again. */
const clientOf = (
  http: HttpClient.HttpClient,
  line: Line,
  client: Client,
  inWorld: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): HttpClient.HttpClient =>
  HttpClient.make((request, url) => {
    const target = `${url.pathname}${url.search}`
    const text = `${request.method} ${target}`
    const reply = (
      { body, headers, status }: {
        readonly status: number
        readonly body: string
        readonly headers?: Record<string, string>
      }
    ) =>
      HttpClientResponse.fromWeb(
        request,
        new Response(status === 204 ? null : body, {
          status,
          headers: headers ?? { "content-type": "application/json" }
        })
      )
    const sent = HttpClientRequest.setHeader(request, "authorization", `Bearer ${token}`)
    return Effect.map(
      line.send<
        { readonly status: number; readonly body: string; readonly headers?: Record<string, string> },
        HttpClientError
      >(client, {
        line: text,
        isWrite: request.method !== "GET" && request.method !== "HEAD",
        send: inWorld(
          Effect.flatMap(
            http.execute(sent),
            (response) =>
              Effect.map(response.text, (body) => ({ status: response.status, body, headers: { ...response.headers } }))
          )
        ),
        failure: (fault) =>
          fault === "lost"
            ? Effect.fail(
              new HttpClientError({ reason: new TransportError({ request, description: "connection cut" }) })
            )
            : Effect.succeed(replies[fault]),
        ...(lists.test(text) ? { list: target } : {})
      }),
      reply
    )
  })

const clusterOf = (labels: Readonly<Record<string, string>>): string | undefined => labels["kubelayer.cluster"]

const kinds = {
  networks: "network",
  firewalls: "firewall",
  placementGroups: "placement-group",
  floatingIps: "floating-ip",
  volumes: "volume",
  primaryIps: "primary-ip",
  loadBalancers: "load-balancer",
  sshKeys: "ssh-key"
} as const

const viewOf = (kind: string, { id, json, labels, name }: ResourceView): Thing => ({
  kind,
  name,
  id: String(id),
  cluster: clusterOf(labels),
  text: JSON.stringify(json)
})

const thingsOf = (state: Snapshot): ReadonlyArray<Thing> => [
  ...state.servers.map((server): Thing => ({
    ...viewOf("node", server),
    isRunning: server.status === "running",
    isStopped: server.status === "off",
    isConnected: server.networks.length > 0
  })),
  ...Object.entries(kinds).flatMap(([key, kind]) => state[key as keyof typeof kinds].map((one) => viewOf(kind, one)))
]

export const makeHetznerWorld: MakeWorld = Effect.fnUntraced(function*({ line, runtime, world }) {
  const next = runtime.numbers("engine")
  const millis = () => between(next, 0, 8_000)
  const fake = yield* HetznerFake.make({
    listen: false,
    keepReplies: false,
    token,
    durations: {
      create_server: millis(),
      start_server: millis(),
      stop_server: millis(),
      shutdown_server: millis(),
      delete_server: millis()
    },
    guest: { shutdown: between(next, 0, 20_000), boot: between(next, 0, 20_000) },
    networkDelete: next() < 0.5 ? "detach" : "refuse"
  })
  const inWorld = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provideContext(self, world.context)
  const now = <A>(effect: Effect.Effect<A>): A => Effect.runSync(effect)

  return {
    connect: (client) =>
      Layer.build(
        Hetzner.layerHttpClient({
          token: `${token}-${String(++tokens).padStart(12, "0")}`,
          endpoint: "https://simulated.invalid/v1",
          nodes: { image: "debian-13", serverTypes: ["cx23"], locations: ["fsn1"] }
        }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient)(clientOf(fake.httpClient, line(), client, inWorld))))
      ).pipe(
        Effect.map((context) => Context.get(context, Hetzner.Hetzner)),
        Effect.orDie
      ),
    truth: Effect.map(fake.state, thingsOf),
    putUnowned: (name) =>
      Effect.gen(function*() {
        const network = yield* fake.seed.network({ name: `${name}-net` })
        yield* fake.seed.server({ name, networks: [network] })
        yield* fake.seed.volume({ name: `${name}-data` })
        yield* fake.seed.firewall({ name: `${name}-firewall` })
      }),
    change: (one) => {
      if (!("cluster" in one)) return
      const servers = now(fake.state).servers.filter(({ labels }) => clusterOf(labels) === one.cluster)
      const server = servers[one.nth % Math.max(1, servers.length)]
      if (server === undefined) return
      now(one.change === "remove" ? fake.vanish(server.id) : fake.change(server.id, { status: "off" }))
    },
    rest: Effect.sleep("1 minute"),
    secrets: [token],
    violations: Effect.map(fake.violations, (all) => all.map((one) => JSON.stringify(one)))
  }
})
