/**
 * The replies of Hetzner's API, as far as they are read.
 *
 * The schemas are lenient: they have only the fields that are read, words of a closed set are plain strings, and fields
 * that the API may drop are optional. So a new status, or a field that is gone, breaks no list. Source: Hetzner Cloud
 * API reference, the objects of each section.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

const orNull = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))
const Named = Schema.Struct({ name: Schema.String })
const Ids = Schema.Array(Schema.Number)

/** Without labels, or with null in their place, a thing is unlabelled. */
const Labels = Schema.NullOr(Schema.Record(Schema.String, Schema.String)).pipe(
  Schema.decodeTo(Schema.Record(Schema.String, Schema.String), {
    decode: SchemaGetter.transform((labels) => labels ?? {}),
    encode: SchemaGetter.passthrough()
  }),
  Schema.withDecodingDefaultKey(Effect.succeed({}))
)

/** The fields of everything that can be labelled. */
const labelled = {
  id: Schema.Number,
  name: Schema.String,
  created: orNull(Schema.String),
  labels: Labels
}

/** Something that the API goes on doing after its answer. */
export const Action = Schema.Struct({
  id: Schema.Number,
  command: Schema.String,
  status: Schema.String,
  resources: orNull(Schema.Array(Schema.Struct({ id: Schema.Number, type: Schema.String }))),
  error: orNull(Schema.Struct({ code: orNull(Schema.String), message: orNull(Schema.String) }))
})
export type Action = typeof Action.Type

const Protection = Schema.Struct({ delete: orNull(Schema.Boolean), rebuild: orNull(Schema.Boolean) })
const Address = Schema.Struct({ id: orNull(Schema.Number), ip: Schema.String })

const Server = Schema.Struct({
  ...labelled,
  status: Schema.String,
  locked: orNull(Schema.Boolean),
  server_type: orNull(Named),
  location: orNull(Named),
  image: orNull(Schema.Struct({ id: Schema.Number, name: orNull(Schema.String) })),
  public_net: orNull(Schema.Struct({
    ipv4: orNull(Address),
    ipv6: orNull(Address),
    firewalls: orNull(Schema.Array(Schema.Struct({ id: Schema.Number, status: orNull(Schema.String) })))
  })),
  private_net: orNull(Schema.Array(Schema.Struct({ network: Schema.Number, ip: orNull(Schema.String) }))),
  placement_group: orNull(Schema.Struct({ id: Schema.Number })),
  volumes: orNull(Ids),
  load_balancers: orNull(Ids),
  iso: orNull(Schema.Struct({ id: Schema.Number, name: orNull(Schema.String) })),
  /** In GB. */
  primary_disk_size: orNull(Schema.Number),
  backup_window: orNull(Schema.String),
  protection: orNull(Protection)
})
export type Server = typeof Server.Type

const Network = Schema.Struct({
  ...labelled,
  ip_range: Schema.String,
  subnets: Schema.Array(Schema.Struct({ ip_range: Schema.String, network_zone: Schema.String })),
  servers: Ids,
  load_balancers: orNull(Ids)
})
export type Network = typeof Network.Type

const FirewallRule = Schema.Struct({
  direction: Schema.String,
  protocol: Schema.String,
  port: orNull(Schema.String),
  source_ips: orNull(Schema.Array(Schema.String)),
  destination_ips: orNull(Schema.Array(Schema.String)),
  description: orNull(Schema.String)
})
export type FirewallRule = typeof FirewallRule.Type

const Firewall = Schema.Struct({
  ...labelled,
  rules: Schema.Array(FirewallRule),
  applied_to: Schema.Array(Schema.Struct({
    type: Schema.String,
    server: orNull(Schema.Struct({ id: Schema.Number })),
    label_selector: orNull(Schema.Struct({ selector: Schema.String }))
  }))
})
export type Firewall = typeof Firewall.Type

const PlacementGroup = Schema.Struct({
  ...labelled,
  servers: Ids
})
export type PlacementGroup = typeof PlacementGroup.Type

const FloatingIp = Schema.Struct({
  ...labelled,
  type: Schema.String,
  server: Schema.NullOr(Schema.Number),
  home_location: orNull(Named)
})
export type FloatingIp = typeof FloatingIp.Type

const Volume = Schema.Struct({
  ...labelled,
  size: Schema.Number,
  server: Schema.NullOr(Schema.Number),
  location: orNull(Named),
  format: orNull(Schema.String)
})
export type Volume = typeof Volume.Type

const ServerTarget = Schema.Struct({ server: orNull(Schema.Struct({ id: Schema.Number })) })

