/**
 * The Schema of a Docker cluster's spec: its type, its validation and its JSON Schema.
 *
 * It checks each field on its own. Rules about several fields, such as a volume that is mounted but not declared, are
 * checked when a plan is created. `text` is the Schema of a value that may be secret: text in a program, text or a
 * reference in a document.
 */
import * as Schema from "effect/Schema"
import { clusterFields, field, Labels, poolFields, TextOrReference, wholeNumber, Word } from "../internal/SpecFields.ts"

const absolutePath = Schema.String.check(
  Schema.isPattern(/^\/[^:,\0\n]*$/, { expected: "an absolute path" })
)

const Port = Schema.Struct({
  container: wholeNumber(1, 65_535).annotate({ description: "The port in the node." }),
  host: field(wholeNumber(1, 65_535), "The port on the host; a free one is chosen where it is not given."),
  protocol: field(Schema.Literals(["tcp", "udp", "sctp"]), "`tcp` where it is not given."),
  address: field(Word, "The host's address; all addresses where it is not given.")
})

const Mount = Schema.Struct({
  name: field(Word, "One of the cluster's `volumes`; an anonymous volume where it is not given."),
  target: absolutePath.annotate({ description: "The folder in the node." }),
  readOnly: field(Schema.Boolean, "Mount it read-only.")
})

const Bind = Schema.Struct({
  source: absolutePath.annotate({ description: "The folder on the engine's host." }),
  target: absolutePath.annotate({ description: "The folder in the node." }),
  readOnly: field(Schema.Boolean, "Mount it read-only.")
})

/** The fields of one kind of node. */
const nodeFields = <S extends Schema.Top>(text: S) => ({
  image: field(Word, "An image reference, as `docker pull` takes it."),
  pull: field(Schema.Literals(["missing", "always", "never"]), "When to pull the image; `missing` by default."),
  entrypoint: field(Schema.Array(Schema.String), "Replaces the image's entrypoint."),
  command: field(Schema.Array(Schema.String), "Replaces the image's command."),
  env: field(Schema.Record(Schema.String, text), "Environment variables of the node."),
  labels: field(Labels, "Labels of the caller's own."),
  ports: field(Schema.Array(Port), "Ports to publish."),
  volumes: field(Schema.Array(Mount), "Volumes to mount."),
  binds: field(Schema.Array(Bind), "Folders of the engine's host to mount."),
  tmpfs: field(Schema.Array(absolutePath), "Folders in memory."),
  networks: field(Schema.Array(Word), "Networks of the cluster that the node joins, beside the main one."),
  privileged: field(Schema.Boolean, "Run the node with all capabilities of the host."),
  cpus: field(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0.01, { expected: "a number of processors, 0.01 or more" })),
    "Processors, such as 0.5."
  ),
  memoryBytes: field(
    Schema.Int.check(
      Schema.isGreaterThanOrEqualTo(6 * 1024 * 1024, { expected: "a number of bytes, 6291456 or more" })
    ),
    "Memory limit in bytes."
  ),
  restart: field(Schema.Literals(["no", "always", "unless-stopped", "on-failure"]), "The engine's restart policy.")
})

/** The fields of a spec beside the cluster's name. */
const specFields = <S extends Schema.Top>(text: S) => {
  const node = Schema.Struct(nodeFields(text))
  return {
    ...clusterFields,
    nodes: field(node, "Control planes and workers."),
    controlPlane: field(node, "Control planes; replaces fields of `nodes`."),
    worker: field(node, "Workers; replaces fields of `nodes`."),
    loadBalancer: field(node, "The load balancer of the control planes."),
    network: field(
      Schema.Struct({ subnet: field(Word, "An IPv4 CIDR; the first free one where it is not given.") }),
      "The cluster's main network."
    ),
    networks: field(
      Schema.Array(Schema.Struct({
        name: Word.annotate({ description: "Called `<cluster>-<name>`; `external` networks are called `<name>`." }),
        subnet: field(Word, "An IPv4 CIDR."),
        external: field(Schema.Boolean, "The network exists and is not the cluster's own.")
      })),
      "Networks beside the main one."
    ),
    volumes: field(
      Schema.Array(Schema.Struct({
        name: Word.annotate({ description: "Called `<cluster>-<name>`, or `<node>-<name>` with `perNode`." }),
        perNode: field(Schema.Boolean, "One volume for each node.")
      })),
      "Named volumes of the cluster."
    ),
    pools: field(
      Schema.Array(Schema.Struct({ ...nodeFields(text), ...poolFields })),
      "Groups of nodes with their own fields, beside `controlPlanes` and `workers`."
    )
  }
}

/** The spec in a program. */
export const SpecSchema = Schema.Struct({ cluster: Schema.String, ...specFields(Schema.String) })

/** The spec in a document: values of `env` may be references. */
export const DocumentFields = specFields(TextOrReference)
