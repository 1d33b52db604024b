/**
 * The faults of the fake engine that a test injects: refusals, pages, cuts, silence, delays.
 *
 * The calls that meet a fault are chosen by the rules of `faults/Rules.ts`.
 */
import type { Rule } from "../faults/Rules.ts"

/**
 * The fault of a call.
 *
 * - `Refuse`: an error in the engine's form instead of the work.
 * - `Page`: an HTML page instead of the work, as from a proxy.
 * - `CutBefore`: the connection is cut, and nothing is done.
 * - `CutAfter`: the work is done, and the connection cut: a lost reply.
 * - `HangBefore`, `HangAfter`: as these, but the connection stays and nothing comes.
 * - `Delay`: the work is done, and the reply comes later.
 * - `Garble`: the work is done, and the reply is not JSON.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault =
  | {
    readonly _tag: "Refuse"
    readonly status: number
    readonly message: string
    /** Such as `Retry-After`. */
    readonly headers?: Readonly<Record<string, string>>
  }
  | { readonly _tag: "Page"; readonly status: number }
  | { readonly _tag: "CutBefore" }
  | { readonly _tag: "CutAfter" }
  | { readonly _tag: "HangBefore" }
  | { readonly _tag: "HangAfter" }
  | { readonly _tag: "Delay"; readonly millis: number }
  | { readonly _tag: "Garble" }

/**
 * A call as it arrived.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallRecord {
  /** 1 for the first call. */
  readonly index: number
  readonly method: string
  /** `1.41` of `/v1.41/networks`; undefined where the path has none. */
  readonly version: string | undefined
  /** Below the version, without the query, such as `/containers/4f1e/start`. */
  readonly path: string
  /** As `path`, with `{id}` or `{name}` for what it names; the path itself where the engine has no such call. */
  readonly template: string
  readonly query: Readonly<Record<string, string>>
  /** The JSON of the body; undefined where there is none. */
  readonly body: unknown
  /** Of the reply; undefined as long as there is none, and where the connection was cut. */
  status: number | undefined
}

/**
 * Selects the calls that get a fault.
 *
 * @category models
 * @since 0.1.0
 */
export type FaultRule = Rule<CallRecord, Fault>
