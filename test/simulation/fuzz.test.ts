/** Mutated replies: every method fails with a typed error, or succeeds. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Document from "kubelayer/Document"
import * as Docker from "kubelayer/layers/Docker"
import * as Hetzner from "kubelayer/layers/Hetzner"
import type { NodeCreatorService, ProviderService } from "kubelayer/Provider"
import { DockerFake, HetznerFake } from "kubelayer/testing"
import { frames } from "../../src/docker/Frames.ts"
import { Transport, type TransportService } from "../../src/docker/Transport.ts"
import { between, oneOf, type Random, random } from "../../src/testing/faults/Random.ts"

const inputs = 2_000
const patience = 300_000
const policy = { retry: Schedule.recurs(0), requestTimeout: "1 second", readTimeout: "1 second" } as const

const odd = [null, "", "x", -1, 1e300, 0.5, true, [], {}, [null], "9".repeat(40), { a: { b: [] } }, "\u0000", "💥"]

/** The value with one part replaced, left out or repeated. */
const mutate = (next: Random, value: unknown): unknown => {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : []
  if (entries.length === 0 || next() < 0.2) return odd[between(next, 0, odd.length - 1)]
  const [key, part] = oneOf(next, entries as [[string, unknown], ...Array<[string, unknown]>])
  if (Array.isArray(value)) {
    return next() < 0.15
      ? [...value, ...value]
      : value.map((one, index) => String(index) === key ? mutate(next, part) : one)
  }
  const changed: Record<string, unknown> = { ...(value as object) }
  if (next() < 0.2) delete changed[key]
  else changed[key] = mutate(next, part)
  return changed
}

const mutateText = (next: Random, text: string): string => {
  if (next() < 0.1) return text.slice(0, between(next, 0, text.length))
  try {
    return JSON.stringify(mutate(next, JSON.parse(text)))
  } catch {
    return text
  }
}

interface Services {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
}

const spec = { cluster: "dev", controlPlanes: 1, workers: 2 }

const methods: ReadonlyArray<(services: Services) => Effect.Effect<unknown, unknown>> = [
  ({ provider }) => provider.listNodes("dev"),
  ({ provider }) => provider.getClusterStatus("dev"),
  ({ provider }) => provider.listAllStatuses,
  ({ provider }) => provider.listAllClusters,
  ({ provider }) => provider.planDelete("dev"),
  ({ creator }) => creator.plan(spec),
  ({ creator }) => creator.sweep({ olderThan: "1 hour" })
]

/** Calls each method in turn, and returns how often one failed. */
const callAll = (services: Services) =>
  Effect.gen(function*() {
    let failures = 0
    for (let input = 0; input < inputs; input++) {
      const method = methods[input % methods.length] ?? ((): Effect.Effect<void> => Effect.void)
      const exit = yield* Effect.exit(method(services))
      if (Exit.isSuccess(exit)) continue
      failures++
      const text = Cause.pretty(exit.cause)
      assert.isFalse(Cause.hasDies(exit.cause) || text.includes("a defect"), `input ${input}: ${text}`)
    }
    return failures
    // Warnings of what is left out are no part of this.
  }).pipe(Effect.provideService(References.MinimumLogLevel, "None"))

