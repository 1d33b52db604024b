/** The rules of an endpoint, and the errors for servers that are not Omni or cannot be reached. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Omni from "kubelayer/layers/Omni"
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as http2 from "node:http2"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { accountKey, makeKeys } from "./support/keys.ts"

const key = Effect.promise(async () => accountKey((await makeKeys()).privateKey))

const issues = (options: Partial<Omni.Options>) =>
  Effect.gen(function*() {
    const { issues } = yield* Effect.flip(
      Omni.make({ endpoint: "https://omni.example", serviceAccountKey: yield* key, ...options })
    )
    return issues.map(({ message, path }) => `${path} ${message}`).join("\n")
  })

/** A server on loopback, and the error of a list over it. */
const against = (
  server: net.Server | http2.Http2Server | http2.Http2SecureServer,
  options: Partial<Omni.Options> = {}
) =>
  Effect.gen(function*() {
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () => Effect.sync(() => server.close())
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const omni = yield* Omni.make({
      endpoint: `http://127.0.0.1:${port}`,
      serviceAccountKey: yield* key,
      policy: { requestTimeout: "3 seconds", readTimeout: "100 millis" },
      ...options,
      ...(options.endpoint === undefined ? {} : { endpoint: `${options.endpoint}:${port}` })
    })
    const error = yield* Effect.flip(omni.provider.listNodes("dev"))
    assert.isFalse(yield* omni.provider.isAvailable)
    const unavailable = yield* Effect.flip(omni.provider.checkAvailable)
    assert.include(unavailable.address, String(port))
    const watched = yield* Effect.flip(Stream.runHead(omni.provider.watchCluster("dev")))
    return { error, tags: [error._tag, watched._tag] }
  })

const page = (status: number) =>
  http2.createServer((_, response) => {
    response.writeHead(status, { "content-type": "text/html" })
    response.end("<html><body>Welcome</body></html>")
  })

describe("an endpoint", () => {
  it.effect("that cannot be one is refused, with what to give instead", () =>
    Effect.gen(function*() {
      assert.match(yield* issues({ endpoint: "" }), /OMNI_ENDPOINT/)
      assert.match(yield* issues({ endpoint: "omni.example" }), /https:\/\/omni\.example/)
      assert.match(yield* issues({ endpoint: "omni.example:443" }), /must begin with https/)
      assert.match(yield* issues({ endpoint: "grpc://omni.example" }), /must begin with https/)
      assert.match(yield* issues({ endpoint: "https://omni.example/clusters?a=b" }), /end with the host/)
      const credentials = yield* issues({ endpoint: "https://me:hunter2@omni.example" })
      assert.match(credentials, /must not contain credentials/)
      assert.notInclude(credentials, "hunter2")
    }))

  it.effect("without TLS is accepted on loopback and with `allowHttp`", () =>
    Effect.gen(function*() {
      assert.match(yield* issues({ endpoint: "http://omni.example" }), /protects nothing/)
      const serviceAccountKey = yield* key
      for (const endpoint of ["http://localhost:8080", "http://127.1.2.3", "http://[::1]:80"]) {
        yield* Omni.make({ endpoint, serviceAccountKey })
      }
      yield* Omni.make({ endpoint: "http://omni.example", serviceAccountKey, allowHttp: true })
    }))

  it.effect("is reported together with an invalid key and an invalid certificate authority", () =>
    Effect.gen(function*() {
      const told = yield* issues({ endpoint: "", serviceAccountKey: "", ca: "no certificate" })
      assert.match(told, /endpoint.*\nca.*\nserviceAccountKey .*OMNI_SERVICE_ACCOUNT_KEY/)
      assert.match(yield* issues({ endpoint: "x", serviceAccountKey: "?" }), /endpoint.*\nserviceAccountKey .*base64/)
    }))

  it.effect("and key come from the environment, and overrides win", () =>
    Effect.gen(function*() {
      const serviceAccountKey = yield* key
      const shown = (environment: Record<string, string>, overrides: Partial<Omni.Options> = {}) =>
        Omni.Omni.use(({ credential }) => Effect.succeed(credential.identity)).pipe(
          Effect.provide(Omni.layerConfig(overrides)),
          Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(environment))),
          Effect.match({ onFailure: (error) => error.message, onSuccess: (identity) => identity })
        )
      const both = { OMNI_ENDPOINT: "https://omni.example", OMNI_SERVICE_ACCOUNT_KEY: serviceAccountKey }
      assert.strictEqual(yield* shown(both), "automation")
      assert.match(yield* shown({}), /endpoint.*\n.*serviceAccountKey/)
      assert.match(yield* shown(both, { endpoint: "http://omni.example" }), /protects nothing/)
      assert.strictEqual(
        yield* shown({}, { endpoint: "https://omni.example", serviceAccountKey: Redacted.make(serviceAccountKey) }),
        "automation"
      )
    }))
})

