/** Reasons for Omni's gRPC codes and messages, and for failed connections. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { Reason, type ReasonTag } from "kubelayer/Reason"
import { codes, connectionFailure, oneLine, reasonOf, type Role, rules } from "../../src/omni/Errors.ts"

const cluster = "resource Clusters.omni.sidero.dev(default/dev@undefined)"

/** Messages as servers and grpc-js give them, and the reason that each has to become. */
const measured: ReadonlyArray<readonly [code: keyof typeof codes, message: string, role: Role, reason: ReasonTag]> = [
  ["CANCELLED", "context canceled", "Reader", "Transport"],
  ["UNKNOWN", `failed to teardown: ${cluster} is not in phase running`, "Operator", "Conflict"],
  ["UNKNOWN", `failed to get cluster UUID: ${cluster} doesn't exist`, "Operator", "NotFoundError"],
  ["UNKNOWN", "Received HTTP status code 302", "Reader", "InvalidResponse"],
  ["UNKNOWN", "error parsing version", "Operator", "InvalidInput"],
  ["UNKNOWN", "failed to watchKind: operation tailEvents is not supported", "Reader", "UnsupportedError"],
  ["UNKNOWN", "", "Operator", "UnknownError"],
  [
    "INVALID_ARGUMENT",
    "failed to validate: 1 error occurred:\n\t* the cluster \"dev\" is tearing down\n\n",
    "Operator",
    "Conflict"
  ],
  [
    "INVALID_ARGUMENT",
    "failed to validate: 1 error occurred:\n\t* can not delete the machine class as it is still in use\n\n",
    "Operator",
    "InUse"
  ],
  [
    "DEADLINE_EXCEEDED",
    "etcd write throttled out after 0.000s: rate: Wait(n=1059) would exceed context deadline",
    "Operator",
    "RateLimited"
  ],
  [
    "FAILED_PRECONDITION",
    "machine is not managed by a static infra provider, power on the machine manually",
    "Operator",
    "UnsupportedError"
  ],
  ["INVALID_ARGUMENT", `failed to update: ${cluster} is not in phase running`, "Operator", "Conflict"],
  [
    "INVALID_ARGUMENT",
    "failed to validate: 1 error occurred:\n\t* the cluster is locked, updates and deletion are not allowed\n\n",
    "Operator",
    "Protected"
  ],
  [
    "INVALID_ARGUMENT",
    "failed to validate: 1 error occurred:\n\t* invalid talos version 9.9.9\n\n",
    "Operator",
    "InvalidInput"
  ],
  ["INVALID_ARGUMENT", "service account user name is not set", "Operator", "InvalidInput"],
  [
    "DEADLINE_EXCEEDED",
    "failed to create: etcd write throttled out after 1s: would exceed context deadline",
    "Operator",
    "RateLimited"
  ],
  ["DEADLINE_EXCEEDED", "context deadline exceeded", "Reader", "RequestTimeout"],
  ["NOT_FOUND", `${cluster} doesn't exist`, "Reader", "NotFoundError"],
  ["ALREADY_EXISTS", `${cluster} already exists`, "Operator", "NameTaken"],
  ["PERMISSION_DENIED", "Received HTTP status code 403", "Operator", "InvalidResponse"],
  ["PERMISSION_DENIED", "failed to validate: no access is permitted", "Reader", "UnsupportedError"],
  ["PERMISSION_DENIED", "failed to validate: only read access is permitted", "Operator", "UnsupportedError"],
  ["PERMISSION_DENIED", `${cluster} is owned by "ClusterController"`, "Operator", "Protected"],
  ["PERMISSION_DENIED", "insufficient role: \"Reader\"", "Operator", "ReadOnlyCredential"],
  ["PERMISSION_DENIED", "insufficient role: \"None\"", "Reader", "Unauthorized"],
  ["RESOURCE_EXHAUSTED", "Received message larger than max (33554433 vs 33554432)", "Reader", "InvalidResponse"],
  ["RESOURCE_EXHAUSTED", "Received message larger than max (1752460652 vs 33554432)", "Reader", "InvalidResponse"],
  ["RESOURCE_EXHAUSTED", "too many requests", "Reader", "RateLimited"],
  ["FAILED_PRECONDITION", "EULA has not been accepted; accept it in the UI", "Reader", "Protected"],
  ["FAILED_PRECONDITION", `${cluster} has pending finalizers [ClusterController]`, "Operator", "InUse"],
  [
    "FAILED_PRECONDITION",
    "failed to update: update conflict: expected version '\u0001', actual version '\u0002'",
    "Operator",
    "Conflict"
  ],
  ["FAILED_PRECONDITION", "invalid watch bookmark", "Reader", "Conflict"],
  ["ABORTED", "aborted", "Operator", "Conflict"],
  ["OUT_OF_RANGE", "out of range", "Reader", "InvalidInput"],
  ["UNIMPLEMENTED", "unknown service cosi.resource.State", "Reader", "InvalidResponse"],
  ["UNIMPLEMENTED", "Received HTTP status code 404", "Reader", "InvalidResponse"],
  ["UNIMPLEMENTED", "unknown method Teardown for service cosi.resource.State", "Operator", "UnsupportedError"],
  [
    "INTERNAL",
    "Received RST_STREAM with code 0 (Call ended without gRPC status)",
    "Reader",
    "Transport"
  ],
  ["INTERNAL", "Response message parsing error: premature EOF", "Reader", "InvalidResponse"],
  ["INTERNAL", "Received HTTP status code 400", "Reader", "InvalidResponse"],
  ["INTERNAL", "runtime error: invalid memory address or nil pointer dereference", "Operator", "ServerFault"],
  ["UNAVAILABLE", "Connection dropped", "Reader", "Transport"],
  ["UNAVAILABLE", "Received HTTP status code 429", "Reader", "RateLimited"],
  ["UNAVAILABLE", "Received HTTP status code 502", "Reader", "ServerFault"],
  ["DATA_LOSS", "data loss", "Reader", "ServerFault"],
  ["UNAUTHENTICATED", "Received HTTP status code 401", "Reader", "InvalidResponse"],
  ["UNAUTHENTICATED", "invalid signature", "Reader", "Unauthorized"]
]

