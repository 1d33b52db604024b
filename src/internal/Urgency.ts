/**
 * How urgent the running operation is, for clients that share a quota of requests.
 */
import * as Context from "effect/Context"

/** Requests of a delete go before others when a quota is short, and those of a watch after them. */
export type Urgency = "watch" | "usual" | "delete"

/** The urgency of the operation that runs in this fiber, its lists and polls included. */
export const CurrentUrgency = Context.Reference<Urgency>("kubelayer/internal/CurrentUrgency", {
  defaultValue: () => "usual"
})