describe("a server that is not Omni", () => {
  it.live("that speaks HTTP/1.1 or no HTTP is reported as ProviderUnavailable", () =>
    Effect.gen(function*() {
      const old = yield* against(http.createServer((_, response) => response.end("<html>")))
      assert.deepStrictEqual(old.tags, ["ProviderUnavailable", "ProviderUnavailable"])
      assert.include(old.error.message, "does not speak HTTP/2")
      const other = yield* against(net.createServer((socket) => {
        socket.on("error", () => {})
        socket.write("SSH-2.0-OpenSSH_9.6\r\n")
      }))
      assert.include(other.error.message, "does not speak HTTP/2")
    }))

  it.live("that answers with a page is reported as InvalidResponse for every status", () =>
    Effect.forEach([200, 302, 401, 403, 404], (status) =>
      Effect.gen(function*() {
        const { error, tags } = yield* against(page(status))
        assert.deepStrictEqual(tags, ["BackendError", "BackendError"])
        assert.include(error.message, "InvalidResponse: the server at this address is not Omni", String(status))
      })))

  it.live("a proxy that has lost its Omni is a fault of the server's", () =>
    Effect.gen(function*() {
      const { error } = yield* against(page(502))
      assert.include(error.message, "ServerFault")
    }))

  it.live("an address without a listener fails with ProviderUnavailable and advice", () =>
    Effect.gen(function*() {
      const omni = yield* Omni.make({ endpoint: "http://127.0.0.1:1", serviceAccountKey: yield* key })
      const error = yield* Effect.flip(omni.provider.getClusterStatus("dev"))
      assert.strictEqual(error._tag, "ProviderUnavailable")
      assert.include(error.message, "nothing listens there")
      assert.include(error.message, "OMNI_ENDPOINT")
    }))

  it.live("that accepts the connection and sends nothing fails by its deadline", () =>
    Effect.gen(function*() {
      const { error } = yield* against(net.createServer(() => {}), {
        policy: { requestTimeout: "200 millis", readTimeout: 0 }
      })
      assert.include(error.message, "RequestTimeout")
    }))
})

/** Warnings of Node since this file was loaded; Node prints each deprecation once. */
const warnings: Array<string> = []
process.on("warning", (warning: Error & { readonly code?: string }) => {
  warnings.push(warning.code ?? warning.name)
})

const openssl = spawnSync("openssl", ["version"]).status === 0

describe.skipIf(!openssl)("TLS", () => {
  const certificate = Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "kl-omni-tls-"))),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))
  ).pipe(Effect.map((folder) => {
    const files = ["-keyout", "key.pem", "-out", "cert.pem"]
    const names = ["-subj", "/CN=omni", "-addext", "subjectAltName=IP:127.0.0.1"]
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        ...files,
        ...names
      ],
      { cwd: folder, stdio: "pipe" }
    )
    const read = (file: string) => fs.readFileSync(path.join(folder, file), "utf8")
    return { cert: read("cert.pem"), key: read("key.pem") }
  }))

  it.live("of an untrusted authority is refused, and accepted when `ca` has the authority", () =>
    Effect.gen(function*() {
      const { cert, key: privateKey } = yield* certificate
      const secure = () =>
        http2.createSecureServer({ cert, key: privateKey }, (_, response) => {
          response.writeHead(404)
          response.end()
        })
      const refused = yield* against(secure(), { endpoint: "https://127.0.0.1" })
      assert.strictEqual(refused.error._tag, "ProviderUnavailable")
      assert.match(refused.error.message, /certificate is not trusted[^]*`ca`/)
      const taken = yield* against(secure(), { endpoint: "https://127.0.0.1", ca: cert })
      assert.include(taken.error.message, "404")
      const named = yield* against(secure(), { endpoint: "https://localhost", ca: cert })
      assert.include(named.error.message, "certificate is not trusted")
    }))

  it.live("an https endpoint of a server without TLS fails with its own message", () =>
    Effect.gen(function*() {
      const { error } = yield* against(page(200), { endpoint: "https://127.0.0.1" })
      assert.strictEqual(error._tag, "ProviderUnavailable")
      assert.include(error.message, "does not speak TLS")
    }))

  it.live("of a server at an IP address makes Node print no warning, and is verified (O28)", () =>
    Effect.gen(function*() {
      const { cert, key: privateKey } = yield* certificate
      const secure = http2.createSecureServer({ cert, key: privateKey }, (_, response) => response.end())
      yield* against(secure, { endpoint: "https://127.0.0.1", ca: cert })
      yield* Effect.sleep(0)
      assert.deepStrictEqual(warnings.filter((code) => code === "DEP0123"), [])
    }))

  it.live("an http endpoint of a server with TLS names the missing TLS as the cause (O28)", () =>
    Effect.gen(function*() {
      const { cert, key: privateKey } = yield* certificate
      const secure = http2.createSecureServer({ cert, key: privateKey }, (_, response) => response.end())
      const { error } = yield* against(secure, { endpoint: "http://127.0.0.1" })
      assert.strictEqual(error._tag, "ProviderUnavailable")
      assert.match(error.message, /without TLS[^]*https:\/\//)
    }))
})
