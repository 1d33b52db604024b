/**
 * The scenario of a seed: a small cluster, unowned things beside it, a sequence of operations, and their faults. Pure,
 * so that a failed seed gives the same run again.
 */
import * as FaultProxy from "../../src/testing/FaultProxy.ts"

const { between, oneOf, random } = FaultProxy

export type Action = "create" | "start" | "stop" | "delete" | "list" | "status" | "watch"

export interface Move {
  readonly action: Action
  /** It is interrupted after so long. */
  readonly interruptAfterMillis?: number
}

export type Step =
  | { readonly _tag: "Alone"; readonly move: Move }
  /** Two at once; `apart`: each from an instance of its own, as two programs would. */
  | { readonly _tag: "Together"; readonly moves: readonly [Move, Move]; readonly apart: boolean }
  /** Somebody does this to one of the nodes, past kubelayer. */
  | { readonly _tag: "Meddle"; readonly how: "pause" | "kill" | "remove"; readonly which: number }

/** Things that resemble the cluster's and do not belong to it. */
export type Unowned =
  | "container-of-like-name"
  | "container-of-like-cluster"
  | "container-of-kind"
  | "network-of-like-name"
  | "volume-of-like-name"
  /** Uses the name of a node, so that no node can be created. */
  | "container-of-same-name"

export interface Scenario {
  readonly seed: number
  readonly controlPlanes: number
  readonly workers: number
  /** A named volume that all nodes mount. */
  readonly volume: boolean
  readonly keep: boolean
  readonly unowned: Unowned
  /** The unowned container runs. */
  readonly foreignRuns: boolean
  readonly steps: ReadonlyArray<Step>
  /** A watch that goes on over all the steps. */
  readonly watched: boolean
  readonly rules: ReadonlyArray<FaultProxy.Rule>
  readonly most: number
}

/** Short and long delays: the long ones are longer than the soak's `requestTimeout`. */
const faults = (slow: number): FaultProxy.Rule["faults"] => [
  FaultProxy.delay(5, 400),
  FaultProxy.delay(slow, slow + 600),
  FaultProxy.refuse,
  FaultProxy.dropAnswer,
  FaultProxy.dropAnswer,
  FaultProxy.cutBody,
  FaultProxy.serverFault,
  FaultProxy.rateLimited(1),
  FaultProxy.page(200),
  FaultProxy.page(502)
]

const streamFaults: FaultProxy.Rule["faults"] = [
  FaultProxy.cutStream(0, 600),
  FaultProxy.cutStream(0, 600),
  FaultProxy.delay(5, 400),
  FaultProxy.refuse,
  FaultProxy.serverFault,
  FaultProxy.page(502)
]

const shapes = [[1, 0], [1, 0], [1, 1], [1, 1], [1, 2], [2, 0], [1, 3], [2, 1]] as const

const foreigners: readonly [Unowned, ...ReadonlyArray<Unowned>] = [
  "container-of-like-name",
  "container-of-like-name",
  "container-of-like-cluster",
  "container-of-like-cluster",
  "container-of-kind",
  "network-of-like-name",
  "volume-of-like-name",
  "volume-of-like-name",
  "container-of-same-name"
]

const actions: readonly [Action, ...ReadonlyArray<Action>] = [
  "create",
  "create",
  "create",
  "start",
  "start",
  "stop",
  "stop",
  "delete",
  "delete",
  "list",
  "status",
  "watch"
]

/** `requestTimeoutMillis`: that of the policy under which the seed is to run. */
export const scenarioOf = (seed: number, requestTimeoutMillis: number): Scenario => {
  const next = random(seed, "scenario")
  const [controlPlanes, workers] = oneOf(next, shapes)
  const move = (action: Action): Move =>
    next() < 0.2 ? { action, interruptAfterMillis: between(next, 0, 900) } : { action }
  const step = (): Step => {
    const kind = next()
    if (kind < 0.1) {
      return { _tag: "Meddle", how: oneOf(next, ["pause", "kill", "remove"] as const), which: between(next, 0, 3) }
    }
    const first = move(oneOf(next, actions))
    return kind < 0.3
      ? { _tag: "Together", moves: [first, move(oneOf(next, actions))], apart: next() < 0.5 }
      : { _tag: "Alone", move: first }
  }
  const probability = oneOf(next, [0.06, 0.15, 0.35])
  const rest = faults(requestTimeoutMillis + 100)
  return {
    seed,
    controlPlanes,
    workers,
    volume: next() < 0.4,
    keep: next() < 0.1,
    unowned: oneOf(next, foreigners),
    foreignRuns: next() < 0.2,
    steps: [{ _tag: "Alone", move: move("create") }, ...Array.from({ length: between(next, 2, 5) }, step)],
    watched: next() < 0.3,
    rules: [
      { calls: "stream", probability: 0.4, faults: streamFaults },
      { calls: "create", probability: Math.min(1, probability * 2), faults: rest },
      { probability, faults: rest }
    ],
    most: between(next, 3, 24)
  }
}

const describeMove = ({ action, interruptAfterMillis }: Move): string =>
  interruptAfterMillis === undefined ? action : `${action} (interrupted after ${interruptAfterMillis} ms)`

/** A step in a few words. */
export const describeStep = (step: Step): string => {
  switch (step._tag) {
    case "Alone":
      return describeMove(step.move)
    case "Together":
      return `${step.moves.map(describeMove).join(" beside ")}${step.apart ? ", by two instances" : ""}`
    case "Meddle":
      return `somebody's ${step.how} of node ${step.which}`
  }
}
