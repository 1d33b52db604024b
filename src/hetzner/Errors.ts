/**
 * Maps the answers of Hetzner's API to reasons.
 *
 * A code of the API has one reason, in a reply as in an action that ended in error. Without a known code the status has
 * one. An unknown code of a refused request becomes `UnknownError`. Source: Hetzner Cloud API reference, "Errors", and
 * the errors of each call.
 */
import type { ProviderUnavailable } from "../ProviderError.ts"
import * as Reasons from "../Reason.ts"

export interface Answer {
  readonly status?: number
  readonly code?: string
  readonly message: string
  readonly correlationId?: string
  /** The wait, if the quota reports it. */
  readonly retryAfterMillis?: number
  /** Whether it was asked to change something. */
  readonly isWrite?: boolean
}

type Tag = Exclude<Reasons.ReasonTag, "AmbiguousCluster" | "Differs" | "RequestTimeout">

/** Each code of the API and what it means. Exported for its own test. */
export const codes: Readonly<Record<string, Tag>> = {
  // General
  json_error: "InvalidInput",
  unauthorized: "Unauthorized",
  token_readonly: "ReadOnlyCredential",
  // On a read it is `Unauthorized`; see `reasonOf`.
  forbidden: "ReadOnlyCredential",
  maintenance: "ServerFault",
  resource_limit_exceeded: "QuotaExceeded",
  not_found: "NotFoundError",
  method_not_allowed: "UnsupportedError",
  uniqueness_error: "NameTaken",
  conflict: "Conflict",
  deprecated_api_endpoint: "UnsupportedError",
  resource_unavailable: "CapacityUnavailable",
  invalid_input: "InvalidInput",
  service_error: "ServerFault",
  unsupported_error: "UnsupportedError",
  locked: "Locked",
  protected: "Protected",
  resource_locked: "Protected",
  rate_limit_exceeded: "RateLimited",
  server_error: "ServerFault",
  bad_gateway: "ServerFault",
  unavailable: "ServerFault",
  timeout: "ServerFault",
  unknown_error: "UnknownError",
  action_failed: "ServerFault",
  // Servers
  invalid_server_type: "InvalidInput",
  server_not_stopped: "Conflict",
  server_already_added: "Conflict",
  server_already_attached: "Conflict",
  server_not_attached_to_network: "InvalidInput",
  server_has_ipv4: "Conflict",
  server_has_ipv6: "Conflict",
  server_is_load_balancer_target: "InUse",
  private_net_only_server: "InvalidInput",
  missing_ipv4: "InvalidInput",
  placement_error: "PlacementFailed",
  placement_group_member_limit_reached: "PlacementFailed",
  already_in_placement_group: "Conflict",
  // Networks and addresses
  networks_overlap: "InvalidInput",
  ip_not_available: "InUse",
  ip_not_owned: "InvalidInput",
  no_subnet_available: "InvalidInput",
  vswitch_id_already_used: "InUse",
  cloud_resource_ip_not_allowed: "InvalidInput",
  robot_unavailable: "ServerFault",
  must_be_unassigned: "InUse",
  floating_ip_assigned: "InUse",
  primary_ip_assigned: "InUse",
  primary_ip_already_assigned: "InUse",
  primary_ip_datacenter_mismatch: "InvalidInput",
  primary_ip_version_mismatch: "InvalidInput",
  // Firewalls
  resource_in_use: "InUse",
  firewall_already_applied: "Conflict",
  firewall_already_removed: "NotFoundError",
  firewall_resource_not_found: "NotFoundError",
  firewall_managed_by_label_selector: "InUse",
  incompatible_network_type: "InvalidInput",
  // Volumes
  no_space_left_in_location: "CapacityUnavailable",
  volume_already_attached: "InUse",
  // Load balancers
  load_balancer_already_attached: "Conflict",
  load_balancer_not_attached_to_network: "InvalidInput",
  load_balancer_public_interface_disabled: "InvalidInput",
  invalid_load_balancer_type: "InvalidInput",
  source_port_already_used: "Conflict",
  target_already_defined: "Conflict",
  targets_without_use_private_ip: "InvalidInput",
  // Zones and certificates
  incorrect_zone_mode: "InvalidInput",
  dns_zone_not_found: "NotFoundError",
  dns_zone_is_secondary_zone: "InvalidInput",
  could_not_verify_domain_delegated_to_zone: "InvalidInput",
  caa_record_does_not_allow_ca: "InvalidInput",
  ca_dns_validation_failed: "InvalidInput",
  ca_too_many_authorizations_failed_recently: "QuotaExceeded",
  ca_too_many_certificates_issued_for_registered_domain: "QuotaExceeded",
  ca_too_many_duplicate_certificates: "QuotaExceeded"
}

/** The meaning of a status without a known code, such as in a page of a proxy. */
const statuses: ReadonlyArray<readonly [from: number, to: number, tag: Tag]> = [
  [400, 400, "InvalidInput"],
  [401, 401, "Unauthorized"],
  [403, 403, "ReadOnlyCredential"],
  [404, 404, "NotFoundError"],
  [405, 405, "UnsupportedError"],
  [408, 408, "Transport"],
  [409, 409, "Conflict"],
  [410, 410, "UnsupportedError"],
  [412, 412, "CapacityUnavailable"],
  [413, 413, "InvalidInput"],
  [415, 415, "InvalidInput"],
  [423, 423, "Locked"],
  [429, 429, "RateLimited"],
  [500, 599, "ServerFault"]
]

