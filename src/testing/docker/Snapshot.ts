/**
 * The content of the fake engine, as data for a test.
 *
 * It shows what an engine hides too: exit codes, restarts, and the body of each create call.
 */
import type { Engine, Labels, Status } from "./Engine.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface ContainerView {
  readonly id: string
  readonly name: string
  readonly labels: Labels
  readonly state: Status
  readonly exitCode: number
  readonly restartCount: number
  readonly image: string
  /** The names of its networks, with the address in each; an empty text where it has none. */
  readonly networks: Readonly<Record<string, string>>
  readonly volumes: ReadonlyArray<string>
  /** The body of its create call. */
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface NetworkView {
  readonly id: string
  readonly name: string
  readonly labels: Labels
  readonly subnets: ReadonlyArray<string>
  readonly isPredefined: boolean
}

/**
 * @category models
 * @since 0.1.0
 */
export interface VolumeView {
  readonly name: string
  readonly labels: Labels
  readonly isAnonymous: boolean
}

/**
 * All that an engine has: containers newest first, networks and volumes oldest first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly containers: ReadonlyArray<ContainerView>
  readonly networks: ReadonlyArray<NetworkView>
  readonly volumes: ReadonlyArray<VolumeView>
  /** References, without those of images that have none. */
  readonly images: ReadonlyArray<string>
}

/** @internal */
export const snapshotOf = (engine: Engine): Snapshot => ({
  containers: engine.containers.map((each) => ({
    id: each.id,
    name: each.name,
    labels: each.labels,
    state: each.status,
    exitCode: each.exitCode,
    restartCount: each.restartCount,
    image: each.image,
    networks: Object.fromEntries([...each.endpoints.values()].map(({ key, live }) => [key, live?.address ?? ""])),
    volumes: each.mounts.flatMap(({ name, type }) => type === "volume" ? [name] : []),
    body: each.body
  })),
  networks: engine.networks.map(({ id, isPredefined, labels, name, subnets }) => ({
    id,
    name,
    labels,
    subnets: subnets.map(({ subnet }) => subnet),
    isPredefined
  })),
  volumes: engine.volumes.map(({ isAnonymous, labels, name }) => ({ name, labels: labels ?? {}, isAnonymous })),
  images: engine.images.flatMap(({ tags }) => tags)
})
