/** A gRPC server on the loopback interface, in front of the calls of a fake Omni. */
import type { DescMethod, DescService, Message } from "@bufbuild/protobuf"
import type * as Grpc from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import { loadPackage } from "../../internal/LoadPackage.ts"
import { type Dispatch, pathOf, statusOf } from "./Dispatch.ts"
import type { Headers } from "./Service.ts"
import type { Wire } from "./Wire.ts"

type Unary = Grpc.ServerUnaryCall<Message, Message>
type Streamed = Grpc.ServerWritableStream<Message, Message>

export interface ServerOptions {
  readonly wire: Wire
  readonly dispatch: Dispatch
  readonly port: number
  readonly tls: { readonly certificate: string; readonly key: string } | undefined
  /** Ends the watches, so that they get the reason: a forced shutdown is reported as a cancellation. */
  readonly beforeStop: () => void
}

/** The definition of a service for grpc-js. */
const definitionOf = ({ protobuf }: Wire, service: DescService): Grpc.ServiceDefinition =>
  Object.fromEntries(service.methods.map((method) => [method.name, {
    path: pathOf(method),
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (message: Message) => Buffer.from(protobuf.toBinary(method.input, message)),
    requestDeserialize: (bytes: Buffer) => protobuf.fromBinary(method.input, bytes),
    responseSerialize: (message: Message) => Buffer.from(protobuf.toBinary(method.output, message)),
    responseDeserialize: (bytes: Buffer) => protobuf.fromBinary(method.output, bytes)
  }]))

const headersOf = (metadata: Grpc.Metadata): Headers => (name) => metadata.get(name).map(String)

export const makeServer = async ({ beforeStop, dispatch, port: wanted, tls, wire }: ServerOptions) => {
  const grpc = await loadPackage<typeof import("@grpc/grpc-js")>("@grpc/grpc-js")
  const { cosi, management } = wire

  const unary = (method: DescMethod) => (call: Unary, callback: Grpc.sendUnaryData<Message>): void => {
    dispatch.unary(method, call.request, {
      headers: headersOf(call.metadata),
      onCancel: (f) => void call.on("cancelled", f)
    }).then((answer) => callback(null, answer), (error) => callback(statusOf(error)))
  }

  const streamed = (method: DescMethod) => (call: Streamed): void => {
    void dispatch.stream(
      method,
      call.request,
      { headers: headersOf(call.metadata), onCancel: (f) => void call.on("cancelled", f) },
      {
        send: (message) => void call.write(message),
        end: () => call.end(),
        fail: ({ code, message }) => void call.emit("error", { code, details: message }),
        onCancel: (f) => {
          call.on("cancelled", f)
          call.on("close", f)
        }
      },
      () => call.cancelled
    )
  }

  const implementationOf = (service: DescService): Grpc.UntypedServiceImplementation =>
    Object.fromEntries(
      service.methods.map((method) => [
        method.name,
        method.methodKind === "server_streaming" ? streamed(method) : unary(method)
      ])
    ) as Grpc.UntypedServiceImplementation

  const credentials = tls === undefined
    ? grpc.ServerCredentials.createInsecure()
    : grpc.ServerCredentials.createSsl(null, [{
      cert_chain: Buffer.from(tls.certificate),
      private_key: Buffer.from(tls.key)
    }])

  let server: Grpc.Server | undefined
  let port = wanted
  const start = Effect.callback<void>((resume) => {
    const created = new grpc.Server({ "grpc.max_receive_message_length": 32 * 1024 * 1024 })
    for (const service of [cosi.State, management.ManagementService]) {
      created.addService(definitionOf(wire, service), implementationOf(service))
    }
    created.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) => {
      if (error !== null) return resume(Effect.die(error))
      port = bound
      server = created
      resume(Effect.void)
    })
  })
  const stop = Effect.suspend(() => {
    const running = server
    server = undefined
    if (running === undefined) return Effect.void
    beforeStop()
    return Effect.map(
      Effect.promise(() => new Promise<void>((resume) => setImmediate(() => setImmediate(resume)))),
      () => running.forceShutdown()
    )
  })

  return {
    start: Effect.suspend(() => server === undefined ? start : Effect.void),
    stop,
    endpoint: () => `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`
  }
}
