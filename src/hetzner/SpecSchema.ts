/**
 * The Schema of a Hetzner cluster's spec: its type, its validation and its JSON Schema.
 *
 * It checks each field on its own; the project and the catalogue are read when a plan is created. `userData` is the Schema
 * of the text that a server gets at its first boot: text in a program, a reference in a document.
 */
import * as Schema from "effect/Schema"
import { clusterFields, field, Labels, poolFields, SecretReference, wholeNumber, Word } from "../internal/SpecFields.ts"

const Image = Schema.Union([
  Word,
  wholeNumber(1, Number.MAX_SAFE_INTEGER),
  Schema.Struct({ selector: Word })
]).annotate({
  expected: "the name of an image, the id of a snapshot, or `{ selector: LABELS }`"
})

const serverFields = <S extends Schema.Top>(userData: S) => ({
  image: field(
    Image,
    "The name of a system image, such as `debian-13`; the id of a snapshot; or `{ selector: LABELS }` for the newest one."
  ),
  serverTypes: field(Schema.Array(Word), "Server types, the best first; the next is used where one is sold out."),
  locations: field(Schema.Array(Word), "Locations, the best first; all of the network's zone where none is given."),
  userData: field(
    userData,
    "Given to the server at its first boot, at most 32 KiB: `{ env: NAME }` or `{ file: path }`."
  ),
  labels: field(Labels, "Labels of the caller's own.")
})

const Rule = Schema.Struct({
  direction: Schema.Literals(["in", "out"]),
  protocol: Schema.Literals(["tcp", "udp", "icmp", "esp", "gre"]),
  port: field(
    Schema.String.annotate({ expected: "text such as \"80\", \"1024-5000\" or \"any\"" }),
    "For tcp and udp: \"80\", \"1024-5000\" or \"any\"."
  ),
  sourceIps: field(Schema.Array(Word), "CIDRs, for `in`."),
  destinationIps: field(Schema.Array(Word), "CIDRs, for `out`."),
  description: field(Schema.String, "At most 255 characters.")
})

const Volume = Schema.Struct({
  name: Word.annotate({ description: "Called `<cluster>-<name>`, or `<node>-<name>` with `each`." }),
  sizeGb: wholeNumber(10, 10_240).annotate({ description: "Size in GB." }),
  each: field(Schema.Literals(["control-plane", "worker"]), "One volume for each node of this role, attached to it."),
  location: field(Word, "The location of a volume without nodes."),
  format: field(Schema.Literals(["ext4", "xfs"]), "The file system."),
  keep: field(Schema.Boolean, "A delete of the cluster leaves the volume.")
})

const SshKey = Schema.Union([
  Word,
  wholeNumber(1, Number.MAX_SAFE_INTEGER),
  Schema.Struct({ name: Word, publicKey: Word })
]).annotate({
  expected: "the name, fingerprint or id of a key, or `{ name, publicKey }`",
  // A private key may have been pasted here.
  secret: true
})

const specFields = <S extends Schema.Top>(userData: S) => {
  const server = Schema.Struct(serverFields(userData))
  return {
    ...clusterFields,
    nodes: field(server, "Control planes and workers."),
    controlPlane: field(server, "Control planes; replaces fields of `nodes`."),
    worker: field(server, "Workers; replaces fields of `nodes`."),
    network: field(
      Schema.Union([
        Schema.Literal(false),
        Schema.Struct({
          existing: field(
            Schema.Union([Word, wholeNumber(1, Number.MAX_SAFE_INTEGER), Schema.Struct({ selector: Word })]).annotate({
              expected: "the name or id of a network, or `{ selector: LABELS }`"
            }),
            "A network that exists, by name, id or labels. The cluster does not own it."
          ),
          ipRange: field(Word, "A private IPv4 CIDR, /24 or larger; 10.0.0.0/16 where it is not given."),
          subnet: field(Word, "The part of it that the servers are in; its first /24 where it is not given."),
          zone: field(Word, "A network zone, such as `eu-central`.")
        })
      ]).annotate({ expected: "a mapping or `false`" }),
      "The private network `<cluster>-network`; `false` for none."
    ),
    firewall: field(Schema.Struct({ rules: Schema.Array(Rule) }), "The firewall `<cluster>-firewall` of all servers."),
    placementGroups: field(Schema.Boolean, "Spread groups of at most ten servers each; created unless `false`."),
    sshKeys: field(Schema.Array(SshKey), "Keys that may log in."),
    publicNet: field(
      Schema.Struct({
        ipv4: field(Schema.Boolean, "A public IPv4 address."),
        ipv6: field(Schema.Boolean, "A public IPv6 network.")
      }),
      "Public addresses; both where nothing is given."
    ),
    volumes: field(Schema.Array(Volume), "Volumes of the cluster."),
    loadBalancer: field(
      Schema.Struct({
        type: field(Word, "The type of the load balancer; `lb11` where it is not given."),
        port: field(
          wholeNumber(1, 65_535),
          "The TCP port, also that of the control planes; 6443 where it is not given."
        ),
        location: field(Word, "The location of the first control plane where it is not given."),
        public: field(Schema.Boolean, "Whether it has public addresses; true where it is not given.")
      }),
      "A load balancer `<cluster>-load-balancer` in front of the Kubernetes API."
    ),
    floatingIp: field(
      Schema.Struct({
        type: field(Schema.Literals(["ipv4", "ipv6"]), "`ipv4` where it is not given."),
        keep: field(Schema.Boolean, "A delete of the cluster leaves the address.")
      }),
      "A floating IP `<cluster>-ip`, assigned to the first control plane."
    ),
    pools: field(
      Schema.Array(Schema.Struct({
        ...serverFields(userData),
        ...poolFields,
        volumes: field(Schema.Array(Volume), "Volumes of the pool's nodes.")
      })),
      "Groups of servers with their own fields, beside `controlPlanes` and `workers`."
    )
  }
}

/** The spec in a program. */
export const SpecSchema = Schema.Struct({
  cluster: Schema.String,
  ...specFields(Schema.Union([Schema.String, Schema.Redacted(Schema.String)]).annotate({ secret: true }))
})

/** The spec in a document: `userData` is a reference. */
export const DocumentFields = specFields(SecretReference)
