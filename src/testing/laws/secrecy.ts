/**
 * Laws on credentials: a program never prints, logs, traces or stores one.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { Buffer } from "node:buffer"
import { inspect } from "node:util"
import { toJson } from "../../Cluster.ts"
import { BackendError } from "../../Reason.ts"
import { expect, type Law, law, succeeds, type World } from "../Law.ts"
import { trio } from "./nodes.ts"

/** The forms in which a credential is still one. */
const formsOf = (secret: string): ReadonlyArray<string> => [
  secret,
  encodeURIComponent(secret),
  Buffer.from(secret).toString("base64").replace(/=+$/, "")
]

const secretsOf = ({ harness }: World) =>
  Effect.flatMap(harness.secrets, (secrets) =>
    Effect.as(
      expect(secrets.some((secret) => secret.length > 0), "the harness reports a credential", "it reports none"),
      secrets.filter((secret) => secret.length > 0).flatMap(formsOf)
    ))

const expectNone = (secrets: ReadonlyArray<string>, texts: ReadonlyArray<readonly [where: string, text: string]>) => {
  const found = texts.filter(([, text]) => secrets.some((secret) => text.includes(secret)))
  return expect(
    found.length === 0,
    "no credential is shown",
    `one is shown in ${[...new Set(found.map(([where]) => where))].join(", ")}`
  )
}

/** All strings that hang on a value by its properties, also by those that are not printed: a `cause`, a request. */
const hanging = (value: unknown): ReadonlyArray<string> => {
  const strings: Array<string> = []
  const seen = new Set<unknown>()
  const open = [value]
  while (open.length > 0 && seen.size < 10_000) {
    const next = open.pop()
    if (typeof next === "string") strings.push(next)
    if (typeof next !== "object" || next === null || seen.has(next)) continue
    seen.add(next)
    if (next instanceof Uint8Array) {
      strings.push(Buffer.from(next).toString("latin1"))
      continue
    }
    if (next instanceof Map || next instanceof Set) open.push(...next)
    // A getter is not run: what it computes is no place where something is kept.
    for (const { value } of Object.values(Object.getOwnPropertyDescriptors(next))) open.push(value)
  }
  return strings
}

/** Everything that can be printed of a value, or found on it. */
const printed = (where: string, value: unknown): ReadonlyArray<readonly [string, string]> => [
  [where, String(value)],
  [`the inspection of ${where}`, inspect(value, { depth: Infinity })],
  [`the JSON of ${where}`, JSON.stringify(value instanceof BackendError ? [toJson(value), value] : value) ?? ""],
  ...value instanceof Error
    ? [[`the message of ${where}`, `${value.message}\n${value.stack}`] as const]
    : [],
  ...hanging(value).map((text) => [`a property of ${where}`, text] as const)
]

/** Calls that succeed, fail and are refused, with what came of each. */
const exercise = (world: World) => {
  const { cluster, harness, provider } = world
  const all = [
    ["listNodes", provider.listNodes(cluster)],
    ["getClusterStatus", provider.getClusterStatus(cluster)],
    ["listAllClusters", provider.listAllClusters],
    ["checkAvailable", provider.checkAvailable],
    ["isAvailable", provider.isAvailable],
    ["stopNodes", provider.stopNodes(cluster)],
    ["startNodes", provider.startNodes(cluster)],
    ["watchCluster", Effect.timeoutOption(Stream.runHead(provider.watchCluster(cluster)), harness.patience)],
    ["startNodes of an absent cluster", provider.startNodes(`${cluster}-x`)],
    ["listNodes of what is no name", provider.listNodes("not a name")]
  ] as const satisfies ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]>
  return Effect.forEach(
    all,
    ([where, call]) => Effect.map(Effect.exit<unknown, unknown, never>(call), (exit) => [where, exit] as const)
  )
}

const exercises = (world: World) =>
  Effect.gen(function*() {
    yield* trio(world, "running")
    const well = yield* exercise(world)
    const ill = yield* Effect.scoped(Effect.andThen(world.harness.outage, exercise(world)))
    return [...well, ...ill.map(([where, exit]) => [`${where} in an outage`, exit] as const)]
  })

/**
 * @category laws
 * @since 0.1.0
 */
export const secrecy: ReadonlyArray<Law> = [
  law({
    id: "secrecy.errors",
    title: "no credential is in an error, its message, its JSON or its inspection",
    needs: ["secrets", "outage"],
    check: (world) =>
      Effect.gen(function*() {
        const secrets = yield* secretsOf(world)
        const errors = (yield* exercises(world)).flatMap(([where, exit]) =>
          Exit.isFailure(exit) ? [[`the error of ${where}`, Cause.squash(exit.cause)] as const] : []
        )
        yield* expect(errors.length > 0, "something fails in an outage", "all succeeds")
        yield* expectNone(secrets, errors.flatMap(([where, error]) => printed(where, error)))
      })
  }),
  law({
    id: "secrecy.values",
    title: "no credential is in a node, a status, a report, or in the services themselves",
    needs: ["secrets", "outage"],
    check: (world) =>
      Effect.gen(function*() {
        const secrets = yield* secretsOf(world)
        const values = (yield* exercises(world)).flatMap(([where, exit]) =>
          Exit.isSuccess(exit) ? [[`the result of ${where}`, exit.value] as const] : []
        )
        const status = yield* succeeds("getClusterStatus", world.provider.getClusterStatus(world.cluster))
        yield* expectNone(secrets, [
          ...values.flatMap(([where, value]) => printed(where, value)),
          ["the JSON of the status", JSON.stringify(Option.toArray(status).map(toJson))],
          ...printed("the Provider", world.provider)
        ])
      })
  }),
  law({
    id: "secrecy.logs",
    title: "no credential is in a log line, at any level",
    needs: ["secrets", "outage"],
    check: (world) =>
      Effect.gen(function*() {
        const secrets = yield* secretsOf(world)
        const logged: Array<string> = []
        const logger = Logger.make((entry) => {
          logged.push(Logger.formatLogFmt.log(entry), inspect(entry.message, { depth: Infinity }))
        })
        yield* exercises(world).pipe(
          Effect.provide(Logger.layer([logger])),
          Effect.provideService(References.MinimumLogLevel, "All")
        )
        yield* expectNone(secrets, logged.map((line) => ["a log line", line] as const))
      })
  }),
  law({
    id: "secrecy.spans",
    title: "no credential is in a span, its name, attributes, events or failure",
    needs: ["secrets", "outage"],
    check: (world) =>
      Effect.gen(function*() {
        const secrets = yield* secretsOf(world)
        const spans: Array<Tracer.NativeSpan> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        yield* Effect.provideService(exercises(world), Tracer.Tracer, tracer)
        yield* expectNone(
          secrets,
          spans.map((span) => [
            `span ${span.name}`,
            inspect([span.name, span.attributes, span.events, span.status], { depth: Infinity })
          ])
        )
      })
  })
]
