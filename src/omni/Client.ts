/**
 * One gRPC call each, unary or streamed from the server: signed, with its deadline, its errors, and cancelled when its
 * caller is interrupted.
 *
 * A call is sent again only where the caller says that it is safe. A streamed answer is read as fast as it is taken: what
 * nobody takes stays with the server. What is asked of Omni is in `State.ts` and `Management.ts`, what a refusal means in
 * `Errors.ts`.
 */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape
} from "@bufbuild/protobuf"
import type {
  Channel,
  Client as GrpcClient,
  ClientReadableStream,
  ClientUnaryCall,
  Metadata,
  ServiceError
} from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { countCall, failWith } from "../internal/Method.ts"
import { retrying } from "../internal/Retry.ts"
import type { Policy } from "../Policy.ts"
import { InvalidSpec, ProviderUnavailable } from "../ProviderError.ts"
import { type BackendError, InvalidInput, RequestTimeout } from "../Reason.ts"
import { type ConnectionOptions, open, resolve } from "./Connection.ts"
import { connectionFailure, oneLine, reasonOf, type Role } from "./Errors.ts"
import { type Credential, makeSigner, type SignedHeaders, type Signer } from "./Signing.ts"

/** What a call can fail with. */
export type CallFailure = ProviderUnavailable | BackendError

export interface CallSettings {
  /** The role that the server wants for it. */
  readonly role: Role
  /** Whether it may be sent again, where sending it again may help. */
  readonly repeatable: boolean
  /** Which cluster a call of the management service is about. */
  readonly headers?: SignedHeaders
}

export interface Client {
  readonly address: string
  readonly credential: Credential
  readonly policy: Effect.Effect<Policy>
  readonly unary: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
    settings: CallSettings
  ) => Effect.Effect<MessageShape<O>, CallFailure>
  /** The whole of a streamed answer that ends by itself. */
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

/** A call of grpc-js, whatever its kind. */
type SurfaceCall = ClientUnaryCall | ClientReadableStream<unknown>

const backend = "omni"

/** Fails where an answer takes longer than it may. */
const deadline = (limit: Duration.Duration, what: string) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(self, {
    duration: limit,
    orElse: () =>
      failWith(
        new RequestTimeout({
          detail: `${what}: no answer within ${Duration.format(limit)}`,
          durationMillis: Math.round(Duration.toMillis(limit))
        })
      )
  })

/** By how much the server's clock is ahead of ours, where it or a proxy before it tells the time. */
const skewOf = (...all: ReadonlyArray<Metadata | undefined>): number | undefined => {
  for (const metadata of all) {
    const date = Date.parse(String(metadata?.get("date")[0]))
    if (!Number.isNaN(date)) return date - Date.now()
  }
  return undefined
}

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && "code" in error && typeof error.code === "number"

/** Takes what has come of a stream, all of it at once, or waits for more. */
const pullFrom = <A>(
  call: ClientReadableStream<A>
): Effect.Effect<readonly [A, ...Array<A>], unknown> => {
  let ending: { readonly error: unknown } | undefined
  let wake = () => {}
  call.on("readable", () => wake())
  call.on("end", () => {
    ending ??= { error: Cause.Done() }
    wake()
  })
  // What is buffered is still to be read when the status comes.
  call.on("error", (error) => {
    ending = { error }
    wake()
  })
  const taken = (): readonly [A, ...Array<A>] | undefined => {
    const first: A | null = call.read()
    if (first === null) return undefined
    const chunk: [A, ...Array<A>] = [first]
    for (let next: A | null = call.read(); next !== null; next = call.read()) chunk.push(next)
    return chunk
  }
  return Effect.callback<readonly [A, ...Array<A>], unknown>((resume) => {
    const look = () => {
      const chunk = taken()
      if (chunk === undefined && ending === undefined) return
      wake = () => {}
      resume(chunk === undefined ? Effect.fail(ending?.error) : Effect.succeed(chunk))
    }
    wake = look
    look()
    return Effect.sync(() => {
      wake = () => {}
    })
  })
}

/** Reads the options, and the key; all that is wrong with them is told at once. */
const configured = Effect.fnUntraced(function*(options: ConnectionOptions) {
  const { endpoint, issues } = resolve(options)
  const keyMissing = issues.some(({ path }) => path === "serviceAccountKey")
  const signer = keyMissing ? undefined : yield* Effect.result(makeSigner(options.serviceAccountKey))
  const all = [...issues, ...(signer?._tag === "Failure" ? signer.failure.issues : [])]
  if (endpoint === undefined || signer?._tag !== "Success" || all.length > 0) {
    return yield* new InvalidSpec({ issues: all })
  }
  return { endpoint, signer: signer.success }
})

