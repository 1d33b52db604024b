/**
 * What the Docker Engine API answers, as far as kubelayer reads it.
 *
 * The schemas are lenient: unknown fields are ignored, and what Go leaves out or gives as null may be absent. They hold
 * for API 1.41 and newer, and for Podman's Docker API. Nothing here knows our models; `Translate.ts` does.
 * Source: Docker Engine API reference, `ContainerList`, `ContainerInspect`, `NetworkList`, `VolumeList`, `SystemEvents`.
 */
import * as Schema from "effect/Schema"

const nullable = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Labels = nullable(Schema.Record(Schema.String, Schema.String))

const EndpointSettings = Schema.Struct({
  NetworkID: nullable(Schema.String),
  IPAddress: nullable(Schema.String),
  GlobalIPv6Address: nullable(Schema.String)
})

const Networks = Schema.Record(Schema.String, Schema.NullOr(EndpointSettings))

/** `GET /containers/json`, one entry. */
export const ContainerSummary = Schema.Struct({
  Id: Schema.String,
  Names: nullable(Schema.Array(Schema.String)),
  Image: nullable(Schema.String),
  Labels,
  State: Schema.String,
  Status: nullable(Schema.String),
  /** Seconds since the epoch. */
  Created: nullable(Schema.Number),
  Ports: nullable(Schema.Array(Schema.Struct({
    IP: nullable(Schema.String),
    PrivatePort: nullable(Schema.Number),
    PublicPort: nullable(Schema.Number),
    Type: nullable(Schema.String)
  }))),
  NetworkSettings: nullable(Schema.Struct({ Networks: nullable(Networks) })),
  Mounts: nullable(Schema.Array(Schema.Struct({ Type: nullable(Schema.String), Name: nullable(Schema.String) })))
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
    Error: nullable(Schema.String)
  }),
  Config: Schema.Struct({ Labels, Tty: nullable(Schema.Boolean) })
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
