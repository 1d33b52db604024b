/**
 * Maps the refusals of a Docker or Podman engine to reasons.
 *
 * A rule has a status and, where an engine uses one status for several causes, a fragment of the message. The first rule
 * that matches wins. A status without a rule becomes `UnknownError`. Podman reports most refusals as 500, so most rules
 * for Podman read the message. Sources: Docker Engine API reference; `test/recordings/engines`.
 */
import * as Option from "effect/Option"
import * as Reasons from "../Reason.ts"
import { sshFailed } from "./Ssh.ts"

/** A reply that is not a success. */
export interface Refusal {
  readonly status: number
  /** The body as it came: JSON with a `message`, text, or a page of a proxy. */
  readonly text: string
  /** The method of the request. A proxy that refuses it may allow reads. */
  readonly method?: string
  /** How long the reply asks to wait, where it does. */
  readonly retryAfterMillis?: number
}

interface Facts {
  readonly detail: string
  readonly status?: number
  readonly retryAfterMillis?: number
}

interface Rule {
  readonly status: number | readonly [from: number, to: number]
  readonly fragment?: RegExp
  readonly reason: (facts: Facts) => Reasons.Reason
}

// -----------------------------------------------------------------------------
// The table
// -----------------------------------------------------------------------------

const conflict = (facts: Facts) => new Reasons.Conflict(facts)
const inUse = (facts: Facts) => new Reasons.InUse(facts)
const invalid = (facts: Facts) => new Reasons.InvalidInput(facts)
const notFound = (facts: Facts) => new Reasons.NotFoundError(facts)
const unsupported = (facts: Facts) => new Reasons.UnsupportedError(facts)
const taken = (facts: Facts) => new Reasons.NameTaken({ ...facts, by: "something else on this engine" })
const quota = (hint: string) => (facts: Facts) => new Reasons.QuotaExceeded({ ...facts, hint })

const noNetworkLeft = quota("Remove networks that nothing uses, for example with `docker network prune`.")
const noAddressLeft = quota("The network has no free address. Use a network with a larger subnet, or remove nodes.")
const noSpaceLeft = quota("Free space on the disk of the engine, for example with `docker system prune`.")

/** Any failure. Engines report one cause with 4xx or 5xx. */
const failed = [400, 599] as const

const portTaken =
  /port is already allocated|ports are not available|(?:bind|listen|host port).*(?:address already in use|address already)/i
const noNetwork = /could not find an available|address pools have been fully subnetted|could not find free subnet/i
const addressTaken = /address already in use|is already allocated to container/i
const noAddress = /no available ipv4 addresses|failed to find free ip|could not find free ip/i

