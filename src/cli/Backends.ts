/**
 * Opens a backend for a command: from flags, from a document, and from the environment.
 *
 * The modules of a backend are loaded when it is opened. An instance has its credential in variables that end in its
 * name: `HCLOUD_TOKEN_PROD` for the instance `prod`.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { DockerService, SchemeChoice } from "../layers/Docker.ts"
import * as DockerClient from "../layers/DockerClient.ts"
import type { OmniService } from "../layers/Omni.ts"
import type { NodeCreatorService, ProviderService } from "../Provider.ts"
import { InvalidSpec, ProviderUnavailable, type UnknownLabelScheme } from "../ProviderError.ts"
import type { BackendError } from "../Reason.ts"
import type { BackendName } from "./Settings.ts"

/** The backend, and how it is reached. */
export interface Address {
  readonly backend: BackendName
  readonly instance?: string
  readonly scheme?: string
  readonly host?: string
  readonly context?: string
  /** Fields of a document that the backend takes as options of its layer. */
  readonly defaults?: Readonly<Record<string, unknown>>
}

/** One opened backend. */
export interface Connection {
  readonly provider: ProviderService
  /** It takes the backend's wide spec. */
  readonly creator: NodeCreatorService
  readonly docker?: DockerService
  readonly omni?: OmniService
  /** Docker: reads of the engine's API, for what no method gives. */
  readonly engine?: {
    readonly address: Effect.Effect<string | undefined>
    readonly get: (path: string) => Effect.Effect<unknown, ProviderUnavailable | BackendError>
  }
  /** Hetzner: a request of its API, for what no method gives. */
  readonly request?: Request
}

/** The reply of an API, whatever its status. */
interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

type Request = (method: "GET" | "POST", path: string) => Effect.Effect<Reply, ProviderUnavailable>

export type OpenFailure = InvalidSpec | UnknownLabelScheme

export interface BackendsService {
  readonly open: (address: Address) => Effect.Effect<Connection, OpenFailure, Scope.Scope>
}

export class Backends extends Context.Service<Backends, BackendsService>()("kubelayer/cli/Backends") {}

/** `HCLOUD_TOKEN` of the instance `eu-west` is `HCLOUD_TOKEN_EU_WEST`. */
const variableOf = (variable: string, instance: string | undefined): string =>
  instance === undefined ? variable : `${variable}_${instance.toUpperCase().replaceAll("-", "_")}`

const read = (variable: string): Effect.Effect<string | undefined> =>
  Config.option(Config.NonEmptyString(variable)).pipe(
    Effect.map(Option.getOrUndefined),
    Effect.orElseSucceed(() => undefined)
  )

const required = (variable: string, example: string) =>
  Effect.flatMap(read(variable), (value) =>
    value === undefined
      ? Effect.fail(
        new InvalidSpec({ issues: [{ path: variable, message: `is not set; set it, such as ${variable}=${example}` }] })
      )
      : Effect.succeed(value))

/** The Docker CLI's variables of an instance, or of `--context`, in the place of the usual ones. */
const dockerEnvironment = Effect.fnUntraced(function*(address: Address) {
  const host = address.host ??
    (address.instance === undefined ? undefined : yield* read(variableOf("DOCKER_HOST", address.instance)))
  if (host !== undefined) return { host }
  const context = address.context ?? address.instance
  return context === undefined ? {} : { context }
})

const openDocker = Effect.fnUntraced(function*(address: Address) {
  const { make } = yield* Effect.promise(() => import("../layers/Docker.ts"))
  const { context, host } = yield* dockerEnvironment(address)
  const outer = yield* ConfigProvider.ConfigProvider
  const provider = context === undefined ?
    outer :
    ConfigProvider.make((path) =>
      path.length === 1 && path[0] === "DOCKER_CONTEXT"
        ? Effect.succeed(ConfigProvider.makeValue(context))
        : path.length === 1 && path[0] === "DOCKER_HOST"
        ? Effect.succeed(undefined)
        : outer.load(path)
    )
  const image = yield* read("KUBELAYER_IMAGE")
  const docker = yield* make({
    scheme: (address.scheme ?? "auto") as SchemeChoice,
    ...(host === undefined ? {} : { host }),
    ...(image === undefined ? {} : { nodes: { image } })
  }).pipe(Effect.provideService(ConfigProvider.ConfigProvider, provider))
  return { provider: docker.provider, creator: docker.creator, docker, engine: engineOf(docker) }
})

