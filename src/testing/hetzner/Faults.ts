/**
 * The injected faults of the fake cloud: calls that are refused, cut or kept waiting, and actions that end in an error.
 */
import { makeRules, type Rule } from "../faults/Rules.ts"
import type { ErrorCode } from "./Refusal.ts"
import type { Action, ActionError, ResourceType } from "./World.ts"

/**
 * The fault of a call.
 *
 * - `Refuse`: an error of the API's table instead of the work; `message` and `details` where the usual ones do not do.
 * - `Page`: an HTML page instead of the work, as from a gateway.
 * - `CutBefore`: the connection is cut, and nothing is done.
 * - `CutAfter`: the work is done, and the connection cut: a lost reply.
 * - `HangBefore`, `HangAfter`: as these, but the connection stays open and silent.
 * - `Delay`: the work is done, and the reply comes later.
 * - `Garble`: the work is done, and the reply is not JSON.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault =
  | {
    readonly _tag: "Refuse"
    readonly code: ErrorCode
    readonly message?: string
    readonly details?: Readonly<Record<string, unknown>> | null
  }
  | { readonly _tag: "Page"; readonly status: number }
  | { readonly _tag: "CutBefore" }
  | { readonly _tag: "CutAfter" }
  | { readonly _tag: "HangBefore" }
  | { readonly _tag: "HangAfter" }
  | { readonly _tag: "Delay"; readonly millis: number }
  | { readonly _tag: "Garble" }

/**
 * A call as it comes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Arrival {
  /** 1 for the first call of all. */
  readonly index: number
  readonly method: string
  /** Without `/v1` and the query, such as `/servers/4294967300/actions/poweron`. */
  readonly path: string
  /** As `path`, with `{id}` for each number; the path itself where the API has no such route. */
  readonly template: string
  /** Without the question mark. */
  readonly query: string
}

/**
 * Selects the calls that get a fault.
 *
 * @category models
 * @since 0.1.0
 */
export type FaultRule = Rule<Arrival, Fault>

/**
 * Selects the actions that end in an error.
 *
 * @category models
 * @since 0.1.0
 */
export interface ActionFault {
  /** Such as `start_server`. */
  readonly command: string
  /** The id of the server, or of what else the action is about; any where nothing is said. */
  readonly resource?: number
  /** How many actions; 1 where nothing is said. */
  readonly times?: number
  /** `action_failed` and its usual message where nothing is said. */
  readonly code?: string
  readonly message?: string
}

/** Keeps the rules that are in force. @internal */
export interface Faults {
  readonly add: (rule: FaultRule) => () => void
  readonly addAction: (fault: ActionFault) => () => void
  readonly clear: () => void
  readonly meet: (call: Arrival) => Fault | undefined
  readonly mishap: (command: string, resources: Action["resources"]) => ActionError | undefined
}

/** @internal */
export const makeFaults = (): Faults => {
  const rules = makeRules<Arrival, Fault>(({ method, path, query, template }) => [
    `${method} ${path}${query === "" ? "" : `?${query}`}`,
    `${method} ${template}`
  ])
  const actions = new Set<{ readonly fault: ActionFault; met: number }>()
  return {
    add: rules.add,
    addAction: (fault) => {
      const entry = { fault, met: 0 }
      actions.add(entry)
      return () => actions.delete(entry)
    },
    clear: () => {
      rules.clear()
      actions.clear()
    },
    meet: rules.meet,
    mishap: (command, resources) => {
      const isAbout = (id: number) => resources.some((one: { id: number; type: ResourceType }) => one.id === id)
      for (const entry of actions) {
        const { code = "action_failed", message = "Action failed", resource, times = 1 } = entry.fault
        if (entry.met >= times || entry.fault.command !== command) continue
        if (resource !== undefined && !isAbout(resource)) continue
        entry.met++
        return { code, message }
      }
      return undefined
    }
  }
}