/** Makes the client. No connection is opened; the first call does. */
export const make = Effect.fnUntraced(function*(
  options: ConnectionOptions,
  policy: Effect.Effect<Policy>,
  channel?: Channel
): Effect.fn.Return<Client, InvalidSpec, Scope.Scope> {
  const { endpoint, signer } = yield* configured(options)
  const connection = yield* open(endpoint, channel)
  const grpc = yield* Effect.promise(() => import("@grpc/grpc-js"))
  const protobuf = yield* Effect.promise(() => import("@bufbuild/protobuf"))
  const { address } = endpoint

  const failed = (
    error: unknown,
    role: Role,
    by: GrpcClient,
    header?: Metadata
  ): Effect.Effect<never, CallFailure> => {
    if (!isServiceError(error)) {
      return Effect.fail(
        new ProviderUnavailable({
          provider: backend,
          address,
          detail: oneLine(error instanceof Error ? error.message : String(error)),
          advice: "The layer that this service came from may be closed."
        })
      )
    }
    const none = connectionFailure(error.code, error.details)
    if (none !== undefined) {
      connection.renew(by)
      return Effect.fail(new ProviderUnavailable({ provider: backend, address, ...none }))
    }
    const skewMillis = skewOf(error.metadata, header)
    return failWith(
      reasonOf({
        code: error.code,
        message: error.details,
        role,
        ...(skewMillis === undefined ? {} : { skewMillis })
      })
    )
  }

  /** Everything that a call needs before it is sent: its bytes are made, and it is signed. */
  const prepared = <I extends DescMessage>(
    method: { readonly name: string; readonly parent: { readonly typeName: string }; readonly input: I },
    input: MessageInitShape<I>,
    sign: Signer["sign"],
    headers: SignedHeaders | undefined
  ) => {
    const path = `/${method.parent.typeName}/${method.name}`
    return Effect.gen(function*() {
      const bytes = yield* Effect.try({
        try: () => Buffer.from(protobuf.toBinary(method.input, protobuf.create(method.input, input))),
        catch: (error) => error
      }).pipe(
        Effect.catch((error) => failWith(new InvalidInput({ detail: `cannot be sent: ${oneLine(String(error))}` })))
      )
      const signed = yield* sign(path, headers)
      const metadata = yield* Effect.try({
        try: () => {
          const made = new grpc.Metadata()
          for (const [name, value] of Object.entries(signed)) made.set(name, value)
          return made
        },
        catch: (error) => error
      }).pipe(
        Effect.catch(() =>
          failWith(new InvalidInput({ detail: `a header cannot hold ${Object.values(headers ?? {}).join(", ")}` }))
        )
      )
      yield* countCall
      return { path, bytes, metadata }
    })
  }

  const identity = (bytes: Buffer) => bytes
  const reader = <O extends DescMessage>(output: O) => (bytes: Buffer): MessageShape<O> =>
    protobuf.fromBinary(output, bytes)

  /** Sends a call, and cancels it where nobody waits for it any more. */
  const sent = <A>(
    role: Role,
    start: (client: GrpcClient, succeed: (answer: A) => void, fail: (error: unknown) => void) => SurfaceCall
  ): Effect.Effect<A, CallFailure> =>
    Effect.callback<A, CallFailure>((resume) => {
      const client = connection.client()
      let header: Metadata | undefined
      const fail = (error: unknown) => resume(failed(error, role, client, header))
      try {
        const call = start(client, (answer) => resume(Effect.succeed(answer)), fail)
        call.on("metadata", (received: Metadata) => {
          header = received
        })
        return Effect.sync(() => call.cancel())
      } catch (error) {
        fail(error)
        return Effect.void
      }
    })

  const answered =
    (name: string, repeatable: boolean) => <A>(call: Effect.Effect<A, CallFailure>): Effect.Effect<A, CallFailure> =>
      Effect.flatMap(policy, (current) => {
        const once = deadline(current.requestTimeout, name)(call)
        return repeatable ? retrying(current)(once) : once
      })

  const unary: Client["unary"] = (method, input, { headers, repeatable, role }) =>
    prepared(method, input, signer.sign, headers).pipe(
      Effect.flatMap(({ bytes, metadata, path }) =>
        sent<MessageShape<typeof method.output>>(role, (client, succeed, fail) =>
          client.makeUnaryRequest(
            path,
            identity,
            reader(method.output),
            bytes,
            metadata,
            {},
            (error, answer) =>
              error !== null || answer === undefined ? fail(error ?? new Error("no answer")) : succeed(answer)
          ))
      ),
      answered(method.name, repeatable)
    )

  const opened = <O extends DescMessage>(
    client: GrpcClient,
    { bytes, metadata, path }: { readonly path: string; readonly bytes: Buffer; readonly metadata: Metadata },
    output: O
  ): ClientReadableStream<MessageShape<O>> =>
    client.makeServerStreamRequest(path, identity, reader(output), bytes, metadata, {})

  const collect: Client["collect"] = (method, input, { headers, repeatable, role }) =>
    prepared(method, input, signer.sign, headers).pipe(
      Effect.flatMap((ready) =>
        sent<ReadonlyArray<MessageShape<typeof method.output>>>(role, (client, succeed, fail) => {
          const all: Array<MessageShape<typeof method.output>> = []
          return opened(client, ready, method.output)
            .on("data", (message) => all.push(message))
            .on("error", fail)
            // A status that is not OK has come before.
            .on("end", () => succeed(all))
        })
      ),
      answered(method.name, repeatable)
    )

  const stream: Client["stream"] = (method, input, { headers, role }) =>
    Stream.unwrap(Effect.gen(function*() {
      const { requestTimeout } = yield* policy
      const ready = yield* prepared(method, input, signer.sign, headers)
      let header: Metadata | undefined
      const client = connection.client()
      const call = yield* Effect.acquireRelease(
        Effect.try({ try: () => opened(client, ready, method.output), catch: (error) => error }).pipe(
          Effect.catch((error) => failed(error, role, client))
        ),
        (call) => Effect.sync(() => call.cancel())
      )
      call.on("metadata", (received: Metadata) => {
        header = received
      })
      const pull = pullFrom(call).pipe(
        Effect.catch((error): Effect.Effect<never, CallFailure | Cause.Done> =>
          Cause.isDone(error) ? Effect.fail(error) : failed(error, role, client, header)
        )
      )
      let first = true
      return Stream.fromPull(Effect.succeed(Effect.suspend(() => {
        if (!first) return pull
        first = false
        return deadline(requestTimeout, method.name)(pull)
      })))
    }))

  return { address, credential: signer.credential, policy, unary, collect, stream }
})
