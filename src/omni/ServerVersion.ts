/**
 * Reads which release of Omni a server runs, once for a layer.
 *
 * A server that does not report its release, or does not let this account read it, has none here.
 */
import * as Effect from "effect/Effect"
import { type CallFailure, Kinds, type StateReader as State } from "./State.ts"
import { bare, parseVersion } from "./template/Versions.ts"

/** The release without `v`; undefined if the server does not report it. */
export type ServerVersion = Effect.Effect<string | undefined, CallFailure>

export const makeServerVersion = (state: State): ServerVersion => {
  let known: { readonly version: string | undefined } | undefined
  return Effect.suspend(() =>
    known !== undefined ? Effect.succeed(known.version) : state.get(Kinds.SysVersion, "current").pipe(
      Effect.map((found) => {
        const version = found === undefined ? undefined : bare(found.spec.backendVersion)
        known = { version: version === undefined || parseVersion(version) === undefined ? undefined : version }
        return known.version
      })
    )
  )
}

/** Whether a release is at least `major.minor`; pre-releases of it count. */
export const isAtLeast = (version: string, major: number, minor: number): boolean => {
  const parsed = parseVersion(version)
  return parsed !== undefined && (parsed.major > major || (parsed.major === major && parsed.minor >= minor))
}
