/**
 * Chooses the places for a new server in order, and records the decisions.
 *
 * A candidate is a server type in a location. One that is sold out is remembered by the layer for a time that grows, and
 * then tried after all others; within one call it is tried once. Nothing here sends anything.
 */

export interface Candidate {
  readonly serverType: string
  readonly location: string
}

const keyOf = ({ location, serverType }: Candidate): string => `${serverType}@${location}`

export const wordsOf = ({ location, serverType }: Candidate): string => `${serverType} in ${location}`

const firstRest = 60_000
const longestRest = 30 * 60_000
/** After such a time without a new one, a shortage counts as the first again. */
const forgottenAfter = 2 * 60 * 60_000

/** The memory of a layer about places that were sold out. */
export interface Shortages {
  readonly remember: (candidate: Candidate, now: number) => void
  readonly forget: (candidate: Candidate) => void
  /** Until when a candidate is presumed to be sold out; undefined where it is not. */
  readonly restsUntil: (candidate: Candidate, now: number) => number | undefined
}

export const makeShortages = (): Shortages => {
  const known = new Map<string, { readonly until: number; readonly rest: number }>()
  return {
    remember: (candidate, now) => {
      const before = known.get(keyOf(candidate))
      // Many servers that find the same place sold out at once are one shortage.
      if (before !== undefined && before.until - before.rest + firstRest / 2 > now) return
      const isFirst = before === undefined || now - before.until > forgottenAfter
      const rest = isFirst ? firstRest : Math.min(longestRest, before.rest * 2)
      known.set(keyOf(candidate), { until: now + rest, rest })
    },
    forget: (candidate) => void known.delete(keyOf(candidate)),
    restsUntil: (candidate, now) => {
      const until = known.get(keyOf(candidate))?.until
      return until !== undefined && until > now ? until : undefined
    }
  }
}

/** The knowledge of a call about the candidates of a role, shared by all servers of the role. */
export interface Choice<C extends Candidate> {
  /** The next candidate to try for a server that has tried these; undefined where none is left. */
  readonly next: (tried: ReadonlySet<string>, now: number) => C | undefined
  readonly soldOut: (candidate: Candidate, now: number) => void
  readonly made: (candidate: Candidate) => void
  /** Candidates that this server passes over, and why. */
  readonly passedOver: (tried: ReadonlySet<string>) => ReadonlyArray<C>
}

/** Ranked as given, those that rest last. */
export const makeChoice = <C extends Candidate>(ranked: ReadonlyArray<C>, shortages: Shortages): Choice<C> => {
  const refused = new Set<string>()
  return {
    next: (tried, now) => {
      const open = ranked.filter((each) => !tried.has(keyOf(each)) && !refused.has(keyOf(each)))
      const rests = (each: C) => shortages.restsUntil(each, now)
      return open.find((each) => rests(each) === undefined) ??
        open.sort((a, b) => (rests(a) ?? 0) - (rests(b) ?? 0))[0]
    },
    soldOut: (candidate, now) => {
      refused.add(keyOf(candidate))
      shortages.remember(candidate, now)
    },
    made: (candidate) => shortages.forget(candidate),
    passedOver: (tried) => ranked.filter((each) => refused.has(keyOf(each)) && !tried.has(keyOf(each)))
  }
}

export { keyOf as keyOfCandidate }