/** The rules in order. Exported for their tests. */
export const rules: ReadonlyArray<Rule> = [
  // Causes with words of their own, whatever the status.
  { status: failed, fragment: noNetwork, reason: noNetworkLeft },
  { status: failed, fragment: noAddress, reason: noAddressLeft },
  { status: failed, fragment: /no space left on device/i, reason: noSpaceLeft },
  {
    status: failed,
    fragment: /failed to remove root filesystem|unable to remove filesystem|unlinkat .*: operation not permitted/i,
    reason: (facts) =>
      new Reasons.ServerFault({ ...facts, hint: "The file system of the engine's host refused it. Check that host." })
  },
  { status: failed, fragment: /page not found|^not found\s*$/i, reason: unsupported },
  {
    status: failed,
    fragment: /pool overlaps|is already used on the host or by another config/i,
    reason: conflict
  },
  {
    status: failed,
    fragment: /(?:volume )?plugin .*not found|unsupported driver|find driver or plugin|required plugin missing/i,
    reason: invalid
  },
  { status: failed, fragment: /pre-defined network|default network .* cannot be removed/i, reason: unsupported },
  { status: failed, fragment: /active endpoints|network is being used/i, reason: inUse },
  { status: failed, fragment: /endpoint with name .* already exists|already connected to network/i, reason: inUse },
  { status: failed, fragment: /is not connected to (?:the )?network/i, reason: notFound },
  { status: [402, 599], fragment: portTaken, reason: inUse },
  { status: failed, fragment: addressTaken, reason: inUse },
  {
    status: [402, 599],
    fragment: /unable to find network|network not found|no such (?:container|image|volume|network)/i,
    reason: notFound
  },

  { status: 400, reason: invalid },
  { status: 401, reason: (facts) => new Reasons.Unauthorized(facts) },
  { status: 403, fragment: /authorization denied by plugin/i, reason: (facts) => new Reasons.Unauthorized(facts) },
  { status: 403, fragment: /already exists/i, reason: conflict },
  { status: 403, reason: invalid },
  { status: 404, reason: notFound },
  { status: 405, reason: unsupported },
  { status: 406, reason: invalid },
  { status: 408, reason: (facts) => new Reasons.Transport(facts) },
  {
    status: 409,
    fragment: /removal of container .* is already in progress/i,
    reason: (facts) => new Reasons.Locked(facts)
  },
  { status: [409, 500], fragment: /name .* is already in use|network already exists/i, reason: taken },
  { status: 409, fragment: /already exists/i, reason: taken },
  { status: 409, fragment: /in use|being used/i, reason: inUse },
  { status: 409, reason: conflict },
  { status: 413, reason: invalid },
  { status: 429, reason: (facts) => new Reasons.RateLimited(facts) },

  // Refusals that Podman, and Docker 20.10 at times, report as 500.
  { status: 500, fragment: /state improper|is not paused/i, reason: conflict },
  {
    status: 500,
    fragment:
      /: invalid argument|is an invalid filter|decode filter|invalid character|cannot unmarshal|normalizing name/i,
    reason: invalid
  },
  {
    status: 500,
    fragment:
      /invalid subnet|parse subnet|invalid range format|invalid signal|not in any subnet|to any of this network's subnets|unable to find user/i,
    reason: invalid
  },
  {
    status: 500,
    fragment:
      /oci runtime|executable file not found|no such file or directory|not a directory|invalid mount|error mounting|permission denied|operation not permitted/i,
    reason: invalid
  },
  { status: 501, reason: unsupported },
  { status: [500, 599], reason: (facts) => new Reasons.ServerFault(facts) }
]

const fits = (rule: Rule, status: number, message: string): boolean =>
  (typeof rule.status === "number"
    ? rule.status === status
    : status >= rule.status[0] && status <= rule.status[1]) &&
  (rule.fragment === undefined || rule.fragment.test(message))

// -----------------------------------------------------------------------------
// Texts
// -----------------------------------------------------------------------------

export const parseJson = (text: string): Option.Option<unknown> => {
  try {
    return Option.some(JSON.parse(text))
  } catch {
    return Option.none()
  }
}

/** The `message` of an engine's error; undefined where the text is not an engine's error. */
const engineMessage = (text: string): string | undefined => {
  const body = Option.getOrUndefined(parseJson(text))
  return typeof body === "object" && body !== null && "message" in body && typeof body.message === "string"
    ? body.message
    : undefined
}

/** The message in an engine's error, or the text itself. */
export const messageIn = (text: string): string => engineMessage(text) ?? text

/** Whether a text is an HTML page. Engines never send one; proxies and portals do. */
export const isPage = (text: string): boolean => /^\s*<(?:!doctype|html|head|body|\?xml)/i.test(text)

