/**
 * Which resources a query of the COSI API is about: terms on labels, joined by and; queries, joined by or; and a pattern
 * for the id.
 */
import type { IDQuery, LabelQuery, LabelTerm } from "../../omni/proto/cosi_pb.ts"
import { code, Refusal } from "./Refusal.ts"

type Labels = Readonly<Record<string, string>>

const operation = { exists: 0, equal: 1, notExists: 2, in: 3, lt: 4, lte: 5, ltNumeric: 6, lteNumeric: 7 } as const

const number = (text: string): number => Number.parseFloat(text)

const holds = ({ key, op, value }: LabelTerm, labels: Labels): boolean => {
  const held = labels[key]
  const first = value[0]
  switch (op) {
    case operation.exists:
      return held !== undefined
    case operation.notExists:
      return held === undefined
    case operation.in:
      return held !== undefined && value.includes(held)
    default:
      // A server falls over a term without a value.
      if (first === undefined) throw new Refusal(code.internal, "runtime error: index out of range [0] with length 0")
  }
  if (held === undefined) return false
  switch (op) {
    case operation.equal:
      return held === first
    case operation.lt:
      return held < first
    case operation.lte:
      return held <= first
    case operation.ltNumeric:
      return number(held) < number(first)
    default:
      return number(held) <= number(first)
  }
}

/** The labels of terms that compare with a value and have none. */
export const lacksValue = (queries: ReadonlyArray<LabelQuery>): ReadonlyArray<string> =>
  queries.flatMap(({ terms }) =>
    terms.filter(({ op, value }) => op !== operation.exists && op !== operation.notExists && value.length === 0)
      .map(({ key }) => key)
  )

/** Whether labels fit; without a query everything does. */
export const fits = (queries: ReadonlyArray<LabelQuery>, labels: Labels): boolean =>
  queries.length === 0 || queries.some(({ terms }) => terms.every((term) => holds(term, labels) !== term.invert))

/** A test for ids. */
export const idTest = (query: IDQuery | undefined): (id: string) => boolean => {
  if (query === undefined || query.regexp === "") return () => true
  try {
    const pattern = new RegExp(query.regexp)
    return (id) => pattern.test(id)
  } catch {
    throw new Refusal(code.invalidArgument, `failed to compile regexp: ${query.regexp}`)
  }
}
