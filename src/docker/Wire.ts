/**
 * The answers of the Docker Engine API, as far as kubelayer reads them.
 *
 * The schemas are lenient: unknown fields are ignored, and what Go leaves out or gives as null may be absent. They hold
 * for API 1.41 and newer, and for Podman's Docker API. Nothing here knows our models; `Translate.ts` does.
 * Source: Docker Engine API reference, `ContainerList`, `ContainerInspect`, `NetworkList`, `VolumeList`, `SystemEvents`.
 */
import * as Schema from "effect/Schema"

const nullable = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const textOrNothing = (value: unknown): value is string | null | undefined =>
  value === undefined || value === null || typeof value === "string"

// The fields of a long list are checked in place and not copied, so that reading thousands of containers takes no
// longer than the engine needs to write them.
const recordOf = <A>(expected: string, holds: (value: unknown) => value is A) =>
  Schema.declare(
    (value): value is Readonly<Record<string, A>> => {
      if (!isObject(value)) return false
      for (const key in value) if (!holds(value[key])) return false
      return true
    },
    { expected }
  )

const listOf = <A>(expected: string, holds: (value: unknown) => value is A) =>
  Schema.declare(
    (value): value is ReadonlyArray<A> => Array.isArray(value) && value.every(holds),
    { expected }
  )

const isText = (value: unknown): value is string => typeof value === "string"
const numberOrNothing = (value: unknown): value is number | null | undefined =>
  value === undefined || value === null || typeof value === "number"

const Labels = nullable(recordOf("labels", isText))

export interface EndpointSettings {
  readonly NetworkID?: string | null
  readonly IPAddress?: string | null
  readonly GlobalIPv6Address?: string | null
}

const Networks = recordOf(
  "networks",
  (value): value is EndpointSettings | null =>
    value === null ||
    isObject(value) && textOrNothing(value["NetworkID"]) && textOrNothing(value["IPAddress"]) &&
      textOrNothing(value["GlobalIPv6Address"])
)

export interface Port {
  readonly IP?: string | null
  readonly PrivatePort?: number | null
  readonly PublicPort?: number | null
  readonly Type?: string | null
}

const Ports = listOf(
  "ports",
  (value): value is Port =>
    isObject(value) && textOrNothing(value["IP"]) && numberOrNothing(value["PrivatePort"]) &&
    numberOrNothing(value["PublicPort"]) && textOrNothing(value["Type"])
)

export interface Mount {
  readonly Type?: string | null
  readonly Name?: string | null
}

const Mounts = listOf(
  "mounts",
  (value): value is Mount => isObject(value) && textOrNothing(value["Type"]) && textOrNothing(value["Name"])
)

/** `GET /containers/json`, one entry. */
export const ContainerSummary = Schema.Struct({
  Id: Schema.String,
  Names: nullable(listOf("names", isText)),
  Image: nullable(Schema.String),
  Labels,
  State: Schema.String,
  Status: nullable(Schema.String),
  /** Seconds since the epoch. */
  Created: nullable(Schema.Number),
  Ports: nullable(Ports),
  NetworkSettings: nullable(Schema.Struct({ Networks: nullable(Networks) })),
  Mounts: nullable(Mounts)
})
export type ContainerSummary = typeof ContainerSummary.Type

export const ContainerList = Schema.NullOr(Schema.Array(ContainerSummary))

/** `GET /containers/{id}/json` */
export const ContainerInspect = Schema.Struct({
  Id: Schema.String,
  Name: Schema.String,
  State: Schema.Struct({
    Status: Schema.String,
    ExitCode: nullable(Schema.Number),
    Error: nullable(Schema.String),
    StartedAt: nullable(Schema.String)
  }),
  Config: Schema.Struct({ Labels, Tty: nullable(Schema.Boolean), StopTimeout: nullable(Schema.Number) }),
  RestartCount: nullable(Schema.Number),
  HostConfig: nullable(Schema.Struct({
    RestartPolicy: nullable(Schema.Struct({ Name: nullable(Schema.String) }))
  }))
})
export type ContainerInspect = typeof ContainerInspect.Type

/** `POST /containers/create` */
export const Created = Schema.Struct({ Id: Schema.String })

/** `GET /networks`, one entry. */
export const Network = Schema.Struct({
  Id: Schema.String,
  Name: Schema.String,
  Labels,
  IPAM: nullable(Schema.Struct({
    Config: nullable(Schema.Array(Schema.Struct({ Subnet: nullable(Schema.String) })))
  })),
  /** ISO 8601. */
  Created: nullable(Schema.String)
})
export type Network = typeof Network.Type

export const NetworkList = Schema.NullOr(Schema.Array(Network))

/** An entry of `GET /volumes`, and the answer to `POST /volumes/create`, which gives an existing volume as it is. */
export const Volume = Schema.Struct({ Name: Schema.String, Labels, CreatedAt: nullable(Schema.String) })
export type Volume = typeof Volume.Type

export const VolumeList = Schema.Struct({ Volumes: nullable(Schema.Array(Volume)) })

/** One line of `POST /images/create`. An error comes as a line of a reply with status 200. */
export const PullLine = Schema.Struct({
  id: nullable(Schema.String),
  status: nullable(Schema.String),
  error: nullable(Schema.String),
  progressDetail: nullable(Schema.Struct({ current: nullable(Schema.Number), total: nullable(Schema.Number) }))
})
export type PullLine = typeof PullLine.Type

/** `GET /exec/{id}/json` */
export const ExecInspect = Schema.Struct({ ExitCode: nullable(Schema.Number) })

/** `GET /version`; the fields that negotiation needs. */
export const Version = Schema.Struct({
  ApiVersion: Schema.String,
  MinAPIVersion: nullable(Schema.String),
  Components: nullable(Schema.Array(Schema.Struct({ Name: nullable(Schema.String) }))),
  Version: nullable(Schema.String)
})

/** One line of `GET /events`. `Actor.Attributes` of a container has all its labels. */
export const Event = Schema.Struct({
  Type: nullable(Schema.String),
  Action: nullable(Schema.String),
  Actor: nullable(Schema.Struct({ ID: nullable(Schema.String), Attributes: Labels }))
})
export type Event = typeof Event.Type

/** Labels as a plain record; none where the engine gave null. */
export const labelsOf = (value: { readonly Labels?: Readonly<Record<string, string>> | null }): Readonly<
  Record<string, string>
> => value.Labels ?? {}

/**
 * The name of a container without its slash. Links on the default bridge add names with two slashes; the container's
 * own has one.
 */
export const nameOf = (container: Pick<ContainerSummary, "Id" | "Names">): string =>
  (container.Names ?? []).find((name) => name.lastIndexOf("/") === 0)?.slice(1) ?? container.Id.slice(0, 12)

/** The subnets of a network, of both families. */
export const subnetsOf = (network: Network): ReadonlyArray<string> =>
  (network.IPAM?.Config ?? []).flatMap((config) => typeof config.Subnet === "string" ? [config.Subnet] : [])

/** The IPv4 subnet of a network. */
export const ipv4SubnetOf = (network: Network): string | undefined =>
  subnetsOf(network).find((subnet) => subnet.includes("."))
