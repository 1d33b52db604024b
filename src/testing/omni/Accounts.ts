/**
 * The service accounts of a fake Omni: their keys, their roles, and the check of the signature of a call.
 *
 * The server verifies the payload header as it came: the time within five minutes, the method, every listed header against
 * what was received, and the OpenPGP signature. The body is not signed.
 * Source: Omni 1.9.3 as recorded.
 */
import type { PublicKey } from "openpgp"
import { isRole, type Role } from "./Access.ts"
import { code, invalid, missingText, Refusal } from "./Refusal.ts"
import type { Headers } from "./Service.ts"

const identityDomain = "serviceaccount.omni.sidero.dev"

/** How far the clocks may be apart. */
const toleranceSeconds = 5 * 60

/** The longest lifetime of a key. */
const longestSeconds = 365 * 24 * 3600

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

interface Key {
  readonly id: string
  readonly armored: string
  readonly key: PublicKey
  readonly expires: Date | undefined
}

interface Account {
  readonly name: string
  readonly role: Role
  readonly keys: Array<Key>
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

export const identityOf = (name: string): string => `${name}@${identityDomain}`

export const makeAccounts = async (options: {
  /** Of the server, in milliseconds since the epoch. */
  readonly now: () => number
  readonly violated: (what: string) => void
}) => {
  const openpgp = await import("openpgp")
  const accounts = new Map<string, Account>()

  const readKey = async (armored: string): Promise<Key> => {
    const key = await openpgp.readKey({ armoredKey: armored }).catch(() => {
      throw new Refusal(code.unknown, "gopenpgp: the key does not contain any entity")
    })
    const expires = await key.getExpirationTime().catch(() => null)
    const end = expires instanceof Date ? expires : undefined
    return { id: key.getFingerprint(), armored, key, expires: end }
  }

  /** A key that a client brings must expire, within a year. */
  const checkLifetime = ({ expires, key }: Key): void => {
    if (expires === undefined) throw new Refusal(code.unknown, "key does not contain a valid key lifetime")
    const seconds = Math.round((expires.getTime() - key.getCreationTime().getTime()) / 1000)
    if (seconds > longestSeconds) {
      throw new Refusal(code.unknown, `key lifetime is too long: ${Math.floor(seconds / 3600)}h0m0s`)
    }
  }

  const find = (fingerprint: string) => {
    for (const account of accounts.values()) {
      const key = account.keys.find(({ id }) => id === fingerprint)
      if (key !== undefined) return { account, key }
    }
    return undefined
  }

  /** The account that signed a call. Throws a refusal. */
  const verify = async (method: string, headers: Headers): Promise<Account> => {
    const one = (name: string) => headers(name)[0]
    const payload = one("x-sidero-payload")
    const timestamp = one("x-sidero-timestamp")
    const [scheme, , fingerprint = "", signature, ...rest] = (one("x-sidero-signature") ?? "").split(" ")
    if (payload === undefined || timestamp === undefined || scheme !== "siderov1" || rest.length > 0) throw unsigned()
    if (!(Math.abs(Number(timestamp) - options.now() / 1000) <= toleranceSeconds)) throw unsigned()
    const signed = headersOf(payload)
    if (signed.method !== method) throw unsigned()
    for (const header of covered) {
      if (header in signed.headers && Array.isArray(signed.headers[header]) && signed.headers[header].length === 0) {
        options.violated(`${method}: the payload has an empty list for the header ${header}`)
      }
      // Received names are in lower case, so a signed field selector never matches.
      const received = header === "fieldSelectors" ? [] : headers(header)
      if (!same(signed.headers[header], received)) throw unsigned()
    }
    const found = find(fingerprint)
    if (found === undefined || signature === undefined) throw unsigned()
    try {
      const { signatures } = await openpgp.verify({
        message: await openpgp.createMessage({ binary: new TextEncoder().encode(payload) }),
        signature: await openpgp.readSignature({ binarySignature: Buffer.from(signature, "base64") }),
        verificationKeys: found.key.key,
        date: new Date()
      })
      if (await signatures[0]?.verified) return found.account
    } catch {
      // The answer to every invalid signature is the same.
    }
    throw unsigned()
  }

  return {
    verify,
    /** A new account with a key of its own; gives the value of OMNI_SERVICE_ACCOUNT_KEY. */
    make: async (name: string, lifetimeSeconds = 3600, role: Role = "Admin"): Promise<string> => {
      const { privateKey, publicKey } = await openpgp.generateKey({
        type: "ecc",
        curve: "ed25519Legacy",
        userIDs: [{ name, email: identityOf(name) }],
        keyExpirationTime: lifetimeSeconds,
        // Keys count in whole seconds: a key of this moment would not be valid yet.
        date: new Date(Date.now() - 1000),
        format: "object"
      })
      const key = await readKey(publicKey.armor())
      const account = accounts.get(name)
      if (account === undefined) accounts.set(name, { name, role, keys: [key] })
      else account.keys.push(key)
      return Buffer.from(JSON.stringify({ name, pgp_key: privateKey.armor() })).toString("base64")
    },
    /** Destroys every account. */
    forget: () => accounts.clear(),
    list: (): ReadonlyArray<Account> => [...accounts.values()].sort((a, b) => a.name < b.name ? -1 : 1),
    create: async (name: string, role: string, armored: string): Promise<string> => {
      if (accounts.has(name)) {
        throw new Refusal(code.alreadyExists, `service account ${JSON.stringify(identityOf(name))} already exists`)
      }
      const key = await readKey(armored)
      checkLifetime(key)
      if (!isRole(role)) throw new Refusal(code.unknown, `unknown role to parse: ${JSON.stringify(role)}`)
      if (name !== name.toLowerCase()) throw invalid("must be lowercase")
      accounts.set(name, { name, role, keys: [key] })
      return key.id
    },
    /** The keys before stay valid. */
    renew: async (name: string, armored: string): Promise<string> => {
      const account = accounts.get(name)
      if (account === undefined) {
        throw new Refusal(
          code.unknown,
          `failed to get: ${
            missingText({ namespace: "default", type: "Identities.omni.sidero.dev", id: identityOf(name) })
          }`
        )
      }
      const key = await readKey(armored)
      checkLifetime(key)
      account.keys.push(key)
      return key.id
    },
    destroy: (name: string): void => {
      if (!accounts.delete(name)) {
        throw new Refusal(code.notFound, `service account ${JSON.stringify(name)} not found`)
      }
    }
  }
}

export type Accounts = Awaited<ReturnType<typeof makeAccounts>>
