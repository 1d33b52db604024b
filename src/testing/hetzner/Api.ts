/**
 * One call of the fake API, from its head to its reply: who asks, what for, whether it may, and what comes back.
 *
 * It knows nothing of sockets: a server and a client in the process both use it. A log has each call, and a list beside
 * it has each violation of a request. A test can therefore fail on a request without reading the reply.
 */
import type { Arrival, Fault, Faults } from "./Faults.ts"
import type { Bucket } from "./Quota.ts"
import { errorBody, type ErrorCode, Refusal, statusOfCode } from "./Refusal.ts"
import type { Reply, Route } from "./Route.ts"
import * as Shape from "./Shape.ts"
import type { World } from "./World.ts"

/**
 * A call that came, and what became of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallRecord extends Arrival {
  /** Milliseconds since the epoch, on the fake's clock. */
  readonly at: number
  readonly credential: "full" | "read-only" | "none"
  /** The JSON body of the request. */
  readonly body?: unknown
  readonly fault?: Fault
  /** The status that was, or would have been, answered; absent where nothing was done. */
  readonly status?: number
  /** The body of that answer, where the fake keeps them. */
  readonly reply?: unknown
  readonly correlationId: string
}

/**
 * A request that the API has no reading for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Violation {
  readonly index: number
  readonly method: string
  readonly path: string
  /** The violation, with the field: `body.nam: is not known`. */
  readonly faults: ReadonlyArray<string>
}

interface Request {
  readonly method: string
  /** With `/v1` and the query. */
  readonly target: string
  readonly authorization: string | undefined
  readonly contentType: string | undefined
  readonly body: string
}

/** The action on the connection. @internal */
export type Answer =
  | {
    readonly _tag: "Reply"
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
    readonly delay: number
  }
  | { readonly _tag: "Cut" }
  | { readonly _tag: "Hang" }

/** @internal */
export interface Api {
  readonly answer: (request: Request) => Answer
  readonly log: Array<CallRecord>
  readonly violations: Array<Violation>
}

/** @internal */
export interface ApiOptions {
  readonly world: World
  readonly routes: ReadonlyArray<Route>
  readonly faults: Faults
  readonly bucket: Bucket
  readonly token: string
  readonly readOnlyToken: string
  readonly readOnlyCode: ErrorCode
  readonly keepReplies: boolean
  readonly latency: () => number
}

const BASE = "/v1"

/** Faults of a request, beside the refusal that answers it. */
class Broken extends Refusal {
  readonly faults: ReadonlyArray<string>
  constructor(faults: ReadonlyArray<string>, code: ErrorCode, message: string, details: Refusal["details"] = null) {
    super(code, message, details)
    this.faults = faults
  }
}

const unreadable = (faults: ReadonlyArray<Shape.Fault>, where: "query" | "body"): Broken => {
  const names = [...new Set(faults.map(({ field }) => field))]
  const message = `invalid input in field${names.length > 1 ? "s" : ""} ${names.map((name) => `'${name}'`).join(", ")}`
  return new Broken(faults.map((fault) => `${where}.${fault.field}: ${fault.message}`), "invalid_input", message, {
    fields: names.map((name) => ({
      name,
      messages: faults.filter(({ field }) => field === name).map((fault) => fault.message)
    }))
  })
}

/** A fault of the fake's own is as loud as one of a client's. */
const broken = (error: unknown): Broken =>
  new Broken(
    [`the fake itself: ${error instanceof Error ? error.stack : String(error)}`],
    "server_error",
    "fake broken"
  )

interface Found {
  readonly route: Route
  readonly numbers: ReadonlyArray<number>
}

/** Routes by their number of segments; a word is preferred to a number. */
const routing = (routes: ReadonlyArray<Route>) => {
  const split = routes.map((route) => ({ route, segments: route.template.split("/") }))
  const at = (path: string): ReadonlyArray<Found> => {
    const asked = path.split("/")
    return split.flatMap(({ route, segments }) => {
      if (segments.length !== asked.length) return []
      const numbers: Array<number> = []
      for (const [index, segment] of segments.entries()) {
        const given = asked[index] ?? ""
        if (segment === "{id}" && /^\d{1,16}$/.test(given)) numbers.push(Number(given))
        else if (segment !== given) return []
      }
      return [{ route, numbers }]
    })
  }
  return at
}

const bodyOf = (route: Route, { body, contentType }: Request): unknown => {
  if (route.body === undefined) {
    // An empty object says as much as nothing.
    if (body === "" || body.trim() === "{}") return undefined
    throw new Broken(["body: there may be none"], "invalid_input", "unexpected body")
  }
  if (body === "") return readBody(route.body, {})
  if (!/^application\/json\b/i.test(contentType ?? "")) {
    throw new Broken([`header.content-type: must be application/json, not ${contentType}`], "json_error", "no JSON")
  }
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    throw new Broken(["body: is not JSON"], "json_error", "invalid JSON in request body")
  }
  return readBody(route.body, parsed)
}

const readBody = (shape: Shape.Shape<unknown>, body: unknown): unknown => {
  const faults: Array<Shape.Fault> = []
  const read = shape.read(body, "", faults)
  if (faults.length > 0) throw unreadable(faults, "body")
  return read
}

/** The `Link` header of a page: the pages before, after and at the end, as references relative to the API. */
const linksOf = (path: string, query: string, body: unknown): Readonly<Record<string, string>> => {
  const { pagination } = (body as { readonly meta?: { readonly pagination?: Readonly<Record<string, number | null>> } })
    .meta ?? {}
  if (pagination === undefined) return {}
  const links = (["prev", "next", "last"] as const).flatMap((relation) => {
    const page = pagination[relation === "prev" ? "previous_page" : `${relation}_page`]
    if (page === null || page === undefined) return []
    const parameters = new URLSearchParams(query)
    parameters.set("page", String(page))
    return [`<${BASE}${path}?${parameters}>; rel=${relation}`]
  })
  return links.length === 0 ? {} : { Link: links.join(", ") }
}

