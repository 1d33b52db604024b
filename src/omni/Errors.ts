/**
 * Maps the answers of Omni to reasons.
 *
 * A rule is a gRPC code and, where the server uses one code for several things, a fragment of its message that does not
 * change between versions. The first rule that fits wins; a code without any becomes `UnknownError`. A connection that
 * could not be opened and one that was cut have different texts of grpc-js. Messages are shown in one line, without the
 * layers of wrapping that the server puts around them. Source: gRPC status codes; messages as measured on Omni 1.9.
 */
import * as Reasons from "../Reason.ts"

/** gRPC status codes by their names, as `@grpc/grpc-js` has them. */
export const codes = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16
} as const

const nameOf = new Map<number, string>(Object.entries(codes).map(([name, code]) => [code, name]))

/** The roles of Omni's accounts that calls need, the lower one first. */
export type Role = "Reader" | "Operator" | "Admin"

/** A status that is not OK, with what the caller knows of the call. */
export interface Answer {
  readonly code: number
  readonly message: string
  /** The role that the call needs. */
  readonly role: Role
  /** By how much the server's clock is ahead of ours, if it reported its time. */
  readonly skewMillis?: number
}

type Common = { readonly detail: string; readonly status: number; readonly code: string }

interface Rule {
  readonly code: number
  readonly fragment?: RegExp
  /** Set if the rule is only for calls that change something, or only for the others. */
  readonly writes?: boolean
  readonly reason: (common: Common, answer: Answer) => Reasons.Reason
}

const notInPhase = /is not in phase/i
const wrongServer = /received http status code (?!429|5)|unknown service|server does not implement the method/i

/** The texts for a request that the server cannot read. It has no code for that. */
const malformed =
  /error parsing version|unknown phase|spec is missing|unexpected eof|owner is already set|unknown role|key lifetime|key does not contain/i

const foreign = (common: Common) =>
  new Reasons.InvalidResponse({ ...common, detail: `the server at this address is not Omni: ${common.detail}` })

const needing = (common: Common, { role }: Answer) => ({
  ...common,
  detail: `${common.detail}; the call needs the role ${role}`
})

const unauthenticated = (common: Common, { skewMillis }: Answer) => {
  const clock = skewMillis === undefined
    ? "this machine's clock is more than 5 minutes off"
    : Math.abs(skewMillis) > 4 * 60_000
    ? `this machine's clock is off: the server's is ${Math.round(Math.abs(skewMillis) / 1000)} seconds ${
      skewMillis > 0 ? "ahead" : "behind"
    }`
    : `it is not the clock (the server's differs by ${Math.round(Math.abs(skewMillis) / 1000)} seconds)`
  return new Reasons.Unauthorized({
    ...common,
    detail: `${common.detail}: the service account's key is unknown there, expired or renewed, or ${clock}`
  })
}

