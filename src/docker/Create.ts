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
import { makeAtLarge } from "../internal/AtLarge.ts"
import { checkNewClusterName } from "../internal/ClusterNames.ts"
import * as Creation from "../internal/Creation.ts"
import type { Gate } from "../internal/Gate.ts"
import { failWith } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import type { Policy } from "../Policy.ts"
import type { Subject } from "../Progress.ts"
import type { CreateFailure } from "../Provider.ts"
import { InvalidSpec } from "../ProviderError.ts"
import { BackendError, NotFoundError, UnsupportedError } from "../Reason.ts"
import { AlreadyDone, Done, Failed, type OperationName, type OperationReport, type Outcome } from "../Report.ts"
import type { Client } from "./Client.ts"
import { isAmbiguous, isPortTaken } from "./Errors.ts"
import { HeldUnseen, untilSeen } from "./Held.ts"
import { chooseHostPorts } from "./HostPorts.ts"
import { ensureImage } from "./Images.ts"
import { agrees, judge, lookAtWorld, type World } from "./Judge.ts"
import * as Labels from "./Labels.ts"
import { type Member, members } from "./Members.ts"
import { ensureNetwork, ensureVolume, networkSubject, volumeSubject } from "./Networks.ts"
import { addressLabel, createBody, freeAddresses, isOutside, makePlan, type Plan, type PlannedNode } from "./Plan.ts"
import { inStartOrder, isReason, startOne, startWaves } from "./Power.ts"
import { madeBy } from "./Rollback.ts"
import { isMade, type PortMapping, type Scheme } from "./Scheme.ts"
import { kubelayer } from "./schemes/Kubelayer.ts"
import { type DockerClusterSpec, faults, type NodeDefaults } from "./Spec.ts"
import type { CallFailure } from "./Transport.ts"
import { type ContainerSummary, labelsOf, nameOf } from "./Wire.ts"

const done = new Done({})
const alreadyDone = new AlreadyDone({})

/** How often other host ports are chosen for a node whose chosen ones were taken meanwhile. */
const portAttempts = 3

/** What one create call carries through its steps. */
interface Call extends Pick<Creation.Creation, "operation" | "making"> {
  readonly client: Client
  readonly plan: Plan
  readonly ownership: Readonly<Record<string, string>>
}

const subjectOfPlanned = (node: PlannedNode): Subject => ({ kind: "node", name: node.name })

/** Makes one container, with host ports and address of its own. One that someone else just made is judged. */
const makeContainer = (
  call: Call,
  node: PlannedNode,
  chosen: { readonly ports: ReadonlyArray<PortMapping>; readonly address: string | undefined }
): Effect.Effect<{ readonly id: string; readonly made: boolean }, CallFailure> => {
  const { client, making, operation, plan } = call
  const subject = subjectOfPlanned(node)
  const attempt = making(
    subject,
    client.createContainer(node.name, createBody(plan, node, { ...chosen, ownership: call.ownership }))
  ).pipe(
    Effect.map((id) => ({ id, made: true })),
    Effect.catchIf(
      (error) => isReason(error, "NameTaken"),
      Effect.fnUntraced(function*(error) {
        const held = (yield* client.listContainers()).find((container) => nameOf(container) === node.name)
        if (held === undefined) return yield* new HeldUnseen({ error })
        const refusal = agrees(plan, node, held)
        if (refusal !== undefined) return yield* operation.error(refusal, subject)
        return { id: held.Id, made: false }
      })
    ),
    // Another create has made the same network at the same time, and takes it back.
    Effect.catchIf(
      (error): error is BackendError => error instanceof BackendError && isAmbiguous(error.reason),
      (error) => Effect.fail(new HeldUnseen({ error }))
    )
  )
  const create = operation.emit({ _tag: "Sent", subject, call: "create" }).pipe(
    Effect.andThen(untilSeen(operation.policy, attempt))
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

  const anyFailed = Effect.map(operation.report, (report) => report.failed.length > 0)
  let subnet: string | undefined
  yield* operation.wave(
    plan.networks,
    { subject: networkSubject, timeout: nodeTimeout.create, width: concurrency.create },
    (network) =>
      Effect.map(ensureNetwork(call, plan, network, world.networks), (ensured) => {
        if (network === plan.networks[0]) subnet = ensured.subnet
        return ensured.outcome
      })
  )
  yield* operation.wave(
    plan.volumes,
    { subject: volumeSubject, timeout: nodeTimeout.create, width: concurrency.create },
    (volume) => ensureVolume(call, plan, volume, world.volumes)
  )
  if (yield* anyFailed) return

  // Its network was removed and is now another one, in which its address means nothing: it could never be started.
  const stranded = new Map(
    [...present].filter(([, container]) =>
      container.State.toLowerCase() === "created" && isOutside(subnet, labelsOf(container)[addressLabel])
    )
  )
  const stays = (node: PlannedNode) => present.has(node.name) && !stranded.has(node.name)
  const taken = new Set(
    [
      ...[...present].flatMap(([name, container]) => stranded.has(name) ? [] : [labelsOf(container)]),
      ...(plan.extended ?? []).map(({ labels }) => labels)
    ].flatMap((labels) => labels[addressLabel] ?? [])
  )
  const addresses = subnet === undefined ? [] : freeAddresses(subnet, taken)
  const heldPorts = new Set<string>()
  const missing = plan.nodes.filter((node) => !stays(node))
  const fixed = new Map(missing.map((node, index) => [node.name, addresses[index]]))
  /** Made by another create at the same time, which may still fail and remove them again. */
  const adopted = new Set<string>()

  for (const node of plan.nodes) {
    if (stays(node)) yield* operation.record(subjectOfPlanned(node), alreadyDone)
  }
  yield* operation.wave(
    missing,
    { subject: subjectOfPlanned, timeout: nodeTimeout.create, width: concurrency.create },
    (node) =>
      Effect.gen(function*() {
        const ports = yield* chooseHostPorts(node.ports, heldPorts)
        const useless = stranded.get(node.name)
        if (useless !== undefined) yield* client.removeContainer(useless.Id)
        const { made } = yield* makeContainer(call, node, { ports, address: fixed.get(node.name) })
        if (made) return undefined
        adopted.add(node.name)
        return alreadyDone
      })
  )
  // One that could not be made makes the whole call fail; starting the others would only be undone.
  if (yield* anyFailed) {
    return yield* Effect.forEach(
      missing.map(subjectOfPlanned).filter((subject) => operation.outcomeOf(subject) === undefined),
      (subject) => operation.record(subject, done),
      { discard: true }
    )
  }

  const look = members(client, [plan.scheme], plan.cluster)
  const planned = new Map(plan.nodes.map((node) => [node.name, node]))
  const found = yield* look
  const there = new Set(found.map(({ name }) => name))
  for (const subject of plan.nodes.filter(({ name }) => !there.has(name)).map(subjectOfPlanned)) {
    const error = operation.error(new NotFoundError({ detail: "the container was removed meanwhile" }), subject)
    yield* operation.record(subject, new Failed({ error }))
  }
  const unstarted = found.filter((member) =>
    planned.has(member.name) && (member.container.State.toLowerCase() === "created" || adopted.has(member.name))
  )
  yield* startWaves(
    operation,
    inStartOrder(unstarted),
    (member) => startMade(call, planned.get(member.name), member, heldPorts),
    look,
    client
  )
})

