/**
 * Judging what is on the engine against what is to be made, before anything is touched.
 *
 * What is there and agrees stays. What is held by something foreign, or differs from what is asked, is refused with
 * `NameTaken`, which names the holder or the difference. Pure but for the one look.
 */
import * as Effect from "effect/Effect"
import { NameTaken, NotFoundError } from "../Reason.ts"
import type { Client } from "./Client.ts"
import * as Labels from "./Labels.ts"
import { classify } from "./Members.ts"
import { refuseNetwork, refuseVolume } from "./Networks.ts"
import { differences, type Plan, type PlannedNode } from "./Plan.ts"
import type { Scheme } from "./Scheme.ts"
import type { CallFailure } from "./Transport.ts"
import { type ContainerSummary, labelsOf, nameOf, type Network, type Volume } from "./Wire.ts"

/** What is on the engine when a create begins. */
export interface World {
  readonly containers: ReadonlyArray<ContainerSummary>
  readonly networks: ReadonlyArray<Network>
  readonly volumes: ReadonlyArray<Volume>
}

export const lookAtWorld = (client: Client): Effect.Effect<World, CallFailure> =>
  Effect.map(
    Effect.all([client.listContainers(), client.listNetworks, client.listVolumes], { concurrency: 3 }),
    ([containers, networks, volumes]) => ({ containers, networks, volumes })
  )

const nameTaken = (kind: string, name: string, by: string, what = `is held by something else (${by})`) =>
  new NameTaken({ detail: `${kind} ${name} ${what}`, by })

/** Whether a container is this cluster's node as planned; refuses one that is not. */
export const agrees = (plan: Plan, node: PlannedNode, container: ContainerSummary): NameTaken | undefined => {
  const labels = labelsOf(container)
  const membership = plan.scheme.recognise({ name: nameOf(container), labels }, [])
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
export const judge = (
  plan: Plan,
  schemes: ReadonlyArray<Scheme>,
  world: World
): NameTaken | NotFoundError | ReadonlyMap<string, ContainerSummary> => {
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
  for (const network of plan.networks) {
    const held = world.networks.find((each) => each.Name === network.name)
    const refusal = held === undefined
      ? network.external ? new NotFoundError({ detail: `there is no network ${network.name}` }) : undefined
      : refuseNetwork(plan, network, held)
    if (refusal !== undefined) return refusal
  }
  for (const volume of plan.volumes) {
    const held = world.volumes.find((each) => each.Name === volume.name)
    const refusal = held === undefined ? undefined : refuseVolume(plan, volume, held)
    if (refusal !== undefined) return refusal
  }
  const nodes = classify(schemes, world.containers).members.filter((member) => member.node.clusterName === plan.cluster)
  const elsewhere = nodes.find((member) => member.scheme.name !== plan.scheme.name)
  if (elsewhere !== undefined) {
    return nameTaken("cluster", plan.cluster, `${elsewhere.scheme.name} cluster ${plan.cluster}`)
  }
  if (plan.extended !== undefined) return present
  const extra = nodes.find((member) => !planned.has(member.name))
  return extra === undefined
    ? present
    : nameTaken("cluster", plan.cluster, Labels.holder(extra.labels), `has a node ${extra.name} that is not asked for`)
}
