/**
 * A Docker engine that only pretends, written from the Docker Engine API reference (version 1.41): containers, networks,
 * volumes, images and events, held in memory behind a `Conversation`.
 *
 * It refuses what an engine refuses, in an engine's words, and lets a test fail for what no client should send: an
 * unknown path, a query key that the reference does not have, a body of another shape, another API version than the one
 * that was negotiated. It shares no code with the library. Nothing runs in its containers.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  type Conversation,
  converse,
  empty,
  Feed,
  type Heard,
  json,
  pieces,
  refusal,
  type Reply,
  type Script,
  type Settings,
  text
} from "./Conversation.ts"

export type Labels = Readonly<Record<string, string>>

export interface Container {
  readonly id: string
  readonly name: string
  readonly labels: Labels
  state: string
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
  readonly containers: Array<Container>
  readonly networks: Array<Network>
  readonly volumes: Array<Volume>
  /** The event streams that were opened. */
  readonly events: Feed
  /** Sends an event of a container to whoever listens, whether or not its filters let it through. */
  readonly emit: (action: string, container: Pick<Container, "id" | "name" | "labels">) => void
  /** What was heard after the negotiation, that changes something. */
  readonly changes: () => ReadonlyArray<Heard>
}

export interface EngineSettings extends Settings {
  readonly world?: World
  /** Answers first; undefined where the engine is to answer by itself. */
  readonly script?: Script
  readonly apiVersion?: string
  readonly minApiVersion?: string
  /** The version that a client is expected to speak; `apiVersion` where it is left out. */
  readonly spoken?: string
}

const fixedTime = "2026-01-02T03:04:05.000000006Z"

// -----------------------------------------------------------------------------
// Shapes that the reference demands
// -----------------------------------------------------------------------------

const demand = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isTexts = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((each) => typeof each === "string")

const isLabels = (value: unknown): value is Labels =>
  isRecord(value) && Object.values(value).every((each) => typeof each === "string")

const record = (value: unknown, what: string): Record<string, unknown> => {
  if (isRecord(value)) return value
  throw new Error(`${what} is no object`)
}

/** `filters` is a JSON object of arrays of texts; `allowed` are the keys that the reference lists. */
const filtersOf = (heard: Heard, allowed: ReadonlyArray<string>): Readonly<Record<string, ReadonlyArray<string>>> => {
  const filters = record(JSON.parse(heard.query["filters"] ?? "{}"), "filters")
  for (const [key, values] of Object.entries(filters)) {
    demand(allowed.includes(key), `there is no filter ${key}`)
    demand(isTexts(values), `the filter ${key} is no array of texts`)
  }
  return filters as Record<string, ReadonlyArray<string>>
}

const portKey = /^\d+(?:\/(?:tcp|udp|sctp))?$/

const checkCreate = (body: Record<string, unknown>): void => {
  const { Cmd, Entrypoint, Env, ExposedPorts, HostConfig, Image, Labels, NetworkingConfig } = body
  demand(typeof Image === "string" && Image !== "", "no Image")
  demand(Labels === undefined || isLabels(Labels), "Labels are no texts by key")
  demand(Env === undefined || isTexts(Env), "Env is no array of texts")
  demand(Cmd === undefined || isTexts(Cmd), "Cmd is no array of texts")
  demand(Entrypoint === undefined || isTexts(Entrypoint), "Entrypoint is no array of texts")
  for (const [key, value] of Object.entries(record(ExposedPorts ?? {}, "ExposedPorts"))) {
    demand(portKey.test(key) && isRecord(value), `ExposedPorts has ${key}`)
  }
  const host = record(HostConfig ?? {}, "HostConfig")
  for (const [key, bindings] of Object.entries(record(host["PortBindings"] ?? {}, "PortBindings"))) {
    demand(portKey.test(key) && Array.isArray(bindings), `PortBindings has ${key}`)
    for (const binding of bindings as ReadonlyArray<unknown>) {
      const { HostIp, HostPort } = record(binding, "a binding")
      demand(typeof HostIp === "string" && typeof HostPort === "string", "HostIp and HostPort are texts")
    }
  }
  demand(host["Binds"] === undefined || isTexts(host["Binds"]), "Binds is no array of texts")
  demand(host["Tmpfs"] === undefined || isLabels(host["Tmpfs"]), "Tmpfs are no texts by path")
  for (const mount of (host["Mounts"] ?? []) as ReadonlyArray<unknown>) {
    const { Target, Type } = record(mount, "a mount")
    demand(typeof Target === "string" && typeof Type === "string", "a mount has no Type or Target")
  }
  record(record(NetworkingConfig ?? {}, "NetworkingConfig")["EndpointsConfig"] ?? {}, "EndpointsConfig")
}

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

