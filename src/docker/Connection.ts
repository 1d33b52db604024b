/**
 * Finds the Docker engine as the docker CLI does, and tells what was passed over and why.
 *
 * The order: the layer's own options, DOCKER_HOST, DOCKER_CONTEXT, the CLI's current context, then the usual sockets. One
 * that is named explicitly is the only one; the usual sockets are tried in turn. dockerode reads none of the contexts and
 * merges the environment under its options, so it is always given complete options and never sees the environment.
 * Source: docker CLI reference, "Use Docker contexts" and "Environment variables".
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ProviderUnavailable } from "../ProviderError.ts"

/** Where an engine listens, as dockerode wants it. `address` is for people and never has credentials. */
export interface Endpoint {
  readonly address: string
  /** Whether the engine's certificate is taken as it is. */
  readonly skipVerify: boolean
  readonly options: {
    readonly socketPath?: string
    readonly host?: string
    readonly port?: number
    readonly protocol?: "http" | "https"
    readonly ca?: string
    readonly cert?: string
    readonly key?: string
  }
}

/** What a user can say about the connection. */
export interface ConnectionOptions {
  /** `unix:///path`, `npipe:////./pipe/name`, `tcp://host:port` or `https://host:port`. Beats the environment. */
  readonly host?: string
  /** TLS material in PEM, for `tcp` and `https`. */
  readonly tls?: {
    readonly ca?: string
    readonly cert?: string
    readonly key?: string
    readonly skipVerify?: boolean
  }
}

interface Candidate {
  readonly address: string
  readonly why: string
}

/** The endpoints to try, in order, and what was passed over on the way to them. */
export interface Resolution {
  readonly endpoints: ReadonlyArray<Endpoint>
  readonly passedOver: ReadonlyArray<Candidate>
}

const readable = Config.all({
  host: Config.option(Config.NonEmptyString("DOCKER_HOST")),
  context: Config.option(Config.NonEmptyString("DOCKER_CONTEXT")),
  config: Config.option(Config.NonEmptyString("DOCKER_CONFIG")),
  tlsVerify: Config.option(Config.NonEmptyString("DOCKER_TLS_VERIFY")),
  certPath: Config.option(Config.NonEmptyString("DOCKER_CERT_PATH")),
  runtimeDir: Config.option(Config.NonEmptyString("XDG_RUNTIME_DIR")),
  home: Config.option(Config.NonEmptyString("HOME"))
})

/** The variables of the environment that the docker CLI looks at. */
export interface Environment {
  readonly host?: string
  readonly context?: string
  readonly config?: string
  readonly tlsVerify?: string
  readonly certPath?: string
  readonly runtimeDir?: string
  readonly home?: string
}

/** Reads the environment once. A variable that is set but empty counts as unset, as for the docker CLI. */
export const environment: Effect.Effect<Environment> = readable.pipe(
  Effect.map((found) =>
    Object.fromEntries(
      Object.entries(found).flatMap(([name, value]) => Option.isSome(value) ? [[name, value.value]] : [])
    ) as Environment
  ),
  Effect.orElseSucceed(() => ({}))
)

const unavailable = (address: string, detail: string, passedOver: ReadonlyArray<Candidate>, advice: string) =>
  new ProviderUnavailable({ provider: "docker", address, detail, candidates: passedOver, advice })

/** What stands before the last `@` may be a password, also where the rest is no URL. */
const withoutCredentials = (host: string): string => host.replace(/^(\w+:\/\/)?.*@/s, "$1")

/** Reads one endpoint URL. The error is a sentence about it. */
const parse = (
  host: string,
  tls: ConnectionOptions["tls"]
): { readonly endpoint: Endpoint } | { readonly fault: string; readonly advice: string } => {
  const advice = "Use unix:///path/to/docker.sock, tcp://host:port or https://host:port."
  const socket = /^(?:unix|npipe):\/\/(.*)$/.exec(host)
  if (socket !== null) {
    const path = socket[1] ?? ""
    return path === ""
      ? { fault: "it names no path", advice }
      : { endpoint: { address: host, skipVerify: false, options: { socketPath: path } } }
  }
  if (host.startsWith("ssh://")) {
    return {
      fault: "ssh is not supported yet",
      advice: "Forward the remote socket and use it: ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST."
    }
  }
  const url = URL.parse(host.includes("://") ? host : `tcp://${host}`)
  if (url === null || !["tcp:", "http:", "https:"].includes(url.protocol) || url.hostname === "") {
    return { fault: "it is not an address of an engine", advice }
  }
  const secure = url.protocol === "https:" || tls !== undefined
  const port = url.port === "" ? (secure ? 2376 : 2375) : Number(url.port)
  return {
    endpoint: {
      address: `${secure ? "https" : "tcp"}://${url.hostname}:${port}`,
      skipVerify: tls?.skipVerify === true,
      options: {
        host: url.hostname,
        port,
        protocol: secure ? "https" : "http",
        ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls?.key === undefined ? {} : { key: tls.key })
      }
    }
  }
}

interface Files {
  readonly read: (path: string) => Effect.Effect<string, unknown>
  readonly join: (...parts: ReadonlyArray<string>) => string
  readonly sha256: (text: string) => string
}

