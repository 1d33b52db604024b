/**
 * The values that `Provider` speaks of: cluster names, nodes and statuses, each with its Schema.
 *
 * They are the same for every backend; what a backend calls things is kept beside, in `rawRole`, `rawState` and
 * `rawPhase`. Nothing here does I/O or knows a backend. JSON is `Schema.toCodecJson` of the class; see
 * `Cluster.toJson`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

// -----------------------------------------------------------------------------
// Names
// -----------------------------------------------------------------------------

/** The longest name of a new cluster, in characters: that of a label value and of a DNS label. */
export const maxNameLength = 63

/** The longest name of a cluster that exists, in characters. Omni stores longer names than it accepts. */
export const maxStoredNameLength = 253

/** @internal */
export const referable = /^(?=.*[\p{L}\p{N}])[\p{L}\p{N}_-][\p{L}\p{N}._-]*$/u
/** @internal */
export const ascii = /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/
/** @internal */
export const creatable = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/

/**
 * The name of a cluster that exists or may exist: 1 to 63 ASCII letters, digits, `.`, `_` and `-`, with a letter or digit
 * at both ends. Omni has clusters with other names: letters of every script, `-` and `_` at the ends, and up to 253
 * characters. The other backends refuse them.
 *
 * @category models
 * @since 0.1.0
 */
export const ClusterName = Schema.String.check(
  Schema.isMaxLength(maxStoredNameLength),
  // A generator of values cannot follow a pattern with Unicode classes; it makes ASCII names.
  Schema.isPattern(referable, { arbitraryConstraint: { patterns: [{ source: ascii.source, flags: ascii.flags }] } })
).pipe(Schema.brand("ClusterName"))

/** @category models @since 0.1.0 */
export type ClusterName = typeof ClusterName.Type

/**
 * The name of a new cluster: lower-case letters, digits, `.` and `-`, with a letter or digit at both ends. A backend
 * may accept fewer names.
 *
 * @category models
 * @since 0.1.0
 */
export const NewClusterName = Schema.String.check(
  Schema.isMaxLength(maxNameLength),
  Schema.isPattern(creatable)
).pipe(Schema.brand("ClusterName"), Schema.brand("NewClusterName"))

/** @category models @since 0.1.0 */
export type NewClusterName = typeof NewClusterName.Type

/**
 * Whether a name that a backend holds can be referred to. Those that cannot are left out of lists.
 *
 * @category guards
 * @since 0.1.0
 */
export const isClusterName = (input: string): input is ClusterName =>
  input.length <= maxStoredNameLength && referable.test(input)

// -----------------------------------------------------------------------------
// Nodes
// -----------------------------------------------------------------------------

/**
 * The purpose of a node. A `load-balancer` counts as a node of the cluster. A `helper` is listed and acted on, but no
 * total includes it.
 *
 * @category models
 * @since 0.1.0
 */
export const NodeRole = Schema.Literals(["control-plane", "worker", "load-balancer", "helper"])

/** @category models @since 0.1.0 */
export type NodeRole = typeof NodeRole.Type

/**
 * The state of a node, in the same words for all backends. `unknown` means that the backend does not know the state, or
 * that kubelayer does not know the backend's word for it. `rawState` has the original.
 *
 * @category models
 * @since 0.1.0
 */
export const NodeState = Schema.Literals([
  "creating",
  "starting",
  "running",
  "stopping",
  "stopped",
  "deleting",
  "failed",
  "unknown"
])

/** @category models @since 0.1.0 */
export type NodeState = typeof NodeState.Type

/**
 * One machine of a cluster.
 *
 * @category models
 * @since 0.1.0
 */
export class NodeInfo extends Schema.Class<NodeInfo>("kubelayer/NodeInfo")({
  name: Schema.String,
  clusterName: ClusterName,
  role: NodeRole,
  state: NodeState,
  /** The node pool that the node belongs to, where it was created in one. */
  pool: Schema.optionalKey(Schema.String),
  /** The backend's immutable id: container id, server id, machine id. */
  id: Schema.String,
  /** The role in the backend's words. */
  rawRole: Schema.String,
  /** The state in the backend's words. */
  rawState: Schema.String,
  /** IP addresses, as text. Empty where the node has none at present, as a stopped container. */
  addresses: Schema.Struct({ private: Schema.Array(Schema.String), public: Schema.Array(Schema.String) }),
  serverType: Schema.optionalKey(Schema.String),
  location: Schema.optionalKey(Schema.String),
  /** ISO 8601 in JSON. */
  createdAt: Schema.optionalKey(Schema.DateTimeUtc)
}) {}

// -----------------------------------------------------------------------------
// Status
// -----------------------------------------------------------------------------

/**
 * The state of a cluster as a whole, derived from the nodes that count. All ready: `running`. Some ready: `degraded`.
 * If none is ready, the first of these that applies: all stopped is `stopped`, any creating or starting is
 * `provisioning`, all deleting is `deleting`. Then all stopped or stopping is `stopping`, and any failed is `degraded`.
 * Everything else is `unknown`.
 *
 * @category models
 * @since 0.1.0
 */
export const ClusterPhase = Schema.Literals([
  "running",
  "degraded",
  "stopped",
  "provisioning",
  "deleting",
  "stopping",
  "unknown"
])

/** @category models @since 0.1.0 */
export type ClusterPhase = typeof ClusterPhase.Type

/**
 * The state of a cluster, derived from its nodes, or from what the backend says of the cluster.
 *
 * @category models
 * @since 0.1.0
 */
export class ClusterStatus extends Schema.Class<ClusterStatus>("kubelayer/ClusterStatus")({
  clusterName: ClusterName,
  phase: ClusterPhase,
  /** At least one node counts, and all that count are in the ready state. */
  ready: Schema.Boolean,
  /** Nodes that count: control planes, workers and load balancers, not helpers. */
  nodesTotal: Schema.Int,
  nodesReady: Schema.Int,
  /** All nodes, helpers too. */
  nodes: Schema.Array(NodeInfo),
  /** The creation time of the oldest node. ISO 8601 in JSON. */
  createdAt: Schema.optionalKey(Schema.DateTimeUtc),
  /** The URL of the *provider's* API. It is not the address of the kube-apiserver. */
  endpoint: Schema.optionalKey(Schema.String),
  /** The phase in the backend's words, where it has one. */
  rawPhase: Schema.optionalKey(Schema.String)
}) {}
