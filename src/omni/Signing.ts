/**
 * The service account's key, and the signature that each call carries.
 *
 * The key is parsed once, while the layer is built, which reports a missing key, a passphrase or a revocation. Its
 * validity *now* is checked before each call, because a key may expire while a program runs. A signature covers the
 * method, the time and the headers that choose what a call acts on, not the body; the server takes it for five minutes.
 * Nothing here prints the key, not even in the error of a parser. Source: OpenPGP (RFC 9580), detached binary
 * signatures; the header names are Omni's.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { PrivateKey } from "openpgp"
import { failWith } from "../internal/Method.ts"
import { InvalidSpec } from "../ProviderError.ts"
import { type BackendError, Unauthorized } from "../Reason.ts"

/**
 * The public part of the credential of a layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Credential {
  /** The service account's name. */
  readonly identity: string
  /** Of the primary key, 40 lower-case hexadecimal digits. */
  readonly fingerprint: string
  readonly createdAt: DateTime.Utc
  /** None where the key does not expire; a server takes no such key. */
  readonly expiresAt: DateTime.Utc | undefined
}

/** The headers of a call that decide what it acts on: they are signed with it, and only they may be sent so. */
export type SignedHeaders = Readonly<Record<string, string>>

export interface Signer {
  readonly credential: Credential
  /** The headers of one call, its own and those of the signature. Fails before the call where the key is not valid now. */
  readonly sign: (method: string, headers?: SignedHeaders) => Effect.Effect<SignedHeaders, BackendError>
}

/** The headers that the server expects in the payload, present or not. */
const covered = [
  "nodes",
  "selectors",
  "fieldSelectors",
  "runtime",
  "context",
  "cluster",
  "namespace",
  "uid",
  "authorization"
] as const

const timestampHeader = "x-sidero-timestamp"
const payloadHeader = "x-sidero-payload"
const signatureHeader = "x-sidero-signature"

/** By how much the clocks of two machines may differ, for a server and so for us. */
const skewMillis = 5 * 60 * 1000

const path = "serviceAccountKey"

const refused = (message: string) => new InvalidSpec({ issues: [{ path, message, isCredential: true }] })

/** Headers are ASCII; what is not is written as JSON allows. */
const asciiJson = (value: unknown): string =>
  JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

/** Name and armored key out of the text that the environment carries. No message repeats its content. */
const unwrap = (text: string): Effect.Effect<{ readonly name: string; readonly armored: string }, InvalidSpec> =>
  Effect.suspend(() => {
    const compact = text.replace(/\s+/g, "")
    if (compact === "") return Effect.fail(refused("is empty"))
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(compact)) {
      return Effect.fail(refused("is not base64; it is the value that Omni shows once, when the account is created"))
    }
    let value: unknown
    try {
      value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(compact, "base64")))
    } catch {
      return Effect.fail(refused("is base64, but not of JSON; it may be cut off"))
    }
    const { name, pgp_key: armored } = typeof value === "object" && value !== null
      ? value as { readonly name?: unknown; readonly pgp_key?: unknown }
      : {}
    if (typeof name !== "string" || name === "") return Effect.fail(refused("has no `name` in its JSON"))
    if (!/^[\x21-\x7e]+$/.test(name)) {
      return Effect.fail(refused("has a `name` with spaces or letters beyond ASCII, which no service account has"))
    }
    if (typeof armored !== "string" || armored === "") return Effect.fail(refused("has no `pgp_key` in its JSON"))
    return Effect.succeed({ name, armored })
  })

