/**
 * What all layers of one credential in this process have in common: the quota is the Project's, and one look at it serves
 * all who watch. It is there as long as one of them is.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { digestOf } from "../internal/Digest.ts"
import { type Governor, makeGovernor } from "./Quota.ts"
import type { Credential } from "./Token.ts"
import { type Looks, makeLooks } from "./Watch.ts"

export interface Shared {
  readonly governor: Governor
  readonly looks: Looks
}

const held = new Map<string, { readonly shared: Shared; users: number }>()

export const sharedBy = ({ endpoint, token }: Credential): Effect.Effect<Shared, never, Scope.Scope> => {
  // The token itself is not kept a second time.
  const key = `${endpoint} ${digestOf(Redacted.value(token))}`
  return Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const entry = held.get(key) ?? { shared: { governor: makeGovernor(), looks: makeLooks() }, users: 0 }
        held.set(key, entry)
        entry.users++
        return entry
      }),
      (entry) =>
        Effect.sync(() => {
          if (--entry.users === 0) held.delete(key)
        })
    ),
    ({ shared }) => shared
  )
}
