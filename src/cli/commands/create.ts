/**
 * Creates a cluster from flags.
 *
 * On a backend that bills it shows the plan and asks first.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Backends } from "../Backends.ts"
import { UsageError } from "../Failure.ts"
import { planText, questionOf } from "../Plans.ts"
import { withProgress } from "../Progress.ts"
import { Screen } from "../Screen.ts"
import { addressFor, confirm, renderReport, withOperationTimeout } from "../Session.ts"
import { Settings } from "../Settings.ts"
import { readText } from "../Sources.ts"

export interface CreateInput {
  readonly cluster: string
  readonly controlPlanes: number
  readonly workers: number
  readonly image: string | undefined
  readonly labels: Readonly<Record<string, string>>
  readonly keep: boolean
  readonly serverTypes: ReadonlyArray<string>
  readonly locations: ReadonlyArray<string>
  readonly userData: string | undefined
  readonly sshKeys: ReadonlyArray<string>
  readonly machineClass: string | undefined
  readonly talosVersion: string | undefined
  readonly kubernetesVersion: string | undefined
}

const only: {
  readonly [flag in keyof CreateInput]?: { readonly flag: string; readonly backends: ReadonlyArray<string> }
} = {
  image: { flag: "--image", backends: ["docker", "hetzner"] },
  serverTypes: { flag: "--server-type", backends: ["hetzner"] },
  locations: { flag: "--location", backends: ["hetzner"] },
  userData: { flag: "--user-data", backends: ["hetzner"] },
  sshKeys: { flag: "--ssh-key", backends: ["hetzner"] },
  machineClass: { flag: "--machine-class", backends: ["omni"] },
  talosVersion: { flag: "--talos-version", backends: ["omni"] },
  kubernetesVersion: { flag: "--kubernetes-version", backends: ["omni"] }
}

const isGiven = (value: unknown): boolean => Array.isArray(value) ? value.length > 0 : value !== undefined

const checkFlags = (input: CreateInput, backend: string): Effect.Effect<void, UsageError> => {
  const wrong = Object.entries(only).filter(([field, { backends }]) =>
    isGiven(input[field as keyof CreateInput]) && !backends.includes(backend)
  )
  return wrong.length === 0
    ? Effect.void
    : Effect.fail(
      new UsageError({
        message: wrong.map(([, { backends, flag }]) => `${flag} is for ${backends.join(" and ")}, not for ${backend}`)
          .join("\n")
      })
    )
}

export const create = Effect.fnUntraced(function*(input: CreateInput) {
  const settings = yield* Settings
  const screen = yield* Screen
  const backends = yield* Backends
  yield* checkFlags(input, settings.backend)
  const { image, kubernetesVersion, locations, machineClass, serverTypes, sshKeys, talosVersion } = input
  const userData = input.userData === undefined ? undefined : Redacted.make(yield* readText(input.userData))
  const connection = yield* backends.open(
    yield* addressFor({
      backend: settings.backend,
      // `auto` finds clusters; a new one has our own labels.
      ...(settings.backend === "docker" ? { scheme: settings.scheme ?? "kubelayer" } : {}),
      defaults: {
        ...(machineClass === undefined ? {} : { machineClass }),
        ...(talosVersion === undefined ? {} : { talosVersion }),
        ...(kubernetesVersion === undefined ? {} : { kubernetesVersion })
      }
    })
  )
  const node = {
    ...(image === undefined ? {} : { image }),
    ...(serverTypes.length === 0 ? {} : { serverTypes }),
    ...(locations.length === 0 ? {} : { locations }),
    ...(userData === undefined ? {} : { userData })
  }
  const spec = {
    cluster: input.cluster,
    controlPlanes: input.controlPlanes,
    workers: input.workers,
    ...(Object.keys(input.labels).length === 0 ? {} : { labels: input.labels }),
    ...(input.keep ? { onFailure: "keep" as const } : {}),
    ...(Object.keys(node).length === 0 ? {} : { nodes: node }),
    ...(sshKeys.length === 0 ? {} : { sshKeys })
  }
  if (settings.backend === "hetzner" && !settings.isYes) {
    const plan = yield* connection.creator.plan(spec)
    const question = questionOf([plan])
    if (question !== undefined) {
      if (!settings.isQuiet) yield* screen.err(`${planText(plan, settings.color && screen.errHasColor)}\n`)
      yield* confirm(question)
    }
  }
  yield* renderReport(yield* withProgress(withOperationTimeout(connection.creator.createNodes(spec))))
  return 0
})
