/** The image of the soak's nodes: the one that exits at SIGTERM, built if the engine does not have it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { endpointOf, request } from "../engine/api.ts"
import type { Engine } from "../engine/engine.ts"
import { importBusybox, removeImage } from "../engine/image.ts"

const image = "kubelayer-node:obedient"

export const soakImage = Effect.fnUntraced(function*(
  engine: Pick<Engine, "dockerHost">
): Effect.fn.Return<string, { readonly message: string }, Scope.Scope> {
  const endpoint = endpointOf(engine.dockerHost)
  if (endpoint === undefined) {
    return yield* Effect.fail({
      message: `The soak needs an engine that plain HTTP reaches, not ${engine.dockerHost}.`
    })
  }
  const present = yield* Effect.isSuccess(request(endpoint, { method: "GET", path: `/images/${image}/json` }))
  if (present) return image
  if (!("socketPath" in endpoint)) {
    return yield* Effect.fail({
      message: `The engine has no image ${image}, and it can be built only through a socket.`
    })
  }
  const { socketPath } = endpoint
  yield* Effect.acquireRelease(
    importBusybox({ socketPath, tag: image, init: "obedient" }),
    () => Effect.ignore(removeImage(socketPath, image))
  )
  return image
})
