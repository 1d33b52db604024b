/**
 * The floating IP of a cluster, assigned to a control plane.
 *
 * Source: Hetzner Cloud API reference, `/floating_ips`, `assign`.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../Backend.ts"
import { Difference, NotFoundError } from "../Reason.ts"
import type { Resource, World } from "../Resource.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, isOwnedBy, labelsOfNew, notOwned } from "./Context.ts"
import type { WantedFloatingIp } from "./Desired.ts"
import { isKept, keepDifferences, keepLabel, updateKeep } from "./Keep.ts"
import { labelledKind, once } from "./LabelledKind.ts"
import { namesOf } from "./Names.ts"
import * as Replies from "./Replies.ts"
import { usedByServers } from "./Users.ts"
import { serverName } from "./Volumes.ts"
import * as Wire from "./Wire.ts"

export const makeFloatingIps = (context: Context): Resource<WantedFloatingIp, Wire.FloatingIp, Reading, Client> => {
  const { actions } = context
  const common = labelledKind(context, "floating-ip", Wire.floatingIps)

  /** The control planes that a spec requests, in its order, as far as they exist. */
  const controlPlanes = ({ servers }: WantedFloatingIp, world: World): ReadonlyArray<Wire.Server> =>
    servers.flatMap((name) => world.named(context.kinds().servers, name) ?? [])

  return {
    ...common,
    order: 2,
    removal: 1,
    nameOf: ({ name }) => name,
    diff: (wanted, actual, world) => {
      const { keep, servers, type } = wanted
      const isAssigned = actual.server !== null &&
        controlPlanes(wanted, world).some(({ id }) => id === actual.server)
      return [
        ...(actual.type === type
          ? []
          : [new Difference({ field: "type", actual: actual.type, requested: type, remedy: "replace" })]),
        ...keepDifferences(actual, keep),
        // A control plane may have taken it over from another one.
        ...(isAssigned ? [] : [
          new Difference({
            field: "server",
            actual: actual.server === null ? null : serverName(context, actual.server, world),
            requested: servers[0] ?? null,
            remedy: actual.server === null ? "repair" : "replace"
          })
        ])
      ]
    },
    create: (write, wanted, task) =>
      Effect.gen(function*() {
        const [first] = controlPlanes(wanted, task.world)
        if (first === undefined) {
          return yield* Effect.fail(task.error(new NotFoundError({ detail: "the cluster has no control plane" })))
        }
        const labels = yield* labelsOfNew(context, task)
        const body = {
          name: wanted.name,
          type: wanted.type,
          server: first.id,
          labels: { ...labels, ...keepLabel(wanted.keep) }
        }
        const reply = yield* task.send("create", write.post("/floating_ips", body, Replies.FloatingIp, once))
        yield* task.waiting("it is being assigned", actions.await(Replies.actionsIn(reply), {}))
        return reply.floating_ip
      }),
    repair: (write, wanted, actual, _, task) => {
      const [first] = controlPlanes(wanted, task.world)
      return first === undefined ? Effect.void : Effect.flatMap(
        retrying(
          task.send(
            "assign",
            write.post(`${common.pathOf(actual)}/actions/assign`, { server: first.id }, Replies.Started)
          )
        ),
        (reply) => task.waiting("it is being assigned", actions.await(Replies.actionsIn(reply), {}))
      )
    },
    update: (write, { keep }, actual, _, task) =>
      Effect.asVoid(updateKeep(write, task, common.pathOf(actual), actual, keep)),
    keep: (read, ips, world) =>
      Effect.gen(function*() {
        const used = yield* usedByServers(context, read, ips, ({ server }) => server === null ? [] : [server], world)
        for (const ip of ips.filter(isKept)) {
          const cost = yield* context.biller({ kind: "floating-ip", type: ip.type, location: ip.home_location?.name })
          used.set(ip, `its label says to keep it; ${cost}`)
        }
        return used
      }),
    mention: (_, cluster, world) =>
      Effect.succeed(
        new Map(
          world.of(context.kinds().floatingIps).flatMap((ip) =>
            ip.name === namesOf(cluster).floatingIp && !isOwnedBy(context, ip.labels, cluster)
              ? [[ip, notOwned(ip.labels)] as const]
              : []
          )
        )
      )
  }
}
