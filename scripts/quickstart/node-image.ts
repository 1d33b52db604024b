/**
 * Chooses the image of the quickstart's nodes: one that is present, one that can be pulled, or one that is built from a
 * static busybox and removed again. It only needs a shell.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Endpoint, endpointOf, request } from "../engine/api.ts"
import type { Engine } from "../engine/engine.ts"
import { importBusybox, removeImage } from "../engine/image.ts"

/** Small images with a shell, the ones that people have. */
const usual = /^(?:busybox|alpine):|^kubelayer-node:obedient$/
const pulled = { name: "busybox", tag: "stable" }
const pullMillis = 60_000

const present = (endpoint: Endpoint): Effect.Effect<string | undefined> =>
  request(endpoint, { method: "GET", path: "/images/json" }).pipe(
    Effect.map((body) => {
      const images = JSON.parse(body) as ReadonlyArray<{ readonly RepoTags?: ReadonlyArray<string> | null }>
      return images.flatMap((image) => image.RepoTags ?? []).find((tag) => usual.test(tag))
    }),
    Effect.orElseSucceed(() => undefined)
  )

const pull = (endpoint: Endpoint): Effect.Effect<boolean> =>
  request(endpoint, {
    method: "POST",
    path: `/images/create?fromImage=${pulled.name}&tag=${pulled.tag}`,
    deadlineMillis: pullMillis
  }).pipe(
    // The error of a registry comes as text within a success, so the image itself is read.
    Effect.andThen(request(endpoint, { method: "GET", path: `/images/${pulled.name}:${pulled.tag}/json` })),
    Effect.isSuccess
  )

export interface NodeImage {
  readonly image: string
  readonly why: string
}

export const nodeImage = Effect.fnUntraced(function*(
  engine: Engine
): Effect.fn.Return<NodeImage, { readonly message: string }, Scope.Scope> {
  const endpoint = endpointOf(engine.dockerHost)
  // Reached over TLS, say: the library then sees to it.
  if (endpoint === undefined) return { image: `${pulled.name}:${pulled.tag}`, why: "to be pulled where it is missing" }
  const found = yield* present(endpoint)
  if (found !== undefined) return { image: found, why: "which is present" }
  // A private engine is there for this run only: what it pulls, it pulls again next time.
  if (engine.kind === "found" && (yield* pull(endpoint))) {
    return { image: `${pulled.name}:${pulled.tag}`, why: "pulled" }
  }
  const image = "kubelayer-node:quickstart"
  if (!("socketPath" in endpoint)) {
    return yield* Effect.fail({
      message: `The engine has no image with a shell and can pull none. Give it ${pulled.name}.`
    })
  }
  const { socketPath } = endpoint
  yield* Effect.acquireRelease(
    importBusybox({ socketPath, tag: image, init: "obedient" }),
    () => Effect.ignore(removeImage(socketPath, image))
  )
  return { image, why: "built here from busybox" }
})
