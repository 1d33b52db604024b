/**
 * The users of a thing, for a delete of the cluster: a thing that a remaining server uses stays.
 */
import * as Effect from "effect/Effect"
import type { CallFailure, World } from "../Resource.ts"
import type { Reading } from "./Client.ts"
import type { Context } from "./Context.ts"
import * as Wire from "./Wire.ts"

/** Servers that the list does not have, by id; undefined for one that does not exist. */
const looked = new WeakMap<World, Map<number, Wire.Server | undefined>>()

/** The servers of these ids that stay, by id. A list can lag behind the end of a delete, so the rest is read. */
const stayingServers = (
  { kinds }: Context,
  read: Reading,
  ids: ReadonlyArray<number>,
  world: World
): Effect.Effect<ReadonlyMap<number, Wire.Server>, CallFailure> =>
  Effect.gen(function*() {
    const { servers } = kinds()
    const known = looked.get(world) ?? new Map<number, Wire.Server | undefined>()
    looked.set(world, known)
    const now = new Map(world.of(servers).map((server) => [server.id, server]))
    const earlier = new Map(world.earlier.of(servers).map((server) => [server.id, server]))
    const staying = new Map<number, Wire.Server>()
    yield* Effect.forEach(new Set(ids), (id) =>
      Effect.gen(function*() {
        const listed = now.get(id) ?? earlier.get(id)
        if (listed !== undefined && world.isLeaving(servers, listed)) return
        if (now.get(id) === undefined && !known.has(id)) known.set(id, yield* read.get(Wire.servers, id))
        const server = now.get(id) ?? known.get(id)
        if (server !== undefined) staying.set(id, server)
      }), { concurrency: 8, discard: true })
    return staying
  })

/** Why each thing stays that a server uses; things that nothing uses are left out. */
export const usedByServers = <A>(
  context: Context,
  read: Reading,
  things: ReadonlyArray<A>,
  usersOf: (thing: A) => ReadonlyArray<number>,
  world: World
): Effect.Effect<Map<A, string>, CallFailure> =>
  Effect.map(
    stayingServers(context, read, things.flatMap(usersOf), world),
    (staying) =>
      new Map(things.flatMap((thing) => {
        const names = usersOf(thing).flatMap((id) => staying.get(id)?.name ?? [])
        return names.length === 0 ? [] : [[thing, `used by server ${names.join(", ")}`] as const]
      }))
  )
