/**
 * The client of Hetzner's API. Every request goes through the same steps, in the order of `send`: auth, limit, send,
 * classify; then retry; then decode.
 *
 * Policy retries reads and idempotent writes. It never retries a request that creates something (`retry: false`), or one
 * that was refused as locked: the caller waits for the lock. Errors of the HttpClient stay inside, because they carry the
 * request and with it the token. A response is parsed as it came; the token is removed only from what is shown.
 * Source: Hetzner Cloud API reference, "Getting Started", "Pagination", "Errors".
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { HttpClient } from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { isReason } from "../internal/CallFailures.ts"
import { load } from "../internal/Loading.ts"
import { failWith, sendCall } from "../internal/Method.ts"
import { latest, retrying, within } from "../internal/Retry.ts"
import { CurrentUrgency, type Urgency } from "../internal/Urgency.ts"
import type { Policy } from "../Policy.ts"
import { ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, InvalidResponse, RequestTimeout, Transport } from "../Reason.ts"
import { connectionFailure, oneLine, reasonOf } from "./Errors.ts"
import { type Page, readPages } from "./Pages.ts"
import { environment, proxyHint } from "./ProxyHint.ts"
import type { Governor } from "./Quota.ts"
import type { Credential } from "./Token.ts"
import { isUnfinishedJson } from "./UnfinishedJson.ts"
import * as Wire from "./Wire.ts"

export type CallFailure = ProviderUnavailable | BackendError

/** A query; an array repeats its name. */
export type Query = Readonly<Record<string, string | number | ReadonlyArray<string | number>>>

export interface How {
  /** Whether policy may send the request again; true by default. */
  readonly retry?: boolean
  /** The urgency of this request; that of the operation (`CurrentUrgency`) by default. */
  readonly urgency?: Urgency
}

/** The first page of a list, and when the whole list has to be complete, in milliseconds of the Clock. */
export interface FirstPage<A> extends Page<A> {
  readonly until: number
}

export interface Client {
  readonly endpoint: string
  readonly ping: Effect.Effect<void, ProviderUnavailable>
  /** Removes the token from a text that is shown. */
  readonly redact: (text: string) => string
  /** All pages of a collection, within `Policy.readTimeout`. `first` is the first page where it is known already. */
  readonly list: <A>(
    collection: Wire.Collection<A>,
    query?: Query,
    how?: How & { readonly first?: FirstPage<A> }
  ) => Effect.Effect<ReadonlyArray<A>, CallFailure>
  /** The first page alone. */
  readonly firstPage: <A>(collection: Wire.Collection<A>) => Effect.Effect<FirstPage<A>, CallFailure>
  /** One by its id; undefined where there is none. */
  readonly get: <A>(collection: Wire.Collection<A>, id: number) => Effect.Effect<A | undefined, CallFailure>
  /** Anything else that is read. */
  readonly read: <A>(
    path: string,
    reply: Schema.ConstraintDecoder<A>,
    query?: Query,
    how?: How
  ) => Effect.Effect<A, CallFailure>
  readonly post: <A>(
    path: string,
    body: unknown,
    reply: Schema.ConstraintDecoder<A>,
    how?: How
  ) => Effect.Effect<A, CallFailure>
  readonly put: <A>(
    path: string,
    body: unknown,
    reply: Schema.ConstraintDecoder<A>,
    how?: How
  ) => Effect.Effect<A, CallFailure>
  /** Gives the actions that go on after the answer, where there are any. */
  readonly remove: (path: string) => Effect.Effect<ReadonlyArray<Wire.Action>, CallFailure>
}

/** The part of a client that only reads. */
export type Reading = Pick<Client, "endpoint" | "redact" | "list" | "firstPage" | "get" | "read">

interface Request {
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  readonly path: string
  readonly query?: Query
  readonly body?: unknown
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly correlationId: string | undefined
}

/** The most that the API gives at once. */
export const perPage = 50

const queryText = (query: Query): string => {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const each of typeof value === "object" ? value : [value]) parameters.append(name, String(each))
  }
  const text = parameters.toString()
  return text === "" ? "" : `?${text}`
}

const parseJson = Option.liftThrowable((text: string): unknown => JSON.parse(text))

const decodeRefusal = Schema.decodeUnknownOption(Wire.Refusal)
const decodePage = Schema.decodeUnknownOption(Wire.Page)
/** The fields of an entry that cannot be decoded as a whole. */
const decodeKnown = Schema.decodeUnknownOption(
  Schema.Struct({
    id: Schema.optionalKey(Schema.Unknown),
    labels: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
  })
)

