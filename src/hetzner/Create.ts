/**
 * Making the servers of a cluster.
 *
 * First everything is looked at and judged, and nothing is touched where a name is held by something foreign or a node
 * differs from what is asked. Then what the servers share, all at once; then the servers, all at once; then volumes and
 * the floating IP. What is there already and agrees stays as it is. On failure or interruption exactly what this call
 * made is removed. The first thing that a call makes is marked as unfinished until the call has succeeded, so that
 * `Sweep.ts` finds what a process that died has left half-made.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { makeAtLarge } from "../internal/AtLarge.ts"
import { checkNewClusterName } from "../internal/ClusterNames.ts"
import * as Creation from "../internal/Creation.ts"
import type { Gate } from "../internal/Gate.ts"
import { failWith } from "../internal/Method.ts"
import { settledError } from "../internal/Operation.ts"
import type { Made } from "../internal/Rollback.ts"
import type { ClusterName } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { CreateFailure } from "../Provider.ts"
import { type BackendFailure, InvalidSpec } from "../ProviderError.ts"
import { InvalidInput, NotFoundError, ServerFault } from "../Reason.ts"
import { AlreadyDone, Failed, type OperationName, type OperationReport, type Outcome } from "../Report.ts"
import { type Choice, makeChoice, type Shortages } from "./Candidates.ts"
import { offer, type Offered, type Place, readCatalogue, type WantedRole } from "./Catalogue.ts"
import type { CallFailure } from "./Client.ts"
import { faults } from "./Faults.ts"
import {
  type Ensured,
  ensureFirewall,
  ensureFloatingIp,
  ensureGroup,
  ensureKey,
  ensureNetwork,
  ensureVolume
} from "./Infrastructure.ts"
import {
  diff,
  findKey,
  findPublicKey,
  isBeingMade,
  joining,
  keyFaults,
  type PlanStep,
  refusalOf,
  type World
} from "./Judge.ts"
import { awaitMade, type Call, leavesOpen } from "./Making.ts"
import { claim, marksIn, pendingOf, unmark } from "./Marks.ts"
import { makePlan, type Plan, type PlannedServer } from "./Plan.ts"
import type { Deleting } from "./Removal.ts"
import { madeBy } from "./Rollback.ts"
import { type Common, makeGroups, makeServer } from "./Servers.ts"
import { type HetznerClusterSpec, type NodeDefaults, type Role, roles } from "./Spec.ts"
import * as Wire from "./Wire.ts"

export interface Context extends Deleting {
  readonly policy: Effect.Effect<Policy>
  readonly defaults: NodeDefaults
  readonly gate: Gate
  readonly shortages: Shortages
}

/** What a spec comes to, or all the faults that it has by itself. */
export const planOf = (
  defaults: NodeDefaults,
  spec: HetznerClusterSpec,
  cluster: ClusterName
): Effect.Effect<Plan, InvalidSpec> =>
  Effect.try({
    try: () => {
      const issues = faults(defaults, spec)
      return issues.length > 0 ? new InvalidSpec({ issues }) : makePlan(defaults, spec, cluster)
    },
    // A spec that was read from somewhere may have another shape than its type says.
    catch: (error) =>
      new InvalidSpec({ issues: [{ path: "spec", message: `is not of the right shape: ${String(error)}` }] })
  }).pipe(Effect.flatMap((planned) => planned instanceof InvalidSpec ? Effect.fail(planned) : Effect.succeed(planned)))

/** Reads what a plan has to be held against. */
const lookAtWorld = ({ client }: Deleting, plan: Plan): Effect.Effect<World, CallFailure> => {
  const when = <A>(wanted: boolean, collection: Wire.Collection<A>): Effect.Effect<ReadonlyArray<A>, CallFailure> =>
    wanted || plan.extends ? client.list(collection) : Effect.succeed([])
  return Effect.all({
    servers: client.list(Wire.servers),
    networks: when(plan.network !== undefined, Wire.networks),
    firewalls: when(plan.firewall !== undefined, Wire.firewalls),
    groups: when(plan.groups.length > 0, Wire.placementGroups),
    sshKeys: when(plan.sshKeys.length > 0, Wire.sshKeys),
    volumes: when(plan.volumes.length > 0, Wire.volumes),
    floatingIps: when(plan.floatingIp !== undefined, Wire.floatingIps)
  }, { concurrency: 7 })
}