/** A message of an engine or a proxy in one line of bounded length. URLs lose their credentials. */
export const oneLine = (text: string): string => {
  const line = text.replace(/\/\/[^\s/"']*@/g, "//").replace(/\s+/g, " ").trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

/** One plain sentence for a page: its heading or title. */
export const pageSentence = (page: string): string => {
  const element = (name: string) => new RegExp(`<${name}[^>]*>([^<]*)</${name}>`, "i").exec(page)?.[1]?.trim()
  const heading = oneLine(element("h1") || element("title") || "").slice(0, 80)
  return `a proxy or web server sent an HTML page${
    heading === "" ? "" : ` ("${heading}")`
  } instead of the engine's reply`
}

const pageHint = "Check DOCKER_HOST and any proxy in front of the engine."

/** A refusal by something in front of the engine: a page, or a 403 that is not an engine's JSON. */
const proxyReason = (facts: Facts, { method = "GET", status }: Refusal): Reasons.Reason => {
  const hint = "Allow the request in the rules of the proxy, or connect to the engine itself."
  switch (status) {
    case 401:
      return new Reasons.Unauthorized(facts)
    case 403:
    case 405:
      return method === "GET" || method === "HEAD"
        ? new Reasons.UnsupportedError({ ...facts, hint })
        : new Reasons.ReadOnlyCredential({ ...facts, hint })
    case 429:
      return new Reasons.RateLimited(facts)
    default:
      return status >= 500
        ? new Reasons.ServerFault({ ...facts, hint: pageHint })
        : new Reasons.InvalidResponse({ ...facts, hint: pageHint })
  }
}

/** The reason for a reply that is not a success. */
export const reasonOf = (refusal: Refusal): Reasons.Reason => {
  const { retryAfterMillis, status, text } = refusal
  const wait = retryAfterMillis === undefined ? {} : { retryAfterMillis }
  if (isPage(text)) return proxyReason({ detail: pageSentence(text), status, ...wait }, refusal)
  const message = engineMessage(text)
  if (status === 403 && message === undefined) {
    const words = oneLine(text)
    return proxyReason({
      detail: `a proxy in front of the engine refused the request${words === "" ? "" : `: ${words}`}`,
      status
    }, refusal)
  }
  const words = message ?? text
  const facts = { detail: oneLine(words) || `status ${status}`, status, ...wait }
  return rules.find((rule) => fits(rule, status, words))?.reason(facts) ?? new Reasons.UnknownError(facts)
}

// -----------------------------------------------------------------------------
// Registries
// -----------------------------------------------------------------------------

/**
 * The texts of registries, in the refusal of a pull or in a line of its reply. The first match wins. Exported for its
 * tests.
 */
export const pullRules: ReadonlyArray<{
  readonly fragment: RegExp
  readonly reason: (facts: Facts) => Reasons.Reason
}> = [
  { fragment: /toomanyrequests|rate limit/i, reason: (facts) => new Reasons.RateLimited(facts) },
  {
    fragment:
      /no basic auth credentials|unauthorized|access denied|denied:|authentication required|may require 'docker login'/i,
    reason: (facts) =>
      new Reasons.Unauthorized({
        ...facts,
        hint: "Log in to the registry with `docker login`, or check the image name."
      })
  },
  {
    fragment:
      /no matching manifest|no image found in (?:manifest list|image index) for|does not match the specified platform/i,
    reason: (facts) => new Reasons.UnsupportedError({ ...facts, hint: "Use an image that is built for this platform." })
  },
  { fragment: /no space left on device/i, reason: noSpaceLeft },
  {
    fragment: /manifest unknown|not found|does not exist|name unknown/i,
    reason: (facts) => new Reasons.NotFoundError({ ...facts, hint: "Check the name and the tag of the image." })
  },
  { fragment: /invalid reference|normalizing (?:name|image)|must be lowercase/i, reason: invalid },
  {
    fragment:
      /connection refused|no such host|i\/o timeout|TLS handshake|network is unreachable|no route to host|EOF$|x509|pinging container registry/i,
    reason: (facts) =>
      new Reasons.ServerFault({
        ...facts,
        hint: "The engine did not reach the registry. Check the image name and the network of the engine."
      })
  }
]

/** The reason for a pull that failed, as a refused request or as a line of a reply with status 200. */
export const pullReasonOf = (refusal: Refusal): Reasons.Reason => {
  const message = messageIn(refusal.text)
  const rule = isPage(refusal.text) ? undefined : pullRules.find(({ fragment }) => fragment.test(message))
  if (rule !== undefined) {
    const { status } = refusal
    return rule.reason({ detail: oneLine(message), ...(status >= 300 ? { status } : {}) })
  }
  return refusal.status >= 300 ? reasonOf(refusal) : new Reasons.UnknownError({ detail: oneLine(message) })
}

// -----------------------------------------------------------------------------
// Causes that callers act on
// -----------------------------------------------------------------------------

/**
 * Whether a name belongs to two networks. Before API 1.44 two creates at the same time may both succeed; one network is
 * removed again a moment later.
 */
export const isAmbiguous = (reason: Reasons.Reason): boolean =>
  reason._tag === "InvalidInput" && /is ambiguous \(\d+ matches found on name\)/i.test(reason.detail)

/** Whether a start failed because something else uses a host port. */
export const isPortTaken = (reason: Reasons.Reason): boolean => reason._tag === "InUse" && portTaken.test(reason.detail)

/** Whether something else has a fixed address. */
export const isAddressTaken = (reason: Reasons.Reason): boolean =>
  reason._tag === "InUse" && !isPortTaken(reason) && addressTaken.test(reason.detail)

/** Whether a network has no free address. */
export const isNetworkFull = (reason: Reasons.Reason): boolean =>
  reason._tag === "QuotaExceeded" && noAddress.test(reason.detail)

/** Whether a network refused a container because it is connected already. */
export const isConnectedAlready = (reason: Reasons.Reason): boolean =>
  reason._tag === "InUse" && /endpoint with name .* already exists|already connected to network/i.test(reason.detail)

/** Whether a call needs another state of the container. The same call is refused again until the state changes. */
export const needsOtherState = (reason: Reasons.Reason): boolean =>
  reason._tag === "Conflict" &&
  /state improper|(?:is|already) paused|not paused|paused container|not running|container is running|running container/i
    .test(reason.detail)

/** Whether a container is paused where the call needs one that is not. */
export const isPaused = (reason: Reasons.Reason): boolean =>
  reason._tag === "Conflict" &&
  /paused container|is running or paused|is paused|must be in created or stopped state/i.test(reason.detail)

// -----------------------------------------------------------------------------
// Connections
// -----------------------------------------------------------------------------

/** Codes of a connection that existed and was cut. With every other failure before a reply, there was no connection. */
const cuts = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ABORT_ERR", "ERR_STREAM_PREMATURE_CLOSE"])

const codeOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined

/** The meaning of a failed connection, with advice. */
export const connectionFailure = (
  error: unknown
): { readonly _tag: "Cut"; readonly reason: Reasons.Reason } | {
  readonly _tag: "NoConnection"
  readonly detail: string
  readonly advice: string
} => {
  const code = codeOf(error)
  const text = oneLine(error instanceof Error ? error.message : String(error))
  if (code !== undefined && (cuts.has(code) || code.startsWith("HPE_"))) {
    return { _tag: "Cut", reason: new Reasons.Transport({ detail: text, code }) }
  }
  const advice = "Start the Docker engine, or name another one by DOCKER_HOST or the layer's `host` option."
  switch (code) {
    case "ENOENT":
      return { _tag: "NoConnection", detail: "there is no such socket", advice }
    case "ECONNREFUSED":
      return { _tag: "NoConnection", detail: "nothing listens there (ECONNREFUSED)", advice }
    case "EACCES":
    case "EPERM":
      return {
        _tag: "NoConnection",
        detail: `this user may not use it (${code})`,
        advice:
          "Run as a user who may use the socket (often: a member of the group `docker`), or use a rootless engine."
      }
    case sshFailed:
      return {
        _tag: "NoConnection",
        detail: text,
        advice: "Check that `ssh HOST docker version` works without a question."
      }
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return { _tag: "NoConnection", detail: `its host name is not known (${code})`, advice }
    default:
      return {
        _tag: "NoConnection",
        detail: code === undefined ? text : `${text} (${code})`,
        advice: /CERT|SSL|TLS|EPROTO/.test(code ?? "")
          ? "Check the TLS material, and whether the engine wants any."
          : advice
      }
  }
}
