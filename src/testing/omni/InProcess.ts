/**
 * The calls of a fake Omni inside the process: messages go to the handlers as they are, without gRPC, HTTP/2 and signatures.
 *
 * For programs that have to be deterministic or fast.
 */
import type { DescMethod, Message } from "@bufbuild/protobuf"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Calls, CallStatus } from "../../omni/Calls.ts"
import type { SignedHeaders } from "../../omni/Signing.ts"
import type { Role } from "./Access.ts"
import { type Dispatch, type Incoming, statusOf } from "./Dispatch.ts"
import type { Refusal } from "./Refusal.ts"
import type { Wire } from "./Wire.ts"

const away: CallStatus = { code: 14, details: "No connection established. Last error: the fake is not available" }

export const makeInProcess = ({ address, available, caller, dispatch, wire }: {
  readonly wire: Wire
  readonly dispatch: Dispatch
  readonly address: string
  readonly caller: { readonly name: string; readonly role: Role }
  readonly available: () => boolean
}): Calls => {
  const incoming = (headers: SignedHeaders, cancels: Set<() => void>): Incoming => ({
    headers: (name) => headers[name] === undefined ? [] : [headers[name]],
    onCancel: (f) => void cancels.add(f),
    caller
  })

  const cancelAll = (cancels: Set<() => void>) =>
    Effect.sync(() => {
      for (const cancel of cancels) cancel()
    })

  const open = (
    method: DescMethod,
    input: Message,
    headers: SignedHeaders,
    on: {
      readonly send: (message: Message) => void
      readonly end: () => void
      readonly fail: (status: CallStatus) => void
    }
  ): Effect.Effect<void> => {
    const cancels = new Set<() => void>()
    let cancelled = false
    void dispatch.stream(method, input, incoming(headers, cancels), {
      send: on.send,
      end: on.end,
      fail: (refusal: Refusal) => on.fail(statusOf(refusal)),
      onCancel: (f) => void cancels.add(f)
    }, () => cancelled)
    return Effect.andThen(
      Effect.sync(() => {
        cancelled = true
      }),
      cancelAll(cancels)
    )
  }

  return {
    address,
    credential: {
      identity: caller.name,
      fingerprint: "0".repeat(40),
      createdAt: DateTime.makeUnsafe(0),
      expiresAt: undefined
    },
    unary: (method, init, headers) =>
      Effect.callback((resume) => {
        if (!available()) return resume(Effect.fail(away))
        const cancels = new Set<() => void>()
        const input = wire.protobuf.create(method.input, init)
        dispatch.unary(method, input, incoming(headers, cancels)).then(
          (answer) => resume(Effect.succeed(answer as never)),
          (error) => resume(Effect.fail(statusOf(error)))
        )
        return cancelAll(cancels)
      }),
    collect: (method, init, headers) =>
      Effect.callback((resume) => {
        if (!available()) return resume(Effect.fail(away))
        const all: Array<Message> = []
        return open(method, wire.protobuf.create(method.input, init), headers, {
          send: (message) => all.push(message),
          end: () => resume(Effect.succeed(all as never)),
          fail: (status) => resume(Effect.fail(status))
        })
      }),
    stream: (method, init, headers) =>
      Stream.callback<never, CallStatus>((queue) =>
        available()
          ? Effect.acquireRelease(
            Effect.sync(() =>
              open(method, wire.protobuf.create(method.input, init), headers, {
                send: (message) => Queue.offerUnsafe(queue, message as never),
                end: () => Queue.endUnsafe(queue),
                fail: (status) => Queue.failCauseUnsafe(queue, Cause.fail(status))
              })
            ),
            (cancel) => cancel
          )
          : Queue.fail(queue, away), { bufferSize: Number.POSITIVE_INFINITY })
  }
}
