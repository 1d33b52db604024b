/**
 * Servers as nodes: who owns them, and in what one differs from what a spec requests.
 *
 * Source: Hetzner Cloud API reference, `/servers`.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../Backend.ts"
import type { ClusterName } from "../Model.ts"
import { Difference } from "../Reason.ts"
import type { CallFailure, NodeResource, Task, World } from "../Resource.ts"
import { isAppliedBySelector, isInNetwork, publicNetDifferences, serversWithout } from "./Attachments.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, holderOf, isOwnedBy, notOwned, ownerOf } from "./Context.ts"
import { digestDifferences, type WantedServer } from "./Desired.ts"
import { labelledKind } from "./LabelledKind.ts"
import * as Labels from "./Labels.ts"
import { deprecationNote, priceDetails } from "./PlanDetails.ts"
import { removeById } from "./Remove.ts"
import * as Replies from "./Replies.ts"
import { createServer } from "./ServerCreate.ts"
import { listServers, type Server, type ServerList } from "./ServerList.ts"
import { type ImageReference, imageText } from "./Spec.ts"
import { toNode } from "./Translate.ts"
import { ticksOf, whenUnlocked } from "./Unlocked.ts"
import * as Wire from "./Wire.ts"

const replace = (field: string, actual: string | null, requested: string) =>
  new Difference({ field, actual, requested, remedy: "replace" })

/** Until its actions have ended, a server is not in its network yet. */
const isBeingCreated = ({ status }: Wire.Server): boolean => status === "initializing" || status === "starting"

const oneOf = (field: string, actual: string | undefined, requested: ReadonlyArray<string> | undefined) =>
  requested === undefined || actual === undefined || requested.includes(actual)
    ? []
    : [replace(field, actual, requested.join(" or "))]

/** Whether a server was created from this image: the API names it, unless it was deleted since. */
const isFromImage = ({ image }: Wire.Server, requested: ImageReference | undefined): boolean =>
  requested !== undefined && typeof requested !== "object" && image !== null && image !== undefined &&
  (image.name === requested || String(image.id) === String(requested))

const labelDifferences = (wanted: Labels.LabelMap, actual: Labels.LabelMap): ReadonlyArray<Difference> =>
  Object.entries(wanted).flatMap(([key, requested]) =>
    actual[key] === requested
      ? []
      : [new Difference({ field: `labels.${key}`, actual: actual[key] ?? null, requested, remedy: "update" })]
  )

/** The differences of an existing server from the requested one. */
const differences = (
  context: Context,
  wanted: WantedServer,
  server: Server,
  world: World
): ReadonlyArray<Difference> => {
  const { firewalls, groups, networks } = context.kinds()
  const network = wanted.network === undefined ? undefined : world.named(networks, wanted.network)
  const firewall = wanted.firewall === undefined ? undefined : world.named(firewalls, wanted.firewall)
  const selector = context.ownership.selectorFor(wanted.cluster)
  const isSpread = world.of(groups).some((group) =>
    isOwnedBy(context, group.labels, wanted.cluster) && group.id === server.placement_group?.id
  )
  const { role } = toNode(server, wanted.cluster, server.owner ?? { cluster: wanted.cluster })
  return [
    ...(role === wanted.role ? [] : [replace("role", role, wanted.role)]),
    ...oneOf("serverType", server.server_type?.name, wanted.spec.serverTypes),
    ...oneOf("location", server.location?.name, wanted.spec.locations),
    ...digestDifferences(server.labels[Labels.spec], wanted.digest).flatMap((difference) =>
      difference.field !== "image"
        ? [difference]
        : isFromImage(server, wanted.spec.image)
        ? []
        : [
          replace(
            "image",
            server.image?.name ?? null,
            wanted.spec.image === undefined ? "" : imageText(wanted.spec.image)
          )
        ]
    ),
    ...labelDifferences(wanted.spec.labels ?? {}, server.labels),
    ...(wanted.pool === server.labels[Labels.pool]
      ? []
      : [
        new Difference({
          field: "pool",
          actual: server.labels[Labels.pool] ?? null,
          requested: wanted.pool ?? null,
          remedy: "update"
        })
      ]),
    ...(isBeingCreated(server) ? [] : publicNetDifferences(server, wanted.publicNet)),
    ...(wanted.network === undefined || isBeingCreated(server) ||
        network !== undefined && isInNetwork(server, network.id)
      ? []
      : [new Difference({ field: "network", actual: null, requested: wanted.network, remedy: "repair" })]),
    // If the firewall itself is not applied yet, its own step covers every server.
    ...(firewall === undefined || !isAppliedBySelector(firewall, selector) ||
        serversWithout(firewall, [server]).length === 0
      ? []
      : [new Difference({ field: "firewall", actual: null, requested: firewall.name, remedy: "repair" })]),
    ...(!wanted.isSpread || isSpread
      ? []
      : [
        replace(
          "placementGroup",
          server.placement_group === null || server.placement_group === undefined ? null : "another one",
          "one of the cluster's"
        )
      ])
  ]
}

