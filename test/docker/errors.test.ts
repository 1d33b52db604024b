/** What an engine's answers mean: the table of statuses and messages, and failed connections. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { Reason, type ReasonTag } from "kubelayer/Reason"
import { connectionFailure, isPortTaken, oneLine, reasonOf, rules } from "../../src/docker/Errors.ts"

/** Messages as engines give them (20.10 to 29, and Podman), and the reason that each has to become. */
const measured: ReadonlyArray<readonly [status: number, message: string, reason: ReasonTag]> = [
  [400, "invalid reference format", "InvalidInput"],
  [400, "client version 1.99 is too new. Maximum supported API version is 1.41", "InvalidInput"],
  [400, "network kind is ambiguous (2 matches found on name)", "InvalidInput"],
  [401, "authorization denied by plugin", "Unauthorized"],
  [403, "error while removing network: network kind id 0b1 has active endpoints", "InUse"],
  [403, "Pool overlaps with other one on this address space", "Conflict"],
  [403, "endpoint with name dev-worker already exists in network kind", "Conflict"],
  [403, "Forbidden", "Unauthorized"],
  [404, "No such container: dev-worker", "NotFoundError"],
  [404, "No such image: kindest/node:v9", "NotFoundError"],
  [405, "Method Not Allowed", "UnsupportedError"],
  [406, "Not Acceptable", "InvalidInput"],
  [408, "Request Timeout", "Transport"],
  [409, "removal of container dev-worker is already in progress", "Locked"],
  [
    409,
    "Conflict. The container name \"/dev-worker\" is already in use by container \"4fe\". You have to remove (or rename) that container to be able to reuse that name.",
    "NameTaken"
  ],
  [409, "network with name kind already exists", "NameTaken"],
  [409, "remove dev-data: volume is in use - [4fe]", "InUse"],
  [409, "volume dev-data is being used by the following container(s): 4fe", "InUse"],
  [409, "cannot start a paused container, try unpause instead", "Conflict"],
  [409, "You cannot remove a running container 4fe. Stop the container before attempting removal", "Conflict"],
  [413, "Request Entity Too Large", "InvalidInput"],
  [429, "Too Many Requests", "RateLimited"],
  [
    500,
    "driver failed programming external connectivity on endpoint dev-worker (0b1): Bind for 0.0.0.0:6443 failed: port is already allocated",
    "InUse"
  ],
  [
    500,
    "driver failed programming external connectivity: Error starting userland proxy: listen tcp4 0.0.0.0:6443: bind: address already in use",
    "InUse"
  ],
  [500, "Ports are not available: exposing port TCP 127.0.0.1:6443 -> 127.0.0.1:0: listen tcp", "InUse"],
  [
    500,
    "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"nope\": executable file not found in $PATH: unknown",
    "InvalidInput"
  ],
  [500, "could not find an available, non-overlapping IPv4 address pool among the defaults", "Conflict"],
  [500, "driver \"overlay2\" failed to remove root filesystem: device or resource busy", "ServerFault"],
  [500, "", "ServerFault"],
  [501, "Not Implemented", "UnsupportedError"],
  [502, "Bad Gateway", "ServerFault"],
  [503, "This node is not a swarm manager", "ServerFault"],
  [504, "Gateway Timeout", "ServerFault"],
  [418, "I'm a teapot", "UnknownError"],
  [302, "Found", "UnknownError"]
]

/** The statuses that have a meaning whatever the message says; every other below 500 is unknown. */
const plain: Readonly<Record<number, ReasonTag>> = {
  400: "InvalidInput",
  401: "Unauthorized",
  403: "Unauthorized",
  404: "NotFoundError",
  405: "UnsupportedError",
  406: "InvalidInput",
  408: "Transport",
  409: "Conflict",
  413: "InvalidInput",
  429: "RateLimited",
  501: "UnsupportedError"
}

