/**
 * The model of a law, and the functions to write one.
 *
 * A law is one sentence of the contract of `Provider` or `NodeCreator`, as data, with an Effect that finds out whether
 * it holds. It sees the services and a `Harness`, never a backend, so the same law runs over every layer. The laws
 * themselves are in `laws/`, one file a group; `runLaws.ts` runs them. Nothing here belongs to a test runner.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { ClusterStatus, NodeInfo } from "../Model.ts"
import { NodeCreator, type NodeCreatorService, Provider, type ProviderService } from "../Provider.ts"
import { OperationReport, type Outcome } from "../Report.ts"
import { Harness, type HarnessService } from "./Harness.ts"

/**
 * The capabilities of harnesses. A law is skipped on a backend that does not claim the capabilities that it needs.
 *
 * @category models
 * @since 0.1.0
 */
export const capabilities = {
  calls: "report which calls reached the backend, in their order",
  change: "start and stop a node as somebody else",
  vanish: "remove a node as somebody else",
  "fail-start": "make the backend refuse to start a node",
  "fail-stop": "make the backend refuse to stop a node",
  "fail-delete": "make the backend refuse to delete a node",
  "rate-limit": "let the backend refuse a call for its rate, and report when it may come again",
  "exit-at-once": "make a node exit as soon as it is started",
  outage: "make the backend unreachable",
  "cut-watches": "cut the connections on which a watch listens",
  bystanders: "add resources that belong to no cluster",
  "name-held": "use the name of a future node for an unlabelled thing",
  leftovers: "add what can be left of a cluster that has no nodes",
  helpers: "seed load balancers and helpers",
  secrets: "report the credentials of the layer",
  "strict-names": "have no cluster whose name is longer than 63 characters or begins or ends with `-` or `_`",
  create: "make nodes through NodeCreator",
  plan: "plan and apply through NodeCreator",
  scale: "add and remove nodes through NodeCreator",
  replace: "replace nodes through NodeCreator",
  restart: "restart nodes through NodeCreator",
  select: "start and stop a part of a cluster",
  "control-planes": "make clusters of several control planes through NodeCreator",
  detach: "detach a node from something that belongs to its spec",
  second: "connect a second client to the backend, as another process does",
  orphans: "add what a process that has exited left behind",
  "node-by-node": "show the nodes of a cluster created and deleted one by one, by separate calls"
} as const satisfies Record<string, string>

/**
 * The name of something that a harness may be able to arrange.
 *
 * @category models
 * @since 0.1.0
 */
export type Capability = keyof typeof capabilities

/**
 * The groups of laws, in the order in which they are run and reported.
 *
 * @category models
 * @since 0.1.0
 */
export const groups = [
  "lifecycle",
  "idempotency",
  "absent",
  "ownership",
  "names",
  "partial",
  "concurrency",
  "interruption",
  "watch",
  "secrecy",
  "create",
  "plan",
  "scale",
  "sweep"
] as const

/** @category models @since 0.1.0 */
export type Group = typeof groups[number]

/**
 * One sentence of the contract, and how to find out whether it holds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Law {
  /** `group.name`, in kebab case. */
  readonly id: `${Group}.${string}`
  /** The behaviour that holds, as a sentence without a full stop. */
  readonly title: string
  readonly group: Group
  readonly needs: ReadonlyArray<Capability>
  /** Succeeds if the law holds. A failure is reported as the observed behaviour. */
  readonly check: Effect.Effect<void, unknown, Provider | Harness | Scope.Scope>
}

/**
 * The input of a law: the services under test, the harness, and the name of a cluster that does not exist.
 *
 * @category models
 * @since 0.1.0
 */
export interface World {
  readonly provider: ProviderService
  readonly harness: HarnessService
  readonly cluster: string
}

/**
 * Makes a law. The id begins with the name of its group.
 *
 * @category constructors
 * @since 0.1.0
 */
export const law = (options: {
  readonly id: Law["id"]
  readonly title: string
  readonly needs?: ReadonlyArray<Capability>
  readonly check: (world: World) => Effect.Effect<void, unknown, Provider | Harness | Scope.Scope>
}): Law => {
  const group = groups.find((group) => options.id.startsWith(`${group}.`))
  if (group === undefined) throw new Error(`law ${options.id} is of no group`)
  return {
    id: options.id,
    title: options.title,
    group,
    needs: options.needs ?? [],
    check: Effect.gen(function*() {
      const provider = yield* Provider
      const harness = yield* Harness
      yield* options.check({ provider, harness, cluster: yield* harness.uniqueName })
    })
  }
}

/**
 * The `NodeCreator` of the layer under test. A layer without one must not claim the capability `create`.
 *
 * @category getters
 * @since 0.1.0
 */
export const creator: Effect.Effect<NodeCreatorService, LawBroken> = Effect.flatMap(
  Effect.serviceOption(NodeCreator),
  Option.match({
    onNone: () => Effect.fail(new LawBroken({ expected: "the layer gives a NodeCreator", observed: "it gives none" })),
    onSome: Effect.succeed
  })
)

