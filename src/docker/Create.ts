/**
 * Making the nodes of a cluster as containers.
 *
 * First everything is looked at and judged, and nothing is touched where a name is held by something foreign or a node
 * differs from what is asked. Then networks and volumes, then containers, then the start in waves. What is there already
 * and agrees stays as it is; a container that was made and never started, by a process that died, is started. On failure
 * or interruption exactly what this call made is removed: requests that make something are never aborted, so that it is
 * known what they made.
 * Source: Docker Engine API reference, `ContainerCreate`, `NetworkCreate`, `VolumeCreate`.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Semaphore from "effect/Semaphore"
import { failWith } from "../internal/Method.ts"
import * as Operation from "../internal/Operation.ts"
import { currentSession, randomWord } from "../internal/Session.ts"
import {
  AlreadyDone,
  checkNewClusterName,
  type ClusterName,
  Done,
  Failed,
  type OperationReport,
  type Outcome
} from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { CreateFailure } from "../Provider.ts"
import { BackendError, InvalidSpec, type Leftover, NameTaken, NodesNotCreated } from "../ProviderError.ts"
import type { Client } from "./Client.ts"
import { isPortTaken } from "./Errors.ts"
import { chooseHostPorts } from "./HostPorts.ts"
import { ensureImage } from "./Images.ts"
import * as Labels from "./Labels.ts"
import { classify, type Member, members } from "./Members.ts"
import { ensureNetwork, ensureVolume } from "./Networks.ts"
import { addressLabel, createBody, differences, freeAddresses, makePlan, type Plan, type PlannedNode } from "./Plan.ts"
import { inStartOrder, isReason, startOne, startWaves } from "./Power.ts"
import { rollBack } from "./Rollback.ts"
import type { PortMapping, Scheme } from "./Schemes.ts"
import { type DockerClusterSpec, faults, type NodeDefaults } from "./Spec.ts"
import type { CallFailure } from "./Transport.ts"
import { type ContainerSummary, labelsOf, nameOf, type Network, type Volume } from "./Wire.ts"

const done = new Done({})
const alreadyDone = new AlreadyDone({})

/** How often other host ports are chosen for a node whose chosen ones were taken meanwhile. */
const portAttempts = 3

/** What is on the engine when a create begins. */
interface World {
  readonly containers: ReadonlyArray<ContainerSummary>
  readonly networks: ReadonlyArray<Network>
  readonly volumes: ReadonlyArray<Volume>
}

/** What one create call carries through its steps. */
interface Call {
  readonly client: Client
  readonly plan: Plan
  readonly operation: Operation.Operation
  readonly id: string
  readonly ownership: Readonly<Record<string, string>>
  /** Sends a request that makes something: it is not aborted when the caller is interrupted. */
  readonly making: <A, E>(request: Effect.Effect<A, E>) => Effect.Effect<A, E>
}

const nameTaken = (kind: string, name: string, by: string, what = "is held by something else") =>
  new NameTaken({ detail: `${kind} ${name} ${what}`, by })

const subjectOfPlanned = (node: PlannedNode): Subject => ({ kind: "node", name: node.name })

/** Whether a container is this cluster's node as planned; refuses one that is not. */
const agrees = (plan: Plan, node: PlannedNode, container: ContainerSummary): NameTaken | undefined => {
  const labels = labelsOf(container)
  const membership = plan.scheme.recognise({ name: nameOf(container), labels })
  const mine = labels[Labels.owned] === Labels.owner(plan.scheme.name, plan.cluster)
  if (!mine || membership?.cluster !== plan.cluster) {
    return nameTaken("container", node.name, Labels.holder(labels))
  }
  const differing = differences(labels[Labels.spec], node.digest)
  return differing.length === 0
    ? undefined
    : nameTaken(
      "container",
      node.name,
      "this cluster's own node",
      `differs from what is asked: ${differing.join(", ")}`
    )
}

/** Judges the world against the plan. Gives the containers that are there and agree, by name. */
const judge = (plan: Plan, world: World): NameTaken | ReadonlyMap<string, ContainerSummary> => {
  const byName = new Map(world.containers.map((container) => [nameOf(container), container]))
  const present = new Map<string, ContainerSummary>()
  for (const node of plan.nodes) {
    const container = byName.get(node.name)
    if (container === undefined) continue
    const refusal = agrees(plan, node, container)
    if (refusal !== undefined) return refusal
    present.set(node.name, container)
  }
  const planned = new Set(plan.nodes.map((node) => node.name))
  const extra = classify(plan.scheme, world.containers).members
    .find((member) => member.node.clusterName === plan.cluster && !planned.has(member.name))
  return extra === undefined
    ? present
    : nameTaken("cluster", plan.cluster, Labels.holder(extra.labels), `has a node ${extra.name} that is not asked for`)
}

