/**
 * The containers of the measurements: created, started and removed by the plain API, outside of the times.
 *
 * Everything has the word of the run in its name and is removed with the scope, also on Ctrl-C. The images are built
 * from busybox, see `scripts/engine/image.ts`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type EngineApiError, request } from "../scripts/engine/api.ts"
import { importBusybox, type Init, type NoBusybox, removeImage } from "../scripts/engine/image.ts"
import { randomWord } from "../src/internal/Session.ts"

export interface StageService {
  readonly socketPath: string
  readonly image: (init: Init) => string
}

export class Stage extends Context.Service<Stage, StageService>()("kubelayer/bench/Stage") {}

const inits: ReadonlyArray<Init> = ["obedient", "slow", "deaf"]

/** Sets the stage on the engine behind a unix socket. */
export const makeStage = Effect.fnUntraced(function*(
  socketPath: string
): Effect.fn.Return<StageService, NoBusybox | EngineApiError, Scope.Scope> {
  const run = randomWord(6)
  const image = (init: Init) => `kubelayer-bench:${init}-${run}`
  yield* Effect.forEach(inits, (init) =>
    Effect.acquireRelease(
      importBusybox({ socketPath, tag: image(init), init }),
      () => left(`image ${image(init)}`)(removeImage(socketPath, image(init)))
    ))
  return { socketPath, image }
})

/** Clean-up continues with the next thing, and reports the leftovers. */
const left = (what: string) => <A>(effect: Effect.Effect<A, EngineApiError>): Effect.Effect<void> =>
  Effect.catch(
    Effect.asVoid(effect),
    (error) => error.status === 404 ? Effect.void : Effect.logError(`${what} is left behind: ${error.message}`)
  )

export interface Cluster {
  readonly name: string
  readonly ids: ReadonlyArray<string>
}

/** The concurrency at which the engine does not slow itself down. */
const WIDTH = 10

const api = <A>(
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: A
): Effect.Effect<string, EngineApiError, Stage> =>
  Effect.flatMap(Stage, ({ socketPath }) =>
    request({ socketPath }, {
      method,
      path,
      ...(body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) })
    }))

const idOf = (text: string): string => (JSON.parse(text) as { readonly Id: string }).Id

const eachNode = (
  cluster: Cluster,
  act: (id: string) => Effect.Effect<unknown, EngineApiError, Stage>
): Effect.Effect<void, EngineApiError, Stage> => Effect.forEach(cluster.ids, act, { concurrency: WIDTH, discard: true })

/** A cluster of stopped nodes: one control plane, the rest workers; where asked, with a network and a volume of its own. */
export const makeCluster = Effect.fnUntraced(function*(
  options: { readonly nodes: number; readonly init: Init; readonly withResources?: boolean }
): Effect.fn.Return<Cluster, EngineApiError, Stage | Scope.Scope> {
  const { image } = yield* Stage
  const name = `bench-${randomWord(6)}`
  const owned = { "kubelayer.owned": `kubelayer/${name}` }
  if (options.withResources === true) {
    const body = { Name: name, CheckDuplicate: true, Labels: owned }
    yield* Effect.acquireRelease(
      Effect.map(api("POST", "/networks/create", body), idOf),
      (id) => leftOnStage(`network ${name}`, "DELETE", `/networks/${id}`)
    )
    yield* Effect.acquireRelease(
      api("POST", "/volumes/create", body),
      () => leftOnStage(`volume ${name}`, "DELETE", `/volumes/${name}`)
    )
  }
  const ids: Array<string> = []
  yield* Effect.addFinalizer(() =>
    Effect.forEach(ids, (id) => leftOnStage(`container ${id}`, "DELETE", `/containers/${id}?force=true&v=true`), {
      concurrency: WIDTH,
      discard: true
    })
  )
  const makeNode = (index: number) => {
    const role = index === 0 ? "control-plane" : "worker"
    return api("POST", `/containers/create?name=${name}-${role}${index < 2 ? "" : index}`, {
      Image: image(options.init),
      Labels: { "kubelayer.cluster": name, "kubelayer.role": role, "kubelayer.spec": "{}", ...owned },
      ...(options.withResources === true
        ? { HostConfig: { NetworkMode: name, Mounts: [{ Type: "volume", Source: name, Target: "/data" }] } }
        : {})
      // A sent create is carried out, so its result must be known.
    }).pipe(Effect.map((text) => ids.push(idOf(text))), Effect.uninterruptible)
  }
  yield* Effect.forEach(Array.from({ length: options.nodes }, (_, index) => index), makeNode, {
    concurrency: WIDTH,
    discard: true
  })
  return { name, ids }
})

const leftOnStage = (what: string, method: "DELETE", path: string): Effect.Effect<void, never, Stage> =>
  Effect.flatMap(Stage, ({ socketPath }) => left(what)(request({ socketPath }, { method, path })))

/** Starts the nodes, outside of any measured time. */
export const startAll = (cluster: Cluster): Effect.Effect<void, EngineApiError, Stage> =>
  eachNode(cluster, (id) => api("POST", `/containers/${id}/start`))

/** Ends the nodes at once, whatever their init would do. */
export const killAll = (cluster: Cluster): Effect.Effect<void, EngineApiError, Stage> =>
  eachNode(
    cluster,
    (id) =>
      Effect.andThen(
        api("POST", `/containers/${id}/kill`),
        // A kill is answered before the node is down.
        api("POST", `/containers/${id}/wait`)
      )
  )
