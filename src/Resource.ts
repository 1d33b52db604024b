/**
 * The interfaces of a backend: its kinds of resources, how nodes are started and stopped, and its client.
 *
 * These are interfaces only. `Backend.make` builds the services of a backend from them: the engine owns the order of
 * steps, ownership, adoption, repair, undo, reports, plans, scaling, sweeps, watches and reconnects. A backend says how
 * one thing is listed, compared, created and removed. Every member is a property, so that a client that can only read is
 * never handed to code that needs one that can write.
 *
 * The module is experimental: a minor version may change it.
 *
 * @since 0.2.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ClusterName, ClusterStatus, NodeInfo } from "./Model.ts"
import type { Overrides, Policy } from "./Policy.ts"
import type { Subject } from "./Progress.ts"
import type { AddedNodes, ClusterSpec } from "./Provider.ts"
import type { InvalidClusterName, InvalidSpec, ProviderUnavailable } from "./ProviderError.ts"
import type { BackendError, Difference, Reason, ResourceKind } from "./Reason.ts"
import type { OperationName, Outcome } from "./Report.ts"

/**
 * The errors of a call to a backend. Any other failure or defect of a member becomes an `UnknownError`.
 *
 * @category errors
 * @since 0.2.0
 */
export type CallFailure = ProviderUnavailable | BackendError

// -----------------------------------------------------------------------------
// Ownership
// -----------------------------------------------------------------------------

/**
 * The marks of one operation on everything that it creates. A backend stores them as labels or annotations.
 *
 * @category models
 * @since 0.2.0
 */
export interface Mark {
  /** A random word, one for each operation. */
  readonly operation: string
  /** The process, as `Owner.session` gives it back. */
  readonly session: string
  /** The thing goes when a scope of the process closes, so it is an orphan once the process has exited. */
  readonly bound: boolean
  /** It is a node of `addNodes`, so that it is neither different nor surplus for `createNodes`. */
  readonly added: boolean
}

/**
 * The owner of a thing. `cluster` is the cluster that it belongs to, whichever tool created it. The marks are those of
 * the operation that created it, if kubelayer did.
 *
 * @category models
 * @since 0.2.0
 */
export interface Owner extends Partial<Mark> {
  readonly cluster: string
  /** The operation that created it has succeeded, as the backend itself knows. */
  readonly isFinished?: boolean
}

/**
 * The name and the immutable id of a thing. Names are unique for each kind; the id is left out where it is the name.
 *
 * @category models
 * @since 0.2.0
 */
export interface Identity {
  readonly name: string
  readonly id?: string
}

/** A kind of thing as a list shows it. */
export interface Listed<Actual> {
  readonly kind: ResourceKind
  readonly identity: (actual: Actual) => Identity
}

/**
 * Everything that one list of the backend returned, of all clusters, and everything that was created since.
 *
 * @category models
 * @since 0.2.0
 */
export interface World {
  readonly of: <Actual>(resource: Listed<Actual>) => ReadonlyArray<Actual>
  readonly named: <Actual>(resource: Listed<Actual>, name: string) => Actual | undefined
  /** Whether the thing is removed by the operation that asks, or was removed by it. */
  readonly isLeaving: <Actual>(resource: Listed<Actual>, actual: Actual) => boolean
  /**
   * The world of the operation's first list, which also has the things that were removed since. In the first list it is
   * the same world.
   */
  readonly earlier: World
}

// -----------------------------------------------------------------------------
// Tasks
// -----------------------------------------------------------------------------

/**
 * The context that the engine passes to a member that acts on one thing. It is valid until the member returns.
 *
 * @category models
 * @since 0.2.0
 */
