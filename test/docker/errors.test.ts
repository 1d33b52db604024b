/** Maps an engine's responses to reasons: the table of statuses and messages, and failed connections. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { Reason, type ReasonTag } from "kubelayer/Reason"
import {
  connectionFailure,
  isPortTaken,
  oneLine,
  pullReasonOf,
  pullRules,
  reasonOf,
  type Refusal,
  rules
} from "../../src/docker/Errors.ts"

/** A refusal as an engine sends it: JSON with a message. */
const refused = (status: number, message: string, more: Partial<Refusal> = {}) =>
  reasonOf({ status, text: JSON.stringify({ message }), ...more })

/** Messages as engines give them (20.10 to 29, and Podman), and the reason that each has to become. */
const measured: ReadonlyArray<readonly [status: number, message: string, reason: ReasonTag]> = [
  [400, "invalid reference format", "InvalidInput"],
  [400, "client version 1.99 is too new. Maximum supported API version is 1.41", "InvalidInput"],
  [400, "network kind is ambiguous (2 matches found on name)", "InvalidInput"],
  [401, "authorization denied by plugin", "Unauthorized"],
  [403, "error while removing network: network kind id 0b1 has active endpoints", "InUse"],
  [403, "Pool overlaps with other one on this address space", "Conflict"],
  [403, "endpoint with name dev-worker already exists in network kind", "InUse"],
  [403, "authorization denied by plugin opa: request rejected", "Unauthorized"],
  [403, "Address already in use", "InUse"],
  [403, "network data already exists in this scope", "Conflict"],
  [403, "container cannot be disconnected from host network", "InvalidInput"],
  [404, "No such container: dev-worker", "NotFoundError"],
  [404, "No such image: kindest/node:v9", "NotFoundError"],
  [404, "network 4fe not found", "NotFoundError"],
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
  [500, "could not find an available, non-overlapping IPv4 address pool among the defaults", "QuotaExceeded"],
  [404, "could not find an available, non-overlapping IPv4 address pool among the defaults", "QuotaExceeded"],
  [400, "all predefined address pools have been fully subnetted", "QuotaExceeded"],
  [500, "no available IPv4 addresses on this network's address pools: tiny (4fe)", "QuotaExceeded"],
  [500, "write /var/lib/docker/tmp/x: no space left on device", "QuotaExceeded"],
  [500, "driver \"overlay2\" failed to remove root filesystem: unlinkat /var: operation not permitted", "ServerFault"],
  [404, "plugin \"weave\" not found", "InvalidInput"],
  [404, "page not found", "UnsupportedError"],
  [403, "bridge is a pre-defined network and cannot be removed", "UnsupportedError"],
  [500, "container 4fe is not connected to network kind", "NotFoundError"],
  [500, "subnet 10.89.0.0/24 is already used on the host or by another config", "Conflict"],
  [500, "IPAM error: requested ip address 10.89.0.3 is already allocated to container ID 4fe", "InUse"],
  [500, "container create: unable to find network with name or ID data: network not found", "NotFoundError"],
  [500, "can only create exec sessions on running containers: container state improper", "Conflict"],
  [500, "running container create option: names must match x: invalid argument", "InvalidInput"],
  [500, "failed to parse subnet: invalid CIDR address: nonsense", "InvalidInput"],
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
  403: "InvalidInput",
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
      const found = refused(status, message)
      assert.strictEqual(found._tag, reason)
      assert.strictEqual(found.status, status)
    })
  }

  it("each status from 300 to 599 has exactly one reason, which keeps the status and says something", () => {
    for (let status = 300; status < 600; status++) {
      const reason = refused(status, "")
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
      const reason = refused(status, message, { retryAfterMillis: 1500 })
      const again = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(reason))))
      assert.deepStrictEqual([again._tag, again.message], [reason._tag, reason.message])
    }
  })

  it("a 429 or 503 keeps the time of its Retry-After header", () => {
    for (const status of [429, 503]) {
      const { retryAfter } = refused(status, "", { retryAfterMillis: 1500 })
      assert.deepStrictEqual(retryAfter, Duration.millis(1500))
    }
    assert.isUndefined(refused(429, "").retryAfter)
  })

  it("only temporary errors are retryable", () => {
    const tried = (status: number, message: string) => refused(status, message).isRetryable
    assert.isTrue(tried(500, "boltdb: timeout"))
    assert.isTrue(tried(429, ""))
    assert.isFalse(tried(500, "Bind for 0.0.0.0:6443 failed: port is already allocated"))
    assert.isFalse(tried(404, "No such container: x"))
    assert.isFalse(tried(400, "invalid reference format"))
  })

  it("isPortTaken is true for a port in use, and false for other things in use", () => {
    const taken = (status: number, message: string) => isPortTaken(refused(status, message))
    assert.isTrue(taken(500, "Bind for 0.0.0.0:6443 failed: port is already allocated"))
    assert.isTrue(taken(500, "listen tcp4 0.0.0.0:6443: bind: address already in use"))
    assert.isFalse(taken(409, "remove dev-data: volume is in use - [4fe]"))
    assert.isFalse(taken(400, "port is already allocated"))
    assert.isFalse(taken(403, "failed to set up container networking: Address already in use"))
  })
})

