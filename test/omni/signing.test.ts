/** Service account keys, good and bad, and the signature that each call carries. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { inspect } from "node:util"
import { createMessage, encryptKey, readKey, readPrivateKey, readSignature, revokeKey, verify } from "openpgp"
import { makeSigner, type SignedHeaders } from "../../src/omni/Signing.ts"
import { accountKey, makeKeys } from "./support/keys.ts"

const issueOf = (key: string) =>
  Effect.map(Effect.flip(makeSigner(key)), (error) => {
    assert.deepStrictEqual(error.issues.map(({ path }) => path), ["serviceAccountKey"])
    return error.issues[0]?.message ?? ""
  })

const verified = (headers: SignedHeaders, publicKey: string) =>
  Effect.promise(async () => {
    const [version, identity, fingerprint, signature] = (headers["x-sidero-signature"] ?? "").split(" ")
    const { signatures } = await verify({
      message: await createMessage({ binary: new TextEncoder().encode(headers["x-sidero-payload"] ?? "") }),
      signature: await readSignature({ binarySignature: Buffer.from(signature ?? "", "base64") }),
      verificationKeys: await readKey({ armoredKey: publicKey }),
      format: "binary"
    })
    return { version, identity, fingerprint, valid: await signatures[0]?.verified }
  })

describe("a service account's key", () => {
  it.effect("signs what the server checks: method, time, and the headers that choose the cluster", () =>
    Effect.gen(function*() {
      const keys = yield* Effect.promise(() => makeKeys())
      const signer = yield* makeSigner(Redacted.make(accountKey(keys.privateKey)))
      const headers = yield* signer.sign("/management.ManagementService/Kubeconfig", { context: "dev" })
      const payload = JSON.parse(headers["x-sidero-payload"] ?? "")
      assert.strictEqual(payload.method, "/management.ManagementService/Kubeconfig")
      assert.deepStrictEqual(payload.headers.context, ["dev"])
      assert.deepStrictEqual(payload.headers["x-sidero-timestamp"], [headers["x-sidero-timestamp"]])
      assert.isNull(payload.headers.cluster)
      assert.isAtMost(Math.abs(Number(headers["x-sidero-timestamp"]) * 1000 - Date.now()), 5000)
      assert.deepStrictEqual(yield* verified(headers, keys.publicKey), {
        version: "siderov1",
        identity: "automation",
        fingerprint: signer.credential.fingerprint,
        valid: true
      })
      assert.match(signer.credential.fingerprint, /^[0-9a-f]{40}$/)
    }))

  it.effect("has an identity, a creation time and an expiry", () =>
    Effect.gen(function*() {
      const date = new Date(Math.floor(Date.now() / 1000) * 1000 - 60_000)
      const keys = yield* Effect.promise(() => makeKeys({ date, keyExpirationTime: 600 }))
      const { credential } = yield* makeSigner(accountKey(keys.privateKey, "ci"))
      assert.strictEqual(credential.identity, "ci")
      assert.deepStrictEqual(credential.createdAt, DateTime.fromDateUnsafe(date))
      assert.deepStrictEqual(credential.expiresAt, DateTime.makeUnsafe(date.getTime() + 600_000))
    }))

  it.effect("of other algorithms that Omni takes signs too", () =>
    Effect.forEach(
      [{ type: "curve25519" }, { type: "ecc", curve: "nistP256" }, { type: "rsa", rsaBits: 2048 }] as const,
      (algorithm) =>
        Effect.gen(function*() {
          const keys = yield* Effect.promise(() => makeKeys(algorithm))
          const signer = yield* makeSigner(accountKey(keys.privateKey))
          const headers = yield* signer.sign("/a.B/C")
          assert.isTrue((yield* verified(headers, keys.publicKey)).valid, JSON.stringify(algorithm))
        })
    ), 30_000)

  it.effect("signs when it was created moments ago on a machine whose clock is slightly ahead", () =>
    Effect.gen(function*() {
      const keys = yield* Effect.promise(() => makeKeys({ date: new Date(Date.now() + 60_000) }))
      const signer = yield* makeSigner(accountKey(keys.privateKey))
      const headers = yield* signer.sign("/a.B/C")
      assert.isAtMost(Number(headers["x-sidero-timestamp"]) * 1000, Date.now())
    }))

  it.effect("that has expired, or is not valid yet, fails before the call and says both times", () =>
    Effect.gen(function*() {
      const hour = 3_600_000
      const cases = [
        [{ date: new Date(Date.now() - 2 * hour), keyExpirationTime: 60 }, "expired at"],
        [{ date: new Date(Date.now() + hour), keyExpirationTime: 3600 }, "not valid before"]
      ] as const
      for (const [options, words] of cases) {
        const keys = yield* Effect.promise(() => makeKeys(options))
        const signer = yield* makeSigner(accountKey(keys.privateKey))
        const { reason } = yield* Effect.flip(signer.sign("/a.B/C"))
        assert.strictEqual(reason._tag, "Unauthorized")
        assert.include(reason.detail, words)
        assert.include(reason.detail, `this machine's clock says ${new Date().toISOString().slice(0, 13)}`)
      }
    }))

  it.effect("that can never work is refused while the layer is built, with the reason and without the key", () =>
    Effect.gen(function*() {
      const keys = yield* Effect.promise(() => makeKeys())
      const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64")
      const locked = yield* Effect.promise(async () =>
        encryptKey({
          privateKey: await readPrivateKey({ armoredKey: keys.privateKey }),
          passphrase: "not-a-real-passphrase"
        })
      )
      const revoked = yield* Effect.promise(async () =>
        revokeKey({ key: await readPrivateKey({ armoredKey: keys.privateKey }), format: "armored" })
      )
      const cases: ReadonlyArray<readonly [key: string, words: RegExp]> = [
        ["", /is empty/],
        ["not base64!", /not base64/],
        [Buffer.from("{\"name\": \"automation").toString("base64"), /not of JSON/],
        [Buffer.from([0xff, 0xfe, 0x00]).toString("base64"), /not of JSON/],
        [encode("text"), /no `name`/],
        [encode(null), /no `name`/],
        [encode({ name: 7, pgp_key: keys.privateKey }), /no `name`/],
        [encode({ name: "two words", pgp_key: keys.privateKey }), /spaces/],
        [encode({ name: "automation" }), /no `pgp_key`/],
        [accountKey("-----BEGIN PGP PRIVATE KEY BLOCK-----\nnonsense"), /not an armored/],
        [accountKey(keys.privateKey.slice(0, 200)), /not an armored/],
        [accountKey(keys.publicKey), /public key/],
        [accountKey(locked.armor()), /passphrase/],
        [accountKey(revoked.privateKey), /revocation/]
      ]
      const material = keys.privateKey.split("\n").filter((line) => line.length > 40)
      for (const [key, words] of cases) {
        const message = yield* issueOf(key)
        assert.match(message, words)
        for (const line of material) assert.notInclude(message, line)
      }
    }))

  it.effect("is absent from the printed signer and its headers", () =>
    Effect.gen(function*() {
      const keys = yield* Effect.promise(() => makeKeys())
      const value = accountKey(keys.privateKey)
      const signer = yield* makeSigner(value)
      const headers = yield* signer.sign("/a.B/C")
      const shown = [inspect(signer, { depth: Infinity }), JSON.stringify(signer), JSON.stringify(headers)].join("\n")
      assert.notInclude(shown, value.slice(0, 60))
      for (const line of keys.privateKey.split("\n").filter((line) => line.length > 40)) {
        assert.notInclude(shown, line)
      }
    }))

  it.effect("is taken with the line breaks that a terminal puts into it", () =>
    Effect.gen(function*() {
      const keys = yield* Effect.promise(() => makeKeys())
      const value = accountKey(keys.privateKey).replace(/(.{76})/g, "$1\n")
      yield* makeSigner(` ${value}\n`)
    }))
})
