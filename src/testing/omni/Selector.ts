/**
 * Label selectors of machine classes: terms that are joined by commas, as in Kubernetes.
 *
 * Source: the selectors of Omni's resource API; texts of refusals as recorded from Omni 1.9.3.
 */

type Labels = Readonly<Record<string, string>>
type Term = (labels: Labels) => boolean

const key = "[A-Za-z0-9._/-]+"

const number = (text: string | undefined): number => text === undefined ? Number.NaN : Number.parseFloat(text)

/** Splits at the commas outside of parentheses. */
const split = (selector: string): ReadonlyArray<string> => selector.split(/,(?![^(]*\))/).map((term) => term.trim())

const readTerm = (text: string): Term | undefined => {
  const [, negated, bare = ""] = new RegExp(`^(!?)\\s*(${key})$`).exec(text) ?? []
  if (bare !== "") return (labels) => bare in labels === (negated === "")
  const [, name = "", not, list = ""] = new RegExp(`^(${key})\\s+(not\\s*)?in\\s*\\(([^()]+)\\)$`).exec(text) ?? []
  if (name !== "") {
    const values = list.split(",").map((value) => value.trim())
    return (labels) => (labels[name] !== undefined && values.includes(labels[name])) === (not === undefined)
  }
  const [, left = "", operator = "", right = ""] =
    new RegExp(`^(${key})\\s*(==|=|!=|<=|<|>=|>)\\s*(\\S*)$`).exec(text) ?? []
  switch (operator) {
    case "":
      return undefined
    case "=":
    case "==":
      return (labels) => labels[left] === right
    case "!=":
      return (labels) => labels[left] !== right
    case "<":
      return (labels) => number(labels[left]) < number(right)
    case "<=":
      return (labels) => number(labels[left]) <= number(right)
    case ">":
      return (labels) => number(labels[left]) > number(right)
    default:
      return (labels) => number(labels[left]) >= number(right)
  }
}

/** Why a selector cannot be read; undefined if it can. An empty one can. */
export const selectorFault = (selector: string): string | undefined =>
  selector.trim() === "" || split(selector).every((term) => readTerm(term) !== undefined)
    ? undefined
    : "unable to parse term: found '', expected: ',', ')' or identifier"

/** Whether labels match a selector; the empty one matches all. */
export const selects = (selector: string, labels: Labels): boolean =>
  selector.trim() === "" || split(selector).every((term) => readTerm(term)?.(labels) ?? false)
