/**
 * Who may call a fake Omni: service accounts it has made keys for, and the check of what a call is signed with.
 *
 * A server verifies the payload header as it came: time within five minutes, the method, every listed header against what
 * was received, then the OpenPGP signature. The body is not signed. The keys are of nobody and good for nothing else.
 */
import type { Metadata } from "@grpc/grpc-js"
import type { PublicKey } from "openpgp"
import { code, Refusal } from "./Refusal.ts"

const identityDomain = "serviceaccount.omni.sidero.dev"

/** How far the clocks may be apart. */
const toleranceSeconds = 5 * 60

const covered = [
  "x-sidero-timestamp",
  "nodes",
  "selectors",
  "fieldSelectors",
  "runtime",
  "context",
  "cluster",
  "namespace",
  "uid",
  "authorization"
]

export interface Accounts {
  /** A new account: the value of OMNI_SERVICE_ACCOUNT_KEY. */
  readonly make: (name: string, lifetimeSeconds?: number) => Promise<string>
  /** Forgets every key, as when accounts are destroyed. */
  readonly forget: () => void
  /** Gives the name of the account that signed; throws a Refusal. */
  readonly verify: (method: string, metadata: Metadata) => Promise<string>
}

const unsigned = () => new Refusal(code.unauthenticated, "invalid signature")

const headersOf = (payload: string): { readonly method: unknown; readonly headers: Record<string, unknown> } => {
  try {
    const { headers, method } = JSON.parse(payload) as { headers?: Record<string, unknown>; method?: unknown }
    return { method, headers: headers ?? {} }
  } catch {
    throw unsigned()
  }
}

const same = (signed: unknown, received: ReadonlyArray<string>): boolean =>
  signed === null || signed === undefined
    ? received.length === 0
    : Array.isArray(signed) && received.length > 0 && signed.length === received.length &&
      signed.every((value, index) => value === received[index])

export const makeAccounts = async (options: {
  /** Of the server, in milliseconds since the epoch. */
  readonly now: () => number
  readonly violated: (what: string) => void
}): Promise<Accounts> => {
  const openpgp = await import("openpgp")
  const keys = new Map<string, { readonly name: string; readonly key: PublicKey }>()
  return {
    make: async (name, lifetimeSeconds = 3600) => {
      const { privateKey, publicKey } = await openpgp.generateKey({
        type: "ecc",
        curve: "ed25519Legacy",
        userIDs: [{ name, email: `${name}@${identityDomain}` }],
        keyExpirationTime: lifetimeSeconds,
        // A key that is made now would not be valid yet where the clock counts in whole seconds.
        date: new Date(Date.now() - 1000),
        format: "object"
      })
      keys.set(publicKey.getFingerprint(), { name, key: publicKey })
      return Buffer.from(JSON.stringify({ name, pgp_key: privateKey.armor() })).toString("base64")
    },
    forget: () => keys.clear(),
    verify: async (method, metadata) => {
      const one = (name: string) => metadata.get(name).map(String)[0]
      const payload = one("x-sidero-payload")
      const timestamp = one("x-sidero-timestamp")
      const [scheme, , fingerprint, signature, ...rest] = (one("x-sidero-signature") ?? "").split(" ")
      if (payload === undefined || timestamp === undefined || scheme !== "siderov1" || rest.length > 0) throw unsigned()
      if (Math.abs(Number(timestamp) - options.now() / 1000) > toleranceSeconds) throw unsigned()
      const signed = headersOf(payload)
      if (signed.method !== method) throw unsigned()
      for (const header of covered) {
        if (header in signed.headers && Array.isArray(signed.headers[header]) && signed.headers[header].length === 0) {
          options.violated(`${method}: the payload has an empty list for the header ${header}`)
        }
        // Received names are in lower case, so a field selector that is signed never fits.
        const received = header === "fieldSelectors" ? [] : metadata.get(header).map(String)
        if (!same(signed.headers[header], received)) throw unsigned()
      }
      const found = keys.get(fingerprint ?? "")
      if (found === undefined || signature === undefined) throw unsigned()
      const { signatures } = await openpgp.verify({
        message: await openpgp.createMessage({ binary: new TextEncoder().encode(payload) }),
        signature: await openpgp.readSignature({ binarySignature: Buffer.from(signature, "base64") }),
        verificationKeys: found.key,
        date: new Date()
      }).catch(() => {
        throw unsigned()
      })
      await signatures[0]?.verified.catch(() => {
        throw unsigned()
      })
      if (signatures.length === 0) throw unsigned()
      return found.name
    }
  }
}