/** The fields that a refusal names, each with what is wrong with it. */
const fieldsIn = (details: unknown): string => {
  const fields = typeof details === "object" && details !== null
    ? (details as { readonly fields?: unknown; readonly limits?: unknown }).fields ??
      (details as { readonly limits?: unknown }).limits
    : undefined
  if (!Array.isArray(fields)) return ""
  const words = fields.flatMap((field: unknown) => {
    if (typeof field !== "object" || field === null) return []
    const { messages, name } = field as { readonly name?: unknown; readonly messages?: unknown }
    if (typeof name !== "string") return []
    return [Array.isArray(messages) && messages.length > 0 ? `${name}: ${messages.join(", ")}` : name]
  })
  return words.length === 0 ? "" : ` (${words.join("; ")})`
}

const answeredWithin = (limit: Duration.Duration, { method, path }: Request) =>
  Effect.timeoutOrElse({
    duration: limit,
    orElse: () =>
      failWith(
        new RequestTimeout({
          detail: `${method} ${path} was not answered within ${Duration.format(limit)}`,
          durationMillis: Math.round(Duration.toMillis(limit))
        })
      )
  })

const RemoveReply = Schema.Struct({
  action: Schema.optionalKey(Schema.NullOr(Wire.Action)),
  actions: Schema.optionalKey(Schema.NullOr(Schema.Array(Wire.Action)))
})

/** The smallest read that needs a token. The reply of another server has another form. */
const pinging: Request = { method: "GET", path: "/servers", query: { page: 1, per_page: 1 } }
const Pong = Schema.Struct({ servers: Schema.Array(Schema.Unknown) })

/** Entries of lists that were left out because they could not be read, so that each is reported once in a process. */
const leftOut = new Set<string>()

