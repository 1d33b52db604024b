/**
 * Finds the engine as the docker CLI does, and reports what was passed over and why.
 *
 * The order is: the options of the layer, DOCKER_HOST, DOCKER_CONTEXT, the current context of the CLI, then the usual
 * sockets. An engine that is named explicitly is the only one that is tried. The usual sockets are tried in turn, those
 * of Podman last. DOCKER_TLS, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH mean what they mean for the CLI.
 * Source: docker CLI reference, "Use Docker contexts" and "Environment variables"; docker CLI, `opts/hosts.go`.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { load } from "../internal/Loading.ts"
import { ProviderUnavailable } from "../ProviderError.ts"

/** The destination of `ssh`. */
export interface SshTarget {
  readonly host: string
  readonly user?: string
  readonly port?: number
  /** The socket of the engine on that host, where it is not the default. */
  readonly socketPath?: string
}

/** The address of an engine, as dockerode takes it. `address` is for people and never has credentials. */
export interface Endpoint {
  readonly address: string
  /** Whether the engine's certificate is accepted without a check. */
  readonly skipVerify: boolean
  /** A path in front of every request, without slashes at its ends. */
  readonly prefix?: string
  /** The engine is reached through `ssh`. */
  readonly ssh?: SshTarget
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

/** The options of the connection. */
export interface ConnectionOptions {
  /**
   * `unix:///path`, `npipe:////./pipe/name`, `tcp://host:port`, `https://host:port` or `ssh://user@host`. It is used
   * instead of the environment.
   */
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
  tls: Config.option(Config.NonEmptyString("DOCKER_TLS")),
  tlsVerify: Config.option(Config.NonEmptyString("DOCKER_TLS_VERIFY")),
  certPath: Config.option(Config.NonEmptyString("DOCKER_CERT_PATH")),
  runtimeDir: Config.option(Config.NonEmptyString("XDG_RUNTIME_DIR")),
  home: Config.option(Config.NonEmptyString("HOME"))
})

