/**
 * The script of a simulated run as plain data. A seed generates it, a shrinker shortens it, and a test can contain it.
 */
import { between, oneOf, type Random, random } from "../faults/Random.ts"

/**
 * The backends that a run can have.
 *
 * @category models
 * @since 0.2.0
 */
export type BackendName = "memory" | "docker" | "hetzner"

/** @category constants @since 0.2.0 */
export const backendNames = ["memory", "docker", "hetzner"] as const satisfies ReadonlyArray<BackendName>

/**
 * The fault of a call.
 *
 * - `lostBefore`: the connection is cut, and the backend sees nothing.
 * - `lostAfter`: the backend does the work, and its reply is lost.
 * - `hang`: the backend does the work, and no reply comes.
 * - `limited`, `broken`: status 429, or 5xx, instead of the work.
 * - `page`: an HTML page of a proxy instead of the work.
 * - `garbled`: the backend does the work, and the reply cannot be decoded.
 * - `slow`: the reply comes seconds later.
 * - `stale`: a list shows what the same list showed before.
 *
 * @category models
 * @since 0.2.0
 */
export type FaultName =
  | "lostBefore"
  | "lostAfter"
  | "hang"
  | "limited"
  | "broken"
  | "page"
  | "garbled"
  | "slow"
  | "stale"

/**
 * Something that is done to the backend by somebody else, just before a call arrives. `nth` chooses the node.
 *
 * `disconnect` takes the node out of the network of its cluster.
 * `cut` cuts the event streams; `duplicate` and `lose` repeat and lose the next events.
 *
 * @category models
 * @since 0.2.0
 */
export type Change =
  | { readonly change: "remove" | "stop" | "crash" | "disconnect"; readonly cluster: string; readonly nth: number }
  | { readonly change: "cut" | "duplicate" | "lose" }

/**
 * One step of an actor.
 *
 * @category models
 * @since 0.2.0
 */
export type Work =
  | {
    readonly do: "create" | "apply" | "plan"
    readonly cluster: string
    readonly controlPlanes: number
    readonly workers: number
    readonly onFailure?: "keep"
  }
  | {
    readonly do:
      | "start"
      | "stop"
      | "delete"
      | "planDelete"
      | "list"
      | "status"
      | "exists"
    readonly cluster: string
  }
  | { readonly do: "add"; readonly cluster: string; readonly workers: number }
  | {
    readonly do: "remove" | "replace" | "restart" | "startOne" | "stopOne"
    readonly cluster: string
    readonly node: string
  }
  | { readonly do: "watch"; readonly cluster: string; readonly millis: number }
  | { readonly do: "watchAll" | "wait"; readonly millis: number }
  | { readonly do: "sweep"; readonly remove: boolean }
  | { readonly do: "clusters" | "statuses" }

/**
 * How a step ends early: after so many of its calls it is interrupted, or its process is killed.
 *
 * @category models
 * @since 0.2.0
 */
export interface Ending {
  readonly how: "interrupt" | "kill"
  readonly calls: number
}

/** @category models @since 0.2.0 */
export type Step = Work & { readonly ends?: Ending }

/**
 * A cluster that exists when the run begins.
 *
 * @category models
 * @since 0.2.0
 */
export interface ClusterSize {
  readonly name: string
  readonly controlPlanes: number
  readonly workers: number
}

/**
 * A whole run. The numbers of calls count all calls of all actors, from 1.
 *
 * @category models
 * @since 0.2.0
 */
export interface Script {
  readonly backend: BackendName
  /** Chooses latencies and the order in which fibers run. */
  readonly seed: number
  /** Created before the actors begin. */
  readonly clusters: ReadonlyArray<ClusterSize>
  /** A cluster that exists when the run begins and that no actor does anything with. */
  readonly bystander: boolean
  /** Names of nodes that no cluster owns. */
  readonly unowned: ReadonlyArray<string>
  /** The actors, at once; each takes its steps one after the other. */
  readonly actors: ReadonlyArray<ReadonlyArray<Step>>
  readonly faults: ReadonlyArray<{ readonly call: number; readonly fault: FaultName }>
  readonly changes: ReadonlyArray<Change & { readonly call: number }>
}

// -----------------------------------------------------------------------------
// Generation
// -----------------------------------------------------------------------------

const chance = (next: Random, probability: number): boolean => next() < probability

const weighted = <A>(next: Random, choices: ReadonlyArray<readonly [weight: number, value: A]>): A => {
  let left = next() * choices.reduce((sum, [weight]) => sum + weight, 0)
  for (const [weight, value] of choices) {
    left -= weight
    if (left < 0) return value
  }
  return (choices[0] as readonly [number, A])[1]
}

type Role = "creator" | "deleter" | "operator" | "scaler" | "sweeper" | "watcher" | "reader"

/** The name of the n-th node of a role, from 1. */
export const nodeName = (backend: BackendName, cluster: string, role: "control-plane" | "worker", n: number): string =>
  backend === "hetzner" ? `${cluster}-${role}-${n}` : `${cluster}-${role}${n === 1 ? "" : n}`

const nodeOf = (next: Random, backend: BackendName, cluster: string): string => {
  const n = oneOf(next, [0, 1, 1, 2])
  const role = n === 0 ? "control-plane" : "worker"
  return nodeName(backend, cluster, role, Math.max(1, n))
}

