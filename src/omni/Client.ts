/**
 * Calls of Omni's API with their deadlines, retries and errors.
 *
 * A call is sent again only if the caller says that this is safe. How a call gets to the server is behind `Calls`:
 * `GrpcCalls.ts` signs it and sends it over gRPC; a fake answers it inside the process. `State.ts` and `Management.ts` say
 * what is called, `Errors.ts` what a refusal means.
 */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape
} from "@bufbuild/protobuf"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { countCall, failWith, sendCall } from "../internal/Method.ts"
import { retrying } from "../internal/Retry.ts"
import type { Policy } from "../Policy.ts"
import { type InvalidSpec, ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, RequestTimeout } from "../Reason.ts"
import type { Calls, CallsFailure } from "./Calls.ts"
import type { ConnectionOptions, GrpcChannel } from "./ConnectionOptions.ts"
import { connectionFailure, oneLine, reasonOf, type Role } from "./Errors.ts"
import type { Credential, SignedHeaders } from "./Signing.ts"

/** The errors of a call. */
export type CallFailure = ProviderUnavailable | BackendError

export interface CallSettings {
  /** The role that the server wants for it. */
  readonly role: Role
  /** Whether it may be sent again, where sending it again may help. */
  readonly repeatable: boolean
  /** The cluster of a call of the management service. */
  readonly headers?: SignedHeaders
}

// -----------------------------------------------------------------------------
// The client
// -----------------------------------------------------------------------------

export interface Client {
  readonly address: string
  readonly credential: Credential
  readonly policy: Effect.Effect<Policy>
  readonly unary: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
    settings: CallSettings
  ) => Effect.Effect<MessageShape<O>, CallFailure>
  /** The whole of a streamed answer that ends on its own. */
  readonly collect: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    input: MessageInitShape<I>,
    settings: CallSettings
  ) => Effect.Effect<ReadonlyArray<MessageShape<O>>, CallFailure>
  /** A streamed answer as it comes; its first message has to come within the deadline of a request. */
  readonly stream: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    input: MessageInitShape<I>,
    settings: Omit<CallSettings, "repeatable">
  ) => Stream.Stream<MessageShape<O>, CallFailure>
}

const backend = "omni"

const timedOut = (limit: Duration.Duration, what: string) =>
  failWith(
    new RequestTimeout({
      detail: `${what}: no answer within ${Duration.format(limit)}`,
      durationMillis: Math.round(Duration.toMillis(limit))
    })
  )

/** Fails where an answer takes longer than it may. */
const deadline = (limit: Duration.Duration, what: string) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(self, { duration: limit, orElse: () => timedOut(limit, what) })

/** A client over a way to the server. */
export const makeOn = (
  { address, collect, credential, stream, unary }: Calls,
  policy: Effect.Effect<Policy>
): Client => {
  /** The meaning of a failure of `Calls` for a call that needs a role. */
  const failed = (role: Role) => (failure: CallsFailure): Effect.Effect<never, CallFailure> => {
    if ("_tag" in failure) return Effect.fail(failure)
    if ("notSent" in failure) {
      return Effect.fail(
        new ProviderUnavailable({
          provider: backend,
          address,
          detail: oneLine(failure.notSent),
          advice: "The layer that this service came from may be closed."
        })
      )
    }
    const { code, details, skewMillis } = failure
    const none = connectionFailure(code, details, address.startsWith("https:"))
    if (none !== undefined) return Effect.fail(new ProviderUnavailable({ provider: backend, address, ...none }))
    return failWith(reasonOf({ code, message: details, role, ...(skewMillis === undefined ? {} : { skewMillis }) }))
  }

  const answered =
    (name: string, { repeatable, role }: CallSettings) =>
    <A>(call: Effect.Effect<A, CallsFailure>): Effect.Effect<A, CallFailure> =>
      Effect.flatMap(policy, (current) => {
        const once = sendCall({ method: "POST", path: name, server: address })(call).pipe(
          Effect.catch(failed(role)),
          deadline(current.requestTimeout, name)
        )
        return repeatable ? retrying(current)(once) : once
      })

  return {
    address,
    credential,
    policy,
    unary: (method, input, settings) => answered(method.name, settings)(unary(method, input, settings.headers ?? {})),
    collect: (method, input, settings) =>
      answered(method.name, settings)(collect(method, input, settings.headers ?? {})),
    stream: (method, input, { headers, role }) =>
      Stream.unwrap(Effect.gen(function*() {
        const { requestTimeout } = yield* policy
        yield* countCall
        const fail = failed(role)
        const pull = yield* Stream.toPull(stream(method, input, headers ?? {}))
        const mapped = Effect.catch(pull, (error): Effect.Effect<never, CallFailure | Cause.Done> =>
          Cause.isDone(error) ? Effect.fail(error) : fail(error))
        let first = true
        return Stream.fromPull(Effect.succeed(Effect.suspend(() => {
          if (!first) {
            return mapped
          }
          first = false
          return deadline(requestTimeout, method.name)(mapped)
        })))
      }))
  }
}

/** A client over gRPC. No connection is opened; the first call does. */
export const make = Effect.fnUntraced(function*(
  options: ConnectionOptions,
  policy: Effect.Effect<Policy>,
  channel?: GrpcChannel
): Effect.fn.Return<Client, InvalidSpec, Scope.Scope> {
  const grpc = yield* Effect.promise(() => import("./GrpcCalls.ts"))
  return makeOn(yield* grpc.make(options, channel), policy)
})