/** The variables of the environment that the docker CLI reads. */
export interface Environment {
  readonly host?: string
  readonly context?: string
  readonly config?: string
  readonly tls?: string
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

/** The text before the last `@` may be a password, also where the rest is not a URL. */
const withoutCredentials = (host: string): string => host.replace(/^(\w+:\/\/)?.*@/s, "$1")

type Parsed = { readonly endpoint: Endpoint } | { readonly fault: string; readonly advice: string }

const advice = "Use unix:///path/to/docker.sock, tcp://host:port, https://host:port or ssh://user@host."

const socketEndpoint = (scheme: string, path: string): Endpoint => ({
  address: `${scheme}://${path}`,
  skipVerify: false,
  options: { socketPath: path }
})

const defaultSockets: Readonly<Record<string, string>> = {
  unix: "/var/run/docker.sock",
  npipe: "//./pipe/docker_engine"
}

const parseSsh = (host: string): Parsed => {
  const url = URL.parse(host)
  const fault = (fault: string) => ({ fault, advice: "Use ssh://user@host:port, with a key that needs no passphrase." })
  if (url === null || url.hostname === "") return fault("it has no host name")
  if (url.password !== "") return fault("a password in an ssh address is not supported")
  if (url.search !== "" || url.hash !== "") return fault("an ssh address has nothing after the host and the socket")
  const name = url.hostname.replace(/^\[|\]$/g, "")
  if (!/^[A-Za-z0-9:]/.test(name)) return fault("it has no valid host name")
  const path = url.pathname.replace(/\/+$/, "")
  return {
    endpoint: {
      address: withoutCredentials(host),
      skipVerify: false,
      ssh: {
        host: name,
        ...(url.username === "" ? {} : { user: decodeURIComponent(url.username) }),
        ...(url.port === "" ? {} : { port: Number(url.port) }),
        ...(path === "" ? {} : { socketPath: path })
      },
      options: { host: "docker.example.com", port: 80, protocol: "http" }
    }
  }
}

/** Reads one address. The fault is a sentence about it. */
const parse = (given: string, tls: ConnectionOptions["tls"]): Parsed => {
  // `set DOCKER_HOST=... && command` leaves a space on Windows.
  const host = given.trim()
  const [scheme = "tcp", rest = ""] = host.includes("://") ? host.split(/:\/\/(.*)/s) : ["tcp", host]
  if (scheme === "unix" || scheme === "npipe") {
    return { endpoint: socketEndpoint(scheme, rest || (defaultSockets[scheme] ?? "")) }
  }
  if (scheme === "ssh") return parseSsh(host)
  if (!host.includes("://") && /^(?:\/|\w+:\/)/.test(host)) {
    return { fault: "it is a path, not an address of an engine", advice }
  }
  // Without a host name it is this machine. A `//` would otherwise start a path.
  const authority = rest === "" || rest.startsWith(":") ? `localhost${rest}` : rest
  const url = ["tcp", "http", "https"].includes(scheme) ? URL.parse(`tcp://${authority}`) : null
  if (url === null || url.hostname === "" || url.port === "0") {
    return { fault: "it is not an address of an engine", advice }
  }
  const secure = scheme === "https" || tls !== undefined
  const port = url.port === "" ? (scheme === "https" ? 2376 : 2375) : Number(url.port)
  const prefix = url.pathname.replace(/^\/+|\/+$/g, "")
  return {
    endpoint: {
      address: `${secure ? "https" : "tcp"}://${url.hostname}:${port}${prefix === "" ? "" : `/${prefix}`}`,
      skipVerify: tls?.skipVerify === true,
      ...(prefix === "" ? {} : { prefix }),
      options: {
        host: url.hostname,
        port,
        protocol: secure ? "https" : "http",
        ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
        // One without the other is of no use, and the CLI ignores it too.
        ...(tls?.cert === undefined || tls.key === undefined ? {} : { cert: tls.cert, key: tls.key })
      }
    }
  }
}

interface Files {
  readonly read: (path: string) => Effect.Effect<string, unknown>
  readonly join: (...parts: ReadonlyArray<string>) => string
  readonly sha256: (text: string) => string
}

/** Node's modules, loaded with the first connection and not with the module. */
const files: Effect.Effect<Files> = load(async () => {
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

const pems = (
  fs: Files,
  directory: string
): Effect.Effect<{ readonly ca?: string; readonly cert?: string; readonly key?: string }> =>
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

/** A docker context: `contexts/meta/<sha256 of its name>/meta.json`. */
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
  const variables = (["DOCKER_TLS_VERIFY", "DOCKER_TLS"] as const)
    .filter((name) => (name === "DOCKER_TLS" ? env.tls : env.tlsVerify) !== undefined)
  const fromVariables = Effect.fnUntraced(function*(
    host: string
  ): Effect.fn.Return<ConnectionOptions["tls"], ProviderUnavailable> {
    const certDir = env.certPath ?? configDir
    // TLS concerns ports only. An option is used instead of the variables.
    if (options.tls !== undefined || variables.length === 0 || /^\s*(?:unix|npipe|ssh):/.test(host)) return options.tls
    const material = certDir === undefined ? {} : yield* pems(fs, certDir)
    if (material.ca === undefined) {
      return yield* unavailable(
        withoutCredentials(host),
        `${variables[0]}: there is no ca.pem in ${certDir ?? "a folder that DOCKER_CERT_PATH or HOME names"}`,
        passedOver,
        "Set DOCKER_CERT_PATH to the folder of ca.pem, cert.pem and key.pem, or unset the variable."
      )
    }
    return { ...material, skipVerify: env.tlsVerify === undefined }
  })

  if (env.host !== undefined && env.host.trim() !== "") {
    return yield* only("DOCKER_HOST", env.host, yield* fromVariables(env.host))
  }
  passedOver.push({ address: "DOCKER_HOST", why: "not set" })

  const configFile = configDir === undefined ? undefined : fs.join(configDir, "config.json")
  const current = configFile === undefined
    ? undefined
    : jsonField(yield* Effect.orElseSucceed(fs.read(configFile), () => ""), "currentContext")
  const named = env.host !== undefined
    // As for the CLI: blanks name no engine, but they do switch contexts off.
    ? undefined
    : env.context !== undefined
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

  if (variables.length > 0) {
    const host = "tcp://localhost:2376"
    return yield* only(variables[0] ?? "DOCKER_TLS", host, yield* fromVariables(host))
  }
  const sockets = process.platform === "win32" ? ["npipe:////./pipe/docker_engine"] : [
    "unix:///var/run/docker.sock",
    ...(env.home === undefined ? [] : [`unix://${fs.join(env.home, ".docker", "run", "docker.sock")}`]),
    ...(env.runtimeDir === undefined ? [] : [`unix://${fs.join(env.runtimeDir, "docker.sock")}`]),
    "unix:///run/podman/podman.sock",
    ...(env.runtimeDir === undefined ? [] : [`unix://${fs.join(env.runtimeDir, "podman", "podman.sock")}`])
  ]
  return {
    passedOver,
    endpoints: sockets.map((address) => {
      const [scheme = "", path = ""] = address.split("://")
      return socketEndpoint(scheme, path)
    })
  }
})