/** Node's modules, loaded when a connection is made and not with the module. */
const files: Effect.Effect<Files> = Effect.promise(async () => {
  const [fs, path, crypto] = await Promise.all([
    import("node:fs/promises"),
    import("node:path"),
    import("node:crypto")
  ])
  return {
    read: (file: string) => Effect.tryPromise((signal) => fs.readFile(file, { encoding: "utf8", signal })),
    join: (...parts: ReadonlyArray<string>) => path.join(...parts),
    sha256: (text: string) => crypto.createHash("sha256").update(text).digest("hex")
  }
})

const pems = (fs: Files, directory: string) =>
  Effect.map(
    Effect.all(
      (["ca", "cert", "key"] as const).map((name) => Effect.option(fs.read(fs.join(directory, `${name}.pem`)))),
      { concurrency: 3 }
    ),
    ([ca, cert, key]) => ({
      ...(ca !== undefined && Option.isSome(ca) ? { ca: ca.value } : {}),
      ...(cert !== undefined && Option.isSome(cert) ? { cert: cert.value } : {}),
      ...(key !== undefined && Option.isSome(key) ? { key: key.value } : {})
    })
  )

const jsonField = (text: string, ...path: ReadonlyArray<string>): unknown => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  for (const key of path) {
    value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined
  }
  return value
}

/** What a docker context names: `contexts/meta/<sha256 of its name>/meta.json`. */
const fromContext = Effect.fnUntraced(function*(fs: Files, configDir: string, name: string) {
  const id = fs.sha256(name)
  const meta = yield* Effect.option(fs.read(fs.join(configDir, "contexts", "meta", id, "meta.json")))
  if (Option.isNone(meta)) return { fault: `there is no docker context ${JSON.stringify(name)} in ${configDir}` }
  const host = jsonField(meta.value, "Endpoints", "docker", "Host")
  if (typeof host !== "string" || host === "") {
    return { fault: `the docker context ${JSON.stringify(name)} names no host` }
  }
  const material = yield* pems(fs, fs.join(configDir, "contexts", "tls", id, "docker"))
  const skipVerify = jsonField(meta.value, "Endpoints", "docker", "SkipTLSVerify") === true
  const tls = Object.keys(material).length > 0 || skipVerify ? { ...material, skipVerify } : undefined
  return { host, tls }
})

/** Decides which endpoints to try. Reads files, opens no connection. */
export const resolve = Effect.fnUntraced(function*(
  options: ConnectionOptions,
  env: Environment
): Effect.fn.Return<Resolution, ProviderUnavailable> {
  const passedOver: Array<Candidate> = []

  const only = (source: string, host: string, tls: ConnectionOptions["tls"]) => {
    const parsed = parse(host, tls)
    return "endpoint" in parsed
      ? Effect.succeed<Resolution>({ endpoints: [parsed.endpoint], passedOver })
      : Effect.fail(unavailable(withoutCredentials(host), `${source}: ${parsed.fault}`, passedOver, parsed.advice))
  }

  if (options.host !== undefined) return yield* only("the option `host`", options.host, options.tls)
  passedOver.push({ address: "option host", why: "not given" })

  const fs = yield* files
  const configDir = env.config ?? (env.home === undefined ? undefined : fs.join(env.home, ".docker"))
  if (env.host !== undefined) {
    const certDir = env.certPath ?? configDir
    const material = env.tlsVerify === undefined || certDir === undefined ? undefined : yield* pems(fs, certDir)
    const tls = options.tls ?? material
    return yield* only("DOCKER_HOST", env.host, tls)
  }
  passedOver.push({ address: "DOCKER_HOST", why: "not set" })

  const configFile = configDir === undefined ? undefined : fs.join(configDir, "config.json")
  const current = configFile === undefined
    ? undefined
    : jsonField(yield* Effect.orElseSucceed(fs.read(configFile), () => ""), "currentContext")
  const named = env.context !== undefined
    ? { source: "DOCKER_CONTEXT", name: env.context }
    : typeof current === "string" && current !== ""
    ? { source: `currentContext in ${configFile}`, name: current }
    : undefined
  if (env.context === undefined) passedOver.push({ address: "DOCKER_CONTEXT", why: "not set" })
  if (named !== undefined && named.name !== "default") {
    const found = configDir === undefined
      ? { fault: "neither DOCKER_CONFIG nor HOME says where contexts are" }
      : yield* fromContext(fs, configDir, named.name)
    if ("fault" in found) {
      return yield* unavailable(
        `context ${named.name}`,
        `${named.source}: ${found.fault}`,
        passedOver,
        "Choose one with `docker context use`, or unset DOCKER_CONTEXT."
      )
    }
    return yield* only(`${named.source} (${named.name})`, found.host, options.tls ?? found.tls)
  }
  if (named === undefined) {
    passedOver.push({ address: configFile ?? "docker's config.json", why: "no current context" })
  }

  const sockets = process.platform === "win32" ? ["npipe:////./pipe/docker_engine"] : [
    "unix:///var/run/docker.sock",
    ...(env.home === undefined ? [] : [`unix://${fs.join(env.home, ".docker", "run", "docker.sock")}`]),
    ...(env.runtimeDir === undefined ? [] : [`unix://${fs.join(env.runtimeDir, "docker.sock")}`])
  ]
  return {
    passedOver,
    endpoints: sockets.map((address) => ({
      address,
      skipVerify: false,
      options: { socketPath: address.replace(/^\w+:\/\//, "") }
    }))
  }
})
