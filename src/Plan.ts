/**
 * A plan: the steps from what a backend has to what a spec requests, before anything is sent.
 *
 * `NodeCreator.plan` and `Provider.planDelete` return one, `NodeCreator.apply` carries one out. A plan is plain data: it
 * prints itself, it survives a file (`toJson`, `fromJson`), and it holds no secret, only salted digests of them.
 *
 * @since 0.2.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { createHash, randomBytes } from "node:crypto"
import { ClusterName } from "./Model.ts"
import { Difference, ResourceKind } from "./Reason.ts"

export { Difference, Remedy } from "./Reason.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The action of a step on its node or resource.
 *
 * - `create`: it does not exist.
 * - `repair`: it exists and lacks something that belongs to the spec (a connection, an attachment, an assignment). The
 *   step adds that and takes nothing away.
 * - `start`: it exists as requested and does not run.
 * - `update`: it exists and something of it changes (rules, labels, a larger volume). Only `apply` does that.
 * - `delete`: it is surplus, or the plan is of a delete. Only `apply` and `deleteNodes` do that.
 * - `unchanged`: it is as requested.
 * - `retain`: a delete leaves it in place; `why` says why.
 * - `refuse`: it is in the way, and no step can change that; `why` or `differences` say what is wrong.
 *
 * @category models
 * @since 0.2.0
 */
export const PlanAction = Schema.Literals([
  "create",
  "repair",
  "start",
  "update",
  "delete",
  "unchanged",
  "retain",
  "refuse"
])

/** @category models @since 0.2.0 */
export type PlanAction = typeof PlanAction.Type

/** The methods that have a plan. */
export const PlanOperation = Schema.Literals(["createNodes", "deleteNodes"])

/** @category models @since 0.2.0 */
export type PlanOperation = typeof PlanOperation.Type

/**
 * The step of one node or resource.
 *
 * @category models
 * @since 0.2.0
 */
export class PlanStep extends Schema.Class<PlanStep>("kubelayer/PlanStep")({
  kind: ResourceKind,
  name: Schema.String,
  /** The backend's id of what exists. */
  id: Schema.optionalKey(Schema.String),
  action: PlanAction,
  /** Why it is refused, retained or deleted; one sentence. */
  why: Schema.optionalKey(Schema.String),
  /** The thing that uses the name, if the step is refused because this cluster does not own that thing. */
  holder: Schema.optionalKey(Schema.String),
  differences: Schema.Array(Difference),
  /** Steps of one wave run in parallel; a lower wave runs first. */
  wave: Schema.Int,
  /** For people, such as a price or a location. They are no part of the fingerprint. */
  details: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
}) {
  /** Whether carrying it out changes something. */
  get isChange(): boolean {
    return this.action !== "unchanged" && this.action !== "retain" && this.action !== "refuse"
  }

  override toString(): string {
    const lines = this.differences.map(({ actual, field, requested }) =>
      `\n      ${field}: ${JSON.stringify(actual)} -> ${JSON.stringify(requested)}`
    )
    const details = Object.entries(this.details ?? {}).map(([key, value]) => `${key} ${value}`).join(", ")
    return `${symbols[this.action]} ${this.action} ${this.kind} ${this.name}` +
      (details === "" ? "" : ` (${details})`) + (this.why === undefined ? "" : `: ${this.why}`) + lines.join("")
  }
}

const symbols: { readonly [A in PlanAction]: string } = {
  create: "+",
  repair: "~",
  start: ">",
  update: "~",
  delete: "-",
  unchanged: "=",
  retain: "=",
  refuse: "!"
}

const pastTense: { readonly [A in PlanAction]: string } = {
  create: "to create",
  repair: "to repair",
  start: "to start",
  update: "to update",
  delete: "to delete",
  unchanged: "unchanged",
  retain: "retained",
  refuse: "refused"
}

/** The version of the format. `fromJson` accepts no other one. */
export const planVersion = 1

/**
 * The steps that lead from what a backend has to what a spec requests, or what a delete removes and leaves.
 *
 * **Example** (What a create would do)
 *
 * ```ts run
 * import * as Effect from "effect/Effect"
 * import * as Memory from "kubelayer/layers/Memory"
 * import { NodeCreator } from "kubelayer/Provider"
 *
 * const program = NodeCreator.use((creator) => creator.plan({ cluster: "dev", controlPlanes: 1, workers: 1 }))
 *
 * console.log(String(await Effect.runPromise(program.pipe(Effect.provide(Memory.layer())))))
 * // => Plan of createNodes for cluster "dev" on memory:
 * // =>   + create network dev-network
 * // =>   + create volume dev-volume
 * // =>   + create node dev-control-plane
 * // =>   + create node dev-worker
 * // => 4 to create
 * ```
 *
 * @category models
 * @since 0.2.0
 */