export interface Task {
  readonly operation: OperationName
  readonly cluster: ClusterName
  readonly subject: Subject
  readonly policy: Policy
  /** The marks for what is created. */
  readonly mark: Mark
  /** The last list and everything that was created since. */
  readonly world: World
  /**
   * Sends one request. `call` is its name in progress events, such as `create` or `poweron`. In a create the request is
   * not aborted when the caller is interrupted, so that it is known what it created.
   */
  readonly send: <A>(call: string, request: Effect.Effect<A, CallFailure>) => Effect.Effect<A, CallFailure>
  /** Waits for something without counting in `Policy.concurrency`. `reason` says for what. */
  readonly waiting: <A, E, R>(reason: string, wait: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Says how many bytes of an image have come. */
  readonly transferred: (subject: Subject, bytes: number, total?: number) => Effect.Effect<void>
  /** Adds a line to what the report says about the thing. */
  readonly note: (text: string) => Effect.Effect<void>
  /** An error of this operation about the thing, or about the subject. */
  readonly error: (reason: Reason, subject?: Subject) => BackendError
  /**
   * A value that is created once per operation, by the first task that needs it, such as a poller. Its scope is the
   * operation's.
   */
  readonly once: <A, E>(key: string, make: Effect.Effect<A, E, Scope.Scope>) => Effect.Effect<A, E>
}

// -----------------------------------------------------------------------------
// Resources
// -----------------------------------------------------------------------------

/**
 * One kind of thing that a backend creates: `Wanted` is how the backend describes a thing that a spec requests, `Actual`
 * is what it lists.
 *
 * @category models
 * @since 0.2.0
 */
export interface Resource<Wanted, Actual, Read, Write extends Read = Read> extends Listed<Actual> {
  /** Things are created in rising order; things of one order in parallel. */
  readonly order: number
  /** Things are removed in falling order. `order` where it is left out. */
  readonly removal?: number
  /**
   * The things of a cluster, or of all clusters where none is named. It may return more; the engine keeps what `owner`
   * says. One read: the engine adds no retry.
   */
  readonly list: (read: Read, cluster: ClusterName | undefined) => Effect.Effect<ReadonlyArray<Actual>, CallFailure>
  readonly nameOf: (wanted: Wanted) => string
  /** Whether something is the wanted thing, where that is not decided by the name, such as SSH keys by fingerprint. */
  readonly matches?: (wanted: Wanted, actual: Actual) => boolean
  /** The owner of a thing; undefined if it belongs to no cluster. */
  readonly owner: (actual: Actual, world: World) => Owner | undefined
  /** A text for people that names the user of a name that this cluster does not own: `kind cluster dev`. */
  readonly holder?: (actual: Actual, world: World) => string
  /** It belongs to several clusters or to none: that it exists is enough, and no cluster removes it. */
  readonly isShared?: (wanted: Wanted) => boolean
  /** It is being removed, so it counts as absent. A create waits until it is gone. */
  readonly isGoing?: (actual: Actual) => boolean
  /** It is still being created, so it is waited for before it is compared. */
  readonly isUnfinished?: (actual: Actual) => boolean
  /** Whether something of the cluster that no spec requests is surplus. Nodes are, other things are not. */
  readonly isSurplus?: (actual: Actual, world: World) => boolean
  /** In what something differs from what is wanted. Pure. A node that does not run is no difference. */
  readonly diff: (wanted: Wanted, actual: Actual, world: World) => ReadonlyArray<Difference>
  /** Allocation for all missing things of a kind at once: images, addresses, ports, places. */
  readonly prepare?: (
    write: Write,
    missing: ReadonlyArray<Wanted>,
    task: Task
  ) => Effect.Effect<ReadonlyArray<Wanted>, InvalidSpec | CallFailure>
  /**
   * Creates one thing, marked with `task.mark`, and returns it as far as the reply shows it. It may return a thing of
   * another operation that took the name. Left out where a thing cannot be created.
   */
  readonly create?: (write: Write, wanted: Wanted, task: Task) => Effect.Effect<Actual, CallFailure>
  /**
   * A create of a name that exists succeeds, so that a request without reply that was sent twice may create the thing
   * again after it was seen and removed.
   */
  readonly isCreatedAgain?: boolean
  /** Waits until something that was created, by this or another operation, is ready. It runs outside of the width. */
  readonly settle?: (read: Read, actual: Actual, task: Task) => Effect.Effect<Actual | void, CallFailure>
  /** Starts a node that this operation created; `Power.start` where it is left out. It may return another one. */
  readonly startNew?: (
    write: Write,
    wanted: Wanted,
    actual: Actual,
    task: Task
  ) => Effect.Effect<Actual | void, CallFailure>
  /** Removes the differences whose remedy is `repair`. A fresh list decides success, never the reply. */
  readonly repair?: (
    write: Write,
    wanted: Wanted,
    actual: Actual,
    differences: ReadonlyArray<Difference>,
    task: Task
  ) => Effect.Effect<void, CallFailure>
  /** Removes the differences whose remedy is `update`. */
  readonly update?: (
    write: Write,
    wanted: Wanted,
    actual: Actual,
    differences: ReadonlyArray<Difference>,
    task: Task
  ) => Effect.Effect<void, CallFailure>
  /** Takes over something unfinished of another operation, so that no sweep removes it from under this one. */
  readonly claim?: (write: Write, actual: Actual, task: Task) => Effect.Effect<void, CallFailure>
  /** Marks something as finished, after the operation succeeded. It is called for what needs it only. */
  readonly finish?: (write: Write, actual: Actual, task: Task) => Effect.Effect<void, CallFailure>
  /** Whether `finish` has something to do. */
  readonly needsFinish?: (actual: Actual) => boolean
  /**
   * Removes one thing by its id. `NotFoundError` counts as removed by something else, `InUse` as left in place; what it
   * returns is the outcome where it is something else than `Done`.
   */
  readonly remove: (write: Write, actual: Actual, task: Task) => Effect.Effect<Outcome | void, CallFailure>
  /** Waits until something that was removed is gone. It runs outside of the width. */
  readonly gone?: (read: Read, actual: Actual, task: Task) => Effect.Effect<void, CallFailure>
  /**
   * Why a delete leaves things of the cluster in place, one sentence each: what uses them, what they go on costing.
   * One read for all. `world.isLeaving` says which users are removed as well.
   */
  readonly keep?: (
    read: Read,
    actuals: ReadonlyArray<Actual>,
    world: World
  ) => Effect.Effect<ReadonlyMap<Actual, string>, CallFailure>
  /** A delete lists the things of all clusters, since they may use what `keep` of other kinds is asked about. */
  readonly isUser?: boolean
  /**
   * Things that a delete names although the cluster does not own them, one sentence each: they use its names, hold its
   * data, or are in its networks. `world.earlier` still has the nodes that were deleted.
   */
  readonly mention?: (
    read: Read,
    cluster: ClusterName,
    world: World
  ) => Effect.Effect<ReadonlyMap<Actual, string>, CallFailure>
  /** Whether a delete has to list the kind, as far as the other kinds show; it does where this is left out. */
  readonly concerns?: (cluster: ClusterName, world: World) => boolean
  /**
   * With `concerns`: a delete lists the kind while the nodes exist, if they show that it has to. Later its things do not
   * show which nodes used them.
   */
  readonly isListedBeforeNodes?: boolean
  /** When it was created, in milliseconds since the epoch. Without it a sweep leaves the kind out. */
  readonly createdAt?: (actual: Actual) => number | undefined
  /** For people, in a plan: a price, a location. */
  readonly details?: (wanted: Wanted) => Readonly<Record<string, string>>
}

/**
 * The kind of thing that is a node.
 *
 * @category models
 * @since 0.2.0
 */
export interface NodeResource<Wanted, Actual, Read, Write extends Read = Read>
  extends Resource<Wanted, Actual, Read, Write>
{
  readonly kind: "node"
  /** A node as the library shows it. `owner` has said before that it belongs to this cluster. */
  readonly info: (actual: Actual, cluster: ClusterName, world: World) => NodeInfo
  /** The role and pool of a wanted node. */
  readonly placeOf: (wanted: Wanted) => { readonly role: NodeInfo["role"]; readonly pool?: string }
}

// The engine only passes values of a kind back to the same kind.
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyResource<Read, Write extends Read = Read> = Resource<any, any, Read, Write>

// oxlint-disable-next-line typescript/no-explicit-any
export type AnyNodeResource<Read, Write extends Read = Read> = NodeResource<any, any, Read, Write>

/**
 * One thing that a spec requests. `Backend.want` builds it.
 *
 * @category models
 * @since 0.2.0
 */
export interface Want<Read, Write extends Read = Read> {
  readonly resource: AnyResource<Read, Write>
  readonly wanted: unknown
}

// -----------------------------------------------------------------------------
// Power
// -----------------------------------------------------------------------------

/**
 * A node that runs as far as the operation knows.
 *
 * @category models
 * @since 0.2.0
 */
export interface Started<Node> {
  readonly node: Node
  /** The operation has not started it: it was running before. */
  readonly wasRunning: boolean
}

/**
 * How nodes are started and stopped. Waits belong into `task.waiting`.
 *
 * @category models
 * @since 0.2.0
 */
export interface Power<Node, Read, Write extends Read = Read> {
  /** Starts a node that does not run, and waits until it does as far as the backend shows it. */
  readonly start: (write: Write, node: Node, task: Task) => Effect.Effect<Outcome, CallFailure>
  /** Stops a node that is not stopped, and waits until it is. `NotFoundError` counts as stopped. */
  readonly stop: (write: Write, node: Node, task: Task) => Effect.Effect<Outcome, CallFailure>
  /** Restarts a node that runs; stop and start where it is left out. */
  readonly restart?: (write: Write, node: Node, task: Task) => Effect.Effect<Outcome, CallFailure>
  /** The waves in which control planes start, one after the other; all at once where it is left out. */
  readonly controlPlaneWaves?: (controlPlanes: ReadonlyArray<Node>) => ReadonlyArray<ReadonlyArray<Node>>
  /**
   * The order of the waves is that of sending: the next wave begins when every node of this one has settled or waits in
   * `task.waiting`.
   */
  readonly waitsOverlap?: boolean
  /** How long a stop of this node takes beyond `Policy.nodeTimeout.stop`. */
  readonly stopTimeout?: (read: Read, node: Node, task: Task) => Effect.Effect<Duration.Duration, CallFailure>
  /** Whether a node whose state is `stopped` needs no stop. It does where the engine may start it again on its own. */
  readonly isStopped?: (read: Read, node: Node, task: Task) => Effect.Effect<boolean, CallFailure>
  /**
   * Runs between the last start and the list that decides whether the nodes run; it may wait. Returns the nodes that do
   * not keep running, such as those that the backend restarts again and again, and why.
   */
  readonly checkRuns?: (
    read: Read,
    nodes: ReadonlyArray<Started<Node>>,
    task: Task
  ) => Effect.Effect<ReadonlyMap<Node, Reason>, CallFailure>
  /**
   * The latest list that the members themselves have read in this operation. Nodes that have appeared since the first list
   * are found in it without another call.
   */
  readonly latest?: (task: Task) => Effect.Effect<ReadonlyArray<Node> | undefined>
  /** Why a started node does not run: its exit code, its cause. */
  readonly whyNotRunning?: (read: Read, node: Node, task: Task) => Effect.Effect<Reason>
}

// -----------------------------------------------------------------------------
// Fates
// -----------------------------------------------------------------------------

/**
 * The fate of the things of an operation: another create adopts them, or they are removed.
 *
 * @category models
 * @since 0.2.0
 */
export type Fate = "adopted" | "undone"

/**
 * How a backend decides, atomically and once, the fate of the things that an operation created. The first to ask decides;
 * later ones get that decision. Without it two processes that create one cluster at once are not kept apart.
 *
 * @category models
 * @since 0.2.0
 */
export interface Fates<Write> {
  readonly decide: (
    write: Write,
    cluster: ClusterName,
    operation: string,
    fate: Fate
  ) => Effect.Effect<Fate, CallFailure>
  /** The decisions that the list itself contains. */
  readonly known?: (world: World) => ReadonlyMap<string, Fate>
  /** Removes the record of a decision, after everything of the operation is gone. */
  readonly forget: (write: Write, operation: string) => Effect.Effect<void, CallFailure>
}

// -----------------------------------------------------------------------------
// Backends
// -----------------------------------------------------------------------------

/**
 * Something may have changed: of one cluster where it names one, else of any. Watches of other clusters do not list.
 *
 * @category models
 * @since 0.2.0
 */
export interface Change {
  readonly cluster?: string
}

/** One validation error, with the path to it. */
export type Issue = InvalidSpec["issues"][number]

/**
 * The nodes that `replaceNodes` creates again: by name, with what is there of them.
 *
 * @category models
 * @since 0.2.0
 */
export interface Replaced<Node> {
  readonly name: string
  /** Undefined where an earlier call has deleted it already. */
  readonly node: Node | undefined
}

/**
 * A backend. `Node` is what its node kind lists.
 *
 * @category models
 * @since 0.2.0
 */
export interface Backend<
  Spec extends ClusterSpec,
  Node,
  Read,
  Write extends Read = Read,
  Added extends AddedNodes = AddedNodes
> {
  /** `docker`, `hetzner`, ... It is in errors, spans and plans. */
  readonly backend: string
  /** The name of this instance; that of the backend where it is left out. */
  readonly name?: string
  /** The client that can only read: plans, lists and watches get no other one. */
  readonly read: Read
  readonly write: Write
  /** The policy of the backend and of the layer. The context of a call overrides it. */
  readonly policy?: Overrides
  /** The endpoint or account that a plan is for, without credentials. It is read after the first list. */
  readonly target: Effect.Effect<string, CallFailure>
  /** The URL of the backend's API for statuses, without credentials. */
  readonly endpoint?: Effect.Effect<string | undefined>
  /** A call that needs the credential. */
  readonly ping: Effect.Effect<void, ProviderUnavailable | BackendError>
  readonly checkName?: (input: string) => Effect.Effect<ClusterName, InvalidClusterName>
  readonly checkNewName?: (input: string) => Effect.Effect<ClusterName, InvalidClusterName>
  /** Why nodes cannot be created at all, one sentence; they can where it is left out. */
  readonly cannotCreate?: string
  /** All validation errors of a spec, before any call. */
  readonly validate: (spec: Spec) => ReadonlyArray<Issue>
  readonly validateAdded?: (nodes: Added) => ReadonlyArray<Issue>
  /** The spec as JSON for a plan. Secrets are passed through `digest`, or stay references. */
  readonly encode: (spec: Spec, digest: (secret: string) => string) => Schema.Json
  /** Reads an encoded spec back; undefined where it is no spec of this backend. */
  readonly decode: (encoded: Schema.Json) => Spec | undefined
  readonly node: AnyNodeResource<Read, Write> & Listed<Node>
  /** The other kinds. */
  readonly resources: ReadonlyArray<AnyResource<Read, Write>>
  /** The kinds that a spec concerns, so that others are not listed; all where it is left out. */
  readonly resourcesOf?: (spec: Spec) => ReadonlyArray<AnyResource<Read, Write>>
  /**
   * Everything that the spec requests. It only reads. The plan contains its choices of machines, places and versions.
   */
  readonly desired: (
    read: Read,
    spec: Spec,
    world: World
  ) => Effect.Effect<ReadonlyArray<Want<Read, Write>>, InvalidSpec | CallFailure>
  /**
   * The nodes that are added to a cluster, under the first free names, and what they need. `taken` are names that turned
   * out to be used by something else. Without it `addNodes` is unsupported.
   */
  readonly added?: (
    read: Read,
    cluster: ClusterName,
    nodes: Added,
    world: World,
    taken: ReadonlySet<string>
  ) => Effect.Effect<ReadonlyArray<Want<Read, Write>>, InvalidSpec | CallFailure>
  /** The same nodes, to be created again under their names. Without it `replaceNodes` is unsupported. */
  readonly replaced?: (
    read: Read,
    cluster: ClusterName,
    nodes: ReadonlyArray<Replaced<Node>>,
    world: World
  ) => Effect.Effect<ReadonlyArray<Want<Read, Write>>, InvalidSpec | CallFailure>
  readonly power: Power<Node, Read, Write>
  readonly fates?: Fates<Write>
  /** The reason why no operation on the cluster is allowed, such as a name in two schemes. */
  readonly refuse?: (cluster: ClusterName, world: World) => Reason | undefined
  /** Whether the backend may still carry a request out after such an error. By default: no reply, or a broken one. */
  readonly mayStillHappen?: (error: CallFailure) => boolean
  /** Control planes are deleted after the other nodes have gone. */
  readonly deletesControlPlanesLast?: (nodes: ReadonlyArray<Node>) => boolean
  /**
   * Events that say that something may have changed, of all clusters, from one subscription. The first element comes when
   * the subscription is open. A cut is a failure or the end; the engine subscribes again. Without it the engine polls.
   */
  readonly changes?: (read: Read) => Stream.Stream<Change | void, CallFailure>
  /** The clusters as the backend itself reports them. Without it clusters are derived from the nodes. */
  readonly clusters?: {
    readonly one: (read: Read, cluster: ClusterName) => Effect.Effect<Option.Option<ClusterStatus>, CallFailure>
    readonly all: (read: Read) => Effect.Effect<ReadonlyArray<ClusterStatus>, CallFailure>
  }
  /** The names of all clusters that have a node, where that is cheaper than a list of the nodes. */
  readonly clusterNames?: (read: Read) => Effect.Effect<ReadonlyArray<string>, CallFailure>
  /**
   * Deletes a cluster on the server, where the server removes its parts itself, and waits until it is gone. It returns
   * nothing where the cluster does not exist. `settled` gets nodes as they leave it. The engine lists afterwards, and
   * removes what is left.
   */
  readonly deleteCluster?: (
    write: Write,
    nodes: ReadonlyArray<Node>,
    task: Task,
    settled: (node: Node, outcome: Outcome) => Effect.Effect<void>
  ) => Effect.Effect<Outcome | void, CallFailure>
  /**
   * Waits until a cluster is ready, where the backend itself decides that. It runs after everything of a create exists,
   * within the deadline of a create. `settled` gets each node of the cluster that runs; a machine that the backend has
   * allocated on its own is in the report by that.
   */
  readonly awaitCluster?: (
    read: Read,
    task: Task,
    settled: (node: Node) => Effect.Effect<void>
  ) => Effect.Effect<void, CallFailure>
  /**
   * The cause that keeps the nodes of a cluster from settling. It is added to the error of everything that is past its
   * deadline.
   */
  readonly explain?: (read: Read, cluster: ClusterName) => Effect.Effect<string, CallFailure>
}