const act = (context: Context, write: Client, task: Task, path: string, body: unknown, call: string) =>
  Effect.flatMap(
    retrying(task.send(call, write.post(path, body, Replies.Started))),
    (reply) =>
      task.waiting(`${call} goes on`, context.actions.await(Replies.actionsIn(reply), { server: task.subject.name }))
  )

const repair = (
  context: Context,
  write: Client,
  wanted: WantedServer,
  server: Server,
  fields: ReadonlySet<string>,
  task: Task
): Effect.Effect<void, CallFailure> =>
  Effect.gen(function*() {
    const { firewalls, networks } = context.kinds()
    const network = task.world.named(networks, wanted.network ?? "")
    const firewall = task.world.named(firewalls, wanted.firewall ?? "")
    if (fields.has("network") && network !== undefined) {
      yield* act(
        context,
        write,
        task,
        `/servers/${server.id}/actions/attach_to_network`,
        { network: network.id },
        "attach"
      )
    }
    if (fields.has("firewall") && firewall !== undefined) {
      const body = { apply_to: [{ type: "server", server: { id: server.id } }] }
      yield* act(context, write, task, `/firewalls/${firewall.id}/actions/apply_to_resources`, body, "apply firewall")
    }
  })

/** Names that only servers of this cluster get. */
const hasName = (cluster: ClusterName, name: string): boolean =>
  name.startsWith(`${cluster}-`) && /^(?:control-plane|worker)-\d+$/.test(name.slice(cluster.length + 1))

const actionsOf = (server: Wire.Server): Wire.Collection<Wire.Action> => ({
  path: `/servers/${server.id}/actions`,
  key: "actions",
  one: "action",
  schema: Wire.Action,
  isLabelled: false
})

export const makeServers = (
  context: Context,
  latest: Effect.Effect<ServerList | undefined>
): NodeResource<WantedServer, Server, Reading, Client> => {
  const { actions, ownership } = context
  const common = labelledKind(context, "node", Wire.servers)
  return {
    ...common,
    order: 1,
    removal: 2,
    list: (read, cluster) => listServers(read, ownership, cluster, latest),
    nameOf: ({ name }) => name,
    placeOf: ({ pool, role }) => ({ role, ...(pool === undefined ? {} : { pool }) }),
    owner: (server, world) => ownerOf(context, server, server.owner, world),
    info: (server, cluster) => toNode(server, cluster, server.owner ?? { cluster }),
    isGoing: ({ status }) => status === "deleting",
    isUnfinished: ({ status }) => status === "initializing",
    // Servers of an autoscaler are managed by it.
    isSurplus: ({ labels }) => !Labels.isAutoscaled(labels),
    diff: (wanted, server, world) => differences(context, wanted, server, world),
    create: (write, wanted, task) => createServer(context, write, wanted, task),
    settle: (read, server, task) =>
      server.status !== "initializing" && server.status !== "starting"
        ? Effect.void
        : Effect.gen(function*() {
          const running = yield* read.list(actionsOf(server), { status: "running" })
          yield* actions.await(running, { server: server.name })
          const now = yield* read.get(Wire.servers, server.id)
          return now === undefined ? server : { ...now, owner: server.owner }
        }).pipe(Effect.tapError(() => task.note("its creation did not succeed"))),
    repair: (write, wanted, server, found, task) =>
      repair(context, write, wanted, server, new Set(found.map(({ field }) => field)), task),
    update: (write, wanted, server, _, task) => {
      const { [Labels.pool]: __, ...others } = server.labels
      const labels = {
        ...others,
        ...wanted.spec.labels,
        ...(wanted.pool === undefined ? {} : { [Labels.pool]: wanted.pool })
      }
      return Effect.asVoid(
        retrying(task.send("update labels", write.put(common.pathOf(server), { labels }, Replies.Anything)))
      )
    },
    remove: (write, server, task) =>
      Effect.flatMap(
        ticksOf(task, listServers(write, ownership, task.cluster, latest)),
        (ticks) => removeById(actions, write, common.pathOf(server), task, whenUnlocked({ ticks, task, server }))
      ),
    mention: (_, cluster, world) =>
      Effect.gen(function*() {
        const { networks, servers } = context.kinds()
        const own = world.of(networks).filter(({ labels }) => isOwnedBy(context, labels, cluster))
        const inNetwork = new Set(own.flatMap((network) => network.servers))
        const mentioned = new Map<Server, string>()
        for (const server of world.of(servers)) {
          if (server.owner?.cluster === cluster) continue
          if (inNetwork.has(server.id)) {
            const cost = yield* context.biller({
              kind: "server",
              type: server.server_type?.name,
              location: server.location?.name
            })
            mentioned.set(server, `it is in the cluster's network and is ${notOwned(server.labels)}; ${cost}`)
          } else if (server.owner === undefined && hasName(cluster, server.name)) {
            mentioned.set(server, notOwned(server.labels))
          }
        }
        return mentioned
      }),
    details: (wanted) => ({ ...priceDetails(wanted), ...deprecationNote(wanted) }),
    holder: ({ labels }) => holderOf("node", labels)
  }
}
