/**
 * Calls over gRPC: each is signed, and cancelled when its caller is interrupted.
 *
 * A streamed answer is read as fast as it is taken: what nobody takes stays with the server.
 */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf"
import type { Client as GrpcClient, ClientReadableStream, ClientUnaryCall, Metadata, ServiceError } from "@grpc/grpc-js"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { loadPackage } from "../internal/LoadPackage.ts"
import { failWith } from "../internal/Method.ts"
import { InvalidSpec } from "../ProviderError.ts"
import { InvalidInput } from "../Reason.ts"
import type { Calls, CallsFailure } from "./Calls.ts"
import { open, resolve } from "./Connection.ts"
import type { ConnectionOptions, GrpcChannel } from "./ConnectionOptions.ts"
import { connectionFailure, oneLine } from "./Errors.ts"
import { makeSigner, type SignedHeaders } from "./Signing.ts"

/** A call of grpc-js, whatever its kind. */
type SurfaceCall = ClientUnaryCall | ClientReadableStream<unknown>

/** By how much the server's clock is ahead of this machine's, if the server or a proxy sent its time. */
const skewOf = (...all: ReadonlyArray<Metadata | undefined>): number | undefined => {
  for (const metadata of all) {
    const date = Date.parse(String(metadata?.get("date")[0]))
    if (!Number.isNaN(date)) return date - Date.now()
  }
  return undefined
}

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && "code" in error && typeof error.code === "number"

/** Takes all messages of a stream that have come, or waits for more. */
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
  // Buffered messages must still be read when the status comes.
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

/** Reads the options and the key; all faults are reported at once. */
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

export const make = Effect.fnUntraced(function*(
  options: ConnectionOptions,
  channel?: GrpcChannel
): Effect.fn.Return<Calls, InvalidSpec, Scope.Scope> {
  const { endpoint, signer } = yield* configured(options)
  const connection = yield* open(endpoint, channel)
  const grpc = yield* Effect.promise(() => loadPackage<typeof import("@grpc/grpc-js")>("@grpc/grpc-js"))
  const protobuf = yield* Effect.promise(() => import("@bufbuild/protobuf"))

  const failed = (error: unknown, by: GrpcClient, header?: Metadata): Effect.Effect<never, CallsFailure> => {
    if (!isServiceError(error)) return Effect.fail({ notSent: error instanceof Error ? error.message : String(error) })
    // A client that has no connection would say so of every call until its next attempt.
    if (connectionFailure(error.code, error.details) !== undefined) connection.renew(by)
    const skewMillis = skewOf(error.metadata, header)
    return Effect.fail({
      code: error.code,
      details: error.details,
      ...(skewMillis === undefined ? {} : { skewMillis })
    })
  }

  /** The bytes and the signature of a call. */
  const prepared = <I extends DescMessage>(
    method: { readonly name: string; readonly parent: { readonly typeName: string }; readonly input: I },
    input: MessageInitShape<I>,
    headers: SignedHeaders
  ) => {
    const path = `/${method.parent.typeName}/${method.name}`
    return Effect.gen(function*() {
      const bytes = yield* Effect.try({
        try: () => Buffer.from(protobuf.toBinary(method.input, protobuf.create(method.input, input))),
        catch: (error) => error
      }).pipe(
        Effect.catch((error) => failWith(new InvalidInput({ detail: `cannot be sent: ${oneLine(String(error))}` })))
      )
      const signed = yield* signer.sign(path, headers)
      const metadata = yield* Effect.try({
        try: () => {
          const made = new grpc.Metadata()
          for (const [name, value] of Object.entries(signed)) made.set(name, value)
          return made
        },
        catch: (error) => error
      }).pipe(
        Effect.catch(() =>
          failWith(new InvalidInput({ detail: `a header cannot hold ${Object.values(headers).join(", ")}` }))
        )
      )
      return { path, bytes, metadata }
    })
  }

  const identity = (bytes: Buffer) => bytes
  const reader = <O extends DescMessage>(output: O) => (bytes: Buffer): MessageShape<O> =>
    protobuf.fromBinary(output, bytes)

  /** Sends a call, and cancels it when its caller is interrupted. */
  const sent = <A>(
    start: (client: GrpcClient, succeed: (answer: A) => void, fail: (error: unknown) => void) => SurfaceCall
  ): Effect.Effect<A, CallsFailure> =>
    Effect.callback<A, CallsFailure>((resume) => {
      const client = connection.client()
      let header: Metadata | undefined
      const fail = (error: unknown) => resume(failed(error, client, header))
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

  const opened = <O extends DescMessage>(
    client: GrpcClient,
    { bytes, metadata, path }: { readonly path: string; readonly bytes: Buffer; readonly metadata: Metadata },
    output: O
  ): ClientReadableStream<MessageShape<O>> =>
    client.makeServerStreamRequest(path, identity, reader(output), bytes, metadata, {})

  return {
    address: endpoint.address,
    credential: signer.credential,
    unary: (method, input, headers) =>
      Effect.flatMap(
        prepared(method, input, headers),
        ({ bytes, metadata, path }) =>
          sent<MessageShape<typeof method.output>>((client, succeed, fail) =>
            client.makeUnaryRequest(
              path,
              identity,
              reader(method.output),
              bytes,
              metadata,
              {},
              (error, answer) =>
                error !== null || answer === undefined ? fail(error ?? new Error("no answer")) : succeed(answer)
            )
          )
      ),
    collect: (method, input, headers) =>
      Effect.flatMap(
        prepared(method, input, headers),
        (ready) =>
          sent<ReadonlyArray<MessageShape<typeof method.output>>>((client, succeed, fail) => {
            const all: Array<MessageShape<typeof method.output>> = []
            return opened(client, ready, method.output)
              .on("data", (message) => all.push(message))
              .on("error", fail)
              // A status that is not OK has come before.
              .on("end", () => succeed(all))
          })
      ),
    stream: (method, input, headers) =>
      Stream.unwrap(Effect.gen(function*() {
        const ready = yield* prepared(method, input, headers)
        let header: Metadata | undefined
        const client = connection.client()
        const call = yield* Effect.acquireRelease(
          Effect.try({ try: () => opened(client, ready, method.output), catch: (error) => error }).pipe(
            Effect.catch((error) => failed(error, client))
          ),
          (call) => Effect.sync(() => call.cancel())
        )
        call.on("metadata", (received: Metadata) => {
          header = received
        })
        const pull = pullFrom(call).pipe(
          Effect.catch((error): Effect.Effect<never, CallsFailure | Cause.Done> =>
            Cause.isDone(error) ? Effect.fail(error) : failed(error, client, header)
          )
        )
        return Stream.fromPull(Effect.succeed(pull))
      }))
  }
})
