/**
 * Measures power and reads of 26 servers at Hetzner: requests, and the time against that of one server.
 *
 * It runs on the fake cloud in simulated time: a reply takes 30 ms, an action 2 s or 30 s, and a shutdown as long
 * again. No figure depends on this machine, except the memory of a list.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { fileURLToPath } from "node:url"
import { runOrFail } from "../scripts/lib/exec.ts"
import * as Hetzner from "../src/layers/Hetzner.ts"
import type { OperationReport } from "../src/Report.ts"
import * as HetznerFake from "../src/testing/HetznerFake.ts"
import { simulated } from "../src/testing/SimulatedTime.ts"
import { atMost, exactly, type Measured, type NotMeasured, type Row } from "./row.ts"

const SERVERS = 26
const CONTROL_PLANES = 3
const CLUSTER = "bench"
const LATENCY_MILLIS = 30
/** The tokens of a bucket that is nearly empty. */
const SCARCE = 20
const LARGE = 1000

interface Stand {
  readonly fake: HetznerFake.HetznerFakeService
  readonly hetzner: Hetzner.HetznerService
}

/** Runs something on a Project of its own whose actions take so long. */
const onFake = <A>(
  seconds: number,
  body: (stand: Stand) => Effect.Effect<A, NotMeasured, Scope.Scope>
): Effect.Effect<A, NotMeasured> =>
  simulated(Effect.scoped(Effect.gen(function*() {
    const fake = yield* HetznerFake.make({
      duration: `${seconds} seconds`,
      latency: LATENCY_MILLIS,
      guest: { shutdown: seconds * 1000 },
      keepReplies: false
    })
    const context = yield* Layer.build(
      Hetzner.layerHttpClient({ token: fake.token, endpoint: fake.endpoint }).pipe(
        Layer.provide(Layer.succeed(HttpClient, fake.httpClient))
      )
    )
    return yield* body({ fake, hetzner: Context.get(context, Hetzner.Hetzner) })
  })))

const seed = ({ fake }: Stand, count: number, status: "off" | "running"): Effect.Effect<void> =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) =>
      fake.seed.server({
        name: `${CLUSTER}-${index}`,
        status,
        labels: { "kubelayer.cluster": CLUSTER, "kubelayer.role": index < CONTROL_PLANES ? "control-plane" : "worker" }
      }),
    { discard: true }
  )

interface Cost {
  readonly calls: number
  readonly millis: number
  readonly counts: Readonly<Record<string, number>>
}

/** The requests of an operation, and its time. */
const costOf = (
  { fake }: Stand,
  operation: Effect.Effect<OperationReport, NotMeasured>,
  done: number
): Effect.Effect<Cost, NotMeasured> =>
  Effect.gen(function*() {
    yield* fake.clearCalls
    const report = yield* operation
    if (report.done.length < done) {
      return yield* Effect.fail({ message: `${report.done.length} were done, and not ${done}` })
    }
    return { calls: (yield* fake.calls).length, millis: report.durationMillis, counts: yield* fake.counts }
  })

const countsOf = ({ counts }: Cost): string =>
  Object.entries(counts).map(([call, count]) => `${count} × ${call}`).join(", ")

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

const told = (cost: Cost): string => `in ${seconds(cost.millis)}: ${countsOf(cost)}`

type Act = "start" | "stop"

const act = ({ hetzner: { provider } }: Stand, what: Act) =>
  what === "start" ? provider.startNodes(CLUSTER) : provider.stopNodes(CLUSTER)

const powerCost = (what: Act, actionSeconds: number, servers: number): Effect.Effect<Cost, NotMeasured> =>
  onFake(actionSeconds, (stand) =>
    Effect.andThen(
      seed(stand, servers, what === "start" ? "off" : "running"),
      costOf(stand, act(stand, what), servers)
    ))

const calls = (cost: Effect.Effect<Cost, NotMeasured>): Effect.Effect<Measured, NotMeasured> =>
  Effect.map(cost, (found) => ({ value: found.calls, detail: told(found) }))

const timeOfOne = (what: Act, actionSeconds: number): Effect.Effect<Measured, NotMeasured> =>
  Effect.gen(function*() {
    const all = yield* powerCost(what, actionSeconds, SERVERS)
    const one = yield* powerCost(what, actionSeconds, 1)
    return {
      value: all.millis / one.millis,
      detail: `${seconds(all.millis)} against ${seconds(one.millis)}, actions of ${actionSeconds} s`
    }
  })