interface Judged {
  /** As it was asked for, and joined to what is there. */
  readonly plan: Plan
  readonly world: World
  readonly steps: ReadonlyArray<PlanStep>
  readonly offered: Offered
  readonly missing: ReadonlyArray<PlannedServer>
}

/** Looks and judges. Sends nothing that writes. */
const judge = Effect.fnUntraced(function*(
  context: Deleting,
  asked: Plan
): Effect.fn.Return<Judged, InvalidSpec | CallFailure> {
  const world = yield* lookAtWorld(context, asked)
  const plan = joining(asked, world, context.ownership)
  const steps = diff(plan, world, context.ownership)
  const making = new Set(
    steps.filter(({ action, kind }) => kind === "node" && action === "create").map(({ name }) => name)
  )
  const missing = plan.servers.filter(({ name }) => making.has(name))
  const wanted = roles.flatMap((role): ReadonlyArray<WantedRole> => {
    const first = missing.find((server) => server.role === role)
    return first === undefined ? [] : [{ role, spec: first.spec }]
  })
  // Where every server is there, nothing has to be bought.
  const catalogue = wanted.length === 0 ? undefined : yield* readCatalogue(context.client, wanted)
  const held = world.networks.find(({ name }) => name === plan.network?.name)
  const zone = plan.network?.zone ?? held?.subnets[0]?.network_zone
  const offered: Offered = catalogue === undefined
    ? { faults: [], places: new Map(), zone }
    : offer(wanted, catalogue, { network: plan.network !== undefined, zone, now: yield* Clock.currentTimeMillis })
  const issues = [...keyFaults(plan, world), ...offered.faults]
  if (issues.length > 0) return yield* new InvalidSpec({ issues })
  return { plan, world, steps, offered, missing }
})

/** The same judgement, for people: what a create would do, with nothing written. */
export const planCluster = (context: Context) =>
  Effect.fnUntraced(function*(
    spec: HetznerClusterSpec
  ): Effect.fn.Return<ReadonlyArray<PlanStep>, InvalidSpec | BackendFailure> {
    const cluster = yield* checkNewClusterName(spec.cluster)
    const plan = yield* planOf(context.defaults, spec, cluster)
    return (yield* judge(context, plan)).steps
  })

const anyFailed = ({ operation }: Call) => Effect.map(operation.report, (report) => report.failed.length > 0)

/** What the servers share, as it is there by now. */
type Shared = Pick<Common, "network" | "firewall" | "sshKeys" | "groups">

const makeShared = Effect.fnUntraced(function*(
  call: Call,
  { offered, world }: Judged
): Effect.fn.Return<Shared | undefined> {
  const { operation, plan } = call
  const { concurrency, nodeTimeout } = operation.policy
  const find = <A extends { readonly name: string }>(all: ReadonlyArray<A>, name: string) =>
    all.find((each) => each.name === name)
  let network: Wire.Network | undefined
  let firewall: Wire.Firewall | undefined
  const groups: Array<Wire.PlacementGroup> = []
  const keys = new Map<number, number>()
  const shared: Array<{ readonly subject: Subject; readonly work: Effect.Effect<Outcome, CallFailure> }> = []
  const add = <A>(subject: Subject, ensure: Effect.Effect<Ensured<A>, CallFailure>, keep: (held: A) => void) =>
    void shared.push({
      subject,
      work: Effect.map(ensure, ({ held, outcome }) => {
        keep(held)
        return outcome
      })
    })

  plan.sshKeys.forEach((key, index) => {
    const held = typeof key === "object"
      ? findPublicKey(world.sshKeys, key.publicKey)
      : findKey(world.sshKeys, key)
    if (held !== undefined) keys.set(index, held.id)
    else if (typeof key === "object") {
      add({ kind: "ssh-key", name: key.name }, ensureKey(call, key), ({ id }) => keys.set(index, id))
    }
  })
  if (plan.network !== undefined) {
    const { name } = plan.network
    const { zone } = offered
    add(
      { kind: "network", name },
      zone === undefined
        ? failWith(new InvalidInput({ detail: "no network zone is given, and no server tells one" }))
        : ensureNetwork(call, plan.network, zone, find(world.networks, name)),
      (held) => {
        network = held
      }
    )
  }
  if (plan.firewall !== undefined) {
    const { name } = plan.firewall
    add({ kind: "firewall", name }, ensureFirewall(call, plan.firewall, find(world.firewalls, name)), (held) => {
      firewall = held
    })
  }
  for (const name of plan.groups) {
    add(
      { kind: "placement-group", name },
      ensureGroup(call, name, find(world.groups, name)),
      (held) => void groups.push(held)
    )
  }
  yield* operation.wave(
    shared,
    { subject: ({ subject }) => subject, timeout: nodeTimeout.create, width: concurrency.create },
    ({ work }) => work
  )
  if (yield* anyFailed(call)) return undefined
  // More groups than planned may be there from the time that the cluster was larger.
  const others = world.groups.filter((group) =>
    call.ownership.classify(group.labels)?.cluster === plan.cluster && !groups.some(({ id }) => id === group.id)
  )
  return {
    network,
    firewall,
    sshKeys: plan.sshKeys.flatMap((_, index) => keys.get(index) ?? []),
    groups: makeGroups(call, [...groups, ...others])
  }
})

