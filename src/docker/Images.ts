/**
 * Seeing to it that an image is there before a node is made from it.
 *
 * Source: Docker Engine API reference, `ImageInspect`, `ImageCreate`. Progress counts the bytes of all layers.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Operation } from "../internal/Operation.ts"
import type { Subject } from "../Progress.ts"
import { NotFoundError } from "../Reason.ts"
import { Done } from "../Report.ts"
import type { Client } from "./Client.ts"
import type { CallFailure } from "./Transport.ts"

export type PullPolicy = "missing" | "always" | "never"

/** Pulls an image where its policy says so. Images that were pulled stay, also when the create fails. */
export const ensureImage = Effect.fnUntraced(function*(
  client: Client,
  operation: Operation,
  image: string,
  policy: PullPolicy
): Effect.fn.Return<void, CallFailure> {
  const subject: Subject = { kind: "image", name: image }
  if (policy !== "always" && (yield* client.imageExists(image))) return
  if (policy === "never") {
    return yield* Effect.fail(
      operation.error(
        new NotFoundError({
          detail: "the engine does not have the image, and `pull` is \"never\"",
          hint: "Pull or import the image, or change `pull`."
        }),
        subject
      )
    )
  }
  yield* operation.schedule([subject])
  yield* operation.emit({ _tag: "Sent", subject, call: "pull" })
  const layers = new Map<string, { readonly current: number; readonly total: number }>()
  yield* client.pullImage(image).pipe(
    Stream.runForEach((line) => {
      const { id, progressDetail } = line
      if (typeof id !== "string" || typeof progressDetail?.current !== "number") return Effect.void
      layers.set(id, { current: progressDetail.current, total: progressDetail.total ?? progressDetail.current })
      const sum = (field: "current" | "total") => [...layers.values()].reduce((bytes, layer) => bytes + layer[field], 0)
      return operation.emit({ _tag: "Transferred", subject, bytes: sum("current"), total: sum("total") })
    }),
    Effect.mapError((error) => error._tag === "BackendError" ? operation.error(error.reason, subject) : error)
  )
  yield* operation.record(subject, new Done({}))
})