const read = (
  what: (hetzner: Hetzner.HetznerService) => Effect.Effect<unknown, NotMeasured>
): Effect.Effect<Measured, NotMeasured> =>
  onFake(2, (stand) =>
    Effect.gen(function*() {
      yield* seed(stand, SERVERS, "running")
      yield* what(stand.hetzner)
      return { value: (yield* stand.fake.calls).length, detail: Object.keys(yield* stand.fake.counts).join(", ") }
    }))

/** Many to start, and a bucket that is nearly empty. */
const scarce = onFake(2, (stand) =>
  Effect.gen(function*() {
    const { fake } = stand
    yield* seed(stand, SERVERS, "off")
    yield* fake.quota.set({ remaining: SCARCE, refillPerSecond: 1 })
    const cost = yield* costOf(stand, act(stand, "start"), SERVERS)
    return { cost, refused: (yield* fake.calls).filter(({ status }) => status === 429).length }
  }))

const list: Effect.Effect<{ readonly calls: number; readonly megabytes: number }, NotMeasured> = Effect.scoped(
  Effect.gen(function*() {
    const fake = yield* HetznerFake.make({ keepReplies: false })
    yield* Effect.forEach(
      Array.from({ length: LARGE }, (_, index) => index),
      (index) => fake.seed.server({ name: `${CLUSTER}-${index}`, labels: { "kubelayer.cluster": CLUSTER } }),
      { discard: true }
    )
    const lister = fileURLToPath(new URL("lister.ts", import.meta.url))
    const { stdout } = yield* runOrFail(process.execPath, [lister, fake.endpoint, fake.token, CLUSTER])
    const { above, nodes } = JSON.parse(stdout) as { readonly above: number; readonly nodes: number }
    if (nodes !== LARGE) return yield* Effect.fail({ message: `listNodes gave ${nodes} nodes of ${LARGE}` })
    // One call more is that by which the process knew that the API answers.
    return { calls: (yield* fake.calls).length - 1, megabytes: above / 1e6 }
  })
)

const powerRow = (what: Act, actionSeconds: number, most: number): Row => ({
  id: `hetzner.${what}${SERVERS}.${actionSeconds}s.calls`,
  what: `requests to ${what} ${SERVERS} servers at Hetzner, actions of ${actionSeconds} s`,
  target: atMost(most),
  measure: calls(powerCost(what, actionSeconds, SERVERS))
})

const timeRow = (what: Act): Row => ({
  id: `hetzner.${what}${SERVERS}.time`,
  what: `time to ${what} ${SERVERS} servers at Hetzner, / one server's`,
  target: atMost(1.3),
  measure: timeOfOne(what, 2)
})

export const hetznerRows: ReadonlyArray<Row> = [
  powerRow("start", 2, 36),
  powerRow("stop", 2, 45),
  powerRow("start", 30, 60),
  powerRow("stop", 30, 72),
  timeRow("start"),
  timeRow("stop"),
  {
    id: `hetzner.start${SERVERS}.running.calls`,
    what: `requests to start ${SERVERS} servers that run`,
    target: exactly(1),
    measure: read(({ provider }) => provider.startNodes(CLUSTER))
  },
  {
    id: "hetzner.status.calls",
    what: `requests for the status of ${SERVERS} servers`,
    target: exactly(1),
    measure: read(({ provider }) => provider.getClusterStatus(CLUSTER))
  },
  {
    id: "hetzner.scarce.refused",
    what: `requests refused by a bucket of ${SCARCE} tokens, starting ${SERVERS} servers`,
    target: exactly(0),
    measure: Effect.map(scarce, ({ cost, refused }) => ({ value: refused, detail: told(cost) }))
  },
  {
    id: "hetzner.scarce.time",
    what: `time of the same, / the seconds that its further requests take to refill`,
    target: atMost(1.1),
    measure: Effect.map(scarce, ({ cost }) => ({
      value: cost.millis / 1000 / (cost.calls - SCARCE),
      detail: `${cost.calls} requests, ${told(cost)}`
    }))
  },
  {
    id: `hetzner.list${LARGE}.calls`,
    what: `requests to list ${LARGE} servers`,
    target: exactly(LARGE / 50),
    measure: Effect.map(list, (found) => ({ value: found.calls, detail: "50 a page" }))
  },
  {
    id: `hetzner.list${LARGE}.memory`,
    what: `memory to list ${LARGE} servers, in MB above what the process has`,
    target: atMost(60),
    measure: Effect.map(list, ({ megabytes }) => ({ value: megabytes, detail: "resident, in a process of its own" }))
  }
]
