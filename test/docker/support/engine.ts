/**
 * Calls to the engine of these tests over node:http, without kubelayer.
 *
 * Containers, networks and volumes that are created here are removed when their scope closes.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import { randomWord } from "../../../src/internal/Session.ts"

export const engineHost = process.env["KUBELAYER_ENGINE"] ?? ""
export const image = (init: "obedient" | "slow" | "deaf" | "exits" = "obedient"): string => `kubelayer-node:${init}`

export class EngineRefused extends Data.TaggedError("EngineRefused")<{
  readonly call: string
  readonly status: number
  readonly detail: string
}> {
  override get message(): string {
    return `${this.call}: ${this.status} ${this.detail}`
  }
}

const address = engineHost.startsWith("unix://")
  ? { socketPath: engineHost.slice("unix://".length) }
  : { host: URL.parse(engineHost)?.hostname ?? "", port: Number(URL.parse(engineHost)?.port ?? "2375") }

/** One call; what it answers as it is. */
export const ask = <A = unknown>(method: string, path: string, body?: unknown): Effect.Effect<A, EngineRefused> =>
  Effect.callback((resume, signal) => {
    const call = `${method} ${path}`
    const refused = (status: number, detail: string) => resume(Effect.fail(new EngineRefused({ call, status, detail })))
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const request = http.request({
      ...address,
      method,
      path,
      agent: false,
      signal,
      headers: payload === undefined ? {} : { "Content-Type": "application/json", "Content-Length": payload.length }
    }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => (text += chunk))
      response.on("error", (error) => refused(0, error.message))
      response.on("end", () => {
        const status = response.statusCode ?? 0
        if (status >= 400) return refused(status, text.trim())
        resume(Effect.succeed((text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : undefined) as A))
      })
    })
    request.on("error", (error) => refused(0, error.message))
    request.end(payload)
  })

type Labels = Readonly<Record<string, string>>

export interface Container {
  readonly Id: string
  readonly Names: ReadonlyArray<string>
  readonly Labels: Labels
  readonly State: string
  readonly Status: string
}

export interface Inspected {
  readonly Id: string
  readonly Name: string
  readonly State: { readonly Status: string; readonly StartedAt: string; readonly FinishedAt: string }
  readonly Config: {
    readonly Hostname: string
    readonly Env: ReadonlyArray<string>
    readonly Entrypoint: ReadonlyArray<string> | null
    readonly Cmd: ReadonlyArray<string> | null
    readonly Labels: Labels
    readonly Tty: boolean
  }
  readonly HostConfig: {
    readonly Binds: ReadonlyArray<string> | null
    readonly Tmpfs: Labels | null
    readonly Memory: number
    readonly NanoCpus: number
    readonly Privileged: boolean
    readonly Init: boolean | null
    readonly CgroupnsMode: string
    readonly UsernsMode: string
    readonly ReadonlyRootfs: boolean
    readonly SecurityOpt: ReadonlyArray<string> | null
    readonly RestartPolicy: { readonly Name: string; readonly MaximumRetryCount: number }
    readonly PortBindings: Readonly<
      Record<string, ReadonlyArray<{ readonly HostIp: string; readonly HostPort: string }>>
    >
    readonly Mounts?: ReadonlyArray<{ readonly Type: string; readonly Target: string }>
  }
  readonly Mounts: ReadonlyArray<{
    readonly Type: string
    readonly Name?: string
    readonly Source: string
    readonly Destination: string
    readonly RW: boolean
  }>
  readonly NetworkSettings: {
    readonly Networks: Readonly<Record<string, { readonly IPAddress: string; readonly NetworkID: string }>>
  }
}

export interface Network {
  readonly Id: string
  readonly Name: string
  readonly Labels: Labels
  readonly Options: Labels
  readonly Driver: string
  readonly EnableIPv6: boolean
  /** Null for the networks `none` and `host` of Docker 29. */
  readonly IPAM: { readonly Config: ReadonlyArray<{ readonly Subnet: string }> | null }
}

export interface Volume {
  readonly Name: string
  readonly Labels: Labels | null
}

/** Whether the engine is Podman, which does not repeat every field of a create call in its own terms. */
export const isPodman: Effect.Effect<boolean, EngineRefused> = Effect.map(
  ask<{ readonly Components?: ReadonlyArray<{ readonly Name: string }> }>("GET", "/version"),
  ({ Components = [] }) => Components.some(({ Name }) => Name.includes("Podman"))
)

