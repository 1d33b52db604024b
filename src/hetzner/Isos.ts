/**
 * ISO images by name or id, for servers that boot an installer in place of an image.
 *
 * Source: Hetzner Cloud API reference, `GET /isos`.
 */
import type * as Effect from "effect/Effect"
import { nearList } from "../internal/Suggest.ts"
import type { CallFailure, Client } from "./Client.ts"
import { isRetired } from "./Deprecation.ts"
import * as Wire from "./Wire.ts"

/** All ISO images, so that a name that does not exist can be answered with similar ones. */
export const readIsos = (client: Client): Effect.Effect<ReadonlyArray<Wire.Iso>, CallFailure> => client.list(Wire.isos)

/** The ISO image of a name or an id that fits the architecture, or one sentence that says why there is none. */
export const findIso = (
  found: ReadonlyArray<Wire.Iso>,
  requested: string | number,
  architecture: string,
  now: number
): Wire.Iso | string => {
  const iso = found.find(({ id, name }) => name === requested || String(id) === String(requested))
  if (iso === undefined) {
    const names = found.filter((each) => fits(each, architecture)).flatMap(({ name }) => name ?? [])
    return `there is no ISO ${requested}${nearList(String(requested), names)}`
  }
  if (isRetired(iso.deprecation, now)) return `the ISO ${requested} is not available any more`
  return fits(iso, architecture)
    ? iso
    : `the ISO ${requested} is for ${iso.architecture}, and the server type is ${architecture}`
}

/** An ISO image without an architecture fits every server. */
const fits = ({ architecture }: Wire.Iso, wanted: string): boolean =>
  architecture === null || architecture === undefined || architecture === wanted
