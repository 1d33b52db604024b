/**
 * Plans of documents: how they are created, shown, saved and read again.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Plan from "../Plan.ts"
import type { OperationReport } from "../Report.ts"
import { type Address, Backends, type Connection, type OpenFailure } from "./Backends.ts"
import { UsageError } from "./Failure.ts"
import { addressFor } from "./Session.ts"
import type { Settings } from "./Settings.ts"
import type { Source } from "./Sources.ts"
import { colored, printable } from "./Table.ts"

/** A plan and what is needed to apply it. */
export interface Planned {
  readonly plan: Plan.Plan
  readonly address: Pick<Address, "backend" | "instance" | "scheme">
  readonly connection: Connection
  readonly source: Source | undefined
}

/** Creates the plan of a document. */
export const planOf = Effect.fnUntraced(function*(source: Source) {
  const backends = yield* Backends
  const { document } = source
  const spec = yield* source.spec
  const connection: Connection = yield* backends.open(yield* addressFor(source.address))
  const created: Effect.Effect<Plan.Plan, unknown> = document.kind === "Template"
    ? planTemplate(connection, document.template, source.directory)
    : connection.creator.plan({ controlPlanes: 1, workers: 0, cluster: document.name, ...spec })
  const plan = yield* created.pipe(
    Effect.mapError((error) =>
      typeof error === "object" && error !== null && "_tag" in error && error._tag === "InvalidSpec"
        ? document.locate(error as Parameters<typeof document.locate>[0])
        : error
    )
  )
  const { backend, instance, scheme } = source.address
  const address = {
    backend,
    ...(instance === undefined ? {} : { instance }),
    ...(scheme === undefined ? {} : { scheme })
  }
  return { plan, address, connection, source } satisfies Planned
})

/** The methods of Omni for templates. */
interface Templates {
  readonly planTemplate?: (
    template: string,
    options: { readonly baseDirectory: string }
  ) => Effect.Effect<Plan.Plan, unknown>
  readonly apply?: (
    plan: Plan.Plan,
    given: { readonly template: string; readonly baseDirectory: string }
  ) => Effect.Effect<OperationReport, unknown>
}

const templatesOf = ({ omni }: Connection): Templates => (omni ?? {}) as unknown as Templates

const planTemplate = (
  connection: Connection,
  template: string,
  baseDirectory: string
): Effect.Effect<Plan.Plan, unknown> => {
  const { planTemplate } = templatesOf(connection)
  return planTemplate === undefined
    ? Effect.fail(new UsageError({ message: "cluster templates cannot be planned on this backend" }))
    : planTemplate(template, { baseDirectory })
}

/** Carries a plan out. Secrets of a saved plan come from its document. */
export const applyPlanned = Effect.fnUntraced(function*({ connection, plan, source }: Planned) {
  if (source?.document.kind === "Template") {
    const { template } = source.document
    const { apply } = templatesOf(connection)
    if (apply !== undefined) return yield* apply(plan, { template, baseDirectory: source.directory })
  }
  const spec = source === undefined ? undefined : yield* source.spec
  return yield* spec === undefined ? connection.creator.apply(plan) : connection.creator.apply(plan, { spec })
})

// -----------------------------------------------------------------------------
// Showing
// -----------------------------------------------------------------------------

const colorOf = {
  create: "green",
  repair: "yellow",
  start: "yellow",
  update: "yellow",
  delete: "red",
  unchanged: "dim",
  retain: "dim",
  refuse: "red"
} as const

/** The text of a plan: one line a step that is not unchanged, and a line of totals. */
export const planText = (plan: Plan.Plan, color: boolean): string =>
  plan.toString().split("\n").map((line) => {
    const action = /^ {2}\S (\w+) /.exec(line)?.[1]
    const shown = line.match(/^ */)?.[0] + printable(line)
    return action !== undefined && Object.hasOwn(colorOf, action)
      ? colored(shown, colorOf[action as keyof typeof colorOf], color)
      : shown
  }).join("\n")

/** Kinds that a cloud bills. */
const billedKinds: ReadonlySet<string> = new Set(["node", "volume", "floating-ip", "primary-ip", "load-balancer"])

const hasPrice = (step: Plan.PlanStep): boolean =>
  Object.keys(step.details ?? {}).some((key) => /price|cost|month/i.test(key))

/** The steps that cost money from now on. */
const spending = (plan: Plan.Plan): ReadonlyArray<Plan.PlanStep> =>
  plan.steps.filter((step) =>
    step.action === "create" && (hasPrice(step) || plan.backend === "hetzner" && billedKinds.has(step.kind))
  )

/** The question before a plan is applied; undefined where nothing is deleted or bought. */
export const questionOf = (plans: ReadonlyArray<Plan.Plan>): string | undefined => {
  const parts = plans.flatMap((plan) => {
    const deleted = plan.steps.filter(({ action }) => action === "delete").length
    const bought = spending(plan).length
    return [
      ...(deleted > 0 ? [`delete ${deleted} of cluster "${plan.clusterName}"`] : []),
      ...(bought > 0 ? [`buy ${bought} for cluster "${plan.clusterName}" on ${plan.backend}`] : [])
    ]
  })
  return parts.length === 0 ? undefined : `Apply, and ${parts.join(", ")}?`
}

// -----------------------------------------------------------------------------
// Saving
// -----------------------------------------------------------------------------

/** A plan in a file has the instance and scheme of its document beside its own fields. */
export const savedPlan = ({ address, plan }: Pick<Planned, "address" | "plan">): unknown => ({
  ...Plan.toJson(plan) as object,
  ...(address.instance === undefined ? {} : { instance: address.instance }),
  ...(address.scheme === undefined ? {} : { scheme: address.scheme })
})

const Saved = Schema.Struct({
  backend: Schema.Literals(["docker", "hetzner", "omni", "memory"]),
  instance: Schema.optionalKey(Schema.String),
  scheme: Schema.optionalKey(Schema.String)
})

interface ReadPlan {
  readonly plan: Plan.Plan
  readonly address: typeof Saved.Type
}

/** Reads a file of one plan, or of a list of plans. */
export const readPlans = Effect.fnUntraced(function*(
  text: string,
  path: string
): Effect.fn.Return<ReadonlyArray<ReadPlan>, UsageError | Plan.InvalidPlan> {
  const value = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) => new UsageError({ message: `${path} is no JSON: ${(cause as Error).message}` })
  })
  return yield* Effect.forEach(Array.isArray(value) ? value : [value], (each: unknown) =>
    Effect.gen(function*() {
      const plan = yield* Plan.fromJson(each)
      const address = yield* Schema.decodeUnknownEffect(Saved)(each).pipe(
        Effect.mapError(({ message }) => new Plan.InvalidPlan({ detail: message }))
      )
      return { plan, address }
    }))
})

/** Opens the backend of a saved plan. */
export const openSaved = Effect.fnUntraced(function*(
  { address, plan }: ReadPlan,
  sources: ReadonlyArray<Source>
): Effect.fn.Return<Planned, OpenFailure, Backends | Scope.Scope | Settings> {
  const backends = yield* Backends
  const source = sources.find(({ document }) =>
    document.backend === plan.backend && document.name === plan.clusterName && document.instance === address.instance
  )
  const connection = yield* backends.open(yield* addressFor(source?.address ?? address))
  return { plan, address, connection, source }
})
