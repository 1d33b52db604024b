/**
 * Assigns servers to placement groups. Pure.
 *
 * A spread group holds at most ten servers and puts each on a host of its own. Groups are filled evenly and in the order
 * of the nodes, control planes first, so that up to ten control planes never share a host.
 */

/** The limit of the API for one spread group. */
export const groupSize = 10

/** How many groups so many servers need. */
export const groupCount = (servers: number): number => Math.max(1, Math.ceil(servers / groupSize))

/** The group, counted from 1, of each of so many servers. */
export const spread = (servers: number): ReadonlyArray<number> => {
  const groups = groupCount(servers)
  return Array.from({ length: servers }, (_, index) => Math.floor(index * groups / servers) + 1)
}

export interface Group {
  readonly name: string
  /** How many servers it has. */
  readonly members: number
}

/**
 * A group with room for one more server: the one that was planned, else the emptiest; undefined where all are full.
 * `full` are those that the API called full, whatever they seem to have: its own count can lag.
 */
export const groupWithRoom = (
  groups: ReadonlyArray<Group>,
  planned: string | undefined,
  full: ReadonlySet<string> = new Set()
): Group | undefined => {
  const open = groups.filter(({ members, name }) => members < groupSize && !full.has(name))
  return open.find(({ name }) => name === planned) ??
    open.reduce<Group | undefined>(
      (best, each) => best === undefined || each.members < best.members ? each : best,
      undefined
    )
}
