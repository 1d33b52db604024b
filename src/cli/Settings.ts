/**
 * The flags that every command takes, and what they mean.
 */
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { parseDuration } from "./Time.ts"

const formats = ["table", "wide", "json", "yaml", "name"] as const
type Format = typeof formats[number]

export const backendNames = ["docker", "hetzner", "omni", "memory"] as const
export type BackendName = typeof backendNames[number]

export interface SettingsShape {
  readonly backend: BackendName
  /** The account or engine; documents name it too. */
  readonly instance?: string
  readonly scheme?: string
  readonly host?: string
  readonly context?: string
  readonly format: Format
  readonly isQuiet: boolean
  readonly color: boolean
  /** Answers every question with yes. */
  readonly isYes: boolean
  readonly timeout?: Duration.Duration
}

/** The flags of this call, as one value. */
export class Settings extends Context.Service<Settings, SettingsShape>()("kubelayer/cli/Settings") {}

const text = (name: string, description: string, variable?: string) => {
  const flag = Flag.String(name).pipe(Flag.withDescription(description))
  return Flag.optional(
    variable === undefined ? flag : Flag.withFallbackConfig(flag, Config.NonEmptyString(variable))
  )
}

const Backend = GlobalFlag.Setting("backend")({
  flag: Flag.Literals("backend", backendNames).pipe(
    Flag.withAlias("b"),
    Flag.withDescription(
      "The backend of the clusters; also KUBELAYER_BACKEND. `memory` is a simulation with one cluster `dev`"
    ),
    Flag.withFallbackConfig(Config.Literals(backendNames, "KUBELAYER_BACKEND")),
    Flag.withDefault("docker" as const)
  )
})
const Instance = GlobalFlag.Setting("instance")({
  flag: text(
    "instance",
    "The account or engine: HCLOUD_TOKEN_<NAME>, OMNI_ENDPOINT_<NAME>, DOCKER_HOST_<NAME> or a Docker context",
    "KUBELAYER_INSTANCE"
  )
})
const Scheme = GlobalFlag.Setting("scheme")({
  flag: text(
    "scheme",
    "Docker: whose labels to use: kubelayer, kind, k3d, talos, vcluster, kwok or auto",
    "KUBELAYER_SCHEME"
  )
})
const Host = GlobalFlag.Setting("host")({
  flag: text("host", "Endpoint of the backend, such as unix:///var/run/docker.sock; replaces the environment's")
})
const DockerContext = GlobalFlag.Setting("context")({ flag: text("context", "Docker: a context of the docker CLI") })
const Output = GlobalFlag.Setting("output")({
  flag: Flag.Literals("output", formats).pipe(
    Flag.withAlias("o"),
    Flag.withDescription("Format of the result"),
    Flag.withFallbackConfig(Config.Literals(formats, "KUBELAYER_OUTPUT")),
    Flag.withDefault("table" as const)
  )
})
const Quiet = GlobalFlag.Setting("quiet")({
  flag: Flag.Boolean("quiet").pipe(
    Flag.withAlias("q"),
    Flag.withoutNegation,
    Flag.withDescription("No progress and no hints"),
    Flag.withDefault(false)
  )
})
const ColorFlag = GlobalFlag.Setting("color")({
  flag: Flag.Boolean("color").pipe(
    Flag.withDescription("Colored output on a terminal; --no-color and NO_COLOR turn it off"),
    Flag.withDefault(true)
  )
})
const Yes = GlobalFlag.Setting("yes")({
  flag: Flag.Boolean("yes").pipe(
    Flag.withAlias("y"),
    Flag.withoutNegation,
    Flag.withDescription("Answer yes to every question"),
    Flag.withDefault(false)
  )
})
const Timeout = GlobalFlag.Setting("timeout")({
  flag: Flag.String("timeout").pipe(
    Flag.withDescription("Deadline of the command, such as 90s, 5m or 1h30m"),
    Flag.filterMap(
      (given) => Option.fromUndefinedOr(parseDuration(given)),
      (given) => `"${given}" is not a duration such as 90s, 5m or 1h30m`
    ),
    Flag.optional
  )
})

export const globalFlags = [
  Backend,
  Instance,
  Scheme,
  Host,
  DockerContext,
  Output,
  Quiet,
  ColorFlag,
  Yes,
  Timeout
] as const

/** Reads the flags of this call. */
export const readSettings = Effect.gen(function*() {
  const optional = <K extends string, A>(key: K, value: Option.Option<A>) =>
    Option.isSome(value) ? { [key]: value.value } as { readonly [P in K]: A } : {}
  return {
    backend: yield* Backend,
    ...optional("instance", yield* Instance),
    ...optional("scheme", yield* Scheme),
    ...optional("host", yield* Host),
    ...optional("context", yield* DockerContext),
    format: yield* Output,
    isQuiet: yield* Quiet,
    color: yield* ColorFlag,
    isYes: yield* Yes,
    ...optional("timeout", yield* Timeout)
  } satisfies SettingsShape
})
