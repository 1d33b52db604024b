/**
 * A fleet over the simulated backend: what the store and the hand-over cost beside the reconciles themselves.
 *
 * Each time is shown with that of the same run with a reconcile that does nothing. Rows on PostgreSQL need Debian's
 * packages of it.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { rmSync } from "node:fs"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync, StatementSync } from "node:sqlite"
import { buildClusterStatus } from "../src/Cluster.ts"
import * as Fleet from "../src/fleet.ts"
import { openLayers } from "../src/fleet/Backends.ts"
import { makeDriftFilter } from "../src/fleet/Drift.ts"
import { openStore } from "../src/fleet/Layers.ts"
import type { Claimed, Settled } from "../src/fleet/Store.ts"
import * as Memory from "../src/layers/Memory.ts"
import { ClusterName, NodeInfo } from "../src/Model.ts"
import { freePort, hasPostgres, postgres } from "../test/fleet/support/postgres.ts"
import { atMost, type Measured, type NotMeasured, type Row } from "./row.ts"

const clusters = 1000

// -----------------------------------------------------------------------------
// Counting
// -----------------------------------------------------------------------------

const counted = { statements: 0, transactions: 0 }

let isCounting = false

/** Counts what every SQLite database of this process is asked. */
const countStatements = (): void => {
  if (isCounting) return
  isCounting = true
  const { prepare } = DatabaseSync.prototype
  const texts = new WeakMap<StatementSync, string>()
  DatabaseSync.prototype.prepare = function(sql: string, ...rest: Array<never>) {
    const statement = prepare.call(this, sql, ...rest)
    texts.set(statement, sql)
    return statement
  }
  const { all } = StatementSync.prototype
  StatementSync.prototype.all = function(this: StatementSync, ...params: Parameters<typeof all>) {
    const text = texts.get(this) ?? ""
    if (text.startsWith("BEGIN")) counted.transactions++
    else if (!/^(?:COMMIT|ROLLBACK)/.test(text)) counted.statements++
    return all.apply(this, params)
  } as typeof all
}

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "kubelayer-bench-fleet-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const document = (name: string) => ({
  apiVersion: "kubelayer/v1",
  kind: "Cluster",
  backend: "memory",
  controlPlanes: 1,
  workers: 2,
  name
} as const)

const nothing = (claimed: Claimed): Effect.Effect<Settled> =>
  Effect.succeed({
    phase: "converged",
    attempts: 0,
    conditions: claimed.conditions,
    dueInMillis: 86_400_000,
    isRemoved: false,
    event: { kind: "Reconciled", message: "nothing", changes: [], durationMillis: 0 }
  })

interface Run {
  readonly millis: number
  readonly cpuMillis: number
  readonly statements: number
  readonly transactions: number
}

/** Brings all clusters from nothing to converged, with so many runners in this process. */
const converge = (
  store: Fleet.StoreOptions,
  runners: number,
  reconcile?: (claimed: Claimed) => Effect.Effect<Settled>
) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* Fleet.makeClient({ store })
    for (let n = 0; n < clusters; n++) yield* client.apply(document(`c${n}`))
    const memory = yield* Layer.build(Layer.fresh(Memory.layer()))
    counted.statements = 0
    counted.transactions = 0
    const cpu = process.cpuUsage()
    const began = Date.now()
    for (let n = 0; n < runners; n++) {
      yield* Fleet.makeWith({
        store,
        name: `runner-${n}`,
        resync: "1 hour",
        open: openLayers({ memory: Layer.succeedContext(memory) }),
        ...(runners === 1 ? {} : { listen: { host: "127.0.0.1", port: yield* freePort } }),
        ...(reconcile === undefined ? {} : { reconcile })
      })
    }
    const isDone = Effect.map(client.list({ phase: "converged", limit: clusters }), (all) => all.length === clusters)
    let polls = 0
    while (!(yield* isDone)) {
      polls++
      yield* Effect.sleep("200 millis")
    }
    const { system, user } = process.cpuUsage(cpu)
    return {
      millis: Date.now() - began,
      cpuMillis: (system + user) / 1000,
      statements: (counted.statements - polls) / clusters,
      transactions: counted.transactions / clusters
    } satisfies Run
  }))

const notMeasured = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, NotMeasured> =>
  Effect.catchCause(self, (cause) => Effect.fail({ message: Cause.pretty(cause).split("\n")[0] ?? "" }))

const alone = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(self, Metric.MetricRegistry, new Map()))

const said = (real: Run, empty: Run): string =>
  `${real.millis} ms (CPU ${
    Math.round(real.cpuMillis)
  } ms), with a reconcile that does nothing ${empty.millis} ms (CPU ${Math.round(empty.cpuMillis)} ms)`

