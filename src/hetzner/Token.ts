/**
 * The token and the endpoint of a layer, checked before anything is sent.
 *
 * All issues are reported at once. The token is trimmed, kept Redacted, and in no message. It is sent over https only,
 * unless the endpoint is on the loopback interface or `allowHttp` is set.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { InvalidSpec } from "../ProviderError.ts"

export interface ConnectionOptions {
  /** An API token of the Project, which may read and write. */
  readonly token: string | Redacted.Redacted<string>
  /** `https://api.hetzner.cloud/v1` where none is given. */
  readonly endpoint?: string
  /** Sends the token over http to a host that is not this one. It can be read on the way. */
  readonly allowHttp?: boolean
}

export interface Credential {
  readonly token: Redacted.Redacted<string>
  /** Without a slash at its end. */
  readonly endpoint: string
}

const defaultEndpoint = "https://api.hetzner.cloud/v1"

const isLoopback = (host: string): boolean =>
  host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)

/**
 * Hetzner's tokens have 64 characters. The token is removed from every text that is shown, so a short one would remove
 * ordinary words.
 */
const shortestToken = 16

/** The issue of a token; its characters are never shown. */
const tokenFault = (token: unknown): string | undefined => {
  if (typeof token !== "string") return "is not a string"
  if (token.trim() === "") return "is empty. Create one in the Hetzner console of the project, under Security"
  if (/\s/.test(token.trim())) return "contains a space or a line break. Copy the token alone"
  if (!/^[\x21-\x7e]+$/.test(token.trim())) return "contains characters that no token contains"
  const { length } = token.trim()
  return length < shortestToken
    ? `has ${length} characters, at least ${shortestToken} are required. A token of Hetzner has 64`
    : undefined
}

const endpointFault = (endpoint: string, allowHttp: boolean): string | undefined => {
  if (!URL.canParse(endpoint)) return "is not a URL such as https://api.hetzner.cloud/v1"
  const url = new URL(endpoint)
  if (url.username !== "" || url.password !== "") return "has a user or a password in it"
  if (url.search !== "" || url.hash !== "") return "has a query or a fragment; only a path can follow the host"
  if (url.protocol === "https:") return undefined
  if (url.protocol !== "http:") return `is of the kind ${url.protocol} and not https:`
  return allowHttp || isLoopback(url.hostname)
    ? undefined
    : "is http, so the token could be read on the way; use https, or allow it by `allowHttp`"
}

/** Checks what a layer is given. */
export const credential = (options: ConnectionOptions): Effect.Effect<Credential, InvalidSpec> =>
  Effect.suspend(() => {
    const given: unknown = Redacted.isRedacted(options.token) ? Redacted.value(options.token) : options.token
    const endpoint = options.endpoint ?? defaultEndpoint
    const faults = { token: tokenFault(given), endpoint: endpointFault(endpoint, options.allowHttp === true) }
    const issues = Object.entries(faults).flatMap(([path, message]) =>
      message === undefined ? [] : [{ path, message, ...(path === "token" ? { isCredential: true } : {}) }]
    )
    return issues.length > 0
      ? Effect.fail(new InvalidSpec({ issues }))
      : Effect.succeed({
        token: Redacted.make(String(given).trim(), { label: "hetzner token" }),
        endpoint: endpoint.trim().replace(/\/+$/, "")
      })
  })