export const containers = ask<ReadonlyArray<Container>>("GET", "/containers/json?all=true")
export const networks = ask<ReadonlyArray<Network>>("GET", "/networks")
export const volumes = Effect.map(
  ask<{ readonly Volumes: ReadonlyArray<Volume> | null }>("GET", "/volumes"),
  ({ Volumes }) => Volumes ?? []
)
export const inspect = (name: string) => ask<Inspected>("GET", `/containers/${encodeURIComponent(name)}/json`)
export const nameOf = (container: Container): string => container.Names[0]?.slice(1) ?? ""

const ignoring = <A>(statuses: ReadonlyArray<number>) => (self: Effect.Effect<A, EngineRefused>) =>
  Effect.catchIf(self, (error) => statuses.includes(error.status), () => Effect.void)

export const start = (name: string) => ask("POST", `/containers/${name}/start`)
export const stop = (name: string) => ask("POST", `/containers/${name}/stop?t=2`)
export const pause = (name: string) => ask("POST", `/containers/${name}/pause`)
export const remove = (name: string) =>
  ask("DELETE", `/containers/${name}?force=true&v=true`).pipe(ignoring([404, 409]))
export const removeNetwork = (name: string) => ask("DELETE", `/networks/${name}`).pipe(ignoring([404, 403]))
const removeVolume = (name: string) => ask("DELETE", `/volumes/${name}`).pipe(ignoring([404, 409]))

/** All on the engine whose name, or a label of which, has this word in it; one line each, sorted. */
export const everythingOf = (word: string): Effect.Effect<ReadonlyArray<string>, EngineRefused> =>
  Effect.map(Effect.all([containers, networks, volumes]), ([allContainers, allNetworks, allVolumes]) => {
    const has = (name: string, labels: Labels | null) =>
      name.includes(word) || Object.values(labels ?? {}).some((value) => value.includes(word))
    return [
      ...allContainers.filter((each) => has(nameOf(each), each.Labels)).map((each) => `container ${nameOf(each)}`),
      ...allNetworks.filter((each) => has(each.Name, each.Labels)).map((each) => `network ${each.Name}`),
      ...allVolumes.filter((each) => has(each.Name, each.Labels)).map((each) => `volume ${each.Name}`)
    ].sort()
  })

/** Returns a new cluster name. Everything with it in a name or label is removed when the scope closes. */
export const newCluster = (prefix = "kle"): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => `${prefix}-${randomWord(6)}`),
    (cluster) =>
      Effect.gen(function*() {
        const named = (kind: string, all: ReadonlyArray<string>) =>
          all.filter((line) => line.startsWith(kind)).map((line) => line.slice(kind.length + 1))
        const all = yield* everythingOf(cluster)
        yield* Effect.forEach(named("container", all), remove, { concurrency: 8 })
        yield* Effect.forEach(named("network", all), removeNetwork)
        yield* Effect.forEach(named("volume", all), removeVolume)
      }).pipe(Effect.orDie)
  )

/** Creates a container as another tool would, without a start. It is removed when the scope closes. */
export const container = (
  name: string,
  options: {
    readonly labels?: Labels
    readonly network?: string
    readonly init?: Parameters<typeof image>[0]
    readonly ports?: Inspected["HostConfig"]["PortBindings"]
    readonly binds?: ReadonlyArray<string>
  } = {}
): Effect.Effect<string, EngineRefused, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(
      ask<{ readonly Id: string }>("POST", `/containers/create?name=${name}`, {
        Image: image(options.init),
        Labels: options.labels ?? {},
        ExposedPorts: Object.fromEntries(Object.keys(options.ports ?? {}).map((port) => [port, {}])),
        HostConfig: {
          NetworkMode: options.network ?? "none",
          PortBindings: options.ports ?? {},
          Binds: options.binds ?? []
        }
      }),
      ({ Id }) => Id
    ),
    (id) => Effect.orDie(remove(id))
  )

export const network = (
  name: string,
  labels: Labels = {}
): Effect.Effect<string, EngineRefused, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(
      ask<{ readonly Id: string }>("POST", "/networks/create", { Name: name, CheckDuplicate: true, Labels: labels }),
      ({ Id }) => Id
    ),
    (id) => Effect.orDie(removeNetwork(id))
  )

export const volume = (name: string, labels: Labels = {}): Effect.Effect<void, EngineRefused, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      ask("POST", "/volumes/create", { Name: name, Labels: labels }),
      () => Effect.orDie(removeVolume(name))
    )
  )

/** The names and states of a cluster's containers by this label, as `name state`, sorted. */
export const states = (label: string, cluster: string): Effect.Effect<ReadonlyArray<string>, EngineRefused> =>
  Effect.map(
    containers,
    (all) => all.filter((each) => each.Labels[label] === cluster).map((each) => `${nameOf(each)} ${each.State}`).sort()
  )
