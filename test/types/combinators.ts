/**
 * Types that the compiler must refuse or accept: brands, policies, sinks, reasons. `tsc` is the test; nothing here is
 * run.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { checkClusterName } from "kubelayer/Cluster"
import { ClusterName, NodeInfo } from "kubelayer/Model"
import * as Policy from "kubelayer/Policy"
import * as Provider from "kubelayer/Provider"
import { BackendError, Locked, RateLimited, type Reason } from "kubelayer/Reason"
import { OperationReport, type Outcome } from "kubelayer/Report"
import { expectTypeOf } from "vitest"

// -----------------------------------------------------------------------------
// The brand of a cluster name
// -----------------------------------------------------------------------------

expectTypeOf<ClusterName>().toExtend<string>()
expectTypeOf<string>().not.toExtend<ClusterName>()
expectTypeOf<Effect.Success<ReturnType<typeof checkClusterName>>>().toEqualTypeOf<ClusterName>()

// @ts-expect-error a plain string is not a ClusterName
export const plain: ClusterName = "dev"

const fields = {
  name: "dev-worker",
  role: "worker",
  state: "running",
  id: "1",
  rawRole: "worker",
  rawState: "running",
  addresses: { private: [], public: [] }
} as const

const ran = { operation: "startNodes", outcomes: [], durationMillis: 0 } as const

// @ts-expect-error a node's cluster is checked before it is built
export const unchecked = new NodeInfo({ ...fields, clusterName: "dev" })

// @ts-expect-error a report's cluster too
export const report = new OperationReport({ ...ran, clusterName: "dev" })

declare const dev: ClusterName
expectTypeOf(new NodeInfo({ ...fields, clusterName: dev })).toEqualTypeOf<NodeInfo>()

// @ts-expect-error a role outside the vocabulary
export const master = new NodeInfo({ ...fields, clusterName: dev, role: "master" })

// @ts-expect-error a state outside the vocabulary
export const paused = new NodeInfo({ ...fields, clusterName: dev, state: "paused" })

// A name out of a list is taken where a plain string is.
declare const provider: Provider.ProviderService
export const first = Effect.flatMap(provider.listAllClusters, ([name]) => provider.listNodes(name ?? "dev"))

// @ts-expect-error a method takes no number
export const byNumber = provider.listNodes(7)

// -----------------------------------------------------------------------------
// Policy
// -----------------------------------------------------------------------------

declare const effect: Effect.Effect<Option.Option<1>, "failure", "service">

// Types are kept, whatever is overridden.
expectTypeOf(effect.pipe(Policy.override({}))).toEqualTypeOf(effect)
expectTypeOf(effect.pipe(Policy.override({ retry: Schedule.recurs(0) }))).toEqualTypeOf(effect)
expectTypeOf(Policy.override({ retry: Schedule.recurs(0) })(provider.startNodes("dev"))).toEqualTypeOf(
  provider.startNodes("dev")
)

// Every way to write a schedule of retries.
Policy.override({ retry: Schedule.spaced("1 second") })
Policy.override({ retry: Schedule.exponential("1 second").pipe(Schedule.jittered, Schedule.upTo({ times: 3 })) })
Policy.override({
  retry: Schedule.recurs(3).pipe(
    Schedule.setInputType<BackendError>(),
    Schedule.while(({ input }) => input.reason._tag === "Locked")
  )
})
Policy.override({ poll: Schedule.spaced("1 second"), operationTimeout: "1 minute", concurrency: { stop: 3 } })
Policy.override({ nodeTimeout: { start: 1000 }, requestTimeout: "2 seconds" })

// @ts-expect-error not a duration
Policy.override({ requestTimeout: "soon" })

// @ts-expect-error not an operation
Policy.override({ nodeTimeout: { restart: "1 second" } })

// @ts-expect-error not a field
Policy.override({ timeout: "1 second" })

// @ts-expect-error a schedule that looks at another error
Policy.override({ retry: Schedule.recurs(1).pipe(Schedule.setInputType<{ readonly mine: true }>()) })

// @ts-expect-error an effective policy is not changed in place
Policy.defaults.concurrency.start = 1

// -----------------------------------------------------------------------------
// Progress
// -----------------------------------------------------------------------------

expectTypeOf(effect.pipe(Provider.onEvent(() => Effect.void))).toEqualTypeOf(effect)
Provider.onEvent((event) => Effect.log(event._tag, event.operation, event.clusterName, event.subject.name))

Provider.onEvent((event) => {
  if (event._tag === "Settled") expectTypeOf(event.outcome).toEqualTypeOf<Outcome>()
  // @ts-expect-error only an event of one kind has a call
  return Effect.log(event.call)
})

// @ts-expect-error a sink gives an Effect
Provider.onEvent((event) => console.log(event))

// @ts-expect-error a sink has no error of its own
Provider.onEvent(() => Effect.fail("mine"))

// -----------------------------------------------------------------------------
// Errors and reasons
// -----------------------------------------------------------------------------

const start = provider.startNodes("dev")

export const caught = start.pipe(
  Effect.catchReason("BackendError", "RateLimited", (reason, error) => {
    expectTypeOf(reason).toEqualTypeOf<RateLimited>()
    expectTypeOf(error).toExtend<BackendError>()
    return Effect.succeed(reason.retryAfterMillis)
  })
)

// @ts-expect-error not a reason
start.pipe(Effect.catchReason("BackendError", "TooManyRequests", () => Effect.void))

expectTypeOf<BackendError["reason"]>().toEqualTypeOf<Reason>()
expectTypeOf(new Locked({ detail: "" }).isRetryable).toEqualTypeOf<boolean>()
expectTypeOf(new Locked({ detail: "" }).advice).toEqualTypeOf<string>()

// @ts-expect-error a wait goes with the reasons that may have one
export const waiting = new Locked({ detail: "", retryAfterMillis: 1 })

// @ts-expect-error a reason says what happened
export const silent = new Locked({})

// A tag that is caught is gone from the union, and the others stay.
expectTypeOf<Effect.Error<typeof tagged>>().toEqualTypeOf<
  Exclude<Effect.Error<typeof start>, { readonly _tag: "NoNodes" }>
>()
const tagged = start.pipe(Effect.catchTag("NoNodes", () => Effect.void))
