/** How calls get to the server: over gRPC in `GrpcCalls.ts`, or inside the process in a fake. */
import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape
} from "@bufbuild/protobuf"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { BackendError } from "../Reason.ts"
import type { Credential, SignedHeaders } from "./Signing.ts"

/** Why a call has no answer: a gRPC status that is not OK. */
export interface CallStatus {
  readonly code: number
  readonly details: string
  /** By how much the server's clock is ahead of this machine's, if the server sent its time. */
  readonly skewMillis?: number
}

/** The call was not sent: the layer is closed. */
interface NotSent {
  readonly notSent: string
}

/** The errors of `Calls`. A `BackendError` was found before anything was sent. */
export type CallsFailure = CallStatus | NotSent | BackendError

/** How calls get to the server and their answers back. One attempt each: without deadlines and retries. */
export interface Calls {
  /** The server as people know it, a URL without credentials. */
  readonly address: string
  readonly credential: Credential
  readonly unary: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    input: MessageInitShape<I>,
    headers: SignedHeaders
  ) => Effect.Effect<MessageShape<O>, CallsFailure>
  /** All messages of a streamed answer that ends. */
  readonly collect: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    input: MessageInitShape<I>,
    headers: SignedHeaders
  ) => Effect.Effect<ReadonlyArray<MessageShape<O>>, CallsFailure>
  /** A streamed answer. The stream is cancelled with its scope. */
  readonly stream: <I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    input: MessageInitShape<I>,
    headers: SignedHeaders
  ) => Stream.Stream<MessageShape<O>, CallsFailure>
}
