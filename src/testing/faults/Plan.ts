/**
 * Decides the fault of each call, by rules and a seed, or by the log of an earlier run.
 *
 * A seed decides for each call by its method, its template and the number of such calls before it. A run with the same
 * calls therefore gets the same faults, however its calls overlap. Only racing calls of one template may swap their
 * faults, and only the last of a bounded number of faults may fall on another call.
 *
 * @since 0.1.0
 */
import type { Call, CallKind } from "./Call.ts"
import { oneOf, type Random, random } from "./Random.ts"

/**
 * The fault of a call.
 *
 * - `Delay`: it reaches the engine later. A slow engine does the work also when no client waits, and so does the proxy:
 *   it passes the call on after the client has gone.
 * - `Refuse`: the connection is closed before the engine sees anything.
 * - `DropAnswer`: the engine does the work, and the connection is closed without an answer.
 * - `CutBody`: the engine does the work; of its answer comes the head and a part of the body. An answer without a body is
 *   dropped.
 * - `CutStream`: an answer that lasts is passed on for a while, then cut.
 * - `Answer`: something else answers; the engine sees nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Fault =
  | { readonly _tag: "Delay"; readonly millis: number }
  | { readonly _tag: "Refuse" }
  | { readonly _tag: "DropAnswer" }
  /** `part`: how much of the body comes, from 0 up to but without 1. */
  | { readonly _tag: "CutBody"; readonly part: number }
  | { readonly _tag: "CutStream"; readonly millis: number }
  | {
    readonly _tag: "Answer"
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  }

/**
 * Makes a fault; the numbers are the call's own.
 *
 * @category models
 * @since 0.1.0
 */
export type FaultMaker = (next: Random) => Fault

/**
 * Says what is to be done to a call; undefined for nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan = (call: Call) => Fault | undefined

/**
 * One rule of a plan. The first rule that is for a call decides on it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  /** Kinds of calls, or a pattern for `METHOD template`, such as `/^POST .*\/start$/`; all calls where none is given. */
  readonly calls?: CallKind | ReadonlyArray<CallKind> | RegExp
  /** How probable a fault is, from 0 to 1. */
  readonly probability: number
  /** One of these is chosen. */
  readonly faults: readonly [FaultMaker, ...ReadonlyArray<FaultMaker>]
}

// -----------------------------------------------------------------------------
// Faults
// -----------------------------------------------------------------------------

const spanned = (next: Random, [least, most]: readonly [number, number]): number =>
  Math.round(least + next() * (most - least))

const json = { "Content-Type": "application/json" }
const html = { "Content-Type": "text/html; charset=utf-8" }

/** @category constructors @since 0.1.0 */
export const delay = (leastMillis: number, mostMillis: number): FaultMaker => (next) => ({
  _tag: "Delay",
  millis: spanned(next, [leastMillis, mostMillis])
})
/** @category constructors @since 0.1.0 */
export const refuse: FaultMaker = () => ({ _tag: "Refuse" })
/** @category constructors @since 0.1.0 */
export const dropAnswer: FaultMaker = () => ({ _tag: "DropAnswer" })
/** @category constructors @since 0.1.0 */
export const cutBody: FaultMaker = (next) => ({ _tag: "CutBody", part: next() })
/** @category constructors @since 0.1.0 */
export const cutStream = (leastMillis: number, mostMillis: number): FaultMaker => (next) => ({
  _tag: "CutStream",
  millis: spanned(next, [leastMillis, mostMillis])
})

/**
 * An answer in the form in which an engine reports an error.
 *
 * @category constructors
 * @since 0.1.0
 */
export const status =
  (code: number, message: string, headers: Readonly<Record<string, string>> = {}): FaultMaker => () => ({
    _tag: "Answer",
    status: code,
    headers: { ...json, ...headers },
    body: `${JSON.stringify({ message })}\n`
  })

/** Status 500, as from an engine with an internal error. @category constructors @since 0.1.0 */
export const serverFault: FaultMaker = status(500, "an injected fault of the server")

/** Status 429 with `Retry-After`. @category constructors @since 0.1.0 */
export const rateLimited = (retryAfterSeconds: number): FaultMaker =>
  status(429, "too many requests (injected)", { "Retry-After": String(retryAfterSeconds) })

/**
 * A page for people, as a proxy or a portal answers in the engine's stead.
 *
 * @category constructors
 * @since 0.1.0
 */
export const page = (code = 502): FaultMaker => () => ({
  _tag: "Answer",
  status: code,
  headers: html,
  body:
    "<!doctype html>\n<html><head><title>Proxy</title></head><body><h1>Not the engine (injected)</h1></body></html>\n"
})

// -----------------------------------------------------------------------------
// Plans
// -----------------------------------------------------------------------------

const isFor = (rule: Rule, call: Call): boolean =>
  rule.calls === undefined
    ? true
    : rule.calls instanceof RegExp
    ? rule.calls.test(`${call.method} ${call.template}`)
    : typeof rule.calls === "string"
    ? rule.calls === call.kind
    : rule.calls.includes(call.kind)

/**
 * No faults at all.
 *
 * @category constants
 * @since 0.1.0
 */
export const none: Plan = () => undefined

/**
 * Faults by rules and a seed. After `most` faults there are no more, so that whatever retries comes to an end.
 *
 * @category constructors
 * @since 0.1.0
 */
export const seeded = (options: {
  readonly seed: number
  readonly rules: ReadonlyArray<Rule>
  readonly most?: number
}): Plan => {
  let left = options.most ?? Number.POSITIVE_INFINITY
  return (call) => {
    const rule = options.rules.find((each) => isFor(each, call))
    if (rule === undefined || left <= 0) return undefined
    const next = random(options.seed, call.method, call.template, call.occurrence)
    if (next() >= rule.probability) return undefined
    left--
    return oneOf(next, rule.faults)(next)
  }
}

/**
 * The faults of a log, each for the call that is the same one by method, template and occurrence.
 *
 * @category constructors
 * @since 0.1.0
 */
export const replay = (
  log: ReadonlyArray<Pick<Call, "method" | "template" | "occurrence"> & { readonly fault?: Fault }>
): Plan => {
  const key = ({ method, occurrence, template }: Pick<Call, "method" | "template" | "occurrence">) =>
    `${method} ${template} ${occurrence}`
  const faults = new Map(log.map((entry) => [key(entry), entry.fault]))
  return (call) => faults.get(key(call))
}

/**
 * A fault in a few words.
 *
 * @category combinators
 * @since 0.1.0
 */
export const describe = (fault: Fault): string => {
  switch (fault._tag) {
    case "Delay":
      return `delayed by ${fault.millis} ms`
    case "Refuse":
      return "connection closed before the engine saw it"
    case "DropAnswer":
      return "done by the engine, answer dropped"
    case "CutBody":
      return `answer cut after ${Math.floor(fault.part * 100)} % of its body`
    case "CutStream":
      return `stream cut after ${fault.millis} ms`
    case "Answer":
      return `answered ${fault.status} ${fault.headers["Content-Type"]?.split(";", 1)[0] ?? ""} instead`
  }
}
