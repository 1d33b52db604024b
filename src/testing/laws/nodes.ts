/**
 * Questions about nodes that several groups of laws share.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { NodeInfo, NodeState } from "../../Model.ts"
import { eventually, type Harness, type HarnessError, type TrueNode } from "../Harness.ts"
import { expect, LawBroken, type World } from "../Law.ts"

export const isControlPlane = (node: { readonly role: string }): boolean => node.role === "control-plane"

/** One line a node, so that lists can be compared and read. */
export const lines = (nodes: ReadonlyArray<TrueNode | NodeInfo>): ReadonlyArray<string> =>
  nodes.map((node) => `${node.name} (${node.role}, ${node.state})`)

/** Breaks the law unless the backend comes to have exactly these nodes, in this state. */
export const expectTruth = (
  { harness }: World,
  cluster: string,
  expected: ReadonlyArray<readonly [node: { readonly name: string }, state: NodeState]>
): Effect.Effect<void, LawBroken | HarnessError, Harness> => {
  const wanted = expected.map(([node, state]) => `${node.name} ${state}`).sort()
  const shown = wanted.length === 0 ? "no nodes" : wanted.join(", ")
  const seen = (nodes: ReadonlyArray<TrueNode>) => nodes.map((node) => `${node.name} ${node.state}`).sort()
  return Effect.flatMap(
    eventually(harness.nodes(cluster), (nodes) => seen(nodes).join(", ") === wanted.join(", ")),
    (nodes) =>
      expect(
        seen(nodes).join(", ") === wanted.join(", "),
        `the backend has ${shown}`,
        nodes.length === 0 ? "it has no nodes" : `it has ${seen(nodes).join(", ")}`
      )
  )
}

/** Breaks the law unless all these nodes, and no others, come to be in this state. */
export const expectAll = (
  world: World,
  nodes: ReadonlyArray<TrueNode>,
  state: NodeState
): Effect.Effect<void, LawBroken | HarnessError, Harness> =>
  expectTruth(world, nodes[0]?.cluster ?? world.cluster, nodes.map((node) => [node, state] as const))

/** The only node of a list that fits; breaks the law where the harness seeded none. */
export const pick = (
  nodes: ReadonlyArray<TrueNode>,
  fits: (node: TrueNode) => boolean
): Effect.Effect<TrueNode, LawBroken> => {
  const node = nodes.find(fits)
  return node === undefined
    ? Effect.fail(
      new LawBroken({ expected: "the harness seeds the requested nodes", observed: lines(nodes).join(", ") })
    )
    : Effect.succeed(node)
}

/** A control plane and two workers, the smallest cluster in which a wave has siblings. */
export const trio = Effect.fnUntraced(function*(
  { cluster, harness }: World,
  state: "running" | "stopped",
  workers = 2
) {
  const nodes = yield* harness.seed(cluster, { state, controlPlanes: 1, workers })
  const controlPlane = yield* pick(nodes, isControlPlane)
  const first = yield* pick(nodes, (node) => node.role === "worker")
  const second = yield* pick(nodes, (node) => node.role === "worker" && node !== first)
  return { nodes, controlPlane, first, second, workers: nodes.filter((node) => node.role === "worker") }
})