const stepsOf = (next: Random, role: Role, size: ClusterSize, backend: BackendName): ReadonlyArray<Step> => {
  const cluster = size.name
  const sized = { cluster, controlPlanes: size.controlPlanes, workers: size.workers }
  const other = { ...sized, workers: Math.max(0, size.workers + oneOf(next, [-1, 0, 1])) }
  const node = nodeOf(next, backend, cluster)
  const work = (): Work => {
    switch (role) {
      case "creator":
        return weighted<Work>(next, [
          [6, { do: "create", ...sized, ...(chance(next, 0.15) ? { onFailure: "keep" as const } : {}) }],
          [2, { do: "create", ...other }],
          [2, { do: "apply", ...other }],
          [1, { do: "plan", ...other }],
          [1, { do: "delete", cluster }]
        ])
      case "deleter":
        return weighted<Work>(next, [
          [4, { do: "delete", cluster }],
          [1, { do: "planDelete", cluster }],
          [2, { do: "create", ...sized }]
        ])
      case "operator":
        return weighted<Work>(next, [
          [3, { do: "stop", cluster }],
          [3, { do: "start", cluster }],
          [1, { do: "startOne", cluster, node }],
          [1, { do: "stopOne", cluster, node }],
          [1, { do: "restart", cluster, node }],
          [1, { do: "status", cluster }]
        ])
      case "scaler":
        return weighted<Work>(next, [
          [3, { do: "add", cluster, workers: between(next, 1, 2) }],
          [2, { do: "remove", cluster, node: nodeOf(next, backend, cluster) }],
          [1, { do: "replace", cluster, node }],
          [1, { do: "apply", ...other }]
        ])
      case "sweeper":
        return weighted<Work>(next, [
          [3, { do: "sweep", remove: true }],
          [1, { do: "sweep", remove: false }],
          [2, { do: "wait", millis: between(next, 100, 20_000) }]
        ])
      case "watcher":
        return weighted<Work>(next, [
          [3, { do: "watch", cluster, millis: between(next, 1_000, 60_000) }],
          [1, { do: "watchAll", millis: between(next, 1_000, 60_000) }]
        ])
      case "reader":
        return weighted<Work>(next, [
          [2, { do: "list", cluster }],
          [2, { do: "status", cluster }],
          [1, { do: "exists", cluster }],
          [1, { do: "clusters" }],
          [1, { do: "statuses" }],
          [1, { do: "wait", millis: between(next, 100, 5_000) }]
        ])
    }
  }
  const steps: Array<Step> = []
  for (let left = between(next, 1, 3); left > 0; left--) {
    if (chance(next, 0.2)) steps.push({ do: "wait", millis: between(next, 10, 5_000) })
    const one = work()
    const isWork = one.do !== "wait" && one.do !== "watch" && one.do !== "watchAll"
    if (!isWork || !chance(next, 0.3)) {
      steps.push(one)
      continue
    }
    steps.push({ ...one, ends: { how: chance(next, 0.5) ? "kill" : "interrupt", calls: between(next, 1, 12) } })
    if (chance(next, 0.6)) steps.push(one)
  }
  return steps
}

const faultNames: readonly [FaultName, ...ReadonlyArray<FaultName>] = [
  "lostBefore",
  "lostAfter",
  "lostAfter",
  "hang",
  "limited",
  "broken",
  "page",
  "garbled",
  "slow",
  "stale"
]

/**
 * Generates the script of a seed.
 *
 * @category constructors
 * @since 0.2.0
 */
export const generate = (seed: number, backend: BackendName): Script => {
  const next = random(seed, "script", backend)
  const names = chance(next, 0.3) ? ["dev", "prod"] : ["dev"]
  const sizes = names.map((name) => ({
    name,
    controlPlanes: chance(next, 0.25) ? 3 : 1,
    workers: between(next, 0, 2)
  }))
  const roles: ReadonlyArray<readonly [number, Role]> = [
    [5, "creator"],
    [2, "deleter"],
    [3, "operator"],
    [2, "scaler"],
    [1, "sweeper"],
    [1, "watcher"],
    [1, "reader"]
  ]
  const count = weighted(next, [[2, 1], [5, 2], [3, 3], [1, 4]] as const)
  const actors = Array.from({ length: count }, () => {
    const size = oneOf(next, sizes as [ClusterSize, ...Array<ClusterSize>])
    return stepsOf(next, weighted(next, roles), size, backend)
  })
  const isQuiet = chance(next, 0.25)
  const faults = isQuiet ? [] : Array.from({ length: between(next, 0, 6) }, () => ({
    call: between(next, 1, 60),
    fault: oneOf(next, faultNames)
  }))
  const changes = isQuiet ? [] : Array.from({ length: chance(next, 0.5) ? between(next, 1, 3) : 0 }, () => ({
    call: between(next, 1, 60),
    ...weighted<Change>(next, [
      [3, {
        change: oneOf(next, ["remove", "stop", "crash", "disconnect"] as const),
        cluster: oneOf(next, sizes as [ClusterSize, ...Array<ClusterSize>]).name,
        nth: between(next, 0, 3)
      }],
      [1, { change: oneOf(next, ["cut", "duplicate", "lose"] as const) }]
    ])
  }))
  const byCall = (a: { readonly call: number }, b: { readonly call: number }) => a.call - b.call
  return {
    backend,
    seed,
    bystander: chance(next, 0.35),
    clusters: sizes.filter(() => chance(next, 0.6)),
    unowned: chance(next, 0.5)
      ? [
        "registry",
        ...(chance(next, 0.2) ? [nodeName(backend, oneOf(next, names as [string, ...Array<string>]), "worker", 2)] : [])
      ]
      : [],
    actors,
    faults: faults.sort(byCall),
    changes: changes.sort(byCall)
  }
}