/** The runs that several rows are read off. */
const onSqlite = Effect.runSync(Effect.cached(notMeasured(alone(Effect.scoped(Effect.gen(function*() {
  countStatements()
  const path = yield* folder
  const empty = yield* converge({ sqlite: join(path, "empty.db") }, 1, nothing)
  const real = yield* converge({ sqlite: join(path, "real.db") }, 1)
  return { real, empty }
}))))))

// -----------------------------------------------------------------------------
// At rest
// -----------------------------------------------------------------------------

const atRest = 10_000

const nameOf = (n: number): string => `c${String(n).padStart(6, "0")}`

const nodesOf = (cluster: string): ReadonlyArray<NodeInfo> =>
  ["control-plane", "worker", "worker2"].map((role) =>
    new NodeInfo({
      name: `${cluster}-${role}`,
      clusterName: Schema.decodeUnknownSync(ClusterName)(cluster),
      role: role === "control-plane" ? "control-plane" : "worker",
      state: "running",
      id: `${cluster}-${role}`,
      rawRole: role,
      rawState: "running",
      addresses: { private: [], public: [] }
    })
  )

/** Fills a store with clusters that are converged. */
const fill = (options: Fleet.StoreOptions, count: number) =>
  Effect.gen(function*() {
    const { sql, store } = yield* openStore(options)
    for (let from = 0; from < count; from += 500) {
      const rows: ReadonlyArray<Record<string, unknown>> = Array.from(
        { length: Math.min(500, count - from) },
        (_, n) => ({
          name: nameOf(from + n),
          backend: "memory",
          document: JSON.stringify(document(nameOf(from + n))),
          nodes: 3,
          generation: 1,
          observed: 1,
          phase: "converged",
          due_at: Date.now() + 86_400_000,
          requested_at: Date.now(),
          changed_at: Date.now()
        })
      )
      yield* sql`INSERT INTO fleet_clusters ${sql.insert(rows as never)}`
    }
    return store
  })

/** One search for drift over all clusters: CPU, statements and memory. */
const resync = Effect.runSync(Effect.cached(notMeasured(Effect.scoped(Effect.gen(function*() {
  countStatements()
  const path = yield* folder
  const store = yield* fill({ sqlite: join(path, "rest.db") }, atRest)
  // The report of a backend; the rows of the backends measure how it is read.
  const nodes = Array.from({ length: atRest }, (_, n) => nodesOf(nameOf(n)))
  const filter = makeDriftFilter(5000)
  const once = Effect.gen(function*() {
    const before = counted.statements
    const cpu = process.cpuUsage()
    const resting = yield* store.atRest
    const drifts = yield* filter(resting, nodes.map((each, n) => buildClusterStatus(nameOf(n), each)))
    const { system, user } = process.cpuUsage(cpu)
    if (resting.length !== atRest || drifts.length > 0) return yield* Effect.die(new Error("it is not at rest"))
    return { cpuMillis: (system + user) / 1000, statements: (counted.statements - before) / atRest }
  })
  yield* once
  const runs = [yield* once, yield* once, yield* once].sort((a, b) => a.cpuMillis - b.cpuMillis)
  return { ...(runs[1] ?? runs[0] as never), rss: process.memoryUsage().rss / 1024 / 1024 }
})))))

const inTable = 100_000

const median = (values: ReadonlyArray<number>): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN

const onTable = Effect.runSync(Effect.cached(notMeasured(Effect.scoped(Effect.gen(function*() {
  const { url } = yield* server
  const store = yield* fill({ postgres: url }, inTable)
  const time = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.gen(function*() {
      yield* effect
      const times: Array<number> = []
      for (let n = 0; n < 20; n++) {
        const began = performance.now()
        yield* effect
        times.push(performance.now() - began)
      }
      return median(times)
    })
  return {
    list: yield* time(store.list({ after: "c050000", limit: 100 })),
    tick: yield* time(store.take(500, 15_000))
  }
})))))

const server: Effect.Effect<{ readonly url: string }, NotMeasured, Scope.Scope> = Effect.suspend(() =>
  hasPostgres ? postgres : Effect.fail({ message: "PostgreSQL is not installed" })
)

// -----------------------------------------------------------------------------
// Drift
// -----------------------------------------------------------------------------

const drifts = 100

