/**
 * The state of the fake engine: containers, networks, volumes, images, execs, and the timers of their processes.
 *
 * The lists are changed in place. Times are milliseconds since the epoch, of the Clock that the fake was started with.
 */
import type { EventLog } from "./EventLog.ts"
import type { Flavor, Refusals } from "./Flavor.ts"

/** @internal */
export type Labels = Readonly<Record<string, string>>

/**
 * The behaviour of the process of a container.
 *
 * @category models
 * @since 0.1.0
 */
export interface Behavior {
  /** It exits on its own, so long after its start. It runs until it is stopped where this is left out. */
  readonly exits?: { readonly code: number; readonly afterMillis?: number }
  /** The reaction to SIGTERM; by default it exits at once with 0. */
  readonly onTerm?: "ignore" | { readonly code?: number; readonly afterMillis?: number }
  /** Lines that it writes to stdout as soon as it starts. */
  readonly logs?: ReadonlyArray<string>
}

/**
 * An image of the engine.
 *
 * @category models
 * @since 0.1.0
 */
export interface ImageSeed extends Behavior {
  readonly entrypoint?: ReadonlyArray<string>
  readonly command?: ReadonlyArray<string>
  readonly env?: ReadonlyArray<string>
  /** Commands that the image does not have. It has all others. */
  readonly missing?: ReadonlyArray<string>
  /** Users of its passwd file; `root` where this is left out. */
  readonly users?: ReadonlyArray<string>
}

/**
 * A command that is run in a container.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExecCommand {
  readonly container: string
  readonly command: ReadonlyArray<string>
  readonly env: ReadonlyArray<string>
  readonly workingDirectory: string
  readonly user: string
}

/**
 * The output and the end of a command.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExecResult {
  readonly output?: ReadonlyArray<
    { readonly stream?: "stdout" | "stderr"; readonly text: string; readonly afterMillis?: number }
  >
  readonly exitCode?: number
}

/** @internal */
export interface Image extends ImageSeed {
  readonly id: string
  tags: Array<string>
  readonly created: number
  readonly comment: string
}

/** @internal */
export interface Endpoint {
  /** As the request named it; the name of the network once it is attached. */
  readonly key: string
  /** The network's id once the container was attached to it. */
  networkId: string
  readonly requested: { readonly v4?: string; readonly v6?: string }
  readonly hasIpam: boolean
  readonly aliases: ReadonlyArray<string> | null
  /** Only while the container runs. */
  live: Attachment | undefined
  /** Of a seeded container whose network need not exist. */
  readonly isSeeded?: boolean
  /** The values that Docker 20 still shows after a failed start. */
  stale?: Attachment & { readonly hasGateway: boolean }
}

/** @internal */
interface Attachment {
  readonly id: string
  readonly address: string
  readonly address6: string
  readonly mac: string
}

/** @internal */
export interface Mount {
  readonly type: "volume" | "bind" | "tmpfs"
  readonly name: string
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
  readonly isAnonymous: boolean
  /** From `Volumes` of the body, not from a mount. */
  readonly isPlain?: boolean
}

/** @internal */
export interface LogLine {
  readonly nanos: bigint
  readonly stream: "stdout" | "stderr"
  readonly text: string
}

/** @internal */
export type Status = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead"

/** @internal */
export interface PublishedPort {
  readonly privatePort: number
  readonly protocol: string
  readonly ip: string
  readonly publicPort: number
}

/** @internal */
export interface Container {
  readonly id: string
  readonly name: string
  readonly created: number
  readonly labels: Labels
  readonly image: string
  readonly imageId: string
  readonly body: Readonly<Record<string, unknown>>
  readonly host: Readonly<Record<string, unknown>>
  readonly entrypoint: ReadonlyArray<string>
  readonly command: ReadonlyArray<string>
  readonly env: ReadonlyArray<string>
  readonly isTty: boolean
  readonly mounts: ReadonlyArray<Mount>
  readonly endpoints: Map<string, Endpoint>
  behavior: Behavior
  status: Status
  startedAt: number | undefined
  finishedAt: number | undefined
  exitCode: number
  error: string
  restartCount: number
  /** Counts the processes, so that a timer of an earlier one has no effect. */
  run: number
  /** A stop ended the restarts of the policy. The next start ends this. */
  wasStopped: boolean
  /** How long the policy waits before the next start. */
  backoff: number
  readonly probes: Array<{ readonly at: number; readonly exitCode: number }>
  health: "none" | "starting" | "healthy" | "unhealthy"
  ports: ReadonlyArray<PublishedPort>
  readonly log: Array<LogLine>
  readonly readers: Set<(line: LogLine | "exit" | "gone") => void>
  /** Called once at the next exit, or when the container is removed. */
  readonly waiters: Set<(code: number) => void>
  readonly removalWaiters: Set<(code: number) => void>
}