/** The options of dockerode for a request of the command. */
interface Modem {
  readonly dial: (options: object, done: (error: unknown, body: unknown) => void) => void
  readonly socketPath?: string
  readonly protocol?: string
  readonly host?: string
  readonly port?: number | string
}

const engineOf = (docker: DockerService): NonNullable<Connection["engine"]> => ({
  address: Effect.orElseSucceed(
    DockerClient.use(docker, ({ modem }) => {
      const { host, port, protocol, socketPath } = modem as unknown as Modem
      return Promise.resolve(socketPath === undefined ? `${protocol}://${host}:${port}` : `unix://${socketPath}`)
    }),
    () => undefined
  ),
  get: (path) =>
    DockerClient.use(
      docker,
      ({ modem }, abortSignal) =>
        new Promise((resolve, reject) =>
          (modem as unknown as Modem).dial(
            { path, method: "GET", statusCodes: { 200: true }, abortSignal },
            (error, body) => error === null || error === undefined ? resolve(body) : reject(error as Error)
          )
        )
    )
})

const openHetzner = Effect.fnUntraced(function*(address: Address) {
  const { make } = yield* Effect.promise(() => import("../layers/Hetzner.ts"))
  const token = yield* required(variableOf("HCLOUD_TOKEN", address.instance), "<an API token of the project>")
  const endpoint = address.host ?? (yield* read(variableOf("HCLOUD_ENDPOINT", address.instance)))
  const hetzner = yield* make({ token: Redacted.make(token), ...(endpoint === undefined ? {} : { endpoint }) })
  return {
    provider: hetzner.provider,
    creator: hetzner.creator,
    request: requestOf(endpoint ?? "https://api.hetzner.cloud/v1", token)
  }
})

const requestOf = (endpoint: string, token: string): Request => (method, path) =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(`${endpoint.replace(/\/$/, "")}${path}`, {
        method,
        signal,
        redirect: "manual",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(method === "POST" ? { body: "{}" } : {})
      })
      const text = await response.text()
      let body: unknown
      try {
        body = JSON.parse(text)
      } catch {
        body = undefined
      }
      return { status: response.status, headers: response.headers, body }
    },
    catch: (cause) =>
      new ProviderUnavailable({
        provider: "hetzner",
        address: endpoint,
        detail: cause instanceof Error ? cause.message : "the request failed",
        advice: "Check the network and HCLOUD_ENDPOINT."
      })
  })

const openOmni = Effect.fnUntraced(function*(address: Address) {
  const { make } = yield* Effect.promise(() => import("../layers/Omni.ts"))
  const endpoint = address.host ??
    (yield* required(variableOf("OMNI_ENDPOINT", address.instance), "https://account.omni.siderolabs.io"))
  const key = yield* required(variableOf("OMNI_SERVICE_ACCOUNT_KEY", address.instance), "<a service account key>")
  const omni = yield* make({ endpoint, serviceAccountKey: Redacted.make(key), ...address.defaults })
  return { provider: omni.provider, creator: omni.creator, omni }
})

/** One demo cluster. It lives as long as the command. */
const openMemory = Effect.fnUntraced(function*() {
  const { make } = yield* Effect.promise(() => import("../layers/Memory.ts"))
  const memory = yield* make({
    clusters: { dev: { controlPlanes: 1, workers: 2 } },
    latency: { create: "600 millis", start: "600 millis", stop: "600 millis", delete: "400 millis" }
  })
  return { provider: memory.provider, creator: memory.creator }
})

/** The backends of the environment. */
export const backends: BackendsService = {
  open: (address): Effect.Effect<Connection, OpenFailure, Scope.Scope> => {
    switch (address.backend) {
      case "docker":
        return openDocker(address)
      case "hetzner":
        return openHetzner(address)
      case "omni":
        return openOmni(address)
      case "memory":
        return openMemory()
    }
  }
}