/** From a node that is removed by hand until its repair begins. */
const drift = notMeasured(alone(Effect.scoped(Effect.gen(function*() {
  const context = yield* Layer.build(Layer.fresh(Memory.layer()))
  const memory = Context.get(context, Memory.Memory)
  const fleet = yield* Fleet.make({
    store: { sqlite: join(yield* folder, "drift.db") },
    backends: { memory: Layer.succeedContext(context) }
  })
  for (let n = 0; n < 10; n++) yield* fleet.apply(document(`c${n}`))
  const settled = Effect.map(fleet.list(), (all) => all.every(({ isConverged }) => isConverged))
  while (!(yield* settled)) yield* Effect.sleep("50 millis")
  // The watch of the backend begins with the search that follows.
  yield* Effect.sleep("3 seconds")
  const times: Array<number> = []
  for (let n = 0; n < drifts; n++) {
    const name = `c${n % 10}-worker`
    const creates = (yield* memory.calls).length
    const began = performance.now()
    yield* memory.removeNode(name)
    const isRepaired = Effect.map(
      memory.calls,
      (calls) => calls.slice(creates).some(({ operation, target }) => operation === "create" && target === name)
    )
    while (!(yield* isRepaired)) yield* Effect.sleep("2 millis")
    times.push(performance.now() - began)
    while (!(yield* settled)) yield* Effect.sleep("5 millis")
  }
  const sorted = times.sort((a, b) => a - b)
  return { p50: median(sorted), p99: sorted[Math.floor(drifts * 0.99)] ?? NaN }
}))))

// -----------------------------------------------------------------------------
// Rows
// -----------------------------------------------------------------------------

const ratio = (real: Run, empty: Run): Measured => ({ value: real.millis / empty.millis, detail: said(real, empty) })

export const fleetRows: ReadonlyArray<Row> = [
  {
    id: "fleet.sqlite.time",
    what: `${clusters} clusters from nothing, 1 runner, SQLite: time by that of a reconcile that does nothing`,
    target: atMost(1.5),
    measure: Effect.map(onSqlite, ({ empty, real }) => ratio(real, empty))
  },
  {
    id: "fleet.sqlite.statements",
    what: "statements a cluster",
    target: atMost(4),
    measure: Effect.map(
      onSqlite,
      ({ real }) => ({ value: real.statements, detail: "BEGIN and COMMIT are not counted" })
    )
  },
  {
    id: "fleet.sqlite.transactions",
    what: "transactions a cluster, beside single statements",
    target: atMost(2),
    measure: Effect.map(onSqlite, ({ real }) => ({ value: real.transactions, detail: "BEGIN IMMEDIATE" }))
  },
  {
    id: "fleet.postgres.time",
    what: `${clusters} clusters from nothing, 3 runners, PostgreSQL: time by that of a reconcile that does nothing`,
    target: atMost(1.5),
    measure: notMeasured(alone(Effect.scoped(Effect.gen(function*() {
      const empty = yield* converge({ postgres: (yield* server).url }, 3, nothing)
      const real = yield* converge({ postgres: (yield* server).url }, 3)
      return ratio(real, empty)
    }))))
  },
  {
    id: "fleet.rest.cpu",
    what: `${atRest} clusters at rest, a resync a minute: percent of one core`,
    target: atMost(3),
    measure: Effect.map(resync, ({ cpuMillis }) => ({
      value: cpuMillis / 600,
      detail: `${Math.round(cpuMillis)} ms of CPU a resync`
    }))
  },
  {
    id: "fleet.rest.statements",
    what: "statements a cluster a resync",
    target: atMost(0.02),
    measure: Effect.map(resync, ({ statements }) => ({ value: statements, detail: "one read of the store" }))
  },
  {
    id: "fleet.rest.rss",
    what: "MB of memory, what the backend reports included",
    target: atMost(400),
    measure: Effect.map(resync, ({ rss }) => ({ value: rss, detail: "resident" }))
  },
  {
    id: "fleet.table.list",
    what: `${inTable} clusters on PostgreSQL: ms for a page of 100`,
    target: atMost(50),
    measure: Effect.map(onTable, ({ list }) => ({ value: list, detail: "median of 20" }))
  },
  {
    id: "fleet.table.tick",
    what: `${inTable} clusters on PostgreSQL: ms for a tick of the scheduler`,
    target: atMost(50),
    measure: Effect.map(onTable, ({ tick }) => ({ value: tick, detail: "median of 20, nothing is due" }))
  },
  {
    id: "fleet.drift",
    what: "ms from a node removed by hand to the begin of its repair, p99",
    target: atMost(500),
    measure: Effect.map(drift, ({ p50, p99 }) => ({ value: p99, detail: `p50 ${p50.toFixed(1)} ms, ${drifts} times` }))
  }
]
