/**
 * The calls of a proxy, in the order in which they came, and what became of each.
 *
 * It counts, and knows which calls the engine is still at work on. Nothing here touches a connection.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { type Call, kindOf, templateOf } from "./Call.ts"
import { describe, type Fault, type Plan } from "./Plan.ts"

/**
 * A call and what became of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallRecord extends Call {
  readonly fault?: Fault
  /** The answer of the engine; absent if there is none or the engine never saw the call. */
  readonly engineStatus?: number
  /** The answer to the client; absent if it got none. */
  readonly status?: number
  /** Neither the engine nor the client waits for anything any more. */
  readonly settled: boolean
}

/**
 * How often a method and template were answered with a status.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallCount {
  readonly method: string
  readonly template: string
  /** The answer to the client; `none` if it got none. */
  readonly status: number | "none"
  readonly count: number
}

/** A record while it is being written. */
export type Draft = { -readonly [K in keyof CallRecord]: CallRecord[K] }

/** The record of a proxy about its calls. */
export interface CallLog {
  readonly records: ReadonlyArray<Draft>
  readonly begin: (method: string, path: string, upgrade: boolean, plan: Plan) => Draft
  readonly settle: (record: Draft) => void
  /** Completes when no call is under way but those that last. */
  readonly idle: Effect.Effect<void>
}

export const makeLog = (): CallLog => {
  const records: Array<Draft> = []
  const occurrences = new Map<string, number>()
  const underWay = new Set<Draft>()
  const waiting = new Set<() => void>()
  return {
    records,
    begin: (method, path, upgrade, plan) => {
      const template = templateOf(path)
      const key = `${method} ${template}`
      const occurrence = (occurrences.get(key) ?? 0) + 1
      occurrences.set(key, occurrence)
      const kind = kindOf(method, template, upgrade)
      const call: Call = { index: records.length + 1, kind, method, template, occurrence, path }
      const fault = plan(call)
      const record: Draft = { ...call, ...(fault === undefined ? {} : { fault }), settled: false }
      records.push(record)
      if (kind !== "stream" && kind !== "hijack") underWay.add(record)
      return record
    },
    settle: (record) => {
      record.settled = true
      underWay.delete(record)
      if (underWay.size > 0) return
      for (const resume of waiting) resume()
      waiting.clear()
    },
    idle: Effect.callback<void>((resume) => {
      if (underWay.size === 0) return resume(Effect.void)
      const settled = () => resume(Effect.void)
      waiting.add(settled)
      return Effect.sync(() => {
        waiting.delete(settled)
      })
    })
  }
}

/** How often each method and template was answered with each status, in the order of their names. */
export const countsOf = (records: ReadonlyArray<CallRecord>): ReadonlyArray<CallCount> => {
  const counts = new Map<string, CallCount>()
  for (const { method, status = "none", template } of records) {
    const key = `${template} ${method} ${status}`
    counts.set(key, { method, template, status, count: (counts.get(key)?.count ?? 0) + 1 })
  }
  return [...counts].sort(([a], [b]) => a < b ? -1 : 1).map(([, count]) => count)
}

/**
 * A record in one line, as `POST /containers/{id}/start #2: done by the engine, answer dropped (engine: 204)`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const line = (record: CallRecord): string => {
  const { engineStatus, fault, method, occurrence, status, template } = record
  const what = fault === undefined ? `${status ?? "no answer"}` : describe(fault)
  const engine = engineStatus === undefined || engineStatus === status ? "" : ` (engine: ${engineStatus})`
  return `${method} ${template} #${occurrence}: ${what}${engine}`
}
