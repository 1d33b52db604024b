/**
 * From a request to an answer: routes, versions, faults, the log of calls, and what no client should send.
 *
 * The work of a request goes on when its client leaves, as in an engine. A refusal is a reply in the form of the flavor.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Rules } from "../faults/Rules.ts"
import { type Answer, attempt, type EngineRequest, type Handler, json, refused, type Reply, reply } from "./Call.ts"
import { containerRoutes } from "./ContainerRoutes.ts"
import type { Engine } from "./Engine.ts"
import type { CallRecord, Fault } from "./Faults.ts"
import { Refusal } from "./Flavor.ts"
import { networkRoutes } from "./NetworkRoutes.ts"
import { streamRoutes } from "./StreamRoutes.ts"
import { systemRoutes } from "./SystemRoutes.ts"

interface Route {
  readonly method: string
  readonly template: string
  readonly query: ReadonlyArray<string>
  readonly run: Handler
}

/**
 * A part of a request that the engine would ignore and that the API does not have.
 *
 * @category models
 * @since 0.1.0
 */
export interface Violation {
  /** The index of the call; 0 for one that is not in the log. */
  readonly index: number
  readonly call: string
  readonly detail: string
}

/** @internal */
export interface Api {
  /** Answers a request. The engine goes on with the work when the fiber is interrupted. */
  readonly answer: (request: EngineRequest) => Effect.Effect<Answer>
  /** The same without faults and latency, and not in the log. */
  readonly answerDirectly: (request: EngineRequest) => Effect.Effect<Answer>
  readonly log: Array<CallRecord>
  readonly violations: Array<Violation>
}

const less = (a: string, b: string): boolean => {
  const [major = 0, minor = 0] = a.split(".").map(Number)
  const [otherMajor = 0, otherMinor = 0] = b.split(".").map(Number)
  return major === otherMajor ? minor < otherMinor : major < otherMajor
}

/** Docker refuses versions that it does not speak; Podman takes any. */
const versionRefusal = ({ flavor }: Engine, version: string): Reply | undefined => {
  const { apiVersion, isPodman, minApiVersion } = flavor
  if (isPodman) return undefined
  if (less(version, minApiVersion)) {
    const message =
      `client version ${version} is too old. Minimum supported API version is ${minApiVersion}, please upgrade your client to a newer version`
    return less(version, "1.24") ? reply(400, `${message}\n`, "text/plain; charset=utf-8") : json({ message }, 400)
  }
  return less(apiVersion, version)
    ? json({ message: `client version ${version} is too new. Maximum supported API version is ${apiVersion}` }, 400)
    : undefined
}

const compile = ({ template }: Route): RegExp =>
  // The name of an image has slashes.
  new RegExp(`^${template.replace("{id}", "([^/]+)").replace("{name}", "(.+)")}$`)

interface Parsed {
  readonly version: string | undefined
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly repeated: ReadonlyArray<string>
}

const parse = (target: string): Parsed => {
  const url = new URL(target, "http://engine")
  const [, version, below] = /^\/v(\d+\.\d+)(\/.*)$/.exec(url.pathname) ?? []
  const names = [...url.searchParams.keys()]
  return {
    version,
    path: below ?? url.pathname,
    query: Object.fromEntries(url.searchParams),
    repeated: names.filter((name, index) => names.indexOf(name) < index)
  }
}

const page = (status: number): Reply => reply(status, `<html><body><h1>${status}</h1></body></html>`, "text/html")

