/**
 * The connection to Omni: the rules of the endpoint, TLS, the settings of the channel.
 *
 * https is always verified, against the system's authorities or the given one. http sends signatures and replies in
 * clear text, so it is accepted on loopback, or with `allowHttp`. It opens no connection: the first call does.
 */
import type { Channel, ChannelOptions, Client as GrpcClient } from "@grpc/grpc-js"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import { checkServerIdentity, type PeerCertificate } from "node:tls"
import { loadPackage } from "../internal/LoadPackage.ts"
import { InvalidSpec, type SpecIssue } from "../ProviderError.ts"
import type { ConnectionOptions, GrpcChannel } from "./ConnectionOptions.ts"

export interface Endpoint {
  /** As in `host:port`. */
  readonly target: string
  readonly tls: boolean
  /** For people: a URL without credentials. */
  readonly address: string
  readonly ca: Buffer | undefined
  readonly loopback: boolean
}

type Issue = SpecIssue

const isLoopback = (host: string): boolean =>
  host === "localhost" || host.endsWith(".localhost") || /^127\.\d+\.\d+\.\d+$/.test(host) || host === "[::1]"

const endpointIssue = (url: URL, allowHttp: boolean): string | undefined => {
  if (url.protocol !== "https:" && url.protocol !== "http:") return "must begin with https://"
  if (url.username !== "" || url.password !== "") return "must not contain credentials; the key is an option of its own"
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") return "must end with the host or its port"
  if (url.protocol === "http:" && !allowHttp && !isLoopback(url.hostname)) {
    return "is http://, which protects nothing; use https://, or set `allowHttp`"
  }
  return undefined
}

const readEndpoint = (options: ConnectionOptions): Endpoint | Issue => {
  const { endpoint } = options
  const path = "endpoint"
  if (typeof endpoint !== "string" || endpoint.trim() === "") {
    return { path, message: "is not set; give OMNI_ENDPOINT or the layer's `endpoint`, such as https://omni.example" }
  }
  const url = URL.canParse(endpoint.trim()) ? new URL(endpoint.trim()) : undefined
  // `host:443` parses as a URL of the scheme `host:`.
  const message = url === undefined ? "is no URL; it must be like https://omni.example" : endpointIssue(
    url,
    options.allowHttp === true
  )
  if (url === undefined || message !== undefined) return { path, message: message ?? "" }
  const tls = url.protocol === "https:"
  return {
    target: `${url.hostname}:${url.port === "" ? (tls ? "443" : "80") : url.port}`,
    tls,
    address: url.origin,
    ca: options.ca === undefined ? undefined : Buffer.from(options.ca),
    loopback: isLoopback(url.hostname)
  }
}

const caIssue = ({ ca }: ConnectionOptions): ReadonlyArray<Issue> => {
  if (ca === undefined) return []
  try {
    return new X509Certificate(ca).raw.length > 0 ? [] : [{ path: "ca", message: "is empty" }]
  } catch {
    return [{ path: "ca", message: "has no certificate; it takes the text of a PEM file" }]
  }
}

/** Reads the options of a connection. All issues are reported at once, those of the key included. */
export const resolve = (
  options: ConnectionOptions
): { readonly endpoint: Endpoint | undefined; readonly issues: ReadonlyArray<Issue> } => {
  const endpoint = readEndpoint(options)
  const key = options.serviceAccountKey
  const missing: ReadonlyArray<Issue> = key === undefined || key === ""
    ? [{
      path: "serviceAccountKey",
      message: "is not set; give OMNI_SERVICE_ACCOUNT_KEY or the layer's `serviceAccountKey`",
      isCredential: true
    }]
    : []
  return "target" in endpoint
    ? { endpoint, issues: [...caIssue(options), ...missing] }
    : { endpoint: undefined, issues: [endpoint, ...caIssue(options), ...missing] }
}

/** The certificate has to be for the address of the endpoint, not for the name that is sent. */
const verifyOptions = (endpoint: Endpoint) => {
  const address = addressOf(endpoint)
  return address === undefined
    ? {}
    : { checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(address, certificate) }
}

/** The server's limit for messages, both ways. */
const maxMessageBytes = 32 * 1024 * 1024

/** The IP address in an endpoint; undefined for a host name. */
const addressOf = ({ target }: Endpoint): string | undefined => {
  const host = target.slice(0, target.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1")
  return isIP(host) === 0 ? undefined : host
}

/** TLS has names of servers, but no addresses of servers. Node warns of an address, so another name is sent instead. */
const nameOfAddresses = "omni"

const channelOptions = (endpoint: Endpoint): ChannelOptions => ({
  ...(endpoint.tls && addressOf(endpoint) !== undefined ? { "grpc.ssl_target_name_override": nameOfAddresses } : {}),
  "grpc.max_receive_message_length": maxMessageBytes,
  "grpc.max_send_message_length": maxMessageBytes,
  "grpc.keepalive_time_ms": 60_000,
  "grpc.keepalive_timeout_ms": 20_000,
  // A server that comes back is to be found soon: every watch waits for it.
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
  "grpc.primary_user_agent": "kubelayer",
  // Two layers share nothing, also not the news that a connection failed.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_http_proxy": endpoint.loopback ? 0 : 1,
  // Retries are `Policy`'s.
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1
})

/** The way to the server. */
export interface Connection {
  readonly client: () => GrpcClient
  /**
   * This client could not open a connection. It would fail every call until its next attempt, so the next call opens a
   * new one.
   */
  readonly renew: (failed: GrpcClient) => void
}

/** A connection of grpc-js, closed with the scope. On a channel from outside it closes and renews nothing. */
export const open = Effect.fnUntraced(function*(
  endpoint: Endpoint,
  channel: GrpcChannel | undefined
): Effect.fn.Return<Connection, InvalidSpec, Scope.Scope> {
  const grpc = yield* Effect.promise(() => loadPackage<typeof import("@grpc/grpc-js")>("@grpc/grpc-js"))
  const connect = () =>
    new grpc.Client(
      endpoint.target,
      endpoint.tls
        ? grpc.credentials.createSsl(endpoint.ca ?? null, null, null, verifyOptions(endpoint))
        : grpc.credentials.createInsecure(),
      channel === undefined ? channelOptions(endpoint) : { channelOverride: channel as Channel }
    )
  let client = yield* Effect.try({
    try: connect,
    catch: (error) =>
      new InvalidSpec({
        issues: [{
          path: endpoint.ca === undefined ? "endpoint" : "ca",
          message: `cannot be used: ${error instanceof Error ? error.message : String(error)}`
        }]
      })
  })
  let closed = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      if (channel === undefined) client.close()
    })
  )
  return {
    client: () => client,
    renew: (failed) => {
      if (channel !== undefined || closed || failed !== client) return
      client = connect()
      failed.close()
    }
  }
})
