/**
 * Label selectors, as machine classes have them: `zone in (a,b), !omni.sidero.dev/gpu, cores >= 8`.
 *
 * Terms that are joined by a comma all have to hold. A selector that cannot be read is no selector, rather than one that
 * fits everything.
 * Source: Kubernetes documentation, "Labels and Selectors", with Omni's `<`, `<=`, `>` and `>=` on numbers.
 */

export type Labels = Readonly<Record<string, string>>

export type Selector = (labels: Labels) => boolean

const term = /^(?:(!)\s*(\S+)|(\S+?)\s*(==|=|!=|<=|>=|<|>)\s*(.*)|(\S+)\s+(in|notin)\s*\(([^()]*)\)|([^\s!<>=()]+))$/

const numeric = (text: string): number => text.trim() === "" ? Number.NaN : Number.parseFloat(text)

const compare = (operator: string, value: string | undefined, bound: string): boolean => {
  if (value === undefined) return false
  const [a, b] = [numeric(value), numeric(bound)]
  if (Number.isNaN(a) || Number.isNaN(b)) return false
  switch (operator) {
    case "<":
      return a < b
    case "<=":
      return a <= b
    case ">":
      return a > b
    default:
      return a >= b
  }
}

const parseTerm = (text: string): Selector | undefined => {
  const match = term.exec(text)
  if (match === null) return undefined
  const [, not, absent, key, operator, value = "", setKey, membership, members = "", present] = match
  const of = (labels: Labels, name: string) => Object.hasOwn(labels, name) ? labels[name] : undefined
  if (not !== undefined && absent !== undefined) return (labels) => !Object.hasOwn(labels, absent)
  if (key !== undefined && operator !== undefined) {
    const wanted = value.trim()
    if (operator === "=" || operator === "==") return (labels) => of(labels, key) === wanted
    if (operator === "!=") return (labels) => of(labels, key) !== wanted
    return (labels) => compare(operator, of(labels, key), wanted)
  }
  if (setKey !== undefined) {
    const set = members.split(",").map((each) => each.trim())
    return membership === "in"
      ? (labels) => set.some((each) => of(labels, setKey) === each)
      : (labels) => !set.some((each) => of(labels, setKey) === each)
  }
  return present === undefined ? undefined : (labels) => Object.hasOwn(labels, present)
}

/** Reads one selector; undefined where it is none. */
export const parseSelector = (text: string): Selector | undefined => {
  // A comma within parentheses separates values.
  const terms = text.split(/,(?![^()]*\))/).map((each) => each.trim()).filter((each) => each !== "")
  const parsed = terms.map(parseTerm)
  if (parsed.length === 0 || parsed.includes(undefined)) return undefined
  return (labels) => parsed.every((fits) => fits?.(labels) === true)
}

/** Whether one of several selectors fits. */
export const fitsOneOf = (selectors: ReadonlyArray<string>, labels: Labels): boolean =>
  selectors.some((text) => parseSelector(text)?.(labels) === true)