const summary = (container: Container) => ({
  Id: container.id,
  Names: [`/${container.name}`],
  Image: container.image ?? "node",
  ImageID: "sha256:0",
  Command: "node",
  Created: 1_767_323_045,
  Ports: [],
  Labels: container.labels,
  State: container.state,
  Status: container.state === "running" ? "Up 2 hours" : "Exited (0) 3 seconds ago",
  HostConfig: { NetworkMode: container.networks?.[0] ?? "default" },
  NetworkSettings: {
    Networks: Object.fromEntries(
      (container.networks ?? []).map((name) => [name, { NetworkID: `id-of-${name}`, IPAddress: "" }])
    )
  },
  Mounts: (container.volumes ?? []).map((Name) => ({ Type: "volume", Name, Destination: "/data" }))
})

const inspected = (container: Container) => ({
  Id: container.id,
  Name: `/${container.name}`,
  Created: fixedTime,
  State: { Status: container.state, Running: container.state === "running", ExitCode: 0, Error: "" },
  Config: { Labels: container.labels, Tty: false }
})

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

const mountedNames = (body: Record<string, unknown>): ReadonlyArray<string> =>
  ((record(body["HostConfig"] ?? {}, "HostConfig")["Mounts"] ?? []) as ReadonlyArray<Record<string, unknown>>)
    .flatMap(({ Source, Type }) => Type === "volume" && typeof Source === "string" ? [Source] : [])

// -----------------------------------------------------------------------------
// The engine
// -----------------------------------------------------------------------------

