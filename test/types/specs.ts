/** The Schema of each spec and the type of the spec say the same. */
import type { DockerClusterSpec } from "kubelayer/layers/Docker"
import type { HetznerClusterSpec } from "kubelayer/layers/Hetzner"
import type { MemorySpec } from "kubelayer/layers/Memory"
import type { SpecSchema as Docker } from "../../src/docker/SpecSchema.ts"
import type { SpecSchema as Hetzner } from "../../src/hetzner/SpecSchema.ts"
import type { SpecSchema as Memory } from "../../src/memory/SpecSchema.ts"

type IsTrue<A extends true> = A
type Counts = { readonly controlPlanes: number; readonly workers: number }
/** Counts have defaults in a document. */
type Spec<A extends { readonly cluster: string }> = Omit<A, "pools" | keyof Counts> & Counts
type Extends<A, B> = A extends B ? true : false

export type DockerIsTyped = IsTrue<Extends<Spec<typeof Docker.Type>, DockerClusterSpec>>
export type DockerIsWhole = IsTrue<Extends<DockerClusterSpec, Spec<typeof Docker.Type>>>
export type HetznerIsTyped = IsTrue<Extends<Spec<typeof Hetzner.Type>, HetznerClusterSpec>>
export type HetznerIsWhole = IsTrue<Extends<HetznerClusterSpec, Spec<typeof Hetzner.Type>>>
export type MemoryIsTyped = IsTrue<Extends<Spec<typeof Memory.Type>, MemorySpec>>
export type MemoryIsWhole = IsTrue<Extends<MemorySpec, Spec<typeof Memory.Type>>>
