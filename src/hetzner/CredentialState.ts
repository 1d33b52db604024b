/**
 * The state that all instances of one credential in this process share: the quota of the Project, and one list for all
 * watches. It exists as long as one of them does.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { digestOf } from "../internal/Digest.ts"
import { makeSharedList, type SharedList } from "./Changes.ts"
import { type Governor, makeGovernor } from "./Quota.ts"
import type { Credential } from "./Token.ts"

export interface CredentialState {
  readonly governor: Governor
  readonly sharedList: SharedList
}

const states = new Map<string, { readonly state: CredentialState; users: number }>()

export const credentialState = (
  { endpoint, token }: Credential
): Effect.Effect<CredentialState, never, Scope.Scope> => {
  // The token itself is not stored a second time.
  const key = `${endpoint} ${digestOf(Redacted.value(token))}`
  return Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const entry = states.get(key) ?? { state: { governor: makeGovernor(), sharedList: makeSharedList() }, users: 0 }
        states.set(key, entry)
        entry.users++
        return entry
      }),
      (entry) =>
        Effect.sync(() => {
          if (--entry.users === 0) states.delete(key)
        })
    ),
    ({ state }) => state
  )
}
