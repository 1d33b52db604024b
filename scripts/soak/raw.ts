/**
 * Reads an engine without kubelayer: the things of a cluster by their labels, and unowned things beside them. The
 * unowned things are created here and must stay as they are.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Call, type Endpoint, EngineApiError, request } from "../engine/api.ts"
import type { Scenario, Unowned } from "./scenario.ts"

/** Marks the unowned things of a soak, with the name of the cluster beside them. */
const soakLabel = "soak.beside"

export interface Thing {
  readonly kind: "node" | "network" | "volume"
  readonly name: string
  /** The name again where there is no id: volumes have none. */
  readonly id: string
  /** Of containers. */
  readonly state: string
}

/** Everything on the engine that carries a cluster's ownership label. */
export type Census = ReadonlyArray<Thing>

export interface Raw {
  readonly census: Effect.Effect<Census, EngineApiError>
  /** Every unowned thing as the engine describes it, word for word. */
  readonly unowned: Effect.Effect<string, EngineApiError>
  readonly meddle: (id: string, how: "pause" | "kill" | "remove") => Effect.Effect<void, EngineApiError>
}

interface Listed {
  readonly Id?: string
  readonly Name?: string
  readonly Names?: ReadonlyArray<string>
  readonly State?: string
}

const deadlineMillis = 60_000

const json = (endpoint: Endpoint, path: string, body?: unknown, method?: Call["method"]) =>
  Effect.flatMap(
    request(endpoint, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      path,
      deadlineMillis,
      ...(body === undefined ? {} : { body: new TextEncoder().encode(JSON.stringify(body)) })
    }),
    (text) =>
      Effect.try({
        try: (): unknown => text === "" ? undefined : JSON.parse(text),
        catch: () => new EngineApiError({ call: path, detail: `no JSON: ${text.slice(0, 80)}` })
      })
  )

const labelled = (label: string) => `filters=${encodeURIComponent(JSON.stringify({ label: [label] }))}`

const listed = (endpoint: Endpoint, label: string): Effect.Effect<Census, EngineApiError> =>
  Effect.map(
    Effect.all([
      json(endpoint, `/containers/json?all=true&${labelled(label)}`),
      json(endpoint, `/networks?${labelled(label)}`),
      json(endpoint, `/volumes?${labelled(label)}`)
    ], { concurrency: 3 }),
    ([containers, networks, volumes]) => [
      ...(containers as ReadonlyArray<Listed>).map((container): Thing => ({
        kind: "node",
        name: container.Names?.[0]?.slice(1) ?? "",
        id: container.Id ?? "",
        state: container.State ?? ""
      })),
      ...(networks as ReadonlyArray<Listed>).map((network): Thing => ({
        kind: "network",
        name: network.Name ?? "",
        id: network.Id ?? "",
        state: ""
      })),
      ...((volumes as { readonly Volumes?: ReadonlyArray<Listed> | null }).Volumes ?? []).map((volume): Thing => ({
        kind: "volume",
        name: volume.Name ?? "",
        id: volume.Name ?? "",
        state: ""
      }))
    ]
  )

const pathOf = ({ id, kind }: Thing): string => `/${kind === "node" ? "container" : kind}s/${encodeURIComponent(id)}`

const remove = (endpoint: Endpoint, thing: Thing) =>
  Effect.ignore(
    request(endpoint, { method: "DELETE", path: `${pathOf(thing)}?force=true&v=true`, deadlineMillis })
  )

/** Removes all that a label is on, containers first. Leftovers stay. */
const removeAll = (endpoint: Endpoint, label: string): Effect.Effect<void> =>
  Effect.ignore(Effect.gen(function*() {
    const things = yield* listed(endpoint, label)
    for (const ofNodes of [true, false]) {
      yield* Effect.forEach(things.filter(({ kind }) => (kind === "node") === ofNodes), (thing) =>
        remove(endpoint, thing))
    }
  }))

const ownedBy = (cluster: string): string => `kubelayer.owned=kubelayer/${cluster}`

const makeUnowned = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  image: string,
  cluster: string,
  unowned: Unowned,
  runs: boolean
) {
  const beside = { [soakLabel]: cluster }
  const container = (name: string, labels: Readonly<Record<string, string>> = {}) =>
    Effect.gen(function*() {
      const made = yield* json(endpoint, `/containers/create?name=${name}`, {
        Image: image,
        Labels: { ...labels, ...beside },
        HostConfig: { NetworkMode: "none" }
      })
      if (runs) yield* json(endpoint, `/containers/${(made as Listed).Id}/start`, undefined, "POST")
    })
  switch (unowned) {
    case "container-of-like-name":
      return yield* container(`${cluster}-worker-2`, { "kubelayer.role": "worker" })
    case "container-of-like-cluster":
      return yield* container(`${cluster}0-control-plane`, {
        "kubelayer.cluster": `${cluster}0`,
        "kubelayer.role": "control-plane",
        "kubelayer.owned": `kubelayer/${cluster}0`
      })
    case "container-of-kind":
      return yield* container(`${cluster}-kind-control-plane`, {
        "io.x-k8s.kind.cluster": cluster,
        "io.x-k8s.kind.role": "control-plane"
      })
    case "container-of-same-name":
      return yield* container(`${cluster}-control-plane`)
    case "network-of-like-name":
      return yield* json(endpoint, "/networks/create", {
        Name: `kubelayer-${cluster}-x`,
        CheckDuplicate: true,
        Labels: beside
      })
    case "volume-of-like-name":
      return yield* json(endpoint, "/volumes/create", { Name: `${cluster}-data-x`, Labels: beside })
  }
})

/**
 * Creates the unowned things of a scenario. When the scope closes, nothing of the cluster and nothing beside it is
 * left.
 */
export const makeRaw = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  image: string,
  cluster: string,
  scenario: Pick<Scenario, "unowned" | "foreignRuns">
): Effect.fn.Return<Raw, EngineApiError, Scope.Scope> {
  yield* Effect.addFinalizer(() =>
    Effect.andThen(removeAll(endpoint, ownedBy(cluster)), removeAll(endpoint, `${soakLabel}=${cluster}`))
  )
  yield* makeUnowned(endpoint, image, cluster, scenario.unowned, scenario.foreignRuns)
  const census = Effect.map(
    listed(endpoint, ownedBy(cluster)),
    (things) => [...things].sort((a, b) => `${a.kind}/${a.name}` < `${b.kind}/${b.name}` ? -1 : 1)
  )
  return {
    census,
    unowned: Effect.flatMap(listed(endpoint, `${soakLabel}=${cluster}`), (things) =>
      Effect.map(
        Effect.forEach(things, (thing) =>
          json(endpoint, thing.kind === "node" ? `${pathOf(thing)}/json` : pathOf(thing))),
        (inspected) =>
          JSON.stringify(inspected)
      )),
    meddle: (id, how) =>
      how === "remove"
        ? Effect.asVoid(request(endpoint, { method: "DELETE", path: `/containers/${id}?force=true`, deadlineMillis }))
        : Effect.asVoid(request(endpoint, { method: "POST", path: `/containers/${id}/${how}`, deadlineMillis })).pipe(
          // A node that does not run can be neither paused nor killed, which is as good.
          // Docker refuses with 409, Podman with 500.
          Effect.catchIf(
            (error) => error.status === 409 || /state improper/.test(error.message),
            () => Effect.void
          )
        )
  }
})