const nodeSubject = ({ name }: { readonly name: string }): Subject => ({ kind: "node", name })

/** Servers that somebody is still creating are waited for, so that a success means that all are there. */
const awaitCreation = (call: Call, server: Wire.Server): Effect.Effect<Outcome, CallFailure> =>
  isBeingMade(server)
    ? Effect.as(
      awaitMade(call, { held: server, made: false, actions: undefined }, "/servers", { server: server.name }),
      new AlreadyDone({})
    )
    : Effect.succeed(new AlreadyDone({}))

/** Looks once more at the end: who made a server meanwhile may have removed it again, and one that was made has to run. */
const closingLook = Effect.fnUntraced(function*(call: Call, network: Wire.Network | undefined): Effect.fn.Return<void> {
  const { client, operation, ownership, plan } = call
  const look = client.list(Wire.servers, { label_selector: ownership.selectorFor(plan.cluster) })
  const now = yield* Effect.result(look)
  for (const planned of plan.servers) {
    const subject = nodeSubject(planned)
    const outcome = operation.outcomeOf(subject)
    const held = now._tag === "Success" ? now.success.find(({ name }) => name === planned.name) : undefined
    const why = now._tag === "Failure"
      ? settledError(operation, subject, now.failure)
      : held === undefined || held.status === "deleting"
      ? operation.error(new NotFoundError({ detail: "the server was removed meanwhile" }), subject)
      : network !== undefined && !(held.private_net ?? []).some((joined) => joined.network === network.id)
      ? operation.error(
        new ServerFault({ detail: `it was created but is not in the network ${network.name}` }),
        subject
      )
      : held.status === "off" && outcome?._tag === "Done"
      ? operation.error(new ServerFault({ detail: "it was created but does not run" }), subject)
      : undefined
    if (why !== undefined) yield* operation.record(subject, new Failed({ error: why }))
  }
})

/** Makes the servers. Gives those that are there, by name; undefined where one failed. */
const makeServers = Effect.fnUntraced(function*(
  call: Call,
  judged: Judged,
  shared: Shared,
  shortages: Shortages
): Effect.fn.Return<ReadonlyMap<string, Wire.Server> | undefined> {
  const { operation, plan } = call
  const { concurrency, nodeTimeout } = operation.policy
  const held = new Map(judged.world.servers.map((server) => [server.name, server]))
  const missing = new Set(judged.missing.map(({ name }) => name))
  const common: Common = {
    call,
    ...shared,
    choices: new Map<Role, Choice<Place>>(
      [...judged.offered.places].map(([role, places]) => [role, makeChoice(places, shortages)])
    ),
    sending: Semaphore.makeUnsafe(concurrency.create),
    stopped: undefined
  }
  yield* operation.wave(
    plan.servers,
    // The requests are limited by `sending`; those that only wait are not.
    { subject: nodeSubject, timeout: nodeTimeout.create, width: Number.POSITIVE_INFINITY },
    (server) => {
      const present = missing.has(server.name) ? undefined : held.get(server.name)
      return present === undefined
        ? Effect.map(makeServer(common, server), (made) => {
          held.set(server.name, made.held)
          return made.outcome
        })
        : awaitCreation(call, present)
    }
  )
  if (yield* anyFailed(call)) return undefined
  yield* closingLook(call, shared.network)
  return (yield* anyFailed(call)) ? undefined : held
})