const LoadBalancer = Schema.Struct({
  ...labelled,
  private_net: Schema.Array(Schema.Struct({ network: Schema.Number })),
  targets: orNull(Schema.Array(Schema.Struct({
    type: Schema.String,
    server: orNull(Schema.Struct({ id: Schema.Number })),
    label_selector: orNull(Schema.Struct({ selector: Schema.String })),
    use_private_ip: orNull(Schema.Boolean),
    /** The servers that a label selector selects. */
    targets: orNull(Schema.Array(ServerTarget))
  }))),
  services: orNull(Schema.Array(Schema.Struct({
    protocol: Schema.String,
    listen_port: Schema.Number,
    destination_port: Schema.Number
  }))),
  public_net: orNull(Schema.Struct({
    enabled: orNull(Schema.Boolean),
    ipv4: orNull(Schema.Struct({ ip: orNull(Schema.String) }))
  })),
  load_balancer_type: orNull(Named),
  location: orNull(Named)
})
export type LoadBalancer = typeof LoadBalancer.Type

const PrimaryIp = Schema.Struct({
  ...labelled,
  type: Schema.String,
  ip: orNull(Schema.String),
  assignee_id: orNull(Schema.Number),
  auto_delete: Schema.Boolean,
  location: orNull(Named)
})
export type PrimaryIp = typeof PrimaryIp.Type

const SshKey = Schema.Struct({
  ...labelled,
  fingerprint: Schema.String,
  public_key: Schema.String
})
export type SshKey = typeof SshKey.Type

const Deprecation = Schema.Struct({ announced: orNull(Schema.String), unavailable_after: orNull(Schema.String) })

/** A snapshot has no name. */
const Image = Schema.Struct({
  id: Schema.Number,
  name: orNull(Schema.String),
  description: orNull(Schema.String),
  type: Schema.String,
  status: Schema.optionalKey(Schema.String),
  architecture: Schema.String,
  disk_size: Schema.Number,
  created: orNull(Schema.String),
  deprecated: orNull(Schema.String),
  protection: orNull(Protection)
})
export type Image = typeof Image.Type

const ServerType = Schema.Struct({
  id: Schema.Number,
  name: Schema.String,
  architecture: Schema.String,
  disk: Schema.optionalKey(Schema.Number),
  locations: orNull(Schema.Array(Schema.Struct({
    name: Schema.String,
    available: orNull(Schema.Boolean),
    deprecation: orNull(Deprecation)
  })))
})
export type ServerType = typeof ServerType.Type

/** An ISO image of the Project's own may have no name; one without an architecture fits every server. */
const Iso = Schema.Struct({
  id: Schema.Number,
  name: orNull(Schema.String),
  description: orNull(Schema.String),
  architecture: orNull(Schema.String),
  deprecation: orNull(Deprecation)
})
export type Iso = typeof Iso.Type

const Location = Schema.Struct({ id: Schema.Number, name: Schema.String, network_zone: Schema.String })
export type Location = typeof Location.Type

/** One kind of resource: where it is listed, and under which keys the answers have many and one. */
export interface Collection<A> {
  readonly path: string
  readonly key: string
  readonly one: string
  readonly schema: Schema.ConstraintDecoder<A>
  /** Whether labels decide which cluster owns it. */
  readonly isLabelled: boolean
}

const collection = <S extends Schema.ConstraintDecoder<unknown>>(
  key: string,
  one: string,
  schema: S,
  isLabelled = true
) => ({ path: `/${key}`, key, one, schema, isLabelled })

export const servers = collection("servers", "server", Server)
export const networks = collection("networks", "network", Network)
export const firewalls = collection("firewalls", "firewall", Firewall)
export const placementGroups = collection("placement_groups", "placement_group", PlacementGroup)
export const floatingIps = collection("floating_ips", "floating_ip", FloatingIp)
export const volumes = collection("volumes", "volume", Volume)
export const loadBalancers = collection("load_balancers", "load_balancer", LoadBalancer)
export const primaryIps = collection("primary_ips", "primary_ip", PrimaryIp)
export const sshKeys = collection("ssh_keys", "ssh_key", SshKey)
export const images = collection("images", "image", Image, false)
export const isos = collection("isos", "iso", Iso, false)
export const serverTypes = collection("server_types", "server_type", ServerType, false)
export const locations = collection("locations", "location", Location, false)

/** The pagination of a list. */
export const Page = Schema.Struct({
  meta: orNull(Schema.Struct({
    pagination: orNull(Schema.Struct({ next_page: orNull(Schema.Number), total_entries: orNull(Schema.Number) }))
  }))
})

/** A refusal, as far as it can be read. */
export const Refusal = Schema.Struct({
  error: Schema.Struct({
    code: orNull(Schema.String),
    message: orNull(Schema.String),
    details: Schema.optionalKey(Schema.Unknown)
  })
})
