/** Service account keys for tests: made here, of nobody's, and good for nothing. */
import { generateKey, type GenerateKeyOptions } from "openpgp"

/** The value of OMNI_SERVICE_ACCOUNT_KEY for an armored key. */
export const accountKey = (armored: string, name = "automation"): string =>
  Buffer.from(JSON.stringify({ name, pgp_key: armored })).toString("base64")

const defaults = {
  type: "ecc",
  curve: "ed25519Legacy",
  userIDs: [{ name: "automation", email: "automation@serviceaccount.omni.sidero.dev" }],
  keyExpirationTime: 3600,
  format: "armored"
} as const satisfies GenerateKeyOptions

/** A pair of keys as Omni's own tools make them; the options change what a test is about. */
export const makeKeys = (options: Partial<Omit<GenerateKeyOptions, "format">> = {}) =>
  generateKey({ ...defaults, ...options, format: "armored" } as typeof defaults)