/** @internal */
export interface Network {
  readonly id: string
  readonly name: string
  readonly created: number
  readonly driver: string
  readonly labels: Labels
  readonly options: Labels
  readonly internal: boolean
  readonly attachable: boolean
  readonly isIPv6: boolean
  readonly subnets: ReadonlyArray<{ readonly subnet: string; readonly gateway: string; readonly givenGateway: boolean }>
  /** The subnet was requested, so that addresses in it can be. */
  readonly isConfigured: boolean
  readonly isPredefined: boolean
  /** Podman gives addresses in turn, Docker the lowest that is free. */
  lastAddress: string
}

/** @internal */
export interface Volume {
  readonly name: string
  readonly created: number
  readonly labels: Labels | null
  readonly options: Labels | null
  readonly isAnonymous: boolean
}

/** @internal */
export interface Exec extends ExecCommand {
  readonly id: string
  readonly isTty: boolean
  readonly isPrivileged: boolean
  state: "created" | "running" | "ended"
  exitCode: number | null
  pid: number
}

/** How long the engine takes for each kind of call, in milliseconds. @internal */
export interface Durations {
  readonly create: number
  readonly start: number
  readonly stop: number
  readonly remove: number
  readonly network: number
  readonly volume: number
  readonly pull: number
}

/** @internal */
export interface Engine {
  readonly flavor: Flavor
  readonly refuse: Refusals
  readonly now: () => number
  /** A number that grows with each call, in nanoseconds since the epoch. */
  readonly nanos: () => bigint
  readonly newId: () => string
  readonly events: EventLog
  readonly durations: Durations
  /** Does something later, unless the fake has ended by then. */
  readonly later: (millis: number, happen: () => void) => void
  /** Newest first. */
  readonly containers: Array<Container>
  readonly networks: Array<Network>
  readonly volumes: Array<Volume>
  readonly images: Array<Image>
  readonly execs: Map<string, Exec>
  readonly addressPools: ReadonlyArray<{ readonly base: string; readonly size: number }>
  /** Host ports that some other process uses, as `127.0.0.1:80/tcp`. */
  readonly portsInUse: Set<string>
  readonly hostFolders: Set<string>
  readonly run: (command: ExecCommand) => ExecResult
  nextPort: number
}

/** @internal */
export const text = (value: unknown): string => typeof value === "string" ? value : ""

/** @internal */
export const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : {}

/** @internal */
export const texts = (value: unknown): ReadonlyArray<string> =>
  Array.isArray(value) ? value.filter((each) => typeof each === "string") : []

/** @internal */
export const removeFrom = <A>(list: Array<A>, item: A): void => {
  const at = list.indexOf(item)
  if (at >= 0) list.splice(at, 1)
}

/** The container of this name, id or beginning of an id. @internal */
export const lookUp = (engine: Engine, name: string): Container | undefined => {
  const exact = engine.containers.find((each) => each.id === name || each.name === name.replace(/^\//, ""))
  if (exact !== undefined || !/^[0-9a-f]{2,63}$/.test(name)) return exact
  const found = engine.containers.filter(({ id }) => id.startsWith(name))
  if (found.length > 1) throw engine.refuse.ambiguousId(name)
  return found[0]
}

/** @internal */
export const containerOf = (engine: Engine, name: string, missing = engine.refuse.container): Container => {
  const found = lookUp(engine, name)
  if (found === undefined) throw missing(name)
  return found
}

/** The network of this id or name; an engine may have several of one name. @internal */
export const networkOf = (engine: Engine, name: string): Network | undefined => {
  // The Docker API of Podman calls its default network by Docker's name.
  const wanted = engine.flavor.isPodman && (name === "bridge" || name === "default") ? "podman" : name
  const byId = engine.networks.find(({ id }) => id === name)
  const named = engine.networks.filter((each) => each.name === wanted)
  if (byId === undefined && named.length > 1) throw engine.refuse.networkIsAmbiguous(name, named.length)
  return byId ?? named[0] ??
    (/^[0-9a-f]{12,63}$/.test(name) ? engine.networks.find(({ id }) => id.startsWith(name)) : undefined)
}

const untagged = (reference: string): boolean =>
  !reference.includes("@") && reference.lastIndexOf(":") <= reference.lastIndexOf("/")

/** A reference with its tag. @internal */
export const withTag = (reference: string): string => untagged(reference) ? `${reference}:latest` : reference

/** @internal */
export const imageOf = (engine: Engine, reference: string): Image | undefined =>
  engine.images.find(({ id, tags }) =>
    id === reference || id === `sha256:${reference}` || tags.includes(withTag(reference)) || tags.includes(reference)
  )

/** @internal */
export const runs = ({ status }: Container): boolean => status === "running" || status === "paused"
