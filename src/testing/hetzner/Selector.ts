/**
 * Labels: what the API takes for one, and the grammar of `label_selector`.
 *
 * `k=v`, `k==v`, `k!=v`, `k`, `!k`, `k in (a,b)` and `k notin (a,b)`, joined by commas that mean "and". A term that
 * excludes holds of what has no such label at all, as in Kubernetes.
 */
import { invalid } from "./Refusal.ts"

/** @internal */
export type Labels = Readonly<Record<string, string>>

/** @internal */
export type Selector = (labels: Labels) => boolean

const KEY = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/
const VALUE = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/

/** The labels, if the API would take them; throws the refusal where not. @internal */
export const checkedLabels = (labels: Labels): Labels => {
  for (const [key, value] of Object.entries(labels)) {
    if (!KEY.test(key)) throw invalid("labels", `label key '${key}' is not correctly formatted`)
    if (key.startsWith("hetzner.cloud/")) throw invalid("labels", `label key '${key}' has a reserved prefix`)
    if (!VALUE.test(value)) throw invalid("labels", `label value '${value}' (key: ${key}) is not correctly formatted`)
  }
  return labels
}

/** Splits at the commas outside of parentheses. */
const terms = (selector: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  let depth = 0
  let begin = 0
  for (let index = 0; index < selector.length; index++) {
    const letter = selector[index]
    if (letter === "(") depth++
    else if (letter === ")") depth--
    else if (letter === "," && depth === 0) {
      found.push(selector.slice(begin, index))
      begin = index + 1
    }
  }
  return [...found, selector.slice(begin)].map((term) => term.trim())
}

const has = (labels: Labels, key: string): boolean => Object.hasOwn(labels, key)

const parseTerm = (term: string): Selector => {
  const bad = () => invalid("label_selector", `label selector '${term}' is not correctly formatted`)
  const keyed = (key: string | undefined): string => {
    if (key === undefined || !KEY.test(key)) throw bad()
    return key
  }
  const valued = (value: string | undefined): string => {
    if (value === undefined || !VALUE.test(value)) throw bad()
    return value
  }
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term)
  if (set !== null) {
    const key = keyed(set[1])
    const values = new Set((set[3] ?? "").split(",").map((value) => valued(value.trim())))
    return set[2] === "in"
      ? (labels) => has(labels, key) && values.has(labels[key] ?? "")
      : (labels) => !has(labels, key) || !values.has(labels[key] ?? "")
  }
  const equality = /^([^=!]+?)\s*(==?|!=)\s*([^=!]*)$/.exec(term)
  if (equality !== null) {
    const key = keyed(equality[1])
    const value = valued(equality[3])
    return equality[2] === "!="
      ? (labels) => !has(labels, key) || labels[key] !== value
      : (labels) => has(labels, key) && labels[key] === value
  }
  if (term.startsWith("!")) {
    const key = keyed(term.slice(1).trim())
    return (labels) => !has(labels, key)
  }
  const key = keyed(term)
  return (labels) => has(labels, key)
}

/** Throws the refusal where the text is no selector. @internal */
export const parseSelector = (selector: string): Selector => {
  const parsed = terms(selector).map(parseTerm)
  return (labels) => parsed.every((holds) => holds(labels))
}
