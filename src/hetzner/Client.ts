/**
 * Hetzner's API as kubelayer uses it: every request goes through the same steps, which stand in `send` in their order:
 * auth, limit, send, classify; then retry; then decode.
 *
 * Reads, and writes that say the same when they are said twice, are sent again by policy; what makes something is not
 * (`retry: false`), nor is what is locked: who asked waits for that by itself. Nothing of the HttpClient comes out of
 * here: its errors carry the request, and with it the token.
 * Source: Hetzner Cloud API reference, "Getting Started", "Pagination", "Errors".
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { HttpClient } from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { countCall, failWith } from "../internal/Method.ts"
import { latest, retrying } from "../internal/Retry.ts"
import type { Policy } from "../Policy.ts"
import { ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, InvalidResponse, RequestTimeout, Transport } from "../Reason.ts"
import { connectionFailure, isReason, oneLine, reasonOf } from "./Errors.ts"
import type { Governor, Urgency } from "./Quota.ts"
import type { Credential } from "./Token.ts"
import * as Wire from "./Wire.ts"

export type CallFailure = ProviderUnavailable | BackendError

/** A query; an array stands for a name that is repeated. */
export type Query = Readonly<Record<string, string | number | ReadonlyArray<string | number>>>

export interface How {
  /** Whether it may be sent again by itself; it may where nothing is said. */
  readonly retry?: boolean
  readonly urgency?: Urgency
  /** The page with which a list begins; the first where none is given. */
  readonly from?: number
}

export interface Client {
  readonly endpoint: string
  readonly ping: Effect.Effect<void, ProviderUnavailable>
  /** All pages of a collection. */
  readonly list: <A>(
    collection: Wire.Collection<A>,
    query?: Query,
    how?: How
  ) => Effect.Effect<ReadonlyArray<A>, CallFailure>
  /** The first page alone, and whether there are more. */
  readonly firstPage: <A>(
    collection: Wire.Collection<A>
  ) => Effect.Effect<{ readonly found: ReadonlyArray<A>; readonly hasMore: boolean }, CallFailure>
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

/** The least that can be asked with a token; whatever else answers in its place does not look like this. */
const pinging: Request = { method: "GET", path: "/servers", query: { page: 1, per_page: 1 } }
const Pong = Schema.Struct({ servers: Schema.Array(Schema.Unknown) })

export const make = Effect.fnUntraced(function*(options: {
  readonly credential: Credential
  readonly http: HttpClient
  readonly governor: Governor
  readonly policy: Effect.Effect<Policy>
}): Effect.fn.Return<Client> {
  const { credential: { endpoint, token }, governor, http } = options
  const [HttpClientModule, HttpClientRequest] = yield* Effect.promise(() =>
    Promise.all([import("effect/http/HttpClient"), import("effect/http/HttpClientRequest")])
  )

  /** What answers may repeat what was sent to it. */
  const withoutToken = (text: string): string => text.replaceAll(Redacted.value(token), "<redacted>")

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
          detail: withoutToken(detail),
          advice: "Check the network, and HCLOUD_ENDPOINT where another endpoint than Hetzner's own is meant."
        })
      )
      : failWith(new Transport({ detail: withoutToken(`${request.method} ${request.path}: ${detail}`), ...code }))
  }

  const answerOf = (response: HttpClientResponse): Effect.Effect<Answer, HttpClientError> =>
    Effect.map(response.text, (text) => {
      const id = response.headers["x-correlation-id"]
      return {
        status: response.status,
        text: withoutToken(text),
        correlationId: id === undefined ? undefined : withoutToken(id)
      }
    })

  // 4. Classify: what is no success is a reason.
  const classify = (request: Request) => (answer: Answer): Effect.Effect<Answer, BackendError> => {
    const { correlationId, status, text } = answer
    if (status >= 200 && status < 300) return Effect.succeed(answer)
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
      ? Effect.flatMap(governor.refused, (retryAfterMillis) => failWith(reasonOf({ ...facts, retryAfterMillis })))
      : failWith(reasonOf(facts))
  }

  // 3. Send, and tell the governor what became of it.
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
      Effect.andThen(countCall),
      Effect.andThen(exchanged(request, policy)),
      Effect.flatMap(classify(request))
    )

  /** 5. Retry: what may be said twice, as long as the budget lasts. */
  const call = (request: Request, { retry = true, urgency = "usual" }: How = {}): Effect.Effect<Answer, CallFailure> =>
    Effect.flatMap(options.policy, (policy) => {
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
        detail: `${request.method} ${request.path}: ${oneLine(why)}`,
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

  const onePage = <A>(collection: Wire.Collection<A>, page: number, query: Query, how: How | undefined) => {
    const reply = Schema.Struct({ [collection.key]: Schema.Array(collection.schema) })
    const request: Request = { method: "GET", path: collection.path, query: { ...query, page, per_page: perPage } }
    return Effect.flatMap(
      call(request, how),
      (answer) =>
        Effect.map(decoded(request, reply, answer), ({ json, value }) => {
          const next = Option.getOrUndefined(decodePage(json))?.meta?.pagination?.next_page
          return {
            found: value[collection.key] as ReadonlyArray<A>,
            // An API that names an earlier page would be read for ever.
            next: typeof next === "number" && next > page ? next : undefined
          }
        })
    )
  }

  const list = Effect.fnUntraced(function*<A>(
    collection: Wire.Collection<A>,
    query: Query = {},
    how?: How
  ): Effect.fn.Return<ReadonlyArray<A>, CallFailure> {
    const all: Array<A> = []
    let page: number | undefined = how?.from ?? 1
    while (page !== undefined) {
      const { found, next }: { readonly found: ReadonlyArray<A>; readonly next: number | undefined } = yield* onePage(
        collection,
        page,
        query,
        how
      )
      all.push(...found)
      page = next
    }
    return all
  })

  const write = <A>(request: Request, reply: Schema.ConstraintDecoder<A>, how?: How) =>
    Effect.flatMap(call(request, how), (answer) => Effect.map(decoded(request, reply, answer), ({ value }) => value))

  return {
    endpoint,
    ping: Effect.flatMap(
      options.policy,
      (policy) =>
        send(pinging, policy, "usual").pipe(
          Effect.flatMap((answer) => decoded(pinging, Pong, answer)),
          // Who asks whether it answers does not want to wait for the quota.
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
    firstPage: (collection) =>
      Effect.map(
        onePage(collection, 1, {}, undefined),
        ({ found, next }) => ({ found, hasMore: next !== undefined })
      ),
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