export class Plan extends Schema.Class<Plan>("kubelayer/Plan")({
  version: Schema.Literal(planVersion),
  /** `docker`, `hetzner`, ... */
  backend: Schema.String,
  /** The endpoint or account that was read, without credentials. A plan is applied to that one only. */
  target: Schema.String,
  operation: PlanOperation,
  clusterName: ClusterName,
  /** The spec, as the backend encodes it. Secrets are references and salted digests. */
  spec: Schema.Json,
  steps: Schema.Array(PlanStep),
  /** SHA-256 over everything that decides what is done. */
  fingerprint: Schema.String
}) {
  /** The steps that change something, in the order in which they run. */
  get changes(): ReadonlyArray<PlanStep> {
    return this.steps.filter((step) => step.isChange)
  }

  /** The steps that are in the way. `createNodes` and `apply` fail where there is one. */
  get refusals(): ReadonlyArray<PlanStep> {
    return this.steps.filter((step) => step.action === "refuse")
  }

  /** Whether nothing is to be done and nothing is in the way. */
  get isEmpty(): boolean {
    return this.changes.length === 0 && this.refusals.length === 0
  }

  /** One line a step that changes or refuses something or is retained, and a line of totals. */
  override toString(): string {
    const shown = this.steps.filter((step) => step.action !== "unchanged")
    const totals = PlanAction.literals.flatMap((action) => {
      const count = this.steps.filter((step) => step.action === action).length
      return count === 0 ? [] : [`${count} ${pastTense[action]}`]
    })
    return [
      `Plan of ${this.operation} for cluster ${JSON.stringify(this.clusterName)} on ${this.backend}:`,
      ...shown.map((step) => `  ${step}`),
      totals.length === 0 ? "nothing to do" : totals.join(", ")
    ].join("\n")
  }
}

// -----------------------------------------------------------------------------
// Construction
// -----------------------------------------------------------------------------

/** The value with the keys of its objects in order, so that equal values have equal JSON. */
const inOrder = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(inOrder)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(
      Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([key, field]) => [key, inOrder(field)])
    )
    : value

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

type PlanFields = Omit<ConstructorParameters<typeof Plan>[0], "fingerprint" | "version">

const fingerprintOf = (plan: PlanFields): string =>
  sha256(JSON.stringify(inOrder([
    planVersion,
    plan.backend,
    plan.target,
    plan.operation,
    plan.clusterName,
    plan.spec,
    plan.steps.map((step) => [
      step.kind,
      step.name,
      step.id ?? null,
      step.action,
      step.wave,
      step.differences.map(({ actual, field, remedy, requested }) => [field, actual, requested, remedy])
    ])
  ])))

/**
 * Builds a plan and computes its fingerprint.
 *
 * @category constructors
 * @since 0.2.0
 */
export const makePlan = (fields: PlanFields): Plan =>
  new Plan({ ...fields, version: planVersion, fingerprint: fingerprintOf(fields) })

/**
 * Whether the fingerprint of a plan belongs to its contents.
 *
 * @category guards
 * @since 0.2.0
 */
export const isIntact = (plan: Plan): boolean => plan.fingerprint === fingerprintOf(plan)

// -----------------------------------------------------------------------------
// Secrets
// -----------------------------------------------------------------------------

const digestPattern = /^sha256:([0-9a-f]{16,}):[0-9a-f]{64}$/

/**
 * A salt for the digests of one plan.
 *
 * @category secrets
 * @since 0.2.0
 */
export const randomSalt = (): string => randomBytes(16).toString("hex")

/**
 * The salted SHA-256 digest of a secret, as `sha256:<salt>:<digest>`. Equal secrets have equal digests only under the
 * same salt.
 *
 * @category secrets
 * @since 0.2.0
 */
export const digestSecret = (secret: string, salt: string): string => `sha256:${salt}:${sha256(`${salt}\0${secret}`)}`

/**
 * The salt of the digests in an encoded spec; undefined where it has none.
 *
 * @category secrets
 * @since 0.2.0
 */
