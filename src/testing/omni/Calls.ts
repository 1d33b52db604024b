/**
 * The calls that reached a fake Omni, what callers sent against the protocol, and the failures that a test ordered.
 */
import type { Message } from "@bufbuild/protobuf"
import { Refusal } from "./Refusal.ts"

/** A call that reached the fake. */
export interface OmniCall {
  /** `Get`, `Watch`, `MachinePowerOff`, ... */
  readonly method: string
  /** The kind of resource without its domain, such as `Clusters`; empty if the call has none. */
  readonly type: string
  /** The resource or machine; empty if the call names none. */
  readonly id: string
}

/** A failure that the next calls get instead of an answer. */
export interface OrderedFailure {
  /** The method; every method by default. */
  readonly method?: string
  readonly type?: string
  /** The resource or machine; every one by default. */
  readonly id?: string
  /** The gRPC status code. */
  readonly code: number
  readonly message: string
  /** How often; once by default. */
  readonly times?: number
  /** How many such calls pass before it. */
  readonly after?: number
  /** The call is carried out, and only its answer fails. */
  readonly afterwards?: boolean
}

interface Ordered extends OrderedFailure {
  left: number
  passing: number
}

interface Shape {
  readonly type?: unknown
  readonly id?: unknown
  readonly machineId?: unknown
  readonly resource?: { readonly metadata?: Shape }
  readonly newResource?: { readonly metadata?: Shape }
}

const text = (value: unknown): string => typeof value === "string" ? value : ""

export const callOf = (method: string, request: Message): OmniCall => {
  const shape = request as Shape
  const about = shape.resource?.metadata ?? shape.newResource?.metadata ?? shape
  return {
    method,
    type: text(about.type).replace(/\.omni\.sidero\.dev$/, ""),
    id: text(about.id) || text(shape.machineId)
  }
}

export const makeCalls = () => {
  const calls: Array<OmniCall> = []
  const violations: Array<string> = []
  const ordered: Array<Ordered> = []
  return {
    calls,
    violations,
    record: (call: OmniCall, request: Message) => {
      calls.push(call)
      for (const field of request.$unknown ?? []) {
        violations.push(`${call.method}: an unknown field with the number ${field.no}`)
      }
    },
    /** Gives a function that withdraws the failure. */
    order: (failure: OrderedFailure): () => void => {
      const entry: Ordered = { ...failure, left: failure.times ?? 1, passing: failure.after ?? 0 }
      ordered.push(entry)
      return () => {
        entry.left = 0
      }
    },
    /** The failure that this call gets, before or after the work. */
    failureOf: (call: OmniCall, afterwards: boolean): Refusal | undefined => {
      const found = ordered.find((each) =>
        each.left > 0 && (each.afterwards ?? false) === afterwards && (each.method ?? call.method) === call.method &&
        (each.type ?? call.type) === call.type && (each.id ?? call.id) === call.id
      )
      if (found === undefined) return undefined
      if (found.passing > 0) {
        found.passing--
        return undefined
      }
      found.left--
      return new Refusal(found.code, found.message)
    }
  }
}

export type Calls = ReturnType<typeof makeCalls>
