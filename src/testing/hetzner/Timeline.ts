/**
 * The time of the fake cloud: a queue of due changes, run before every request and every read.
 *
 * It has no timer. Every request and every read first carries out the changes that are due, each at its own moment and
 * in order. A clock that jumps therefore gives the same world as one that creeps.
 */

/** @internal */
export interface Timeline {
  /** Milliseconds since the epoch; while something that was due happens, the moment at which it was due. */
  readonly now: () => number
  readonly at: (moment: number, happen: () => void) => void
  /** Lets happen what is due by now. */
  readonly settle: () => void
  /** Puts the fake's time forward, beside what its clock does. */
  readonly advance: (millis: number) => void
}

interface Due {
  readonly moment: number
  readonly happen: () => void
}

/** @internal */
export const makeTimeline = (clock: () => number): Timeline => {
  // By moment, the last to happen first; what is due at one moment happens in the order in which it was planned.
  const queue: Array<Due> = []
  let ahead = 0
  let during: number | undefined
  const now = () => during ?? clock() + ahead
  return {
    now,
    at: (moment, happen) => {
      let low = 0
      let high = queue.length
      while (low < high) {
        const middle = (low + high) >> 1
        if ((queue[middle]?.moment ?? 0) > moment) low = middle + 1
        else high = middle
      }
      queue.splice(low, 0, { moment, happen })
    },
    settle: () => {
      if (during !== undefined) return
      const until = now()
      try {
        for (let next = queue.at(-1); next !== undefined && next.moment <= until; next = queue.at(-1)) {
          queue.pop()
          during = next.moment
          next.happen()
        }
      } finally {
        during = undefined
      }
    },
    advance: (millis) => {
      ahead += millis
    }
  }
}

/** RFC 3339 in whole seconds, as the API has it. @internal */
export const timestamp = (millis: number): string => new Date(millis).toISOString().replace(/\.\d+Z$/, "Z")