describe("oneLine", () => {
  it("a text becomes one line of bounded length", () => {
    const line = oneLine("a\r\n\tb ".repeat(1000))
    assert.match(line, /^a b a b/)
    assert.isAtMost(line.length, 301)
  })

  it("credentials in URLs are left out, the rest stays", () => {
    const of = (text: string) => refused(500, text).detail
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

describe("replies that are not from an engine", () => {
  const page = (title: string) =>
    `<html>\n<body><h1>${title}</h1>\nRequest forbidden by administrative rules.\n</body></html>\n`

  it("a write that a filtering proxy refuses is ReadOnlyCredential, in one sentence without HTML (D9)", () => {
    const reason = reasonOf({ status: 403, text: page("403 Forbidden"), method: "POST" })
    assert.strictEqual(reason._tag, "ReadOnlyCredential")
    assert.notMatch(reason.message, /[<>]/)
    assert.include(reason.message, "403 Forbidden")
    assert.include(reason.advice, "proxy")
    assert.strictEqual(reasonOf({ status: 403, text: "Forbidden", method: "DELETE" })._tag, "ReadOnlyCredential")
  })

  it("a read that a filtering proxy refuses is UnsupportedError", () => {
    assert.strictEqual(reasonOf({ status: 403, text: page("403 Forbidden"), method: "GET" })._tag, "UnsupportedError")
  })

  it("a page is never shown as HTML, and its status decides the reason (D9)", () => {
    const pages: Readonly<Record<number, ReasonTag>> = {
      400: "InvalidResponse",
      401: "Unauthorized",
      // A page does not say that a container is gone.
      404: "InvalidResponse",
      429: "RateLimited",
      502: "ServerFault",
      503: "ServerFault"
    }
    for (const [status, tag] of Object.entries(pages)) {
      for (const text of [page("Oh no"), `<!DOCTYPE html><html><head><title>Oh no</title></head></html>`, "<html>"]) {
        const reason = reasonOf({ status: Number(status), text, method: "DELETE" })
        assert.strictEqual(reason._tag, tag)
        assert.notMatch(reason.message, /[<>]/)
        assert.isAtMost(reason.message.length, 400)
      }
    }
  })
})

describe("pullReasonOf", () => {
  const pulls: ReadonlyArray<readonly [status: number, message: string, reason: ReasonTag, hint: RegExp]> = [
    [
      404,
      "pull access denied for private/node, repository does not exist or may require 'docker login': denied",
      "Unauthorized",
      /docker login/
    ],
    [500, "Head \"https://r.example/v2/node/manifests/1\": no basic auth credentials", "Unauthorized", /docker login/],
    [500, "unauthorized: authentication required", "Unauthorized", /docker login/],
    [200, "no basic auth credentials", "Unauthorized", /docker login/],
    [200, "no matching manifest for linux/arm64/v8 in the manifest list entries", "UnsupportedError", /platform/],
    [200, "write /var/lib/docker/tmp/GetImageBlob1: no space left on device", "QuotaExceeded", /disk/],
    [200, "toomanyrequests: You have reached your pull rate limit.", "RateLimited", /./],
    [200, "manifest for node:9 not found: manifest unknown: manifest unknown", "NotFoundError", /tag/],
    [
      500,
      "Get \"https://r.example/v2/\": dial tcp 127.0.0.1:9: connect: connection refused",
      "ServerFault",
      /registry/
    ],
    [400, "invalid reference format", "InvalidInput", /./]
  ]
  for (const [status, message, tag, hint] of pulls) {
    it(`${status} ${message.slice(0, 50)}: ${tag} (D17)`, () => {
      const reason = pullReasonOf({ status, text: status === 200 ? message : JSON.stringify({ message }) })
      assert.strictEqual(reason._tag, tag)
      assert.match(reason.advice, hint)
    })
  }

  it("every rule decides one of these", () => {
    const deciding = new Set(pulls.map(([, message]) => pullRules.find(({ fragment }) => fragment.test(message))))
    assert.deepStrictEqual(pullRules.filter((rule) => !deciding.has(rule)), [])
  })

  it("a no-platform error names the platform (D17)", () => {
    const text = "no matching manifest for linux/arm64/v8 in the manifest list entries"
    assert.include(pullReasonOf({ status: 200, text }).message, "linux/arm64/v8")
  })
})

describe("connectionFailure", () => {
  const failed = (code: string) => connectionFailure(Object.assign(new Error(`connect ${code}`), { code }))

  it("a cut connection is a Transport with its code", () => {
    for (const code of ["ECONNRESET", "EPIPE", "ECONNABORTED", "ABORT_ERR", "HPE_INVALID_CONSTANT"]) {
      const meaning = failed(code)
      assert.strictEqual(meaning._tag, "Cut")
      if (meaning._tag === "Cut") {
        assert.deepStrictEqual([meaning.reason._tag, meaning.reason.code], ["Transport", code])
      }
    }
  })

  it("every other error means that no connection was established, and its detail has the code", () => {
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

  it("a thrown value that is not an error is reported as no connection", () => {
    for (const thrown of [undefined, null, "boom", 7, { code: 7 }, {}]) {
      assert.strictEqual(connectionFailure(thrown)._tag, "NoConnection")
    }
  })
})
