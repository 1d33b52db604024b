/**
 * Label and id queries of a fake Omni: terms of a query are joined by and, queries by or.
 *
 * Source: COSI resource API; Omni 1.9.3 as recorded.
 */
import type { IDQuery, LabelQuery, LabelTerm } from "../../omni/proto/cosi_pb.ts"
import { code, Refusal } from "./Refusal.ts"

type Labels = Readonly<Record<string, string>>

const operation = { exists: 0, equal: 1, notExists: 2, in: 3, lt: 4, lte: 5, ltNumeric: 6, lteNumeric: 7 } as const

/** The operations that compare with the first value. */
const comparing: ReadonlySet<number> = new Set([
  operation.equal,
  operation.lt,
  operation.lte,
  operation.ltNumeric,
  operation.lteNumeric
])

/** A number as the whole text, or NaN: a text that only begins with a number is not one. */
const number = (text: string): number => text.trim() === "" ? Number.NaN : Number(text)

const holds = ({ key, op, value }: LabelTerm, labels: Labels): boolean => {
  const present = labels[key]
  if (op === operation.notExists) return present === undefined
  if (present === undefined) return false
  const first = value[0] ?? ""
  switch (op) {
    case operation.exists:
      return true
    case operation.in:
      return value.includes(present)
    case operation.equal:
      return present === first
    case operation.lt:
      return present < first
    case operation.lte:
      return present <= first
    case operation.ltNumeric:
      return number(present) < number(first)
    default:
      return number(present) <= number(first)
  }
}

/** Refuses queries that the server does not survive or support, also where there is no resource to compare with. */
export const checkQueries = (queries: ReadonlyArray<LabelQuery>): ReadonlyArray<LabelQuery> => {
  for (const { op, value } of queries.flatMap(({ terms }) => terms)) {
    if (!comparing.has(op) && op !== operation.exists && op !== operation.notExists && op !== operation.in) {
      throw new Refusal(code.unimplemented, `unsupported label query operator: ${op}`)
    }
    if (comparing.has(op) && value.length === 0) {
      throw new Refusal(code.internal, "runtime error: index out of range [0] with length 0")
    }
  }
  return queries
}

/** Whether labels match; without a query everything does. */
export const matches = (queries: ReadonlyArray<LabelQuery>, labels: Labels): boolean =>
  queries.length === 0 || queries.some(({ terms }) => terms.every((term) => holds(term, labels) !== term.invert))

/** A test for ids. */
export const idTest = (query: IDQuery | undefined): (id: string) => boolean => {
  if (query === undefined || query.regexp === "") return () => true
  try {
    const pattern = new RegExp(query.regexp)
    return (id) => pattern.test(id)
  } catch {
    throw new Refusal(code.invalidArgument, `failed to compile regexp: error parsing regexp: \`${query.regexp}\``)
  }
}