const readPrivateKey = (openpgp: typeof import("openpgp"), armored: string): Effect.Effect<PrivateKey, InvalidSpec> =>
  Effect.gen(function*() {
    const key = yield* Effect.tryPromise({
      try: () => openpgp.readKey({ armoredKey: armored }),
      // The error of the parser may repeat lines of the key.
      catch: () => refused("has a `pgp_key` that is not an armored OpenPGP key")
    })
    if (!key.isPrivate()) return yield* refused("has a public key in `pgp_key`; it takes the private one to sign")
    if (!key.isDecrypted()) return yield* refused("has a key with a passphrase; Omni's keys have none")
    const revoked = yield* Effect.tryPromise({
      try: () => key.isRevoked(),
      catch: () => refused("has a key whose own signatures do not fit")
    })
    if (revoked) return yield* refused("has a key that carries its own revocation; make another one")
    return key
  })

/** The time at which the key can sign: now, or the moment of its creation if the clocks differ a little. */
const signingTime = (credential: Credential, now: number): Date | string => {
  const iso = DateTime.formatIso
  const clock = `this machine's clock says ${iso(DateTime.makeUnsafe(now))}`
  if (credential.expiresAt !== undefined && credential.expiresAt.epochMilliseconds <= now) {
    return `the service account's key expired at ${iso(credential.expiresAt)}; ${clock}. Renew the account`
  }
  const early = credential.createdAt.epochMilliseconds - now
  if (early > skewMillis) {
    return `the service account's key is not valid before ${iso(credential.createdAt)}; ${clock}. Set the clock`
  }
  return new Date(Math.max(now, credential.createdAt.epochMilliseconds))
}

/** Reads a service account key. The time is the wall clock's, for that is what the server compares. */
export const makeSigner = Effect.fnUntraced(function*(
  key: Redacted.Redacted<string> | string
): Effect.fn.Return<Signer, InvalidSpec> {
  const { armored, name } = yield* unwrap(typeof key === "string" ? key : Redacted.value(key))
  const openpgp = yield* Effect.promise(() => import("openpgp"))
  const privateKey = yield* readPrivateKey(openpgp, armored)
  const expiry = yield* Effect.tryPromise({
    try: () => privateKey.getExpirationTime(),
    catch: () => refused("has a key whose own signatures do not fit")
  })
  if (expiry === null) return yield* refused("has a key without a valid signature of its own")
  const credential: Credential = {
    identity: name,
    fingerprint: privateKey.getFingerprint(),
    createdAt: DateTime.fromDateUnsafe(privateKey.getCreationTime()),
    expiresAt: expiry instanceof Date ? DateTime.fromDateUnsafe(expiry) : undefined
  }
  yield* Effect.tryPromise({
    try: () => privateKey.getSigningKey(undefined, DateTime.toDateUtc(credential.createdAt)),
    catch: () => refused("has a key that may not sign")
  })

  const signed = (payload: string, date: Date): Effect.Effect<string, BackendError> =>
    Effect.tryPromise({
      try: async () => {
        const message = await openpgp.createMessage({ binary: new TextEncoder().encode(payload) })
        const signature = await openpgp.sign({
          message,
          signingKeys: privateKey,
          detached: true,
          format: "binary",
          date
        })
        return Buffer.from(signature as Uint8Array).toString("base64")
      },
      catch: () => undefined
    }).pipe(
      Effect.catch(() => failWith(new Unauthorized({ detail: "the service account's key could not sign this call" })))
    )

  return {
    credential,
    sign: (method, headers = {}) =>
      Effect.suspend(() => {
        const now = Date.now()
        const date = signingTime(credential, now)
        if (typeof date === "string") return failWith(new Unauthorized({ detail: date }))
        const timestamp = String(Math.floor(now / 1000))
        const payload = asciiJson({
          headers: {
            [timestampHeader]: [timestamp],
            ...Object.fromEntries(covered.map((header) => [header, header in headers ? [headers[header]] : null]))
          },
          method
        })
        return Effect.map(signed(payload, date), (signature): SignedHeaders => ({
          ...headers,
          [timestampHeader]: timestamp,
          [payloadHeader]: payload,
          [signatureHeader]: `siderov1 ${credential.identity} ${credential.fingerprint} ${signature}`
        }))
      })
  }
})
