/**
 * The decision about the things of an operation: a volume of its name, whose label says what was decided.
 *
 * Labels of containers cannot change, but an engine answers a create call for an existing volume with the volume that
 * exists, so the first of several creators decides for all. The volume has no operation label, so nothing lists it as a
 * part of a cluster.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../Backend.ts"
import type { Fate, Fates } from "../Resource.ts"
import type { Writing } from "./Client.ts"
import * as Labels from "./Labels.ts"
import type { VolumeKind } from "./Volumes.ts"
import { labelsOf, type Volume } from "./Wire.ts"

const prefix = "kubelayer-fate-"

const fateOf = (volume: Volume): Fate | undefined => {
  const fate = labelsOf(volume)[Labels.fate]
  return fate === "adopted" || fate === "undone" ? fate : undefined
}

export const makeFates = (volumes: VolumeKind): Fates<Writing> => ({
  decide: ({ client }, _, operation, fate) =>
    Effect.map(
      retrying(client.createVolume({ Name: `${prefix}${operation}`, Labels: { [Labels.fate]: fate } })),
      (volume) => fateOf(volume) ?? fate
    ),
  known: (world) =>
    new Map(
      world.of(volumes).flatMap((volume) => {
        const fate = volume.Name.startsWith(prefix) ? fateOf(volume) : undefined
        return fate === undefined ? [] : [[volume.Name.slice(prefix.length), fate] as const]
      })
    ),
  forget: ({ client }, operation) => client.removeVolume(`${prefix}${operation}`)
})