/** Makes one container, with host ports and address of its own. One that someone else just made is judged. */
const makeContainer = (
  call: Call,
  node: PlannedNode,
  chosen: { readonly ports: ReadonlyArray<PortMapping>; readonly address: string | undefined }
): Effect.Effect<{ readonly id: string; readonly made: boolean }, CallFailure> => {
  const { client, making, operation, plan } = call
  const subject = subjectOfPlanned(node)
  const create = operation.emit({ _tag: "Sent", subject, call: "create" }).pipe(
    Effect.andThen(
      making(client.createContainer(node.name, createBody(plan, node, { ...chosen, ownership: call.ownership })))
    ),
    Effect.map((id) => ({ id, made: true })),
    Effect.catchIf(
      (error) => isReason(error, "NameTaken"),
      (error) =>
        Effect.flatMap(client.listContainers(), (containers) => {
          const held = containers.find((container) => nameOf(container) === node.name)
          if (held === undefined) return Effect.fail(error)
          const refusal = agrees(plan, node, held)
          return refusal === undefined
            ? Effect.succeed({ id: held.Id, made: false })
            : Effect.fail(operation.error(refusal, subject))
        })
    )
  )
  const others = (node.spec.networks ?? []).map(plan.networkName)
  return others.length === 0
    ? create
    : Effect.tap(create, ({ id, made }) =>
      made
        ? Effect.forEach(others, (network) => client.connectNetwork(network, id), { discard: true })
        : Effect.void)
}

/** Starts what was made; where a port that was chosen is taken meanwhile, the container is made again with another. */
const startMade = (
  call: Call,
  node: PlannedNode | undefined,
  member: Member,
  heldPorts: Set<string>
): Effect.Effect<Outcome, CallFailure> => {
  const { client, operation } = call
  const chooses = node !== undefined && node.ports.some((port) => port.host === undefined)
  const attempt = (current: Member, left: number): Effect.Effect<Outcome, CallFailure> =>
    Effect.catchIf(
      startOne(client, operation, current),
      (error) => chooses && left > 0 && error instanceof BackendError && isPortTaken(error.reason),
      () =>
        Effect.gen(function*() {
          if (node === undefined) return done
          const ports = yield* chooseHostPorts(node.ports, heldPorts)
          yield* client.removeContainer(current.container.Id)
          const { id } = yield* makeContainer(call, node, { ports, address: current.labels[addressLabel] })
          return yield* attempt({ ...current, container: { ...current.container, Id: id } }, left - 1)
        })
    )
  return attempt(member, portAttempts)
}

/** The steps of a create, after the judgement. Failures of nodes stand in the operation. */
const carryOut = Effect.fnUntraced(function*(
  call: Call,
  world: World,
  present: ReadonlyMap<string, ContainerSummary>
): Effect.fn.Return<void, CallFailure> {
  const { client, operation, plan } = call
  const { concurrency, nodeTimeout } = operation.policy

  const subnets = yield* Effect.forEach(
    plan.networks,
    (network) =>
      ensureNetwork(
        { client, operation, making: call.making, ownership: call.ownership },
        plan,
        network,
        world.networks
      )
  )
  yield* Effect.forEach(
    plan.volumes,
    (volume) =>
      ensureVolume({ client, operation, making: call.making, ownership: call.ownership }, plan, volume, world.volumes),
    {
      concurrency: concurrency.create,
      discard: true
    }
  )

  const taken = new Set([...present.values()].flatMap((container) => labelsOf(container)[addressLabel] ?? []))
  const addresses = subnets[0] === undefined ? [] : freeAddresses(subnets[0], taken)
  const heldPorts = new Set<string>()
  const missing = plan.nodes.filter((node) => !present.has(node.name))
  const fixed = new Map(missing.map((node, index) => [node.name, addresses[index]]))

  for (const node of plan.nodes) {
    if (present.has(node.name)) yield* operation.record(subjectOfPlanned(node), alreadyDone)
  }
  yield* operation.wave(
    missing,
    { subject: subjectOfPlanned, timeout: nodeTimeout.create, width: concurrency.create },
    (node) =>
      Effect.gen(function*() {
        const ports = yield* chooseHostPorts(node.ports, heldPorts)
        const { made } = yield* makeContainer(call, node, { ports, address: fixed.get(node.name) })
        return made ? undefined : alreadyDone
      })
  )
  // One that could not be made makes the whole call fail; starting the others would only be undone.
  if ((yield* operation.report).failed.length > 0) {
    return yield* Effect.forEach(
      missing.map(subjectOfPlanned).filter((subject) => operation.outcomeOf(subject) === undefined),
      (subject) => operation.record(subject, done),
      { discard: true }
    )
  }

  const look = members(client, plan.scheme, plan.cluster)
  const planned = new Map(plan.nodes.map((node) => [node.name, node]))
  const unstarted = (yield* look).filter((member) =>
    planned.has(member.name) && member.container.State.toLowerCase() === "created"
  )
  yield* startWaves(
    operation,
    inStartOrder(plan.scheme, unstarted),
    (member) => startMade(call, planned.get(member.name), member, heldPorts),
    look,
    client
  )
})

const lookAtWorld = (client: Client): Effect.Effect<World, CallFailure> =>
  Effect.map(
    Effect.all([client.listContainers(), client.listNetworks, client.listVolumes], { concurrency: 3 }),
    ([containers, networks, volumes]) => ({ containers, networks, volumes })
  )