describe("mutated replies", () => {
  it.live("of a Docker engine become typed errors", () =>
    Effect.gen(function*() {
      const fake = yield* DockerFake.make({ listen: "none", images: { "node:1": {} } })
      const healthy = yield* Effect.provide(Docker.make({ nodes: { image: "node:1" } }), fake.transport)
      yield* healthy.createNodes(spec)
      const inner = yield* Effect.provide(Transport, fake.transport)
      const next = random(1, "docker")
      const transport: TransportService = {
        connect: (options, environment, timeout) =>
          Effect.map(inner.connect(options, environment, timeout), (connection) => ({
            ...connection,
            exchange: (request) =>
              Effect.map(connection.exchange(request), (reply) => ({ ...reply, text: mutateText(next, reply.text) }))
          }))
      }
      const docker = yield* Docker.make({ nodes: { image: "node:1" }, policy }).pipe(
        Effect.provideService(Transport, transport)
      )
      assert.isAbove(yield* callAll(docker), inputs / 10)
    }).pipe(Effect.scoped), patience)

  it.live("of the Hetzner Cloud become typed errors", () =>
    Effect.gen(function*() {
      const fake = yield* HetznerFake.make({ listen: false, keepReplies: false })
      const options = {
        token: fake.token,
        endpoint: fake.endpoint,
        nodes: { image: "debian-13", serverTypes: ["cx23"], locations: ["fsn1"] }
      }
      const over = (http: HttpClient.HttpClient, more: Partial<Hetzner.Options>) =>
        Effect.map(
          Layer.build(
            Layer.fresh(Hetzner.layerHttpClient({ ...options, ...more })).pipe(
              Layer.provide(Layer.succeed(HttpClient.HttpClient)(http))
            )
          ),
          (context) => Context.get(context, Hetzner.Hetzner)
        )
      yield* (yield* over(fake.httpClient, { policy: { poll: Schedule.spaced("5 millis") } })).createNodes(spec)
      const next = random(1, "hetzner")
      const http = HttpClient.make((request) =>
        Effect.flatMap(fake.httpClient.execute(request), (response) =>
          Effect.map(response.text, (text) =>
            HttpClientResponse.fromWeb(
              request,
              new Response(mutateText(next, text), { status: response.status, headers: { ...response.headers } })
            )))
      )
      assert.isAbove(yield* callAll(yield* over(http, { policy })), inputs / 10)
    }).pipe(Effect.scoped), patience)
})

describe("mutated text", () => {
  const document = [
    "apiVersion: kubelayer/v1",
    "kind: Cluster",
    "backend: hetzner",
    "name: dev",
    "controlPlanes: 1",
    "workers: 2",
    "nodes:",
    "  image: debian-13",
    "  serverTypes: [cx23]",
    "---",
    "apiVersion: kubelayer/v1",
    "kind: Cluster",
    "backend: memory",
    "name: test",
    "controlPlanes: 1",
    "workers: 0"
  ].join("\n")
  const pieces = [
    "\n",
    ":",
    "- ",
    "&a ",
    "*a",
    "{",
    "}",
    "[",
    "]",
    "!!binary ",
    "? ",
    "|",
    ">",
    "\t",
    "'",
    "\"",
    "#",
    "%",
    "\u0000",
    "<<: "
  ]

  it.live("of a document becomes typed errors", () =>
    Effect.gen(function*() {
      const next = random(1, "document")
      for (let input = 0; input < inputs; input++) {
        let text = document
        for (let left = between(next, 1, 4); left > 0; left--) {
          const at = between(next, 0, text.length)
          const piece = pieces[between(next, 0, pieces.length - 1)] ?? ""
          text = text.slice(0, at) + piece + text.slice(at + between(next, 0, 3))
        }
        const exit = yield* Effect.exit(Document.parse(text))
        if (Exit.isFailure(exit)) assert.isFalse(Cause.hasDies(exit.cause), `${text}\n${Cause.pretty(exit.cause)}`)
      }
    }), patience)

  it.live("of log frames ends, and gives no more bytes than came", () =>
    Effect.gen(function*() {
      const next = random(1, "frames")
      for (let input = 0; input < inputs; input++) {
        const chunks = Array.from(
          { length: between(next, 0, 6) },
          () =>
            Uint8Array.from({ length: between(next, 0, 40) }, () =>
              next() < 0.5 ? between(next, 0, 3) : between(next, 0, 255))
        )
        const found = yield* Stream.runCollect(frames(false)(Stream.fromIterable(chunks)))
        const bytes = found.reduce((sum, piece) =>
          sum + piece.bytes.length, 0)
        assert.isAtMost(bytes, chunks.reduce((sum, chunk) => sum + chunk.length, 0))
      }
    }), patience)
})