/** Whether after such an error an engine may still carry the request out. */
const leavesOpen = (error: CallFailure): boolean => isReason(error, "RequestTimeout")

/** One create call. What it made is removed again unless it succeeds. */
export const carryOutPlan = (options: {
  readonly client: Client
  readonly schemes: ReadonlyArray<Scheme>
  readonly policy: Policy
  readonly name: OperationName
  readonly plan: Plan
  readonly onFailure: "remove" | "keep"
}): Effect.Effect<OperationReport, CreateFailure> => {
  const { client, plan, schemes } = options
  const { cluster: clusterName, scheme } = plan
  return Creation.create({
    provider: "docker",
    name: options.name,
    clusterName,
    policy: options.policy,
    onFailure: options.onFailure,
    // A volume's creation is repeated, and each time carried out: seen and removed, it may come once more.
    atLarge: makeAtLarge({ leavesOpen, mayComeAgain: ({ kind }) => kind === "volume" }),
    madeBy: ({ id }) => madeBy(client, id),
    body: Effect.fnUntraced(function*(creation) {
      const { bound, id, operation, session } = creation
      const world = yield* lookAtWorld(client)
      const present = judge(plan, schemes, world)
      if ("_tag" in present) {
        return yield* failWith(present)
      }
      const images = new Map(
        plan.nodes.filter((node) => !present.has(node.name)).map(({ spec: { image, pull } }) =>
          [`${image} ${pull}`, { image, pull: pull ?? "missing" }] as const
        )
      )
      yield* Effect.forEach(images.values(), ({ image, pull }) => ensureImage(client, operation, image, pull), {
        concurrency: 3,
        discard: true
      })
      const ownership = Labels.ownership(scheme.name, clusterName, { session, operation: id, bound })
      yield* carryOut({ ...creation, client, plan, ownership }, world, present)
    })
  })
}

const unsupported = ({ name, template }: Scheme): string =>
  "unsupported" in template ? template.unsupported : `${name} nodes cannot be made`

/** What a spec comes to, or all its faults. */
export const planOf = (
  scheme: Scheme,
  defaults: NodeDefaults,
  spec: DockerClusterSpec,
  cluster: ClusterName
): Effect.Effect<Plan, InvalidSpec | BackendError> => {
  if (!isMade(scheme)) return failWith(new UnsupportedError({ detail: unsupported(scheme) }))
  return Effect.try({
    try: () => {
      const issues = faults(scheme, defaults, spec)
      return issues.length > 0 ? new InvalidSpec({ issues }) : makePlan(scheme, defaults, spec, cluster)
    },
    // A spec that was read from somewhere may have another shape than its type says.
    catch: (error) =>
      new InvalidSpec({ issues: [{ path: "spec", message: `is not of the right shape: ${String(error)}` }] })
  }).pipe(Effect.flatMap((planned) => planned instanceof InvalidSpec ? Effect.fail(planned) : Effect.succeed(planned)))
}

/** Builds `createNodes`. */
export const createCluster = (options: {
  readonly client: Client
  /** The schemes in force. Of several, nodes are made in kubelayer's own. */
  readonly schemes: ReadonlyArray<Scheme>
  readonly policy: Effect.Effect<Policy>
  readonly defaults: NodeDefaults
  readonly gate: Gate
}): (spec: DockerClusterSpec) => Effect.Effect<OperationReport, CreateFailure> => {
  const { client, defaults, schemes } = options
  const scheme = schemes.length === 1 ? schemes[0] ?? kubelayer : kubelayer
  return (spec) =>
    Effect.gen(function*() {
      const cluster = yield* checkNewClusterName(spec.cluster)
      const plan = yield* planOf(scheme, defaults, spec, cluster)
      const policy = yield* options.policy
      const onFailure = spec.onFailure ?? "remove"
      return yield* options.gate(cluster)(
        carryOutPlan({ client, schemes, policy, name: "createNodes", plan, onFailure })
      )
    })
}