/** The part of a report that says what was made, as leftovers of a create that was asked to keep them. */
const kept = (report: OperationReport): ReadonlyArray<Leftover> =>
  report.done.filter((entry) => entry.kind !== "image").map(({ id, kind, name }) => ({
    kind,
    name,
    ...(id === undefined ? {} : { id }),
    why: "kept, as asked"
  }))

/** One create call. What it made is removed again unless it succeeds. */
const runCreate = (
  client: Client,
  scheme: Scheme,
  defaults: NodeDefaults,
  policy: Policy,
  spec: DockerClusterSpec,
  clusterName: ClusterName
): Effect.Effect<OperationReport, CreateFailure> =>
  Effect.gen(function*() {
    const issues = faults(scheme, defaults, spec)
    if (issues.length > 0) return yield* new InvalidSpec({ issues })
    const plan = makePlan(scheme, defaults, spec, clusterName)
    const operation = yield* Operation.make({ provider: "docker", name: "createNodes", clusterName, policy })
    const session = yield* Effect.promise(currentSession)
    const id = randomWord(16)
    const inFlight = new Set<Fiber.Fiber<unknown, unknown>>()
    let touched = false

    const call: Call = {
      client,
      plan,
      operation,
      id,
      ownership: Labels.ownership(scheme.name, clusterName, { session, operation: id }),
      making: (request) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            touched = true
            const fiber = yield* Effect.forkDetach(Effect.interruptible(request))
            inFlight.add(fiber)
            fiber.addObserver(() => inFlight.delete(fiber))
            return yield* restore(Fiber.join(fiber))
          })
        )
    }

    const cleanUp = Effect.gen(function*() {
      yield* Effect.forEach([...inFlight], (fiber) => Fiber.await(fiber), { concurrency: "unbounded", discard: true })
      if (!touched) return []
      return spec.onFailure === "keep" ? kept(yield* operation.report) : yield* rollBack(client, operation, id)
    }).pipe(
      Effect.timeoutOrElse({
        duration: policy.cleanupTimeout,
        orElse: () =>
          Effect.map(operation.report, (report) =>
            kept(report).map((left) => ({ ...left, why: "it was not removed in time; delete the cluster" })))
      })
    )

    const body = Effect.gen(function*() {
      const world = yield* lookAtWorld(client)
      const present = judge(plan, world)
      if (!(present instanceof Map)) {
        return yield* failWith(present as NameTaken)
      }
      const images = new Map(
        plan.nodes.filter((node) =>
          !present.has(node.name)
        ).map(({ spec: { image, pull } }) => [`${image} ${pull}`, { image, pull: pull ?? "missing" }] as const)
      )
      yield* Effect.forEach(images.values(), ({ image, pull }) =>
        ensureImage(client, operation, image, pull), {
        concurrency: 3,
        discard: true
      })
      yield* carryOut(call, world, present)
      const report = yield* operation.report
      if (report.isFailure) return yield* new NodesNotCreated({ report, leftovers: [] })
      return report
    })

    return yield* Operation.bounded(operation)(body).pipe(
      Effect.catch((error) =>
        Effect.gen(function*() {
          // Nothing was made, so there is nothing to tell but why.
          if (!touched) return yield* Effect.fail(error)
          if (error._tag === "BackendError" || error._tag === "ProviderUnavailable") {
            const subject: Subject = {
              kind: "node",
              name: (error._tag === "BackendError" ? error.node : undefined) ?? clusterName
            }
            yield* operation.record(subject, new Failed({ error: Operation.settledError(operation, subject, error) }))
          }
          const leftovers = yield* cleanUp
          const report = yield* operation.report
          return yield* Effect.fail(
            error._tag === "OperationTimeout" ? error : new NodesNotCreated({ report, leftovers })
          )
        })
      ),
      Effect.onExit((exit) =>
        Exit.isFailure(exit) && Exit.hasInterrupts(exit)
          ? Effect.flatMap(cleanUp, (leftovers) =>
            leftovers.length === 0 ? Effect.void : Effect.logWarning(
              `the create of cluster ${clusterName} was interrupted and left behind:`,
              ...leftovers.map((left) => `${left.kind} ${left.name}: ${left.why}`)
            ))
          : Effect.void
      )
    )
  })

/** Builds `createNodes`. Creates of one cluster by this instance come one after the other. */
export const createCluster = (options: {
  readonly client: Client
  readonly scheme: Scheme
  readonly policy: Effect.Effect<Policy>
  readonly defaults: NodeDefaults
}): (spec: DockerClusterSpec) => Effect.Effect<OperationReport, CreateFailure> => {
  const gates = new Map<string, Semaphore.Semaphore>()
  const gate = (cluster: string): Semaphore.Semaphore => {
    const made = gates.get(cluster) ?? Semaphore.makeUnsafe(1)
    gates.set(cluster, made)
    return made
  }
  return (spec) =>
    Effect.gen(function*() {
      const clusterName = yield* checkNewClusterName(spec.cluster)
      const policy = yield* options.policy
      return yield* gate(clusterName).withPermits(1)(
        runCreate(options.client, options.scheme, options.defaults, policy, spec, clusterName)
      )
    })
}