describe("reasonOf", () => {
  for (const [status, message, reason] of measured) {
    it(`${status} ${message.slice(0, 60)}: ${reason}`, () => {
      const found = reasonOf({ status, message })
      assert.strictEqual(found._tag, reason)
      assert.strictEqual(found.status, status)
    })
  }

  it("each status from 300 to 599 has exactly one reason, which keeps the status and says something", () => {
    for (let status = 300; status < 600; status++) {
      const reason = reasonOf({ status, message: "" })
      assert.strictEqual(reason._tag, plain[status] ?? (status >= 500 ? "ServerFault" : "UnknownError"), `${status}`)
      assert.strictEqual(reason.status, status)
      assert.strictEqual(reason.detail, `status ${status}`)
      assert.include(reason.message, String(status))
    }
  })

  it("every rule of the table is the one that decides some measured answer", () => {
    const deciding = new Set(measured.map(([status, message]) =>
      rules.findIndex((rule) => {
        const [from, to] = typeof rule.status === "number" ? [rule.status, rule.status] : rule.status
        return status >= from && status <= to && (rule.fragment?.test(message) ?? true)
      })
    ))
    assert.deepStrictEqual(rules.flatMap((rule, index) => deciding.has(index) ? [] : [rule]), [])
  })

  it("every reason can be written as JSON and read again", () => {
    const codec = Schema.toCodecJson(Reason)
    for (const [status, message] of measured) {
      const reason = reasonOf({ status, message, retryAfterMillis: 1500 })
      const again = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(reason))))
      assert.deepStrictEqual([again._tag, again.message], [reason._tag, reason.message])
    }
  })

  it("the time that is asked for is kept where waiting helps", () => {
    for (const status of [429, 503]) {
      const { retryAfter } = reasonOf({ status, message: "", retryAfterMillis: 1500 })
      assert.deepStrictEqual(retryAfter, Duration.millis(1500))
    }
    assert.isUndefined(reasonOf({ status: 429, message: "" }).retryAfter)
  })

  it("only what can pass by itself is tried again", () => {
    const tried = (status: number, message: string) => reasonOf({ status, message }).isRetryable
    assert.isTrue(tried(500, "boltdb: timeout"))
    assert.isTrue(tried(429, ""))
    assert.isFalse(tried(500, "Bind for 0.0.0.0:6443 failed: port is already allocated"))
    assert.isFalse(tried(404, "No such container: x"))
    assert.isFalse(tried(400, "invalid reference format"))
  })

  it("a port that is taken is told from other things that are in use", () => {
    const taken = (status: number, message: string) => isPortTaken(reasonOf({ status, message }))
    assert.isTrue(taken(500, "Bind for 0.0.0.0:6443 failed: port is already allocated"))
    assert.isTrue(taken(500, "listen tcp4 0.0.0.0:6443: bind: address already in use"))
    assert.isFalse(taken(409, "remove dev-data: volume is in use - [4fe]"))
    assert.isFalse(taken(400, "port is already allocated"))
  })
})

describe("oneLine", () => {
  it("a proxy's page becomes one line of bounded length", () => {
    const page = `<html>\r\n<head>\t<title>502</title></head>\n${"<p>Bad Gateway</p>\n".repeat(1000)}`
    const line = oneLine(page)
    assert.match(line, /^<html> <head> <title>502<\/title><\/head> <p>Bad Gateway<\/p>/)
    assert.isAtMost(line.length, 301)
    assert.notMatch(line, /[\r\n\t]/)
    assert.isAtMost(reasonOf({ status: 502, message: page }).message.length, 500)
  })

  it("credentials in URLs are left out, the rest stays", () => {
    const of = (text: string) => reasonOf({ status: 500, message: text }).detail
    assert.strictEqual(
      of("Get \"https://me:hunter2@registry.example/v2/\": proxyconnect tcp: dial tcp: lookup proxy"),
      "Get \"https://registry.example/v2/\": proxyconnect tcp: dial tcp: lookup proxy"
    )
    assert.strictEqual(of("http://me:p@hunter2@proxy:3128 and //x:hunter2@y"), "http://proxy:3128 and //y")
    assert.strictEqual(of("pull registry.example/node@sha256:4fe"), "pull registry.example/node@sha256:4fe")
    const late = of(`${"x".repeat(290)} https://me:hunter2@registry.example`)
    assert.notInclude(late, "hunter")
  })
})

describe("connectionFailure", () => {
  const failed = (code: string) => connectionFailure(Object.assign(new Error(`connect ${code}`), { code }))

  it("what was there and was cut is a Transport, with its code", () => {
    for (const code of ["ECONNRESET", "EPIPE", "ECONNABORTED", "ABORT_ERR", "HPE_INVALID_CONSTANT"]) {
      const meaning = failed(code)
      assert.strictEqual(meaning._tag, "Cut")
      if (meaning._tag === "Cut") {
        assert.deepStrictEqual([meaning.reason._tag, meaning.reason.code], ["Transport", code])
      }
    }
  })

  it("everything else means that no connection could be made, and names what happened", () => {
    for (const code of ["ENOENT", "ECONNREFUSED", "EACCES", "ENOTFOUND", "EHOSTUNREACH", "ETIMEDOUT", "ENETDOWN"]) {
      const meaning = failed(code)
      assert.strictEqual(meaning._tag, "NoConnection")
      if (meaning._tag === "NoConnection" && code !== "ENOENT") assert.include(meaning.detail, code)
    }
  })

  it("a certificate that is refused leads to the TLS material, not to the start of an engine", () => {
    for (const code of ["DEPTH_ZERO_SELF_SIGNED_CERT", "ERR_TLS_CERT_ALTNAME_INVALID", "EPROTO", "CERT_HAS_EXPIRED"]) {
      const meaning = failed(code)
      assert.include(meaning._tag === "NoConnection" ? meaning.advice : "", "TLS material")
    }
  })

  it("what is no error at all is told too", () => {
    for (const thrown of [undefined, null, "boom", 7, { code: 7 }, {}]) {
      assert.strictEqual(connectionFailure(thrown)._tag, "NoConnection")
    }
  })
})