/** Listens until the scope closes. */
export const pretend = Effect.fnUntraced(function*(
  settings: EngineSettings = {}
): Effect.fn.Return<FakeEngine, never, Scope.Scope> {
  const { apiVersion = "1.41", minApiVersion = "1.12", world = {} } = settings
  const spoken = settings.spoken ?? apiVersion
  const containers = (world.containers ?? []).map((container) => ({ ...container }))
  const networks = [...world.networks ?? []]
  const volumes = [...world.volumes ?? []]
  const images = new Set(world.images ?? ["node"])
  const events = new Feed()
  let made = 0

  const emit: FakeEngine["emit"] = (action, { id, labels, name }) =>
    events.write(`${
      JSON.stringify({
        Type: "container",
        Action: action,
        Actor: { ID: id, Attributes: { ...labels, image: "node", name } },
        scope: "local",
        time: 1_767_323_045,
        timeNano: 1_767_323_045_000_000_000
      })
    }\n`)

  const remove = <A>(from: Array<A>, item: A): void => void from.splice(from.indexOf(item), 1)

  /** A route: what it may be asked with, and what it answers. The groups of its path come as `part`. */
  interface Route {
    readonly method: string
    readonly path: RegExp
    readonly query: ReadonlyArray<string>
    readonly answer: (heard: Heard, part: string) => Reply
  }

  const aContainer = (act: (container: Container, heard: Heard) => Reply) => (heard: Heard, part: string): Reply => {
    const found = containers.find(({ id, name }) => id === part || name === part)
    return found === undefined ? refusal(404, `No such container: ${part}`) : act(found, heard)
  }

  const become = (container: Container, state: string, ...actions: ReadonlyArray<string>): Reply => {
    container.state = state
    for (const action of actions) emit(action, container)
    return empty(204)
  }

  const routes: ReadonlyArray<Route> = [
    {
      method: "GET",
      path: /^\/version$/,
      query: [],
      answer: () => json({ Version: "20.10.24", ApiVersion: apiVersion, MinAPIVersion: minApiVersion, Os: "linux" })
    },
    // As the docker CLI asks.
    { method: "HEAD", path: /^\/_ping$/, query: [], answer: () => text(200, "", { "Api-Version": apiVersion }) },
    { method: "GET", path: /^\/_ping$/, query: [], answer: () => text(200, "OK", { "Api-Version": apiVersion }) },
    {
      method: "GET",
      path: /^\/containers\/json$/,
      query: ["all", "filters", "limit", "size"],
      answer: (heard) => {
        const all = ["true", "1"].includes(heard.query["all"] ?? "")
        const filters = filtersOf(heard, ["label", "name", "id", "status", "network", "volume"])
        return json(
          containers.filter((container) => all || container.state === "running").filter(matching(filters)).map(summary)
        )
      }
    },
    {
      method: "GET",
      path: /^\/containers\/([^/]+)\/json$/,
      query: ["size"],
      answer: aContainer((container) => json(inspected(container)))
    },
    {
      method: "POST",
      path: /^\/containers\/create$/,
      query: ["name", "platform"],
      answer: (heard) => {
        const name = heard.query["name"] ?? ""
        const body = record(heard.body, "the body")
        checkCreate(body)
        if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) return refusal(400, `Invalid container name (${name})`)
        if (!images.has(String(body["Image"]))) return refusal(404, `No such image: ${String(body["Image"])}`)
        const holder = containers.find((container) => container.name === name)
        if (holder !== undefined) {
          return refusal(
            409,
            `Conflict. The container name "/${name}" is already in use by container "${holder.id}". You have to remove (or rename) that container to be able to reuse that name.`
          )
        }
        const mode = record(body["HostConfig"] ?? {}, "HostConfig")["NetworkMode"]
        const id = `${String(++made).padStart(12, "0")}${"c".repeat(52)}`
        containers.unshift({
          id,
          name,
          labels: (body["Labels"] ?? {}) as Labels,
          state: "created",
          image: String(body["Image"]),
          networks: typeof mode === "string" ? [mode] : [],
          volumes: mountedNames(body),
          body
        })
        return json({ Id: id, Warnings: [] }, 201)
      }
    },
    {
      method: "POST",
      path: /^\/containers\/([^/]+)\/start$/,
      query: ["detachKeys"],
      answer: aContainer((container) => {
        if (container.state === "running") return empty(304)
        if (container.state === "paused") {
          return refusal(409, "cannot start a paused container, try unpause instead")
        }
        return become(container, "running", "start")
      })
    },
    {
      method: "POST",
      path: /^\/containers\/([^/]+)\/stop$/,
      query: ["t"],
      answer: aContainer((container, { query: { t } }) => {
        demand(t === undefined || /^\d+$/.test(t), `t is ${t}`)
        return ["running", "paused", "restarting"].includes(container.state)
          ? become(container, "exited", "kill", "die", "stop")
          : empty(304)
      })
    },
    {
      method: "POST",
      path: /^\/containers\/([^/]+)\/unpause$/,
      query: [],
      answer: aContainer((container) =>
        container.state === "paused"
          ? become(container, "running", "unpause")
          : refusal(500, `Container ${container.id} is not paused`)
      )
    },
    {
      method: "DELETE",
      path: /^\/containers\/([^/]+)$/,
      query: ["v", "force", "link"],
      answer: aContainer((container, { query: { force } }) => {
        if (container.state === "running" && force !== "true") {
          return refusal(409, `You cannot remove a running container ${container.id}. Stop the container first`)
        }
        remove(containers, container)
        emit("destroy", container)
        return empty(204)
      })
    },
    {
      method: "GET",
      path: /^\/networks$/,
      query: ["filters"],
      answer: () =>
        json(networks.map(({ id, labels, name, subnet }) => ({
          Id: id,
          Name: name,
          Created: fixedTime,
          Driver: "bridge",
          IPAM: { Driver: "default", Config: subnet === undefined ? null : [{ Subnet: subnet }] },
          Labels: labels
        })))
    },
    {
      method: "POST",
      path: /^\/networks\/create$/,
      query: [],
      answer: ({ body: sent }) => {
        const body = record(sent, "the body")
        const { IPAM, Labels = {}, Name } = body
        demand(typeof Name === "string" && isLabels(Labels), "a network wants a Name, and texts as Labels")
        const config = (record(IPAM ?? {}, "IPAM")["Config"] ?? []) as ReadonlyArray<Record<string, string>>
        if (networks.some(({ name }) => name === Name)) {
          return refusal(409, `network with name ${String(Name)} already exists`)
        }
        const subnet = config[0]?.["Subnet"] ?? "172.18.0.0/16"
        if (networks.some((network) => network.subnet === subnet)) {
          return refusal(403, "Pool overlaps with other one on this address space")
        }
        const id = `${String(++made).padStart(12, "0")}${"n".repeat(52)}`
        networks.push({ id, name: String(Name), labels: Labels as Labels, subnet })
        return json({ Id: id, Warning: "" }, 201)
      }
    },
    {
      method: "DELETE",
      path: /^\/networks\/([^/]+)$/,
      query: [],
      answer: (_heard, part) => {
        const found = networks.find(({ id, name }) => id === part || name === part)
        if (found === undefined) return refusal(404, `network ${part} not found`)
        if (containers.some(({ networks, state }) => state === "running" && networks?.includes(found.name))) {
          return refusal(403, `error while removing network: network ${found.name} has active endpoints`)
        }
        remove(networks, found)
        return empty(204)
      }
    },
    {
      method: "POST",
      path: /^\/networks\/[^/]+\/(connect|disconnect)$/,
      query: [],
      answer: ({ body }) => {
        demand(typeof record(body, "the body")["Container"] === "string", "no Container")
        return empty(200)
      }
    },
    {
      method: "GET",
      path: /^\/volumes$/,
      query: ["filters"],
      answer: () =>
        json({
          Volumes: volumes.map(({ labels, name }) => ({ Name: name, Driver: "local", Labels: labels })),
          Warnings: null
        })
    },
    {
      method: "POST",
      path: /^\/volumes\/create$/,
      query: [],
      answer: ({ body }) => {
        const { Labels = {}, Name } = record(body, "the body")
        demand(typeof Name === "string" && isLabels(Labels), "a volume wants a Name, and texts as Labels")
        const found = volumes.find(({ name }) => name === Name) ?? { name: String(Name), labels: Labels as Labels }
        if (!volumes.includes(found)) volumes.push(found)
        return json({ Name: found.name, Driver: "local", Labels: found.labels, CreatedAt: fixedTime }, 201)
      }
    },
    {
      method: "DELETE",
      path: /^\/volumes\/([^/]+)$/,
      query: ["force"],
      answer: (_heard, part) => {
        const found = volumes.find(({ name }) => name === part)
        if (found === undefined) return refusal(404, `get ${part}: no such volume`)
        const user = containers.find((container) => container.volumes?.includes(part))
        if (user !== undefined) return refusal(409, `remove ${part}: volume is in use - [${user.id}]`)
        remove(volumes, found)
        return empty(204)
      }
    },
    {
      method: "GET",
      path: /^\/images\/(.+)\/json$/,
      query: [],
      answer: (_heard, part) =>
        images.has(part) ? json({ Id: "sha256:0", RepoTags: [part] }) : refusal(404, `No such image: ${part}`)
    },
    {
      method: "POST",
      path: /^\/images\/create$/,
      query: ["fromImage", "fromSrc", "repo", "tag", "message", "platform"],
      answer: ({ query: { fromImage = "", tag } }) => {
        images.add(tag === undefined ? fromImage : `${fromImage}:${tag}`)
        return pieces([
          JSON.stringify({ status: "Downloading", id: "a1", progressDetail: { current: 1, total: 2 } }) + "\r\n",
          JSON.stringify({ status: "Pull complete", id: "a1", progressDetail: {} }) + "\r\n"
        ])
      }
    },
    {
      method: "GET",
      path: /^\/events$/,
      query: ["since", "until", "filters"],
      answer: (heard) => {
        filtersOf(heard, ["container", "event", "image", "label", "network", "scope", "type", "volume"])
        return events.reply
      }
    }
  ]

  const conversation = yield* converse((heard) => {
    const scripted = settings.script?.(heard)
    if (scripted !== undefined) return scripted
    for (const { answer, method, path, query } of routes) {
      const found = method === heard.method ? path.exec(heard.path) : null
      if (found === null) continue
      for (const key of Object.keys(heard.query)) demand(query.includes(key), `no query key ${key} is known here`)
      if (heard.version === undefined) demand(/^\/(?:version|_ping)$/.test(heard.path), "a path without a version")
      else demand(heard.version === spoken, `version ${heard.version} instead of ${spoken}`)
      return answer(heard, decodeURIComponent(found[1] ?? ""))
    }
    return undefined
  }, settings)

  return {
    ...conversation,
    containers,
    networks,
    volumes,
    events,
    emit,
    changes: () => conversation.heard.filter(({ method }) => method !== "GET" && method !== "HEAD")
  }
})
