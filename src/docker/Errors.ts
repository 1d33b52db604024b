/**
 * The one table from what a Docker engine answers to our reasons.
 *
 * A rule is a status and, where the engine uses one status for several things, a fragment of its message. The first rule
 * that fits wins; a status without any becomes `UnknownError`. Codes of the connection itself are told apart by whether
 * a connection was made. Sources: Docker Engine API reference; messages as measured on engine 20.10 and Podman.
 */
import * as Reasons from "../Reason.ts"

interface Answer {
  readonly status: number
  readonly message: string
  /** How long it asks to wait, where it does. */
  readonly retryAfterMillis?: number
}

interface Rule {
  readonly status: number | readonly [from: number, to: number]
  readonly fragment?: RegExp
  readonly reason: (
    answer: { readonly detail: string; readonly status: number; readonly retryAfterMillis?: number }
  ) => Reasons.Reason
}

const portTaken = /port is already allocated|address already in use|ports are not available/i
const foreignFault =
  /oci runtime|executable file not found|no such file or directory|not a directory|invalid mount|error mounting|permission denied|operation not permitted/i

/** Status (and message) to reason, first match wins. Exported for its own test. */
export const rules: ReadonlyArray<Rule> = [
  { status: 400, reason: (answer) => new Reasons.InvalidInput(answer) },
  { status: 401, reason: (answer) => new Reasons.Unauthorized(answer) },
  { status: 403, fragment: /active endpoints/i, reason: (answer) => new Reasons.InUse(answer) },
  { status: 403, fragment: /already exists|pool overlaps/i, reason: (answer) => new Reasons.Conflict(answer) },
  { status: 403, reason: (answer) => new Reasons.Unauthorized(answer) },
  { status: 404, reason: (answer) => new Reasons.NotFoundError(answer) },
  { status: 405, reason: (answer) => new Reasons.UnsupportedError(answer) },
  { status: 406, reason: (answer) => new Reasons.InvalidInput(answer) },
  { status: 408, reason: (answer) => new Reasons.Transport(answer) },
  {
    status: 409,
    fragment: /removal of container .* is already in progress/i,
    reason: (answer) => new Reasons.Locked(answer)
  },
  {
    status: 409,
    fragment: /name .* is already in use|already exists/i,
    reason: (answer) => new Reasons.NameTaken({ ...answer, by: "something else on this engine" })
  },
  { status: 409, fragment: /in use|being used/i, reason: (answer) => new Reasons.InUse(answer) },
  { status: 409, reason: (answer) => new Reasons.Conflict(answer) },
  { status: 413, reason: (answer) => new Reasons.InvalidInput(answer) },
  { status: 429, reason: (answer) => new Reasons.RateLimited(answer) },
  { status: 500, fragment: portTaken, reason: (answer) => new Reasons.InUse(answer) },
  { status: 500, fragment: foreignFault, reason: (answer) => new Reasons.InvalidInput(answer) },
  {
    status: 500,
    fragment: /pool overlaps|could not find an available/i,
    reason: (answer) => new Reasons.Conflict(answer)
  },
  { status: 501, reason: (answer) => new Reasons.UnsupportedError(answer) },
  { status: [500, 599], reason: (answer) => new Reasons.ServerFault(answer) }
]

const fits = (rule: Rule, answer: Answer): boolean =>
  (typeof rule.status === "number"
    ? rule.status === answer.status
    : answer.status >= rule.status[0] && answer.status <= rule.status[1]) &&
  (rule.fragment === undefined || rule.fragment.test(answer.message))

/** A message of an engine, or of a proxy in front of it, in one line of bounded length, its URLs without credentials. */
export const oneLine = (text: string): string => {
  const line = text.replace(/\/\/[^\s/"']*@/g, "//").replace(/\s+/g, " ").trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

/** The reason for an answer that is not a success. */
export const reasonOf = (answer: Answer): Reasons.Reason => {
  const { status } = answer
  const detail = oneLine(answer.message) || `status ${status}`
  const rule = rules.find((rule) => fits(rule, answer))
  const { retryAfterMillis } = answer
  return rule === undefined
    ? new Reasons.UnknownError({ detail, status })
    : rule.reason({ detail, status, ...(retryAfterMillis === undefined ? {} : { retryAfterMillis }) })
}

/**
 * Whether a name stands for two networks. Before API 1.44 two may be made at once, and one is removed again a moment
 * later.
 */
export const isAmbiguous = (reason: Reasons.Reason): boolean =>
  reason._tag === "InvalidInput" && /is ambiguous \(\d+ matches found on name\)/i.test(reason.detail)

/** Whether a start failed because a host port is held by something else. */
export const isPortTaken = (reason: Reasons.Reason): boolean => reason._tag === "InUse" && portTaken.test(reason.detail)

/** Codes of a connection that was there and was cut. Every other failure before an answer means: none could be made. */
const cuts = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ABORT_ERR", "ERR_STREAM_PREMATURE_CLOSE"])

const codeOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined

/** What a failed connection means, and what to do about it. */
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
