import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { load, type LoadOptions } from "../../../src/omni/template/Load.ts"
import type { Template } from "../../../src/omni/template/Model.ts"

/** Machine ids that differ in their number. */
export const machine = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`

export const cluster = {
  name: "dev",
  kubernetes: { version: "v1.34.1" },
  talos: { version: "v1.12.1" }
} as const

/** Three machines listed, one of them a worker. */
export const plainTemplate: Template = {
  cluster,
  controlPlane: { machines: [machine(1), machine(2)] },
  workers: [{ machines: [machine(3)] }]
}

/** The faults of a template, as `place: message`. */
export const faultsOf = (source: string | Template, options: LoadOptions = {}) =>
  load(source, options).pipe(
    Effect.result,
    Effect.map((result) =>
      Result.isFailure(result) ? result.failure.issues.map(({ message, path }) => `${path}: ${message}`) : []
    )
  )