/** @internal */
export const makeApi = (options: {
  readonly engine: Engine
  readonly rules: Rules<CallRecord, Fault>
  readonly registries: ReadonlySet<string>
  readonly latency: () => number
  readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
}): Api => {
  const { engine, rules } = options
  const log: Array<CallRecord> = []
  const violations: Array<Violation> = []
  const routes =
    ([...systemRoutes(options.registries), ...containerRoutes, ...networkRoutes, ...streamRoutes] as ReadonlyArray<
      Route
    >)
      .map((route) => ({ route, pattern: compile(route) }))
      // A fixed path goes before one with a name in it.
      .sort((a, b) => Number(a.route.template.includes("{")) - Number(b.route.template.includes("{")))
  let arrived = 0

  const noRoute = (path: string): Reply => {
    if (!engine.flavor.isPodman) return json({ message: "page not found" }, 404)
    return routes.some(({ pattern }) => pattern.test(path))
      ? reply(405, "Method Not Allowed\n", "text/plain; charset=utf-8")
      : reply(404, "Not Found\n", "text/plain; charset=utf-8")
  }

  const work = (request: EngineRequest, parsed: Parsed, record: CallRecord): Effect.Effect<Reply> => {
    const violate = (detail: string) =>
      void violations.push({ index: record.index, call: `${record.method} ${record.path}`, detail })
    const match = routes.find(({ pattern, route }) => route.method === request.method && pattern.test(parsed.path))
    const isOld = parsed.version === undefined ? undefined : versionRefusal(engine, parsed.version)
    if (isOld !== undefined) return Effect.succeed(isOld)
    if (match === undefined) {
      violate("the API has no such call")
      return Effect.succeed(noRoute(parsed.path))
    }
    const { pattern, route } = match
    for (const name of parsed.repeated) violate(`the query has ${name} twice`)
    for (const name of Object.keys(parsed.query)) {
      if (!route.query.includes(name)) violate(`the call has no query parameter ${name}`)
    }
    const part = decodeURIComponent(pattern.exec(parsed.path)?.[1] ?? "")
    return Effect.catch(
      Effect.andThen(
        attempt(() => {
          if (typeof request.body !== "string" || request.body === "" || route.template === "/images/create") return
          if (request.contentType !== "application/json") violate(`a body of type ${request.contentType ?? "(none)"}`)
          if (record.body === undefined) throw engine.refuse.body("invalid character in JSON")
        }),
        Effect.suspend(() =>
          route.run(engine, {
            method: request.method,
            target: request.target,
            path: parsed.path,
            query: parsed.query,
            json: record.body,
            part,
            violate
          })
        )
      ),
      (error: Refusal) => Effect.succeed(refused(engine, error))
    )
  }

  const jsonOf = (body: string | Uint8Array): unknown => {
    if (typeof body !== "string" || body === "") return undefined
    try {
      return JSON.parse(body)
    } catch {
      return undefined
    }
  }

  const process = (request: EngineRequest, isDirect: boolean): Effect.Effect<Answer> =>
    Effect.gen(function*() {
      const parsed = parse(request.target)
      const template = routes.find(({ pattern, route }) => route.method === request.method && pattern.test(parsed.path))
        ?.route.template ?? parsed.path
      const record: CallRecord = {
        index: isDirect ? 0 : ++arrived,
        method: request.method,
        version: parsed.version,
        path: parsed.path,
        template,
        query: parsed.query,
        body: jsonOf(request.body),
        status: undefined
      }
      if (isDirect) return yield* work(request, parsed, record)
      log.push(record)
      const fault = rules.meet(record)
      const instead = yield* faultBefore(engine, fault)
      if (instead !== undefined) {
        if (instead._tag === "Reply") record.status = instead.status
        return instead
      }
      const answer = yield* work(request, parsed, record)
      const latency = options.latency() + (fault?._tag === "Delay" ? fault.millis : 0)
      if (latency > 0) yield* Effect.sleep(latency)
      if (fault?._tag === "CutAfter") return { _tag: "Cut" } as const
      if (fault?._tag === "HangAfter") return { _tag: "Hang" } as const
      record.status = answer.status
      if (fault?._tag !== "Garble") return answer
      return { ...reply(answer.status, "{\"Id\":}", "application/json") }
    })

  const detached = (work: Effect.Effect<Answer>): Effect.Effect<Answer> =>
    Effect.callback<Answer>((resume) => {
      const fiber = options.fork(work)
      fiber.addObserver((exit) =>
        resume(Exit.isSuccess(exit) ? Effect.succeed(exit.value) : Effect.failCause(exit.cause))
      )
    })

  return {
    log,
    violations,
    answer: (request) => detached(process(request, false)),
    answerDirectly: (request) => detached(process(request, true))
  }
}

const faultBefore = (engine: Engine, fault: Fault | undefined): Effect.Effect<Answer | undefined> =>
  Effect.sync((): Answer | undefined => {
    switch (fault?._tag) {
      case "Refuse": {
        const refusal = refused(engine, new Refusal(fault.status, fault.message))
        return { ...refusal, headers: { ...refusal.headers, ...fault.headers } }
      }
      case "Page":
        return page(fault.status)
      case "CutBefore":
        return { _tag: "Cut" }
      case "HangBefore":
        return { _tag: "Hang" }
      default:
        return undefined
    }
  })
