/**
 * The table of all label schemes.
 */
import type { Scheme, SchemeName } from "./Scheme.ts"
import { k3d } from "./schemes/K3d.ts"
import { kind } from "./schemes/Kind.ts"
import { kubelayer } from "./schemes/Kubelayer.ts"
import { kwok } from "./schemes/Kwok.ts"
import { talos } from "./schemes/Talos.ts"
import { vcluster } from "./schemes/VCluster.ts"

/** Every scheme, by name. A container that carries the marks of two belongs to the first. */
export const schemes = { kubelayer, kind, k3d, talos, vcluster, kwok } as const satisfies {
  readonly [Name in SchemeName]: Scheme
}

const isSchemeName = (name: string): name is SchemeName => Object.hasOwn(schemes, name)

/** The schemes of a choice; undefined if it is no choice. */
export const chosenSchemes = (choice: string): ReadonlyArray<Scheme> | undefined =>
  choice === "auto" ? Object.values(schemes) : isSchemeName(choice) ? [schemes[choice]] : undefined
