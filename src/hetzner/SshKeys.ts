/**
 * SSH keys. A key is the same by its text, whoever added it and under whatever name.
 *
 * Source: Hetzner Cloud API reference, `/ssh_keys`.
 */
import * as Effect from "effect/Effect"
import { isReason } from "../internal/CallFailures.ts"
import { Difference } from "../Reason.ts"
import type { Resource } from "../Resource.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, labelsOfNew } from "./Context.ts"
import type { WantedKey } from "./Desired.ts"
import { labelledKind, once } from "./LabelledKind.ts"
import * as Replies from "./Replies.ts"
import * as Wire from "./Wire.ts"

/** A key by its name, fingerprint or id. */
export const findKey = (keys: ReadonlyArray<Wire.SshKey>, requested: string | number): Wire.SshKey | undefined =>
  keys.find(({ fingerprint, id, name }) =>
    name === requested || fingerprint === requested || String(id) === String(requested)
  )

/** Type and body; the comment after them is no part of a key. */
const keyBody = (publicKey: string): string => publicKey.trim().split(/\s+/, 2).join(" ")

export const findPublicKey = (keys: ReadonlyArray<Wire.SshKey>, publicKey: string): Wire.SshKey | undefined =>
  keys.find((key) => keyBody(key.public_key) === keyBody(publicKey))

export const makeSshKeys = (context: Context): Resource<WantedKey, Wire.SshKey, Reading, Client> => {
  const common = labelledKind(context, "ssh-key", Wire.sshKeys)
  return {
    ...common,
    order: 0,
    removal: 1,
    nameOf: ({ name }) => name,
    matches: (wanted, actual) => wanted.id === undefined ? actual.name === wanted.name : actual.id === wanted.id,
    isShared: ({ id }) => id !== undefined,
    holder: () => "another key",
    diff: ({ id, publicKey }, actual) =>
      id !== undefined || publicKey === undefined || findPublicKey([actual], publicKey) !== undefined
        ? []
        : [new Difference({ field: "publicKey", actual: actual.public_key, requested: publicKey, remedy: "replace" })],
    create: (write, { name, publicKey = "" }, task) =>
      Effect.flatMap(labelsOfNew(context, task, { isShared: true }), (labels) =>
        task.send(
          "create",
          write.post("/ssh_keys", { name, public_key: publicKey.trim(), labels }, Replies.SshKey, once)
        )).pipe(
          Effect.map(({ ssh_key }) => ssh_key),
          // It may have been added under another name since the list.
          Effect.catchIf(
            (error) => isReason(error, "NameTaken", "Conflict"),
            (error) =>
              Effect.flatMap(write.list(Wire.sshKeys), (keys) => {
                const same = findPublicKey(keys, publicKey)
                return same === undefined ? Effect.fail(error) : Effect.succeed(same)
              })
          )
        )
  }
}