describe("reasonOf", () => {
  for (const [code, message, role, tag] of measured) {
    it(`${code} ${oneLine(message).slice(0, 70)}: ${tag}`, () => {
      const reason = reasonOf({ code: codes[code], message, role })
      assert.strictEqual(reason._tag, tag)
      assert.deepStrictEqual([reason.status, reason.code], [codes[code], code])
    })
  }

  it("every code, also one that gRPC does not have, has exactly one reason, which keeps the code and says something", () => {
    for (let code = 1; code <= 20; code++) {
      for (const role of ["Reader", "Operator", "Admin"] as const) {
        const reason = reasonOf({ code, message: "", role })
        assert.strictEqual(reason.status, code)
        assert.isAbove(reason.detail.length, 10)
        if (code > 16) assert.strictEqual(reason._tag, "UnknownError")
        else if (code !== codes.UNKNOWN) assert.notStrictEqual(reason._tag, "UnknownError")
      }
    }
  })

  it("every rule of the table is the one that decides some measured answer", () => {
    const deciding = new Set(
      measured.map(([code, message, role]) =>
        rules.findIndex((rule) =>
          rule.code === codes[code] && (rule.fragment?.test(message) ?? true) &&
          (rule.writes === undefined || rule.writes === (role !== "Reader"))
        )
      )
    )
    assert.deepStrictEqual(rules.flatMap((rule, index) => deciding.has(index) ? [] : [rule]), [])
  })

  it("every reason can be written as JSON and read again", () => {
    const codec = Schema.toCodecJson(Reason)
    for (const [code, message, role] of measured) {
      const reason = reasonOf({ code: codes[code], message, role, skewMillis: 1000 })
      const again = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(reason))))
      assert.deepStrictEqual([again._tag, again.message], [reason._tag, reason.message])
    }
  })

  it("write throttling is RateLimited: the write did not happen, and may be sent again (O26)", () => {
    const message = "etcd write throttled out after 0.000s: rate: Wait(n=1059) would exceed context deadline"
    const reason = reasonOf({ code: codes.DEADLINE_EXCEEDED, message, role: "Operator" })
    assert.deepStrictEqual([reason._tag, reason.isRetryable], ["RateLimited", true])
  })

  it("a role that is too low is reported with the required role", () => {
    const { detail } = reasonOf({ code: codes.PERMISSION_DENIED, message: "insufficient role", role: "Operator" })
    assert.include(detail, "needs the role Operator")
  })

  it("a refused signature names both its causes, and the clocks' difference where it is known", () => {
    const told = (skewMillis?: number) =>
      reasonOf({
        code: codes.UNAUTHENTICATED,
        message: "invalid signature",
        role: "Reader",
        ...(skewMillis === undefined ? {} : { skewMillis })
      }).detail
    assert.match(told(), /key is unknown there.*clock is more than 5 minutes off/)
    assert.match(told(600_000), /key is unknown there.*server's is 600 seconds ahead/)
    assert.match(told(-600_000), /600 seconds behind/)
    assert.match(told(1000), /it is not the clock \(the server's differs by 1 seconds\)/)
  })

  it("only temporary failures are retryable", () => {
    const tried = (code: keyof typeof codes, message: string) =>
      reasonOf({ code: codes[code], message, role: "Operator" }).isRetryable
    assert.isTrue(tried("UNAVAILABLE", "Connection dropped"))
    assert.isTrue(tried("INTERNAL", "Received RST_STREAM with code 0"))
    assert.isTrue(tried("FAILED_PRECONDITION", "update conflict"))
    assert.isFalse(tried("FAILED_PRECONDITION", "has pending finalizers"))
    assert.isFalse(tried("UNAUTHENTICATED", "invalid signature"))
    assert.isFalse(tried("INVALID_ARGUMENT", "failed to validate: x"))
    assert.isFalse(tried("ALREADY_EXISTS", ""))
  })
})

describe("oneLine", () => {
  it("takes the wrapping off a validation, and joins its items", () => {
    assert.strictEqual(
      oneLine(
        "failed to validate: 2 errors occurred:\n\t* rpc error: code = PermissionDenied desc = no\n\t* bad \u0001 name\n\n"
      ),
      "failed to validate: no; bad ? name"
    )
  })

  it("bounds a page, and leaves out the credentials of URLs", () => {
    assert.isAtMost(oneLine("<p>Bad Gateway</p>\n".repeat(1000)).length, 301)
    assert.strictEqual(oneLine("Get \"https://me:hunter2@omni.example/\""), "Get \"https://omni.example/\"")
  })
})

describe("connectionFailure", () => {
  const of = (cause: string) => connectionFailure(codes.UNAVAILABLE, `No connection established. Last error: ${cause}`)

  it("names what happened, and leads to the right place", () => {
    assert.include(of("Error: connect ECONNREFUSED 127.0.0.1:1")?.detail, "nothing listens there")
    assert.include(of("self-signed certificate")?.detail, "certificate is not trusted")
    assert.include(of("self-signed certificate")?.advice, "`ca`")
    assert.include(of("EPROTO wrong version number")?.advice, "http://")
    assert.include(of("Protocol error")?.detail, "does not speak HTTP/2")
    assert.include(
      connectionFailure(codes.UNAVAILABLE, "Name resolution failed for target dns:omni.invalid:443")?.detail,
      "host name is not known"
    )
  })

  it("is not what a cut, or another code, means", () => {
    assert.isUndefined(connectionFailure(codes.UNAVAILABLE, "Connection dropped"))
    assert.isUndefined(connectionFailure(codes.UNKNOWN, "No connection established. Last error: x"))
  })
})
