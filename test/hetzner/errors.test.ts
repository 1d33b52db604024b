/** Each error code and each status of the API has exactly one reason. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { Reason, type ReasonTag } from "kubelayer/Reason"
import { HetznerFake } from "kubelayer/testing"
import { readFileSync } from "node:fs"
import { type Answer, codes, connectionFailure, reasonOf as reasonWith } from "../../src/hetzner/Errors.ts"
import { documentPath } from "./fake/contract.ts"

/** Nothing of these answers is secret. */
const reasonOf = (answer: Answer) => reasonWith(answer, String)

/** The general codes of the API's reference with their statuses, and the reason that each has to become. */
const reference: ReadonlyArray<readonly [status: number, code: string, reason: ReasonTag]> = [
  [400, "json_error", "InvalidInput"],
  [401, "unauthorized", "Unauthorized"],
  [401, "token_readonly", "ReadOnlyCredential"],
  [403, "forbidden", "ReadOnlyCredential"],
  [403, "maintenance", "ServerFault"],
  [403, "resource_limit_exceeded", "QuotaExceeded"],
  [404, "not_found", "NotFoundError"],
  [405, "method_not_allowed", "UnsupportedError"],
  [409, "uniqueness_error", "NameTaken"],
  [409, "conflict", "Conflict"],
  [410, "deprecated_api_endpoint", "UnsupportedError"],
  [412, "resource_unavailable", "CapacityUnavailable"],
  [422, "invalid_input", "InvalidInput"],
  [422, "service_error", "ServerFault"],
  [422, "unsupported_error", "UnsupportedError"],
  [422, "placement_error", "PlacementFailed"],
  [422, "resource_in_use", "InUse"],
  [422, "must_be_unassigned", "InUse"],
  [422, "no_space_left_in_location", "CapacityUnavailable"],
  [423, "locked", "Locked"],
  [423, "protected", "Protected"],
  [429, "rate_limit_exceeded", "RateLimited"],
  [500, "server_error", "ServerFault"],
  [502, "bad_gateway", "ServerFault"],
  [503, "unavailable", "ServerFault"],
  [504, "timeout", "ServerFault"]
]

/** Statuses without a code beside them, as proxies answer; every other below 500 is unknown. */
const bare: Readonly<Record<number, ReasonTag>> = {
  400: "InvalidInput",
  401: "Unauthorized",
  403: "ReadOnlyCredential",
  404: "NotFoundError",
  405: "UnsupportedError",
  408: "Transport",
  409: "Conflict",
  410: "UnsupportedError",
  412: "CapacityUnavailable",
  413: "InvalidInput",
  415: "InvalidInput",
  423: "Locked",
  429: "RateLimited"
}

describe("a general code", () => {
  const cases: ReadonlyArray<readonly [code: string, message: string, reason: ReasonTag]> = [
    ["unknown_error", "server is locked", "Locked"],
    ["unknown_error", "Server is Locked (42)", "Locked"],
    ["unknown_error", "unlocked too late", "UnknownError"],
    ["unknown_error", "firewall is still in use", "InUse"],
    ["service_error", "cannot remove subnet because servers are attached to it", "InUse"],
    ["service_error", "the service failed", "ServerFault"],
    ["invalid_input", "server is locked", "InvalidInput"]
  ]
  for (const [code, message, reason] of cases) {
    it(`${code} with the message "${message}" is ${reason} (H15)`, () => {
      assert.strictEqual(reasonOf({ code, message })._tag, reason)
    })
  }
})