/** Code (and message) to reason, first match wins. Exported for its own test. */
export const rules: ReadonlyArray<Rule> = [
  { code: codes.CANCELLED, reason: (common) => new Reasons.Transport(common) },
  { code: codes.UNKNOWN, fragment: notInPhase, reason: (common) => new Reasons.Conflict(common) },
  { code: codes.UNKNOWN, fragment: /doesn't exist|not found/i, reason: (common) => new Reasons.NotFoundError(common) },
  { code: codes.UNKNOWN, fragment: wrongServer, reason: foreign },
  { code: codes.UNKNOWN, fragment: malformed, reason: (common) => new Reasons.InvalidInput(common) },
  { code: codes.UNKNOWN, fragment: /is not supported/i, reason: (common) => new Reasons.UnsupportedError(common) },
  { code: codes.UNKNOWN, reason: (common) => new Reasons.UnknownError(common) },
  { code: codes.INVALID_ARGUMENT, fragment: notInPhase, reason: (common) => new Reasons.Conflict(common) },
  {
    code: codes.INVALID_ARGUMENT,
    fragment: /is tearing down/i,
    reason: (common) => new Reasons.Conflict(common)
  },
  { code: codes.INVALID_ARGUMENT, fragment: /still in use/i, reason: (common) => new Reasons.InUse(common) },
  { code: codes.INVALID_ARGUMENT, fragment: /\block(?:ed)?\b/i, reason: (common) => new Reasons.Protected(common) },
  { code: codes.INVALID_ARGUMENT, reason: (common) => new Reasons.InvalidInput(common) },
  // The write was refused before it was stored.
  {
    code: codes.DEADLINE_EXCEEDED,
    fragment: /write throttled/i,
    reason: (common) => new Reasons.RateLimited(common)
  },
  {
    code: codes.DEADLINE_EXCEEDED,
    reason: (common) => new Reasons.RequestTimeout({ ...common, durationMillis: 0 })
  },
  { code: codes.NOT_FOUND, reason: (common) => new Reasons.NotFoundError(common) },
  {
    code: codes.ALREADY_EXISTS,
    reason: (common) => new Reasons.NameTaken({ ...common, by: "a resource of the same kind and id" })
  },
  { code: codes.PERMISSION_DENIED, fragment: wrongServer, reason: foreign },
  {
    code: codes.PERMISSION_DENIED,
    fragment: /no access is permitted/i,
    reason: (common) => new Reasons.UnsupportedError({ ...common, detail: `unknown to this server: ${common.detail}` })
  },
  {
    code: codes.PERMISSION_DENIED,
    fragment: /only (?:read|create)|not allowed/i,
    reason: (common) => new Reasons.UnsupportedError(common)
  },
  { code: codes.PERMISSION_DENIED, fragment: /is owned by/i, reason: (common) => new Reasons.Protected(common) },
  {
    code: codes.PERMISSION_DENIED,
    writes: true,
    reason: (common, answer) => new Reasons.ReadOnlyCredential(needing(common, answer))
  },
  { code: codes.PERMISSION_DENIED, reason: (common, answer) => new Reasons.Unauthorized(needing(common, answer)) },
  // The first bytes of a page, read as a length.
  { code: codes.RESOURCE_EXHAUSTED, fragment: /larger than max \(\d{10}/i, reason: foreign },
  {
    code: codes.RESOURCE_EXHAUSTED,
    fragment: /message larger than|larger than max/i,
    reason: (common) => new Reasons.InvalidResponse(common)
  },
  { code: codes.RESOURCE_EXHAUSTED, reason: (common) => new Reasons.RateLimited(common) },
  {
    code: codes.FAILED_PRECONDITION,
    fragment: /\beula\b/i,
    reason: (common) =>
      new Reasons.Protected({
        ...common,
        detail: `${common.detail}; an administrator has to accept it in Omni's web interface`
      })
  },
  {
    code: codes.FAILED_PRECONDITION,
    fragment: /pending finalizers/i,
    reason: (common) => new Reasons.InUse(common)
  },
  {
    code: codes.FAILED_PRECONDITION,
    fragment: /static infra provider/i,
    reason: (common) => new Reasons.UnsupportedError(common)
  },
  { code: codes.FAILED_PRECONDITION, reason: (common) => new Reasons.Conflict(common) },
  { code: codes.ABORTED, reason: (common) => new Reasons.Conflict(common) },
  { code: codes.OUT_OF_RANGE, reason: (common) => new Reasons.InvalidInput(common) },
  { code: codes.UNIMPLEMENTED, fragment: wrongServer, reason: foreign },
  { code: codes.UNIMPLEMENTED, reason: (common) => new Reasons.UnsupportedError(common) },
  { code: codes.INTERNAL, fragment: /rst_stream/i, reason: (common) => new Reasons.Transport(common) },
  { code: codes.INTERNAL, fragment: /parsing error/i, reason: (common) => new Reasons.InvalidResponse(common) },
  { code: codes.INTERNAL, fragment: wrongServer, reason: foreign },
  { code: codes.INTERNAL, reason: (common) => new Reasons.ServerFault(common) },
  {
    code: codes.UNAVAILABLE,
    fragment: /connection dropped|rst_stream|goaway|econnreset|socket/i,
    reason: (common) => new Reasons.Transport(common)
  },
  {
    code: codes.UNAVAILABLE,
    fragment: /received http status code 429/i,
    reason: (common) => new Reasons.RateLimited(common)
  },
  { code: codes.UNAVAILABLE, reason: (common) => new Reasons.ServerFault(common) },
  { code: codes.DATA_LOSS, reason: (common) => new Reasons.ServerFault(common) },
  { code: codes.UNAUTHENTICATED, fragment: wrongServer, reason: foreign },
  { code: codes.UNAUTHENTICATED, reason: unauthenticated }
]

const fits = (rule: Rule, answer: Answer): boolean =>
  rule.code === answer.code &&
  (rule.fragment === undefined || rule.fragment.test(answer.message)) &&
  (rule.writes === undefined || rule.writes === (answer.role !== "Reader"))

/**
 * A message in one line of bounded length: without the lists, the nested codes and the control characters that wrap it,
 * and its URLs without credentials.
 */
export const oneLine = (text: string): string => {
  const line = text
    .replace(/\d+ errors? occurred:/g, "")
    .replace(/rpc error: code = \w+ desc = /g, "")
    .replace(/\/\/[^\s/"']*@/g, "//")
    .replace(/[^\P{C}\s]/gu, "?")
    .replace(/\n\s*\*\s+/g, "\n")
    .split(/\n/)
    .map((part) => part.replace(/\s+/g, " ").trim())
    .filter((part) => part !== "")
    .join("; ")
    .replace(/:; /g, ": ")
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

/** The reason for a status that is not OK. */
export const reasonOf = (answer: Answer): Reasons.Reason => {
  const common = {
    detail: oneLine(answer.message) || `it said no more than ${nameOf.get(answer.code) ?? `code ${answer.code}`}`,
    status: answer.code,
    code: nameOf.get(answer.code) ?? String(answer.code)
  }
  const rule = rules.find((rule) => fits(rule, answer))
  return rule === undefined ? new Reasons.UnknownError(common) : rule.reason(common, answer)
}

/** The text of grpc-js without a connection for a call. */
const noConnection = /no connection established|name resolution failed|waiting for lb pick|failed to connect/i

/** The cause of a connection that could not be opened, with advice; undefined if a status has another meaning. */
export const connectionFailure = (
  code: number,
  message: string,
  tls = true
): { readonly detail: string; readonly advice: string } | undefined => {
  if (code !== codes.UNAVAILABLE || !noConnection.test(message)) return undefined
  const text = oneLine(message)
    .replace(/^No connection established\. Last error: /i, "")
    .replace(/\.?\s*Resolution note:.*$/, "")
    .replace(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)/, "")
  const advice = "Check OMNI_ENDPOINT or the layer's `endpoint`, and whether this machine reaches it."
  if (/certificate|self-signed|altname|issuer|cert_/i.test(text)) {
    return {
      detail: `its certificate is not trusted: ${text}`,
      advice: "Give the authority that signed it as the layer's `ca`; verification cannot be turned off."
    }
  }
  if (/econnrefused/i.test(text)) return { detail: `nothing listens there (${text})`, advice }
  if (/enotfound|eai_again|name resolution/i.test(text)) {
    return { detail: `its host name is not known (${text})`, advice }
  }
  if (/wrong version number|ssl routines|eproto|packet length/i.test(text)) {
    return { detail: `it does not speak TLS (${text})`, advice: "An endpoint without TLS is written http://." }
  }
  if (/protocol error|alpn|http\/1|err_http2|nghttp2/i.test(text)) {
    return {
      detail: `it does not speak HTTP/2 as Omni does (${text})`,
      advice: "Give the address of Omni's API, not that of a web page."
    }
  }
  if (!tls) {
    return {
      detail: `no HTTP/2 connection without TLS (${text === "" ? "failed to connect" : text})`,
      advice: "If the server speaks TLS, write the endpoint with https://."
    }
  }
  return { detail: text === "" ? "no connection could be opened" : text, advice }
}
