/** A fake Omni and the layer under test over it, for as long as the test's scope. */
import * as Effect from "effect/Effect"
import * as Omni from "kubelayer/layers/Omni"
import type { ReasonTag } from "kubelayer/Reason"
import * as OmniFake from "../../../src/testing/OmniFake.ts"

export const world = (
  options: { readonly fake?: OmniFake.Options; readonly omni?: Partial<Omni.Options> } = {}
) =>
  Effect.gen(function*() {
    const fake = yield* OmniFake.make({ machineClasses: { small: ["omni.sidero.dev/arch=amd64"] }, ...options.fake })
    const omni = yield* Omni.make({
      endpoint: fake.endpoint,
      serviceAccountKey: fake.serviceAccountKey,
      machineClass: "small",
      ...options.omni
    })
    const ids = (kind: string) => Effect.map(fake.resources(kind), (all) => all.map(({ id }) => id))
    /** The calls since the previous `newCalls`, as `Method Type`. */
    let looked = 0
    const newCalls = Effect.map(fake.calls, (calls) => {
      const fresh = calls.slice(looked).map(({ method, type }) => `${method} ${type}`.trim())
      looked = calls.length
      return fresh
    })
    return { fake, omni, provider: omni.provider, ids, newCalls }
  })

/** The tag of an error, or of its reason. */
export const tagOf = (error: { readonly _tag: string; readonly reason?: unknown }): ReasonTag | string =>
  error._tag === "BackendError" ? (error.reason as { readonly _tag: ReasonTag })._tag : error._tag

/** Outcomes as `name: tag`. */
export const outcomes = (
  report: { readonly outcomes: ReadonlyArray<{ readonly name: string; readonly outcome: { readonly _tag: string } }> }
) => report.outcomes.map(({ name, outcome }) => `${name}: ${outcome._tag}`)