export const saltOf = (spec: Schema.Json): string | undefined => {
  if (typeof spec === "string") return digestPattern.exec(spec)?.[1]
  if (typeof spec !== "object" || spec === null) return undefined
  for (const value of Object.values(spec)) {
    const salt = saltOf(value)
    if (salt !== undefined) return salt
  }
  return undefined
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/**
 * How the step of one thing changed between a plan and now. A side is undefined where the thing has no step.
 *
 * @category models
 * @since 0.2.0
 */
export interface StepDifference {
  readonly kind: ResourceKind
  readonly name: string
  readonly planned: PlanStep | undefined
  readonly now: PlanStep | undefined
}

const sameStep = (a: PlanStep | undefined, b: PlanStep | undefined): boolean =>
  a !== undefined && b !== undefined && a.id === b.id && a.action === b.action && a.wave === b.wave &&
  JSON.stringify(a.differences) === JSON.stringify(b.differences)

/**
 * The things whose step is another one in the second plan, in the order of the plans.
 *
 * @category combinators
 * @since 0.2.0
 */
export const compareSteps = (planned: Plan, now: Plan): ReadonlyArray<StepDifference> => {
  const key = ({ kind, name }: PlanStep) => `${kind}/${name}`
  const before = new Map(planned.steps.map((step) => [key(step), step]))
  const after = new Map(now.steps.map((step) => [key(step), step]))
  return [...new Map([...before, ...after]).entries()].flatMap(([step, { kind, name }]) =>
    sameStep(before.get(step), after.get(step))
      ? []
      : [{ kind, name, planned: before.get(step), now: after.get(step) }]
  )
}

const sideText = (step: PlanStep | undefined): string =>
  step === undefined ? "no step" : step.id === undefined ? step.action : `${step.action} (id ${step.id})`

/**
 * The backend has changed since the plan was created, so that the plan would now be another one. Nothing was sent.
 *
 * @category errors
 * @since 0.2.0
 */
export class StalePlan extends Data.TaggedError("StalePlan")<{
  readonly plan: Plan
  /** The plan as it would be now. */
  readonly now: Plan
  readonly differences: ReadonlyArray<StepDifference>
}> {
  override get message(): string {
    const lines = this.differences.map(({ kind, name, now, planned }) =>
      `\n  - ${kind} ${name}: planned ${sideText(planned)}, now ${sideText(now)}`
    )
    return `the plan for cluster ${
      JSON.stringify(this.plan.clusterName)
    } is stale. Review the new plan and apply that.` +
      lines.join("")
  }
}

/**
 * The value is not a plan that can be applied here: it is of another backend, target or format version, or it was
 * edited. Nothing was sent.
 *
 * @category errors
 * @since 0.2.0
 */
export class InvalidPlan extends Data.TaggedError("InvalidPlan")<{ readonly detail: string }> {
  override get message(): string {
    return `invalid plan: ${this.detail}`
  }
}

// -----------------------------------------------------------------------------
// JSON
// -----------------------------------------------------------------------------

const codec = Schema.toCodecJson(Plan)
const encode = Schema.encodeSync(codec)
const decode = Schema.decodeUnknownResult(codec, { errors: "all" })

/**
 * A plan as JSON, for a file. `fromJson` reads it back.
 *
 * @category converting
 * @since 0.2.0
 */
export const toJson = (plan: Plan): Schema.Json => encode(plan) as Schema.Json

const versionIn = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "version" in value ? value.version : undefined

/**
 * Reads a plan from parsed JSON. Fails with `InvalidPlan` where the value is no plan, has another format version, or was
 * edited.
 *
 * @category converting
 * @since 0.2.0
 */
export const fromJson = (value: unknown): Effect.Effect<Plan, InvalidPlan> => {
  const version = versionIn(value)
  if (version !== undefined && version !== planVersion) {
    const detail = `format version ${
      JSON.stringify(version)
    } is not supported, only ${planVersion}. Create the plan again.`
    return Effect.fail(new InvalidPlan({ detail }))
  }
  const plan = decode(value)
  if (plan._tag === "Failure") return Effect.fail(new InvalidPlan({ detail: plan.failure.message }))
  return isIntact(plan.success)
    ? Effect.succeed(plan.success)
    : Effect.fail(new InvalidPlan({ detail: "it was edited after it was created. Create the plan again." }))
}
