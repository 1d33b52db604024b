/**
 * Pulls the images of the nodes that a create is going to create.
 *
 * Source: Docker Engine API reference, `ImageInspect`, `ImageCreate`. Progress counts the bytes of all layers.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Subject } from "../Progress.ts"
import { NotFoundError } from "../Reason.ts"
import type { CallFailure, Listed, Task } from "../Resource.ts"
import type { Writing } from "./Client.ts"
import type { Container } from "./ClusterNodes.ts"
import type { Design, WantedNode } from "./Desired.ts"

/** Pulls an image if its pull policy requires it. Pulled images stay, also when the create fails. */
const ensureImage = Effect.fnUntraced(function*(
  { client }: Writing,
  { image, pull = "missing" }: WantedNode["spec"],
  task: Task
): Effect.fn.Return<void, CallFailure> {
  const subject: Subject = { kind: "image", name: image }
  if (pull !== "always" && (yield* client.imageExists(image))) return
  if (pull === "never") {
    return yield* Effect.fail(
      task.error(
        new NotFoundError({
          detail: `the engine does not have image "${image}", and \`pull\` is "never"`,
          hint: "Pull or import the image, or change `pull`."
        }),
        subject
      )
    )
  }
  const layers = new Map<string, { readonly current: number; readonly total: number }>()
  yield* client.pullImage(image).pipe(
    Stream.runForEach((line) => {
      const { id, progressDetail } = line
      if (typeof id !== "string" || typeof progressDetail?.current !== "number") return Effect.void
      layers.set(id, { current: progressDetail.current, total: progressDetail.total ?? progressDetail.current })
      const sum = (field: "current" | "total") => [...layers.values()].reduce((bytes, layer) => bytes + layer[field], 0)
      return task.transferred(subject, sum("current"), sum("total"))
    }),
    Effect.mapError((error) => error._tag === "BackendError" ? task.error(error.reason, subject) : error)
  )
})

/** Pulls the images of all nodes of the cluster that are missing, once an operation. */
export const ensureImages = (
  write: Writing,
  wanted: ReadonlyArray<{ readonly design: Design }>,
  task: Task,
  nodes: Listed<Container>
): Effect.Effect<void, CallFailure> => {
  const missing = (wanted[0]?.design.nodes ?? []).filter(({ name }) => task.world.named(nodes, name) === undefined)
  const images = new Map(missing.map(({ spec }) => [`${spec.image} ${spec.pull ?? "missing"}`, spec]))
  return Effect.forEach(images, ([key, spec]) => task.once(`image ${key}`, ensureImage(write, spec, task)), {
    concurrency: 3,
    discard: true
  })
}
