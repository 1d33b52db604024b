/**
 * Spread groups: which servers share none of their hosts. A group has ten servers at most.
 *
 * Source: Hetzner Cloud API reference, `/placement_groups`.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { NameTaken } from "../Reason.ts"
import type { CallFailure, Resource, Task } from "../Resource.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, holderOf, isOwnedBy, labelsOfNew, notOwned } from "./Context.ts"
import { createByName } from "./CreateByName.ts"
import type { WantedGroup } from "./Desired.ts"
import { isFate } from "./Fates.ts"
import { labelledKind, once } from "./LabelledKind.ts"
import { namesOf } from "./Names.ts"
import { type Group, groupWithRoom } from "./Placement.ts"
import * as Replies from "./Replies.ts"
import { usedByServers } from "./Users.ts"
import * as Wire from "./Wire.ts"

const post = (context: Context, write: Client, task: Task, name: string, call: string) =>
  Effect.flatMap(
    labelsOfNew(context, task, { isShared: true, name }),
    (labels) =>
      task.send(call, write.post("/placement_groups", { name, type: "spread", labels }, Replies.PlacementGroup, once))
  )
    .pipe(Effect.map(({ placement_group }) => placement_group))

export const makePlacementGroups = (
  context: Context
): Resource<WantedGroup, Wire.PlacementGroup, Reading, Client> => {
  const common = labelledKind(context, "placement-group", Wire.placementGroups)
  return {
    ...common,
    order: 0,
    removal: 1,
    nameOf: ({ name }) => name,
    owner: (actual, world) => isFate(actual) ? undefined : common.owner(actual, world),
    diff: () => [],
    create: (write, { name }, task) => post(context, write, task, name, "create"),
    keep: (read, groups, world) => usedByServers(context, read, groups, ({ servers }) => servers, world),
    mention: (_, cluster, world) => {
      const { groupPrefix } = namesOf(cluster)
      return Effect.succeed(
        new Map(
          world.of(context.kinds().groups).flatMap((group) =>
            group.name.startsWith(groupPrefix) && /^\d+$/.test(group.name.slice(groupPrefix.length)) &&
              !isOwnedBy(context, group.labels, cluster)
              ? [[group, notOwned(group.labels)] as const]
              : []
          )
        )
      )
    }
  }
}

/** The groups of a cluster, and how full they are, as one operation knows it. */
export interface GroupPlaces {
  /** Takes a place in a group for a server; creates one more group where all are full. */
  readonly take: (planned: string | undefined, task: Task) => Effect.Effect<Wire.PlacementGroup, CallFailure>
  readonly release: (group: Wire.PlacementGroup) => void
  /** The API calls it full, whatever its count says. */
  readonly isFull: (group: Wire.PlacementGroup) => void
}

const another = (context: Context, write: Client, name: string, task: Task) =>
  createByName(
    post(context, write, task, name, "create placement group"),
    Effect.map(write.list(Wire.placementGroups, { name }), (found) => found.find((group) => group.name === name))
  ).pipe(
    Effect.flatMap((group) =>
      isOwnedBy(context, group.labels, task.cluster)
        ? Effect.succeed(group)
        : Effect.fail(
          task.error(
            new NameTaken({
              detail: `placement group ${name} is used by ${holderOf("placement-group", group.labels)}`,
              by: holderOf("placement-group", group.labels)
            }),
            { kind: "placement-group", name }
          )
        )
    )
  )

/** The places of one operation. */
export const groupPlaces = (context: Context, write: Client, task: Task): Effect.Effect<GroupPlaces> =>
  task.once(
    "places in groups",
    Effect.sync(() => {
      const own = task.world.of(context.kinds().groups).filter((group) =>
        !isFate(group) && isOwnedBy(context, group.labels, task.cluster)
      )
      const groups = new Map(own.map((group) => [group.name, { group, members: group.servers.length }]))
      const full = new Set<string>()
      const gate = Semaphore.makeUnsafe(1)
      const { group: nameOfGroup } = namesOf(task.cluster)
      const addGroup = (by: Task) =>
        Effect.gen(function*() {
          let number = groups.size + 1
          while (groups.has(nameOfGroup(number))) number++
          const group = yield* another(context, write, nameOfGroup(number), by)
          const entry = { group, members: group.servers.length }
          groups.set(group.name, entry)
          return entry
        })
      return {
        take: (planned, by) =>
          gate.withPermits(1)(Effect.gen(function*() {
            const list = [...groups.values()].map(({ group, members }): Group => ({ name: group.name, members }))
            const open = groupWithRoom(list, planned, full)
            const entry = (open === undefined ? undefined : groups.get(open.name)) ?? (yield* addGroup(by))
            entry.members++
            return entry.group
          })),
        release: (group) => {
          const entry = groups.get(group.name)
          if (entry !== undefined) entry.members--
        },
        isFull: (group) => void full.add(group.name)
      }
    })
  )
