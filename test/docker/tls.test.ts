/** Engines behind TLS, with certificates that these tests create with the local openssl. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Docker from "kubelayer/layers/Docker"
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { inspect } from "node:util"
import { afterAll, beforeAll } from "vitest"
import { makeHome, type Material } from "./support/home.ts"
import { pretend } from "./support/pretend.ts"
import { failureOf, impatient } from "./support/service.ts"

const openssl = spawnSync("openssl", ["version"]).status === 0

/** An authority, an engine's certificate for 127.0.0.1, and a client's. */
const makeCertificates = (folder: string) => {
  const run = (...args: ReadonlyArray<string>) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" })
  const read = (file: string) => fs.readFileSync(path.join(folder, file), "utf8")
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
  run("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=kubelayer test", "-days", "2")
  const signed = (name: string, extensions: string) => {
    fs.writeFileSync(path.join(folder, `${name}.ext`), extensions)
    run("req", ...newKey, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`)
    run(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-days",
      "2",
      "-extfile",
      `${name}.ext`,
      "-out",
      `${name}.pem`
    )
    return { cert: read(`${name}.pem`), key: read(`${name}.key`) }
  }
  return {
    ca: read("ca.pem"),
    engine: signed("engine", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"),
    client: signed("client", "extendedKeyUsage=clientAuth")
  }
}

describe.skipIf(!openssl)("TLS", () => {
  let certificates: ReturnType<typeof makeCertificates>
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "kl-tls-"))
  beforeAll(() => {
    certificates = makeCertificates(folder)
  })
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

  const tlsEngine = Effect.suspend(() => pretend({ address: "127.0.0.1", tls: certificates.engine }))

  /** Takes only clients that the authority knows. */
  const strictEngine = Effect.suspend(() =>
    pretend({
      address: "127.0.0.1",
      tls: { ...certificates.engine, ca: certificates.ca, requestCert: true, rejectUnauthorized: true }
    })
  )

  const clientMaterial = (): Material => ({ ca: certificates.ca, ...certificates.client })

  const checked = (options: Docker.Options, env: Readonly<Record<string, string>> = {}) =>
    Docker.make({ ...options, policy: impatient }).pipe(
      Effect.orDie,
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))),
      Effect.flatMap(({ provider }) => provider.checkAvailable)
    )

  it.live("with the authority in the options, by tcp:// and by https://", () =>
    Effect.gen(function*() {
      const engine = yield* tlsEngine
      for (const host of [engine.host, engine.host.replace("tcp://", "https://")]) {
        yield* checked({ host, tls: { ca: certificates.ca } })
      }
      assert.strictEqual(engine.told().length, 4)
    }))

  it.live("with a client certificate, where the engine wants one", () =>
    Effect.gen(function*() {
      const { host } = yield* strictEngine
      yield* checked({ host, tls: clientMaterial() })
      const error = yield* failureOf(checked({ host, tls: { ca: certificates.ca } }))
      assert.strictEqual(error._tag, "ProviderUnavailable")
    }))

  it.live("an authority that nobody knows is refused, and taken with skipVerify", () =>
    Effect.gen(function*() {
      const engine = yield* tlsEngine
      const error = yield* failureOf(checked({ host: engine.host, tls: {} }))
      assert.match(error.detail, /certificate|issuer/)
      assert.deepStrictEqual(engine.heard, [])
      yield* checked({ host: engine.host, tls: { skipVerify: true } })
    }))

  it.live("a certificate for another name is refused", () =>
    Effect.gen(function*() {
      const engine = yield* tlsEngine
      const host = engine.host.replace("127.0.0.1", "localhost")
      const error = yield* failureOf(checked({ host, tls: { ca: certificates.ca } }))
      assert.strictEqual(error._tag, "ProviderUnavailable")
      assert.deepStrictEqual(engine.heard, [])
    }))

  it.live("DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or the folder of the docker CLI", () =>
    Effect.gen(function*() {
      const { host } = yield* strictEngine
      const home = yield* makeHome
      const certs = path.join(home.path, "certs")
      home.writePems(certs, clientMaterial())
      const env = { DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", HOME: home.path }
      yield* checked({}, { ...env, DOCKER_CERT_PATH: certs })
      assert.strictEqual((yield* failureOf(checked({}, env)))._tag, "ProviderUnavailable")
      home.writePems(home.docker, clientMaterial())
      yield* checked({}, env)
      assert.strictEqual(
        (yield* failureOf(checked({}, { DOCKER_HOST: host, DOCKER_CERT_PATH: certs })))._tag,
        "ProviderUnavailable"
      )
    }))

  it.live("DOCKER_TLS=1 uses TLS without a check of the engine's certificate (D7)", () =>
    Effect.gen(function*() {
      const strict = yield* strictEngine
      const selfSigned = yield* tlsEngine
      const home = yield* makeHome
      const [certs, authority] = [path.join(home.path, "certs"), path.join(home.path, "authority")]
      home.writePems(certs, clientMaterial())
      // An authority that did not sign the engine's certificate.
      home.writePems(authority, { ca: certificates.client.cert })
      yield* checked({}, { DOCKER_HOST: strict.host, DOCKER_TLS: "1", DOCKER_CERT_PATH: certs })
      const lax = { DOCKER_HOST: selfSigned.host, DOCKER_TLS: "1", DOCKER_CERT_PATH: authority }
      yield* checked({}, lax)
      const verified = yield* failureOf(checked({}, { ...lax, DOCKER_TLS_VERIFY: "1" }))
      assert.match(verified.detail, /certificate|issuer/)
    }))

  it.live("a folder without ca.pem is refused with its name, before any connection (D7)", () =>
    Effect.gen(function*() {
      const engine = yield* tlsEngine
      const home = yield* makeHome
      for (const variable of ["DOCKER_TLS", "DOCKER_TLS_VERIFY"]) {
        const env = { DOCKER_HOST: engine.host, [variable]: "1", HOME: home.path }
        const error = yield* failureOf(checked({}, env))
        assert.include(error.message, `${variable}: there is no ca.pem in ${home.docker}`)
        assert.include(error.message, "DOCKER_CERT_PATH")
      }
      assert.deepStrictEqual(engine.heard, [])
    }))

  it.live("a certificate without its key is not sent, as by the docker CLI (D7)", () =>
    Effect.gen(function*() {
      const { host } = yield* tlsEngine
      const home = yield* makeHome
      const certs = path.join(home.path, "certs")
      home.writePems(certs, { ca: certificates.ca, cert: certificates.client.cert })
      yield* checked({}, { DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: certs })
    }))

  it.live("a connection that ends before the first byte leads to TLS (D7)", () =>
    Effect.gen(function*() {
      const { host } = yield* tlsEngine
      const plain = yield* failureOf(checked({ host }))
      assert.strictEqual(plain._tag, "ProviderUnavailable")
      assert.include(plain.message, "DOCKER_TLS_VERIFY=1")
      const strict = yield* strictEngine
      const bare = yield* failureOf(checked({ host: strict.host, tls: { ca: certificates.ca } }))
      assert.match(bare.message, /client certificate|TLS material/)
    }))

  it.live("TLS variables do not concern a socket", () =>
    Effect.gen(function*() {
      const engine = yield* pretend()
      yield* checked({}, { DOCKER_HOST: engine.host, DOCKER_TLS_VERIFY: "1", HOME: "/nowhere" })
      assert.isAbove(engine.heard.length, 0)
    }))

  it.live("a context with its TLS material, and one that skips the check", () =>
    Effect.gen(function*() {
      const strict = yield* strictEngine
      const lax = yield* tlsEngine
      const home = yield* makeHome
      home.addContext("strict", strict.host, { tls: clientMaterial() })
      home.addContext("bare", strict.host)
      home.addContext("lax", lax.host, { skipVerify: true })
      const env = (DOCKER_CONTEXT: string) => ({ HOME: home.path, DOCKER_CONTEXT })
      yield* checked({}, env("strict"))
      yield* checked({}, env("lax"))
      assert.strictEqual((yield* failureOf(checked({}, env("bare"))))._tag, "ProviderUnavailable")
    }))

  it.live("TLS to an engine that has none, and none to an engine that has it", () =>
    Effect.gen(function*() {
      const plain = yield* pretend({ address: "127.0.0.1", script: () => undefined })
      const error = yield* failureOf(checked({ host: plain.host, tls: { skipVerify: true } }))
      assert.strictEqual(error._tag, "ProviderUnavailable")
      const { host } = yield* tlsEngine
      assert.strictEqual((yield* failureOf(checked({ host })))._tag, "ProviderUnavailable")
    }))

  it.live("an error never shows a key, not even a broken one", () =>
    Effect.gen(function*() {
      const { host } = yield* strictEngine
      const secrets = [certificates.client.key, "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"]
      for (const key of secrets) {
        const tls = { ca: certificates.ca, cert: certificates.engine.cert, key }
        const error = yield* failureOf(checked({ host, tls }))
        const body = key.split("\n")[1] ?? ""
        for (const shown of [error.message, JSON.stringify(error), inspect(error, { depth: 9 })]) {
          assert.notInclude(shown, body)
        }
      }
    }))
})
