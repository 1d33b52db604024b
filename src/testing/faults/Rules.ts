/**
 * Rules that say which calls meet a fault: by pattern, after so many calls, so many times.
 *
 * The first rule that has a fault for a call decides.
 */

/**
 * Selects the calls that get a fault.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule<Call, Fault> {
  readonly fault: Fault
  /** Tried on each line that names the call, such as `METHOD path?query`; every call where it is left out. */
  readonly on?: RegExp | ((call: Call) => boolean)
  /** This many calls that match pass first; 0 by default. */
  readonly after?: number
  /** How many calls meet the fault; 1 by default. */
  readonly times?: number
}

/** @internal */
export interface Rules<Call, Fault> {
  /** Adds a rule, and returns what takes it back. */
  readonly add: (rule: Rule<Call, Fault>) => () => void
  readonly clear: () => void
  /** The fault of the first rule that has one for this call. */
  readonly meet: (call: Call) => Fault | undefined
}

/** `lines` are the texts that a pattern is tried on. @internal */
export const makeRules = <Call, Fault>(lines: (call: Call) => ReadonlyArray<string>): Rules<Call, Fault> => {
  const rules = new Set<{ readonly rule: Rule<Call, Fault>; passed: number; met: number }>()
  const matches = ({ on }: Rule<Call, Fault>, call: Call): boolean => {
    if (on === undefined) return true
    return typeof on === "function" ? on(call) : lines(call).some((line) => on.test(line))
  }
  return {
    add: (rule) => {
      const entry = { rule, passed: 0, met: 0 }
      rules.add(entry)
      return () => rules.delete(entry)
    },
    clear: () => rules.clear(),
    meet: (call) => {
      for (const entry of rules) {
        const { after = 0, fault, times = 1 } = entry.rule
        if (entry.met >= times || !matches(entry.rule, call)) continue
        if (entry.passed++ < after) continue
        entry.met++
        return fault
      }
      return undefined
    }
  }
}

/** How often each `METHOD template` is in a log of calls. @internal */
export const countCalls = (
  log: ReadonlyArray<{ readonly method: string; readonly template: string }>
): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const { method, template } of log) {
    const key = `${method} ${template}`
    counts[key] = (counts[key] ?? 0) + 1
  }
  return counts
}
