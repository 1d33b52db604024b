/**
 * The refusals of the fake cloud: every code of the API's error table with its status.
 *
 * A refusal is thrown by whatever handles a request, and becomes the body that the API has for it.
 */

/**
 * The API's error codes, each with its status.
 *
 * @category constants
 * @since 0.1.0
 */
export const statusOfCode = {
  json_error: 400,
  unauthorized: 401,
  token_readonly: 401,
  forbidden: 403,
  maintenance: 403,
  resource_limit_exceeded: 403,
  not_found: 404,
  firewall_resource_not_found: 404,
  method_not_allowed: 405,
  uniqueness_error: 409,
  conflict: 409,
  deprecated_api_endpoint: 410,
  primary_ip_version_mismatch: 412,
  resource_unavailable: 412,
  firewall_already_applied: 422,
  firewall_already_removed: 422,
  firewall_managed_by_label_selector: 422,
  floating_ip_assigned: 422,
  incompatible_network_type: 422,
  invalid_input: 422,
  invalid_server_type: 422,
  ip_not_available: 422,
  must_be_unassigned: 422,
  networks_overlap: 422,
  no_space_left_in_location: 422,
  no_subnet_available: 422,
  placement_error: 422,
  placement_group_member_limit_reached: 422,
  cloud_resource_ip_not_allowed: 422,
  invalid_load_balancer_type: 422,
  ip_not_owned: 422,
  load_balancer_already_attached: 422,
  load_balancer_not_attached_to_network: 422,
  load_balancer_public_interface_disabled: 422,
  missing_ipv4: 422,
  primary_ip_already_assigned: 422,
  primary_ip_assigned: 422,
  primary_ip_datacenter_mismatch: 422,
  private_net_only_server: 422,
  resource_in_use: 422,
  robot_unavailable: 422,
  server_already_added: 422,
  server_already_attached: 422,
  server_has_ipv4: 422,
  server_has_ipv6: 422,
  server_is_load_balancer_target: 422,
  server_not_attached_to_network: 422,
  server_not_stopped: 422,
  source_port_already_used: 422,
  target_already_defined: 422,
  already_in_placement_group: 422,
  service_error: 422,
  unknown_error: 422,
  unsupported_error: 422,
  volume_already_attached: 422,
  vswitch_id_already_used: 422,
  locked: 423,
  protected: 423,
  resource_locked: 423,
  rate_limit_exceeded: 429,
  server_error: 500,
  bad_gateway: 502,
  unavailable: 503,
  timeout: 504
} as const

/**
 * A code of the error table.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorCode = keyof typeof statusOfCode

/** The details of an error; null where it has none. @internal */
export type Details = Readonly<Record<string, unknown>> | null

/** @internal */
export class Refusal extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly details: Details
  constructor(code: ErrorCode, message: string, details: Details = null) {
    super(message)
    this.code = code
    this.status = statusOfCode[code]
    this.details = details
  }
}

/** @internal */
export const invalid = (field: string, message: string): Refusal =>
  new Refusal("invalid_input", `invalid input in field '${field}'`, { fields: [{ name: field, messages: [message] }] })

/** The body of an error. `details` is there also if it is empty: one client requires the key. @internal */
export const errorBody = (code: string, message: string, details: Details) => ({ error: { code, message, details } })
