/**
 * Volumes of a cluster: one for each node of a role, attached to it, or one without a node.
 *
 * Source: Hetzner Cloud API reference, `/volumes`, `attach`, `resize`.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../Backend.ts"
import type { ClusterName } from "../Model.ts"
import { Difference } from "../Reason.ts"
import type { Resource, Task, World } from "../Resource.ts"
import { connectionTo } from "./Attachments.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, isOwnedBy, labelsOfNew, notOwned } from "./Context.ts"
import type { WantedVolume } from "./Desired.ts"
import { isKept, keepDifferences, keepLabel, updateKeep } from "./Keep.ts"
import { labelledKind, once } from "./LabelledKind.ts"
import * as Replies from "./Replies.ts"
import { usedByServers } from "./Users.ts"
import * as Wire from "./Wire.ts"

const replace = (field: string, actual: string | number | null, requested: string | number) =>
  new Difference({ field, actual, requested, remedy: "replace" })

/** The name of a server in the lists, or its id. */
export const serverName = ({ kinds }: Context, id: number, world: World): string =>
  world.of(kinds().servers).find((server) => server.id === id)?.name ?? String(id)

export const makeVolumes = (context: Context): Resource<WantedVolume, Wire.Volume, Reading, Client> => {
  const { actions } = context
  const common = labelledKind(context, "volume", Wire.volumes)
  const act = (write: Client, task: Task, volume: Wire.Volume, what: string, body: unknown) =>
    Effect.flatMap(
      retrying(task.send(what, write.post(`${common.pathOf(volume)}/actions/${what}`, body, Replies.Started))),
      (reply) => task.waiting(`${what} goes on`, actions.await(Replies.actionsIn(reply), {}))
    )
  const serverOf = ({ server }: WantedVolume, world: World): Wire.Server | undefined =>
    server === undefined ? undefined : world.named(context.kinds().servers, server)

  const connection = (wanted: WantedVolume, actual: Wire.Volume, world: World): ReadonlyArray<Difference> => {
    if (wanted.server === undefined) return []
    const server = serverOf(wanted, world)
    const found = connectionTo(server?.id ?? -1, actual)
    return found === "connected"
      ? []
      : found === "free"
      ? [new Difference({ field: "server", actual: null, requested: wanted.server, remedy: "repair" })]
      : [replace("server", serverName(context, found.usedBy, world), wanted.server)]
  }

  return {
    ...common,
    order: 2,
    removal: 1,
    nameOf: ({ name }) => name,
    diff: (wanted, actual, world) => {
      const { format, keep = false, location, sizeGb } = wanted.spec
      const grows = actual.size < sizeGb
      return [
        ...(actual.size === sizeGb
          ? []
          : [
            new Difference({
              field: "sizeGb",
              actual: actual.size,
              requested: sizeGb,
              remedy: grows ? "update" : "replace"
            })
          ]),
        ...(location === undefined || actual.location?.name === location
          ? []
          : [replace("location", actual.location?.name ?? null, location)]),
        ...(format === undefined || actual.format === undefined || actual.format === format
          ? []
          : [replace("format", actual.format, format)]),
        ...keepDifferences(actual, keep),
        ...connection(wanted, actual, world)
      ]
    },
    create: (write, wanted, task) =>
      Effect.gen(function*() {
        const { name, spec: { format, keep, sizeGb } } = wanted
        const server = serverOf(wanted, task.world)
        const labels = yield* labelsOfNew(context, task)
        const body = {
          name,
          size: sizeGb,
          ...(server === undefined
            ? { location: wanted.place ?? firstLocation(context, task) }
            : { server: server.id }),
          ...(format === undefined ? {} : { format }),
          labels: { ...labels, ...keepLabel(keep) }
        }
        const reply = yield* task.send("create", write.post("/volumes", body, Replies.Volume, once))
        yield* task.waiting("it is being created", actions.await(Replies.actionsIn(reply), {}))
        return reply.volume
      }),
    repair: (write, wanted, actual, _, task) => {
      const server = serverOf(wanted, task.world)
      return server === undefined ? Effect.void : act(write, task, actual, "attach", { server: server.id })
    },
    update: (write, { spec }, actual, differences, task) =>
      Effect.gen(function*() {
        if (differences.some(({ field }) => field === "sizeGb")) {
          yield* act(write, task, actual, "resize", { size: spec.sizeGb })
        }
        if (differences.some(({ field }) => field === "keep")) {
          yield* updateKeep(write, task, common.pathOf(actual), actual, spec.keep)
        }
      }),
    keep: (read, volumes, world) =>
      Effect.gen(function*() {
        const used = yield* usedByServers(
          context,
          read,
          volumes,
          ({ server }) => server === null ? [] : [server],
          world
        )
        for (const volume of volumes.filter(isKept)) {
          const cost = yield* context.biller({ kind: "volume", sizeGb: volume.size })
          used.set(volume, `its label says to keep it; ${cost}`)
        }
        return used
      }),
    mention: (_, cluster, world) =>
      Effect.gen(function*() {
        const { servers, volumes } = context.kinds()
        const attached = new Set(
          [...world.earlier.of(servers), ...world.of(servers)]
            .filter((server) => servers.owner(server, world)?.cluster === cluster)
            .flatMap((server) => server.volumes ?? [])
        )
        const mentioned = new Map<Wire.Volume, string>()
        for (const volume of world.of(volumes)) {
          if (isOwnedBy(context, volume.labels, cluster)) continue
          if (attached.has(volume.id)) {
            const claim = volume.labels["pvc-name"]
            const cost = yield* context.biller({ kind: "volume", sizeGb: volume.size })
            mentioned.set(
              volume,
              `it was attached to the cluster and has user data${
                claim === undefined ? "" : ` (of the claim ${claim})`
              }; ${cost}`
            )
          } else if (volume.name.startsWith(`${cluster}-`) && context.ownership.classify(volume.labels) === undefined) {
            mentioned.set(volume, notOwned(volume.labels))
          }
        }
        return mentioned
      })
  }
}

/** The default location of a volume without a node: that of the first server. */
const firstLocation = (context: Context, task: Task): string =>
  task.world.of(context.kinds().servers).find(({ labels }) =>
    isOwnedBy(context, labels, task.cluster satisfies ClusterName)
  )?.location?.name ?? ""