export const make = Effect.fnUntraced(function*(options: {
  readonly credential: Credential
  readonly http: HttpClient
  readonly governor: Governor
  readonly policy: Effect.Effect<Policy>
  /** Whether labels belong to a cluster. Such an entry of a list has to be readable; any other is left out if not. */
  readonly isOwned: (labels: Readonly<Record<string, string>>) => boolean
}): Effect.fn.Return<Client> {
  const { credential: { endpoint, token }, governor, http, isOwned } = options
  const [HttpClientModule, HttpClientRequest] = yield* load(() =>
    Promise.all([import("effect/http/HttpClient"), import("effect/http/HttpClientRequest")])
  )

  /** A response may repeat what was sent. Only text that is shown goes through here, never text that is parsed. */
  const redact = (text: string): string => text.replaceAll(Redacted.value(token), "<redacted>")

  // 1. Auth: the request as it goes over the wire.
  const authorized = ({ body, method, path, query = {} }: Request) => {
    const bare = HttpClientRequest.make(method)(`${endpoint}${path}${queryText(query)}`).pipe(
      HttpClientRequest.bearerToken(token),
      HttpClientRequest.acceptJson,
      HttpClientRequest.setHeader("User-Agent", "kubelayer")
    )
    return body === undefined ? bare : HttpClientRequest.bodyText(bare, JSON.stringify(body), "application/json")
  }

  const lost = (request: Request, error: HttpClientError): Effect.Effect<never, CallFailure> => {
    const { reason } = error
    const description = "description" in reason ? reason.description : undefined
    const { detail, isUnconnected, ...code } = connectionFailure(
      description,
      "cause" in reason ? reason.cause : undefined
    )
    return isUnconnected
      ? Effect.fail(
        new ProviderUnavailable({
          provider: "hetzner",
          address: endpoint,
          detail: redact(detail),
          advice: proxyHint(endpoint, environment()) ??
            "Check the network. If the endpoint is not Hetzner's own, check HCLOUD_ENDPOINT."
        })
      )
      : failWith(new Transport({ detail: redact(`${request.method} ${request.path}: ${detail}`), ...code }))
  }

  const answerOf = (response: HttpClientResponse): Effect.Effect<Answer, HttpClientError> =>
    Effect.map(response.text, (text) => {
      const id = response.headers["x-correlation-id"]
      return {
        status: response.status,
        text,
        correlationId: id === undefined ? undefined : redact(id)
      }
    })

  // 4. Classify: every response that is no success becomes a reason. So does a success of which the end is missing.
  const classify = (request: Request) => (answer: Answer): Effect.Effect<Answer, BackendError> => {
    const { correlationId, status, text } = answer
    if (status >= 200 && status < 300) {
      return isUnfinishedJson(text)
        ? failWith(
          new Transport({
            detail: `${request.method} ${request.path}: the response stops in the middle of its JSON`,
            status,
            ...(correlationId === undefined ? {} : { correlationId })
          })
        )
        : Effect.succeed(answer)
    }
    const refusal = Option.flatMap(parseJson(text), decodeRefusal)
    const told = Option.isSome(refusal) ? refusal.value.error : undefined
    const message = told === undefined
      ? text.replace(/<[^>]*>/g, " ")
      : `${told.message ?? ""}${fieldsIn(told.details)}`
    const code = told?.code ?? undefined
    const facts = {
      status,
      message,
      isWrite: request.method !== "GET",
      ...(code === undefined ? {} : { code }),
      ...(correlationId === undefined ? {} : { correlationId })
    }
    return status === 429 || code === "rate_limit_exceeded"
      ? Effect.flatMap(
        governor.refused,
        (retryAfterMillis) => failWith(reasonOf({ ...facts, retryAfterMillis }, redact))
      )
      : failWith(reasonOf(facts, redact))
  }

  // 3. Send, and report the reply to the governor.
  const exchanged = (request: Request, policy: Policy): Effect.Effect<Answer, CallFailure> =>
    Effect.suspend(() => http.execute(authorized(request))).pipe(
      Effect.flatMap((response) => Effect.map(answerOf(response), (answer) => ({ answer, headers: response.headers }))),
      // A span of the HttpClient would have the URL, and the API nothing of ours to follow.
      Effect.provideService(HttpClientModule.TracerDisabledWhen, () => true),
      Effect.provideService(HttpClientModule.TracerPropagationEnabled, false),
      Effect.onExit((exit) => governor.heard(Exit.isSuccess(exit) ? exit.value.headers : undefined)),
      Effect.map(({ answer }) => answer),
      Effect.catch((error) => lost(request, error)),
      answeredWithin(policy.requestTimeout, request)
    )

  /** One request, sent once. */
  const send = (request: Request, policy: Policy, urgency: Urgency): Effect.Effect<Answer, CallFailure> =>
    Effect.flatMap(latest(policy), (until) => governor.take(urgency, until)).pipe(
      Effect.andThen(
        sendCall({ ...request, server: endpoint })(Effect.flatMap(exchanged(request, policy), classify(request)))
      )
    )

  /** 5. Retry: what may be said twice, as long as the budget lasts. */
  const call = (request: Request, { retry = true, urgency: own }: How = {}): Effect.Effect<Answer, CallFailure> =>
    Effect.flatMap(Effect.all([options.policy, CurrentUrgency]), ([policy, current]) => {
      const urgency = own ?? current
      if (!retry) return send(request, policy, urgency)
      let last: CallFailure | undefined
      const once = Effect.suspend(() => last === undefined ? Effect.succeed(true) : governor.mayRetry).pipe(
        Effect.flatMap((may): Effect.Effect<Answer | CallFailure, CallFailure> =>
          !may && last !== undefined ? Effect.succeed(last) : Effect.catchIf(
            send(request, policy, urgency),
            (error) => isReason(error, "Locked"),
            (error) => Effect.succeed(error)
          )
        ),
        Effect.tapError((error) => Effect.sync(() => void (last = error)))
      )
      return Effect.flatMap(
        retrying(policy)(once),
        (result) => "_tag" in result ? Effect.fail(result) : Effect.succeed(result)
      )
    })

  const invalid = (request: Request, answer: Answer, why: string) =>
    failWith(
      new InvalidResponse({
        detail: oneLine(redact(`${request.method} ${request.path}: ${why}`)),
        status: answer.status,
        ...(answer.correlationId === undefined ? {} : { correlationId: answer.correlationId })
      })
    )

  // 6. Decode.
  const decoded = <A>(
    request: Request,
    schema: Schema.ConstraintDecoder<A>,
    answer: Answer
  ): Effect.Effect<{ readonly value: A; readonly json: unknown }, BackendError> =>
    Option.match(parseJson(answer.text), {
      onNone: () => invalid(request, answer, `gave no JSON: ${answer.text.slice(0, 120) || "(nothing)"}`),
      onSome: (json) =>
        Schema.decodeUnknownEffect(schema)(json).pipe(
          Effect.map((value) => ({ value, json })),
          Effect.catch((error) => invalid(request, answer, error.message))
        )
    })

  const read = <A>(path: string, reply: Schema.ConstraintDecoder<A>, query: Query = {}, how?: How) => {
    const request: Request = { method: "GET", path, query }
    return Effect.flatMap(
      call(request, how),
      (answer) => Effect.map(decoded(request, reply, answer), ({ value }) => value)
    )
  }

  /** Decodes one entry of a list; undefined for one that cannot be read and belongs to no cluster. */
  const entry = <A>(
    collection: Wire.Collection<A>,
    request: Request,
    answer: Answer,
    json: unknown
  ): Effect.Effect<A | undefined, BackendError> =>
    Effect.catch(Schema.decodeUnknownEffect(collection.schema)(json), (error) => {
      const { id, labels } = Option.getOrElse(decodeKnown(json), () => ({ id: undefined, labels: undefined }))
      if (!collection.isLabelled || isOwned(labels ?? {})) return invalid(request, answer, error.message)
      const which = `${collection.one} ${String(id)}`
      if (leftOut.has(which)) return Effect.succeed(undefined)
      leftOut.add(which)
      return Effect.as(
        Effect.logWarning(`${which} cannot be read and is left out: ${oneLine(redact(error.message))}`),
        undefined
      )
    })

  const onePage = <A>(
    collection: Wire.Collection<A>,
    page: number,
    query: Query,
    how: How | undefined
  ): Effect.Effect<Page<A>, CallFailure> => {
    const reply = Schema.Struct({ [collection.key]: Schema.Array(Schema.Unknown) })
    const request: Request = { method: "GET", path: collection.path, query: { ...query, page, per_page: perPage } }
    return Effect.flatMap(
      call(request, how),
      (answer) =>
        Effect.flatMap(decoded(request, reply, answer), ({ json, value }) => {
          const { next_page: next, total_entries: total } = Option.getOrUndefined(decodePage(json))?.meta?.pagination ??
            {}
          return Effect.map(
            Effect.forEach(value[collection.key] ?? [], (each) => entry(collection, request, answer, each)),
            (entries) => ({
              found: entries.filter((each) => each !== undefined),
              // An API that names an earlier page would be read without end.
              next: typeof next === "number" && next > page ? next : undefined,
              total: typeof total === "number" ? total - entries.filter((each) => each === undefined).length : undefined
            })
          )
        })
    )
  }

  /** Runs a read that has to end by `until`. */
  const bounded = (path: string, until: number) => <A>(self: Effect.Effect<A, CallFailure>) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const left = Duration.millis(Math.max(0, until - now))
      return self.pipe(within(left), answeredWithin(left, { method: "GET", path }))
    })

  const listDeadline = Effect.map(
    Effect.all([Clock.currentTimeMillis, options.policy]),
    ([now, { readTimeout }]) => now + Duration.toMillis(readTimeout)
  )

  const list: Client["list"] = (collection, query = {}, { first, ...how } = {}) =>
    Effect.flatMap(
      first === undefined ? listDeadline : Effect.succeed(first.until),
      (until) => bounded(collection.path, until)(readPages((page) => onePage(collection, page, query, how), first))
    )
  const write = <A>(request: Request, reply: Schema.ConstraintDecoder<A>, how?: How) =>
    Effect.flatMap(call(request, how), (answer) => Effect.map(decoded(request, reply, answer), ({ value }) => value))

  return {
    endpoint,
    ping: Effect.flatMap(
      options.policy,
      (policy) =>
        send(pinging, policy, "usual").pipe(
          Effect.flatMap((answer) => decoded(pinging, Pong, answer)),
          // A check of availability does not wait for the quota.
          answeredWithin(policy.requestTimeout, pinging),
          Effect.catchTag("BackendError", ({ reason }) =>
            Effect.fail(
              new ProviderUnavailable({
                provider: "hetzner",
                address: endpoint,
                detail: reason.detail,
                advice: reason.advice
              })
            )),
          Effect.asVoid
        )
    ),
    list,
    redact,
    firstPage: (collection) =>
      Effect.flatMap(listDeadline, (until) =>
        bounded(collection.path, until)(
          Effect.map(onePage(collection, 1, {}, undefined), (page) => ({ ...page, until }))
        )),
    get: <A>(collection: Wire.Collection<A>, id: number) =>
      read(`${collection.path}/${id}`, Schema.Struct({ [collection.one]: collection.schema })).pipe(
        Effect.map((reply): A | undefined => reply[collection.one] as A),
        Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.succeed(undefined))
      ),
    read,
    post: (path, body, reply, how) => write({ method: "POST", path, body }, reply, how),
    put: (path, body, reply, how) => write({ method: "PUT", path, body }, reply, how),
    remove: (path) => {
      const request: Request = { method: "DELETE", path }
      return Effect.flatMap(call(request, { urgency: "delete" }), (answer) =>
        answer.text.trim() === ""
          ? Effect.succeed([])
          : Effect.map(decoded(request, RemoveReply, answer), ({ value }) => [
            ...(value.action === undefined || value.action === null ? [] : [value.action]),
            ...value.actions ?? []
          ]))
    }
  }
})
