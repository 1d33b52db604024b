/**
 * One call of a fake Omni, however it came: over gRPC or inside the process.
 */
import type { Message } from "@bufbuild/protobuf"
import type { Role } from "./Access.ts"
import type { Refusal } from "./Refusal.ts"

/** The headers of a call: names in lower case. */
export type Headers = (name: string) => ReadonlyArray<string>

/** The context of a call. */
export interface Call {
  readonly headers: Headers
  /** The name of the service account that calls. */
  readonly identity: string
  readonly role: Role
  /** Runs `f` when the caller gives up. */
  readonly onCancel: (f: () => void) => void
}

/** The receiver of the messages of a streamed call. */
export interface Sink<M extends Message> {
  readonly send: (message: M) => void
  readonly end: () => void
  readonly fail: (refusal: Refusal) => void
  readonly onCancel: (f: () => void) => void
}