/** Volumes and the floating IP follow their servers, since a server is where it could be made. */
const makeAttached = Effect.fnUntraced(function*(
  call: Call,
  { offered, world }: Judged,
  servers: ReadonlyMap<string, Wire.Server>
): Effect.fn.Return<void> {
  const { operation, plan } = call
  const { concurrency, nodeTimeout } = operation.policy
  const first = servers.get(plan.servers[0]?.name ?? "")
  const somewhere = offered.places.get("control-plane")?.[0]?.location ?? first?.location?.name ?? ""
  yield* operation.wave(
    plan.volumes,
    {
      subject: ({ name }) => ({ kind: "volume", name }),
      timeout: nodeTimeout.create,
      width: concurrency.create
    },
    (volume) => {
      const server = volume.server === undefined ? undefined : servers.get(volume.server)
      const present = world.volumes.find(({ name }) => name === volume.name)
      const where = server === undefined
        ? { location: volume.spec.location ?? somewhere }
        : { server: server.id }
      return ensureVolume(call, volume, where, present)
    }
  )
  const { floatingIp } = plan
  if (floatingIp === undefined || first === undefined) return
  yield* operation.wave(
    [floatingIp],
    { subject: ({ name }) => ({ kind: "floating-ip", name }), timeout: nodeTimeout.create, width: 1 },
    (planned) => ensureFloatingIp(call, planned, first.id, world.floatingIps.find(({ name }) => name === planned.name))
  )
})

/** One create call. */
export const carryOutPlan = (
  context: Context,
  options: {
    readonly policy: Policy
    readonly name: OperationName
    readonly plan: Plan
    readonly onFailure: "remove" | "keep"
  }
): Effect.Effect<OperationReport, CreateFailure> => {
  const { actions, client, ownership, shortages } = context
  const given = new Set<Made>()
  return Creation.create({
    provider: "hetzner",
    name: options.name,
    clusterName: options.plan.cluster,
    policy: options.policy,
    onFailure: options.onFailure,
    // Names are unique, so what was seen and removed does not come a second time.
    atLarge: makeAtLarge({ leavesOpen, mayComeAgain: () => false }),
    madeBy: ({ id, operation }) => madeBy(context, operation, id, given),
    body: Effect.fnUntraced(function*(creation) {
      const judged = yield* judge(context, options.plan)
      const refusal = refusalOf(judged.steps)
      if (refusal !== undefined) return yield* failWith(refusal)
      const call: Call = {
        ...creation,
        client,
        actions,
        ownership,
        plan: judged.plan,
        isPending: pendingOf(judged.steps),
        given,
        pending: new Map()
      }
      const marks = marksIn(call, judged.world)
      yield* claim(call, marks)
      const shared = yield* makeShared(call, judged)
      if (shared === undefined) return
      const servers = yield* makeServers(call, judged, shared, shortages)
      if (servers === undefined) return
      yield* makeAttached(call, judged, servers)
      if (yield* anyFailed(call)) return
      yield* unmark(call, marks)
    })
  })
}

/** Builds `createNodes`. */
export const createCluster = (context: Context) => (spec: HetznerClusterSpec) =>
  Effect.gen(function*() {
    const cluster = yield* checkNewClusterName(spec.cluster)
    const plan = yield* planOf(context.defaults, spec, cluster)
    const policy = yield* context.policy
    return yield* context.gate(cluster)(
      carryOutPlan(context, { policy, name: "createNodes", plan, onFailure: spec.onFailure ?? "remove" })
    )
  })