/** General codes whose cause is only in the message. */
const messages: ReadonlyArray<readonly [code: string, message: RegExp, tag: Tag]> = [
  ["unknown_error", /\bis locked\b/i, "Locked"],
  ["unknown_error", /\bstill in use\b|\bis in use\b/i, "InUse"],
  ["service_error", /\battached to it\b|\bstill in use\b/i, "InUse"]
]

const tagOf = (answer: Answer): Tag => {
  const { code, isWrite = true, message, status = 0 } = answer
  const known = messages.find(([general, pattern]) => general === code && pattern.test(message))?.[2] ??
    (code === undefined || !Object.hasOwn(codes, code) ? undefined : codes[code])
  const tag = known ??
    // A code that is not known says more than the status beside it, unless the API itself failed.
    (code === undefined || status >= 500 || status === 429 || status === 401
      ? statuses.find(([from, to]) => status >= from && status <= to)?.[2]
      : undefined) ??
    "UnknownError"
  // A credential that may not even read is not for this Project.
  return tag === "ReadOnlyCredential" && !isWrite && code !== "token_readonly" ? "Unauthorized" : tag
}

/** A message of the API, or of a proxy in front of it, in one line of bounded length. */
export const oneLine = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}

/** Reasons that have nothing but what every reason has. */
const plain = {
  Unauthorized: Reasons.Unauthorized,
  ReadOnlyCredential: Reasons.ReadOnlyCredential,
  CapacityUnavailable: Reasons.CapacityUnavailable,
  PlacementFailed: Reasons.PlacementFailed,
  QuotaExceeded: Reasons.QuotaExceeded,
  Locked: Reasons.Locked,
  Conflict: Reasons.Conflict,
  InUse: Reasons.InUse,
  InvalidInput: Reasons.InvalidInput,
  NotFoundError: Reasons.NotFoundError,
  Protected: Reasons.Protected,
  UnsupportedError: Reasons.UnsupportedError,
  Transport: Reasons.Transport,
  InvalidResponse: Reasons.InvalidResponse,
  UnknownError: Reasons.UnknownError
}

/**
 * The reason for an answer that is not a success, or for an action that ended in error. The code and the message decide
 * as they came; `redact` removes secrets from what the reason shows of them.
 */
export const reasonOf = (answer: Answer, redact: (text: string) => string): Reasons.Reason => {
  const { correlationId, retryAfterMillis, status } = answer
  const code = answer.code === undefined ? undefined : redact(answer.code)
  const fields = {
    detail: oneLine(redact(answer.message)) || code || `status ${status}`,
    ...(code === undefined ? {} : { code }),
    ...(status === undefined ? {} : { status }),
    ...(correlationId === undefined ? {} : { correlationId })
  }
  const delayed = retryAfterMillis === undefined ? fields : { ...fields, retryAfterMillis }
  const tag = tagOf(answer)
  switch (tag) {
    case "NameTaken":
      return new Reasons.NameTaken({ ...fields, by: "something else in this Project" })
    case "RateLimited":
      return new Reasons.RateLimited(delayed)
    case "ServerFault":
      return new Reasons.ServerFault(delayed)
    default:
      return new plain[tag](fields)
  }
}

// -----------------------------------------------------------------------------
// Connections
// -----------------------------------------------------------------------------

/** Codes that say that no connection came to be. After every other failure the API may have done the work. */
const unconnected =
  /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT|EPROTO|CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_VERIFY|connection refused|bad port/i

/** The words and codes of an error and of what caused it, the outermost first. */
const wordsOf = (error: unknown): ReadonlyArray<string> => {
  const words: Array<string> = []
  let current: unknown = error
  for (let depth = 0; depth < 6 && typeof current === "object" && current !== null; depth++) {
    const { cause, code, errors, message } = current as {
      readonly cause?: unknown
      readonly code?: unknown
      readonly errors?: unknown
      readonly message?: unknown
    }
    if (typeof message === "string" && message !== "") words.push(message)
    if (typeof code === "string") words.push(code)
    // If a host has several addresses, each has its own error.
    current = cause ?? (Array.isArray(errors) ? errors[0] : undefined)
  }
  return words
}

/** The meaning of a request without an answer. `description` is the text of the transport, `cause` its error. */
export const connectionFailure = (description: string | undefined, cause: unknown): {
  readonly isUnconnected: boolean
  readonly detail: string
  readonly code?: string
} => {
  const words = wordsOf(cause)
  const code = words.find((word) => /^[A-Z][A-Z0-9_]+$/.test(word))
  const last = words.findLast((word) => word !== code && word !== "fetch failed")
  const detail = [...new Set([last ?? description ?? words[0] ?? "no answer came", code ?? ""])]
    .filter((word) => word !== "").join(", ")
  return {
    isUnconnected: [...words, description ?? ""].some((word) => unconnected.test(word)),
    detail: oneLine(detail),
    ...(code === undefined ? {} : { code })
  }
}

/** The same error with more words in front of its detail. */
export const withContext = (
  error: ProviderUnavailable | Reasons.BackendError,
  words: string
): ProviderUnavailable | Reasons.BackendError => {
  if (error._tag === "ProviderUnavailable") return error
  const { reason } = error
  const Class = reason.constructor as new(fields: object) => Reasons.Reason
  return new Reasons.BackendError({ ...error, reason: new Class({ ...reason, detail: `${words}: ${reason.detail}` }) })
}