const html = (status: number) =>
  `<html>\r\n<head><title>${status}</title></head>\r\n<body><center><h1>${status}</h1></center></body>\r\n</html>\r\n`

/** The body as the log keeps it, if there is one. */
const parsedOrText = (body: string): unknown => {
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}

/** @internal */
export const makeApi = (options: ApiOptions): Api => {
  const { bucket, faults, keepReplies, latency, readOnlyCode, readOnlyToken, token, world } = options
  const routesAt = routing(options.routes)
  const log: Array<CallRecord> = []
  const violations: Array<Violation> = []
  let calls = 0

  const credentialOf = (authorization: string | undefined): CallRecord["credential"] =>
    authorization === `Bearer ${token}` ? "full" : authorization === `Bearer ${readOnlyToken}` ? "read-only" : "none"

  /** Does the work, or throws the refusal. */
  const work = (
    request: Request,
    found: ReadonlyArray<Found>,
    call: Arrival,
    credential: CallRecord["credential"]
  ): Reply => {
    if (!bucket.take()) {
      throw new Refusal("rate_limit_exceeded", `limit of ${bucket.get().limit} requests per hour reached`)
    }
    if (credential === "none") throw new Refusal("unauthorized", "unable to authenticate")
    const match = found.find(({ route }) => route.method === request.method)
    if (match === undefined) {
      const [code, message] = found.length > 0
        ? ["method_not_allowed", `${request.method} is not possible here`] as const
        : ["not_found", "endpoint not found"] as const
      throw new Broken([`${request.method} ${call.path}: there is no such route`], code, message)
    }
    const { numbers: [id = 0, second = 0], route } = match
    if (credential === "read-only" && route.method !== "GET") {
      throw new Refusal(readOnlyCode, "the token is only allowed to read")
    }
    const wrong: Array<Shape.Fault> = []
    const query = Shape.readQuery(route.query, new URLSearchParams(call.query), wrong)
    if (wrong.length > 0) throw unreadable(wrong, "query")
    const body = bodyOf(route, request)
    return route.handle({ world, id, second, query: query as never, body: body as never })
  }

  const answer = (request: Request): Answer => {
    world.timeline.settle()
    const [written = "", ...rest] = request.target.split("?")
    const path = written.startsWith(`${BASE}/`) ? written.slice(BASE.length) : written
    const found = written.startsWith(`${BASE}/`) ? routesAt(path) : []
    const template = (found.find(({ route }) => route.method === request.method) ?? found[0])?.route.template ?? path
    const call: Arrival = { index: ++calls, method: request.method, path, template, query: rest.join("?") }
    const credential = credentialOf(request.authorization)
    const correlationId = call.index.toString(16).padStart(16, "0")
    const fault = faults.meet(call)
    const record: { -readonly [K in keyof CallRecord]: CallRecord[K] } = {
      ...call,
      at: world.timeline.now(),
      credential,
      correlationId,
      ...(request.body === "" ? {} : { body: parsedOrText(request.body) }),
      ...(fault === undefined ? {} : { fault })
    }
    log.push(record)

    const headers = { "X-Correlation-Id": correlationId }
    const reply = (status: number, body: unknown, delay = 0): Answer => ({
      _tag: "Reply",
      status,
      headers: {
        ...headers,
        ...bucket.headers(),
        ...(body === undefined ? {} : linksOf(path, call.query, body)),
        ...(body === undefined ? {} : { "Content-Type": "application/json" })
      },
      body: body === undefined ? "" : JSON.stringify(body),
      delay: delay + latency()
    })
    const refused = (status: number, code: string, message: string, details: Refusal["details"]): Answer => {
      const body = errorBody(code, message, details)
      record.status = status
      if (keepReplies) record.reply = body
      return reply(status, body)
    }

    switch (fault?._tag) {
      case "CutBefore":
        return { _tag: "Cut" }
      case "HangBefore":
        return { _tag: "Hang" }
      case "Page":
        record.status = fault.status
        return {
          _tag: "Reply",
          status: fault.status,
          headers: { ...headers, "Content-Type": "text/html" },
          body: html(fault.status),
          delay: latency()
        }
      case "Refuse": {
        const { code, details = null, message = `${code.replaceAll("_", " ")} (told to)` } = fault
        if (code === "rate_limit_exceeded") bucket.set({ remaining: 0 })
        return refused(statusOfCode[code], code, message, details)
      }
    }
    let answered: Answer
    try {
      const { body, status } = work(request, found, call, credential)
      // A started action that takes no time is done, and still reported as running.
      record.status = status
      if (keepReplies && body !== undefined) record.reply = body
      answered = reply(status, body, fault?._tag === "Delay" ? fault.millis : 0)
    } catch (error) {
      const refusal = error instanceof Refusal ? error : broken(error)
      if (refusal instanceof Broken) {
        violations.push({ index: call.index, method: call.method, path, faults: refusal.faults })
      }
      answered = refused(refusal.status, refusal.code, refusal.message, refusal.details)
    }
    switch (fault?._tag) {
      case "CutAfter":
        return { _tag: "Cut" }
      case "HangAfter":
        return { _tag: "Hang" }
      case "Garble":
        return answered._tag === "Reply" ? { ...answered, body: "{\"garbled\": " } : answered
      default:
        return answered
    }
  }

  return { answer, log, violations }
}
