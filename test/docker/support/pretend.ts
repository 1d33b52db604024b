/**
 * `DockerFake` behind a `Conversation`: a script of a test answers first, and the fake engine all else.
 *
 * A test fails when a request comes that no client should send: one that the API does not have, or in another API
 * version than the negotiated one.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DockerFake } from "kubelayer/testing"
import { send } from "../../../src/testing/docker/Listener.ts"
import { type Conversation, converse, type Heard, type Reply, type Script, type Settings } from "./Conversation.ts"

export type Labels = Readonly<Record<string, string>>

export interface Container {
  readonly id: string
  readonly name: string
  readonly labels: Labels
  readonly state: string
  readonly image?: string
  readonly networks?: ReadonlyArray<string>
  readonly volumes?: ReadonlyArray<string>
  /** The body that it was created with. */
  readonly body?: unknown
}

interface Network {
  readonly id: string
  readonly name: string
  readonly labels: Labels
  readonly subnet?: string
}

interface Volume {
  readonly name: string
  readonly labels: Labels
}

export interface World {
  readonly containers?: ReadonlyArray<Container>
  readonly networks?: ReadonlyArray<Network>
  readonly volumes?: ReadonlyArray<Volume>
  readonly images?: ReadonlyArray<string>
}

export interface FakeEngine extends Conversation {
  readonly fake: DockerFake.DockerFakeService
  /** Newest first. */
  readonly containers: ReadonlyArray<Container>
  /** Without those that every engine has. */
  readonly networks: ReadonlyArray<Network>
  readonly volumes: ReadonlyArray<Volume>
  /** Adds something at once, as another client would. */
  readonly add: (world: World) => void
  /** Takes something away at once. */
  readonly vanish: (kind: "container" | "network" | "volume", name: string) => void
  /** How many event streams were opened. */
  readonly events: { readonly opened: number }
  /** The requests after the negotiation that change something. */
  readonly changes: () => ReadonlyArray<Heard>
}

export interface EngineSettings extends Settings {
  readonly world?: World
  /** Answers first; undefined where the engine is to answer. */
  readonly script?: Script
  readonly apiVersion?: string
  readonly minApiVersion?: string
  /** The version that a client is expected to speak; `apiVersion` where it is left out. */
  readonly spoken?: string
}

/** `label` values are ANDed, each `key` or `key=value`; values of `name` are regular expressions, any may match. */
export const matching =
  (filters: Readonly<Record<string, ReadonlyArray<string>>>) => (container: Container): boolean => {
    const labels = (filters["label"] ?? []).every((wanted) => {
      const at = wanted.indexOf("=")
      return at < 0 ? wanted in container.labels : container.labels[wanted.slice(0, at)] === wanted.slice(at + 1)
    })
    const names = filters["name"]
    return labels && (names === undefined ||
      names.some((pattern) =>
        new RegExp(pattern).test(container.name) || new RegExp(pattern).test(`/${container.name}`)
      ))
  }

const targetOf = ({ path, query, version }: Heard): string => {
  const search = new URLSearchParams(query).toString()
  return `${version === undefined ? "" : `/v${version}`}${path}${search === "" ? "" : `?${search}`}`
}

/** Listens until the scope closes. */
export const pretend = Effect.fnUntraced(function*(
  settings: EngineSettings = {}
): Effect.fn.Return<FakeEngine, never, Scope.Scope> {
  const { apiVersion = "1.41", minApiVersion = "1.12", world = {} } = settings
  const spoken = settings.spoken ?? apiVersion
  const images = Object.fromEntries((world.images ?? ["node"]).map((image) => [image, {}]))
  const fake = yield* DockerFake.make({ listen: "none", apiVersion, minApiVersion, images })
  /** As the test wrote them. */
  const seeds = new Map<string, Container | Network | Volume>()
  const add = ({ containers = [], networks = [], volumes = [] }: World): void => {
    for (const each of networks) {
      seeds.set(`network ${each.id}`, each)
      Effect.runSync(fake.seed.network(each))
    }
    for (const each of volumes) Effect.runSync(fake.seed.volume(each))
    // The newest comes first.
    for (const each of [...containers].reverse()) {
      seeds.set(`container ${each.id}`, each)
      Effect.runSync(fake.seed.container(each as DockerFake.ContainerSeed))
    }
  }
  add(world)

  const answer = (heard: Heard): Reply => (response) => {
    void Effect.runPromise(
      fake.answer({
        method: heard.method,
        target: targetOf(heard),
        contentType: heard.body === undefined ? undefined : "application/json",
        body: heard.body === undefined ? "" : JSON.stringify(heard.body)
      })
    ).then((given) => send(response, given))
  }
  const conversation = yield* converse((heard) => {
    const scripted = settings.script?.(heard)
    if (scripted !== undefined) return scripted
    if (heard.version === undefined) {
      if (!/^\/(?:version|_ping)$/.test(heard.path)) throw new Error("a path without a version")
    } else if (heard.version !== spoken) throw new Error(`version ${heard.version} instead of ${spoken}`)
    return answer(heard)
  }, settings)
  yield* Effect.addFinalizer(() =>
    Effect.flatMap(
      fake.violations,
      (found) => found.length === 0 ? Effect.void : Effect.die(new Error(`not expected: ${JSON.stringify(found)}`))
    )
  )

  const state = () => Effect.runSync(fake.state)
  return {
    ...conversation,
    fake,
    add,
    vanish: (kind, name) => Effect.runSync(fake.vanish(kind, name)),
    get containers() {
      return state().containers.map((each): Container => {
        const seed = seeds.get(`container ${each.id}`) as Container | undefined
        return seed === undefined
          ? { ...each, networks: Object.keys(each.networks) }
          : { ...seed, state: each.state }
      })
    },
    get networks() {
      return state().networks.filter(({ isPredefined }) => !isPredefined).map((
        { id, labels, name, subnets }
      ): Network =>
        seeds.get(`network ${id}`) as Network | undefined ??
          { id, name, labels, ...(subnets[0] === undefined ? {} : { subnet: subnets[0] }) }
      )
    },
    get volumes() {
      return state().volumes.filter(({ isAnonymous }) => !isAnonymous).map(({ labels, name }) => ({ name, labels }))
    },
    events: {
      get opened() {
        return conversation.heard.filter(({ path }) => path === "/events").length
      }
    },
    changes: () => conversation.heard.filter(({ method }) => method !== "GET" && method !== "HEAD")
  }
})
