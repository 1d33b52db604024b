/**
 * The refusals of a fake Omni: a gRPC status and a text.
 *
 * Source: status codes of the gRPC specification; texts as recorded from Omni 1.9.3.
 */

/** gRPC status codes. */
export const code = {
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16
} as const

export class Refusal extends Error {
  readonly code: number
  constructor(status: number, message: string) {
    super(message)
    this.code = status
  }
}

interface Named {
  readonly namespace: string
  readonly type: string
  readonly id: string
}

const named = ({ id, namespace, type }: Named, version: number | undefined): string =>
  `resource ${type}(${namespace}/${id}@${version ?? "undefined"})`

/** The text of NOT_FOUND; other refusals quote it. */
export const missingText = (what: Named): string => `${named(what, undefined)} doesn't exist`

export const notFound = (what: Named): Refusal => new Refusal(code.notFound, missingText(what))

/** The server names the version that was sent, and a new resource has none. */
export const exists = (what: Named): Refusal =>
  new Refusal(code.alreadyExists, `failed to create: ${named(what, undefined)} already exists`)

// The server prints a version as the character of that number.
const shown = (version: number): string => `'${String.fromCodePoint(version)}'`

export const versionConflict = (what: Named, expected: number, actual: number): Refusal =>
  new Refusal(
    code.failedPrecondition,
    `failed to update: ${named(what, actual)} update conflict: expected version ${shown(expected)}, actual version ${
      shown(actual)
    }`
  )

export const pendingFinalizers = (what: Named, version: number, finalizers: ReadonlyArray<string>): Refusal =>
  new Refusal(
    code.failedPrecondition,
    `failed to destroy: ${named(what, version)} has pending finalizers &[${finalizers.join(" ")}]`
  )

/** UNKNOWN for TeardownAndDestroy, INVALID_ARGUMENT for Update. */
export const wrongPhase = (what: Named, version: number, on: "update" | "teardown", phase = "running"): Refusal =>
  new Refusal(
    on === "update" ? code.invalidArgument : code.unknown,
    `${on === "update" ? "failed to update: " : ""}${named(what, version)} is not in phase ${phase}`
  )

/** A teardown is an update for the store, and is reported as one. */
export const owned = (what: Named, version: number, owner: string, on: "update" | "destroy"): Refusal =>
  new Refusal(
    code.permissionDenied,
    `failed to ${on}: ${named(what, version)} is owned by ${JSON.stringify(owner)}`
  )

/** Faults as the server lists them: several lines, with blank ones at the end. */
export const faultList = (faults: ReadonlyArray<string>): string =>
  `${faults.length} error${faults.length === 1 ? "" : "s"} occurred:\n${
    faults.map((fault) => `\t* ${fault}\n`).join("")
  }\n`

export const invalid = (...faults: ReadonlyArray<string>): Refusal =>
  new Refusal(code.invalidArgument, `failed to validate: ${faultList(faults)}`)

/** The access checks of resources run among the validations, and have their form. */
export const denied = (text: string): Refusal =>
  new Refusal(
    code.permissionDenied,
    `failed to validate: ${faultList([`rpc error: code = PermissionDenied desc = ${text}`])}`
  )

export const insufficientRole = (role: string): string =>
  `unauthorized: access denied: insufficient role: ${JSON.stringify(role)}`
