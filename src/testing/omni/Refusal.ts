/**
 * What a fake Omni answers in place of a result: a gRPC status, and the words of the server.
 *
 * The numbers are those of the gRPC specification; the words are as a server of release 1.9 says them.
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

export const notFound = (what: Named): Refusal => new Refusal(code.notFound, `${named(what, undefined)} doesn't exist`)

export const exists = (what: Named, version: number): Refusal =>
  new Refusal(code.alreadyExists, `${named(what, version)} already exists`)

// A server prints versions as characters of that number.
const shown = (version: number): string => JSON.stringify(String.fromCodePoint(version))

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
    `failed to destroy: ${named(what, version)} has pending finalizers [${finalizers.join(" ")}]`
  )

/** Unmapped on Teardown, so UNKNOWN there; INVALID_ARGUMENT on Update. */
export const wrongPhase = (what: Named, version: number, on: "update" | "teardown", phase = "running"): Refusal =>
  new Refusal(on === "update" ? code.invalidArgument : code.unknown, `${named(what, version)} is not in phase ${phase}`)

export const owned = (what: Named, version: number, owner: string): Refusal =>
  new Refusal(code.permissionDenied, `${named(what, version)} is owned by ${JSON.stringify(owner)}`)

/** Validation speaks in lists of several lines, with blank ones at the end. */
export const invalid = (...faults: ReadonlyArray<string>): Refusal =>
  new Refusal(
    code.invalidArgument,
    `failed to validate: ${faults.length} error${faults.length === 1 ? "" : "s"} occurred:\n${
      faults.map((fault) => `\t* ${fault}\n`).join("")
    }\n`
  )