// -----------------------------------------------------------------------------
// Expectations
// -----------------------------------------------------------------------------

/**
 * A law does not hold.
 *
 * @category errors
 * @since 0.1.0
 */
export class LawBroken extends Data.TaggedError("LawBroken")<{
  readonly expected: string
  readonly observed: string
}> {
  override get message(): string {
    return `expected: ${this.expected}\nobserved: ${this.observed}`
  }
}

const describeOutcome = (outcome: Outcome, problem: string): string =>
  `${outcome._tag}${outcome._tag === "Done" && outcome.forced === true ? " (forced)" : ""}${
    problem === "" ? "" : ` (${problem})`
  }`

/**
 * Says in a line what a value is, for people.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (value: unknown): string => {
  if (typeof value === "string") return value
  if (value instanceof NodeInfo) return `${value.name} (${value.role}, ${value.state})`
  if (value instanceof ClusterStatus) {
    return `status ${value.phase}, ${value.nodesReady} of ${value.nodesTotal} ready: ${describe(value.nodes)}`
  }
  if (value instanceof OperationReport) {
    const outcomes = value.outcomes.map((entry) => `${entry.name} ${describeOutcome(entry.outcome, entry.problem)}`)
    return `report of ${value.operation}: ${outcomes.length === 0 ? "no outcomes" : outcomes.join(", ")}`
  }
  if (Option.isOption(value)) return Option.isNone(value) ? "none" : describe(value.value)
  if (Array.isArray(value)) return value.length === 0 ? "nothing" : value.map(describe).join(", ")
  if (Cause.isCause(value)) {
    const error = Cause.squash(value)
    return Cause.hasInterruptsOnly(value)
      ? "an interruption"
      : `${Cause.hasDies(value) ? "a defect, " : ""}${describe(error)}`
  }
  if (value instanceof Error) {
    const tag = "_tag" in value && typeof value._tag === "string" ? value._tag : value.name
    const report = "report" in value ? `; ${describe(value.report)}` : ""
    return `${tag}: ${value.message}${report}`
  }
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value)
}

/**
 * Breaks the law unless the condition is true.
 *
 * @category expectations
 * @since 0.1.0
 */
export const expect = (condition: boolean, expected: string, observed: unknown): Effect.Effect<void, LawBroken> =>
  condition ? Effect.void : Effect.suspend(() => new LawBroken({ expected, observed: describe(observed) }))

/**
 * Breaks the law unless the two are the same in their descriptions, which is what its reader sees.
 *
 * @category expectations
 * @since 0.1.0
 */
export const expectSame = (what: string, expected: unknown, observed: unknown): Effect.Effect<void, LawBroken> =>
  expect(describe(expected) === describe(observed), `${what}: ${describe(expected)}`, observed)

/**
 * Breaks the law unless the effect succeeds.
 *
 * @category expectations
 * @since 0.1.0
 */
export const succeeds = <A, E, R>(
  what: string,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, LawBroken, R> =>
  Effect.catchCause(self, (cause) =>
    Cause.hasInterruptsOnly(cause)
      ? Effect.interrupt
      : Effect.fail(new LawBroken({ expected: `${what} succeeds`, observed: describe(cause) })))

/**
 * Breaks the law unless the effect fails with an error of this tag; gives the error.
 *
 * @category expectations
 * @since 0.1.0
 */
export const failsWith = <A, E, R, Tag extends E extends { readonly _tag: infer T extends string } ? T : never>(
  what: string,
  tag: Tag,
  self: Effect.Effect<A, E, R>
): Effect.Effect<Extract<E, { readonly _tag: Tag }>, LawBroken, R> => {
  const expected = `${what} fails with ${tag}`
  return Effect.matchCauseEffect(self, {
    onSuccess: (value) =>
      Effect.fail(
        new LawBroken({ expected, observed: `it succeeds${value === undefined ? "" : `, ${describe(value)}`}` })
      ),
    onFailure: (cause) => {
      const error = Option.getOrUndefined(Cause.findErrorOption(cause))
      return hasTag(error, tag)
        ? Effect.succeed(error as Extract<E, { readonly _tag: Tag }>)
        : Effect.fail(new LawBroken({ expected, observed: describe(cause) }))
    }
  })
}

const hasTag = (error: unknown, tag: string): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === tag

/**
 * Breaks the law unless the outcomes of these nodes are as given. Other nodes are ignored.
 *
 * @category expectations
 * @since 0.1.0
 */
export const expectOutcomes = (
  report: OperationReport,
  expected: ReadonlyArray<readonly [node: { readonly name: string }, tag: Outcome["_tag"]]>
): Effect.Effect<void, LawBroken> => {
  const outcomes = report.outcomes.filter((entry) => entry.kind === "node")
  const holds = expected.every(([node, tag]) => {
    const own = outcomes.filter((entry) => entry.name === node.name)
    return own.length === 1 && own[0]?.outcome._tag === tag
  })
  return expect(
    holds,
    `${report.operation} reports ${expected.map(([node, tag]) => `${node.name} ${tag}`).join(", ")}`,
    report
  )
}
