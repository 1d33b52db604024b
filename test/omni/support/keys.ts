/** Service account keys for tests, created here and valid on no server. */
import { generateKey } from "openpgp"

/** The value of OMNI_SERVICE_ACCOUNT_KEY for an armored key. */
export const accountKey = (armored: string, name = "automation"): string =>
  Buffer.from(JSON.stringify({ name, pgp_key: armored })).toString("base64")

/** A pair of keys as Omni's own tools make them; the options change what a test is about. */
export const makeKeys = (
  options: {
    readonly type?: "ecc" | "curve25519" | "rsa"
    readonly curve?: "ed25519Legacy" | "nistP256"
    readonly rsaBits?: number
    readonly date?: Date
    readonly keyExpirationTime?: number
  } = {}
) =>
  generateKey({
    type: "ecc",
    curve: "ed25519Legacy",
    userIDs: [{ name: "automation", email: "automation@serviceaccount.omni.sidero.dev" }],
    keyExpirationTime: 3600,
    ...options,
    format: "armored"
  })