describe("reasonOf", () => {
  for (const [status, code, tag] of reference) {
    it(`${status} ${code}: ${tag}`, () => {
      const reason = reasonOf({ status, code, message: "as the API says it", correlationId: "8af3" })
      assert.strictEqual(reason._tag, tag)
      assert.deepInclude(reason, { status, code, correlationId: "8af3", detail: "as the API says it" })
    })
  }

  it("each code that the fake can answer has a reason of its own in the table", () => {
    assert.deepStrictEqual(Object.keys(HetznerFake.statusOfCode).filter((code) => !Object.hasOwn(codes, code)), [])
  })

  it.skipIf(documentPath === undefined)("each code of Hetzner's own document is in the table", () => {
    const text = readFileSync(documentPath ?? "", "utf8")
    const named = [...text.matchAll(/\|\s*`([a-z][a-z0-9_]+)`\s*\|/g)].map(([, code]) => code ?? "")
    assert.isAbove(new Set(named).size, 20)
    assert.deepStrictEqual(named.filter((code) => !Object.hasOwn(codes, code)), [])
  })

  it("each status without a code has exactly one reason, which keeps the status and says something", () => {
    for (let status = 300; status < 600; status++) {
      const reason = reasonOf({ status, message: "" })
      assert.strictEqual(reason._tag, bare[status] ?? (status >= 500 ? "ServerFault" : "UnknownError"), `${status}`)
      assert.strictEqual(reason.status, status)
      assert.strictEqual(reason.detail, `status ${status}`)
    }
  })

  it("a code that nobody knows yet is UnknownError, unless the status says that it is the API that failed", () => {
    assert.strictEqual(reasonOf({ status: 422, code: "quantum_error", message: "?" })._tag, "UnknownError")
    assert.strictEqual(reasonOf({ status: 422, code: "toString", message: "?" })._tag, "UnknownError")
    assert.strictEqual(reasonOf({ status: 503, code: "quantum_error", message: "?" })._tag, "ServerFault")
  })

  it("forbidden is about the token: it may not write, or not even read", () => {
    assert.strictEqual(
      reasonOf({ status: 403, code: "forbidden", message: "", isWrite: true })._tag,
      "ReadOnlyCredential"
    )
    assert.strictEqual(reasonOf({ status: 403, code: "forbidden", message: "", isWrite: false })._tag, "Unauthorized")
  })

  it("an action that ended in error has the reason of its code", () => {
    assert.strictEqual(reasonOf({ code: "locked", message: "" })._tag, "Locked")
    assert.strictEqual(reasonOf({ code: "action_failed", message: "" })._tag, "ServerFault")
    assert.strictEqual(reasonOf({ message: "it gave no reason" })._tag, "UnknownError")
  })

  it("every reason can be written as JSON and read again", () => {
    const codec = Schema.toCodecJson(Reason)
    for (const code of Object.keys(codes)) {
      const reason = reasonOf({ status: 422, code, message: "m", retryAfterMillis: 1500, correlationId: "8af3" })
      const again = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(reason))))
      assert.deepStrictEqual([again._tag, again.message], [reason._tag, reason.message])
    }
  })

  it("keeps how long to wait, and shortens what goes on and on", () => {
    const reason = reasonOf({ status: 429, message: "x ".repeat(1000), retryAfterMillis: 1500 })
    assert.deepStrictEqual(reason.retryAfter, Duration.millis(1500))
    assert.isBelow(reason.detail.length, 310)
  })
})

describe("connectionFailure", () => {
  it("knows what never became a connection from what was cut", () => {
    const refused = new TypeError("fetch failed", {
      cause: Object.assign(new AggregateError([]), {
        code: "ECONNREFUSED",
        errors: [new Error("connect ECONNREFUSED 127.0.0.1:1")]
      })
    })
    assert.isTrue(connectionFailure(undefined, refused).isUnconnected)
    const cut = new TypeError("fetch failed", {
      cause: Object.assign(new Error("other side closed"), { code: "UND_ERR_SOCKET" })
    })
    const found = connectionFailure(undefined, cut)
    assert.isFalse(found.isUnconnected)
    assert.strictEqual(found.code, "UND_ERR_SOCKET")
    assert.include(found.detail, "other side closed")
    assert.isFalse(connectionFailure(undefined, undefined).isUnconnected)
  })
})
