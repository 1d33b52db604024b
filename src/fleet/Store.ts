/**
 * The store of a fleet: desired documents with a lease, and the event log. The table of documents is the queue.
 *
 * - A row is due at `due_at`. The scheduler takes rows that are due: it sets `handed` and moves `due_at` by the lease.
 * - A runner that works on a row renews the lease. A runner that is gone does not, and the row is due again.
 * - `run` fences writers: only the last runner that began a row may settle it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { MigrationError } from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import { StoreError } from "./Errors.ts"
import { migrate } from "./Migrations.ts"
import { Condition, type EventKind, FleetCluster, FleetEvent, type FleetPhase } from "./Model.ts"

/** A row that a runner works on. */
export interface Claimed {
  readonly name: string
  readonly backend: string
  readonly instance: string | undefined
  readonly document: string
  readonly generation: number
  readonly isRemoving: boolean
  readonly attempts: number
  readonly conditions: ReadonlyArray<Condition>
  readonly run: number
  /** When the work was requested, in milliseconds since 1970. */
  readonly requestedAt: number
}

/** The result of a runner for a row. */
export interface Settled {
  readonly phase: FleetPhase
  readonly attempts: number
  readonly conditions: ReadonlyArray<Condition>
  /** When it is due again; undefined: when something changes. */
  readonly dueInMillis: number | undefined
  readonly isRemoved: boolean
  readonly event?: NewEvent
}

export interface NewEvent {
  readonly kind: EventKind
  readonly message: string
  readonly changes?: ReadonlyArray<string>
  readonly durationMillis?: number
  readonly plan?: unknown
}

interface NewDocument {
  readonly name: string
  readonly backend: string
  readonly instance: string | undefined
  readonly document: string
  readonly nodes: number
}

/** A process that reconciles clusters. */
interface RunnerRow {
  readonly name: string
  /** The settings that all live runners of a store must share. */
  readonly settings: string
  /** It works alone on its store. */
  readonly isExclusive: boolean
}

/** A cluster at rest, for the search for drift. */
export interface AtRest {
  readonly name: string
  readonly backend: string
  readonly instance: string | undefined
  readonly document: string
  readonly nodes: number
}

interface Row {
  readonly name: string
  readonly backend: string
  readonly instance: string | null
  readonly document: string
  readonly nodes: number
  readonly generation: number
  readonly observed: number
  readonly phase: FleetPhase
  readonly paused: number
  readonly removing: number
  readonly attempts: number
  readonly run: number
  readonly runner: string | null
  readonly conditions: string
  readonly due_at: number | string | bigint | null
  readonly requested_at: number | string | bigint
  readonly changed_at: number | string | bigint
}

interface EventRow {
  readonly id: number | string | bigint
  readonly cluster: string
  readonly generation: number
  readonly kind: EventKind
  readonly message: string
  readonly at: number | string | bigint
  readonly runner: string | null
  readonly detail: string | null
}

const conditionsOf = (text: string): ReadonlyArray<Condition> =>
  (JSON.parse(text) as ReadonlyArray<ConstructorParameters<typeof Condition>[0]>).map((one) => new Condition(one))

const clusterOf = (row: Row): FleetCluster =>
  new FleetCluster({
    name: row.name,
    backend: row.backend,
    ...(row.instance === null ? {} : { instance: row.instance }),
    phase: row.phase,
    isPaused: Number(row.paused) === 1,
    generation: Number(row.generation),
    observedGeneration: Number(row.observed),
    nodes: Number(row.nodes),
    attempts: Number(row.attempts),
    conditions: conditionsOf(row.conditions),
    ...(row.runner === null ? {} : { runner: row.runner }),
    ...(row.due_at === null ? {} : { dueAt: Number(row.due_at) }),
    changedAt: Number(row.changed_at),
    document: JSON.parse(row.document)
  })

const eventOf = (row: EventRow): FleetEvent =>
  new FleetEvent({
    id: Number(row.id),
    cluster: row.cluster,
    generation: Number(row.generation),
    kind: row.kind,
    message: row.message,
    at: Number(row.at),
    ...(row.runner === null ? {} : { runner: row.runner }),
    changes: [],
    ...(row.detail === null ? {} : JSON.parse(row.detail) as object)
  })

const detailOf = ({ changes = [], durationMillis, plan }: NewEvent): string =>
  JSON.stringify({
    changes,
    ...(durationMillis === undefined ? {} : { durationMillis: Math.round(durationMillis) }),
    ...(plan === undefined ? {} : { plan })
  })

export interface ListOptions {
  readonly phase?: FleetPhase
  /** Only clusters whose name is greater. */
  readonly after?: string
  /** At most this many; 1000 by default. */
  readonly limit?: number
}

export interface EventOptions {
  readonly cluster?: string
  /** Only events with a greater id. */
  readonly after?: number
  /** At most this many of the latest; 100 by default. */
  readonly limit?: number
}

export interface Store {
  readonly address: string
  /** The time that leases are measured with, in milliseconds since 1970: the server's on PostgreSQL. */
  readonly now: Effect.Effect<number, StoreError>
  /** Adds or renews a runner. Returns the settings of another live runner that this one cannot work with. */
  readonly registerRunner: (runner: RunnerRow, expiryMillis: number) => Effect.Effect<string | undefined, StoreError>
  readonly unregisterRunner: (name: string) => Effect.Effect<void, StoreError>
  readonly get: (name: string) => Effect.Effect<FleetCluster | undefined, StoreError>
  readonly list: (options?: ListOptions) => Effect.Effect<ReadonlyArray<FleetCluster>, StoreError>
  readonly events: (options?: EventOptions) => Effect.Effect<ReadonlyArray<FleetEvent>, StoreError>
  /** A value that is another one after any change of a row. */
  readonly revision: Effect.Effect<string, StoreError>
  readonly phases: Effect.Effect<ReadonlyArray<{ readonly phase: FleetPhase; readonly count: number }>, StoreError>
  /** Adds or changes a document. `false`: another backend has a cluster of this name. */
  readonly put: (document: NewDocument) => Effect.Effect<boolean, StoreError>
  readonly forget: (name: string) => Effect.Effect<boolean, StoreError>
  readonly requestRemoval: (name: string) => Effect.Effect<boolean, StoreError>
  readonly setPaused: (name: string, isPaused: boolean) => Effect.Effect<boolean, StoreError>
  /** Takes rows that are due. */
  readonly take: (limit: number, leaseMillis: number) => Effect.Effect<ReadonlyArray<string>, StoreError>
  readonly renew: (names: ReadonlyArray<string>, leaseMillis: number) => Effect.Effect<void, StoreError>
  /** Begins the work on a row; undefined where there is nothing to do. */
  readonly begin: (name: string, runner: string) => Effect.Effect<Claimed | undefined, StoreError>
  /** Writes the outcome, unless another runner has begun the row since. */
  readonly settle: (claimed: Claimed, runner: string, settled: Settled) => Effect.Effect<boolean, StoreError>
  /** Gives a row back at once. */
  readonly giveBack: (claimed: Claimed) => Effect.Effect<void, StoreError>
  readonly atRest: Effect.Effect<ReadonlyArray<AtRest>, StoreError>
  /** Makes clusters due that are not as their documents say any more. */
  readonly markDrifted: (
    drifts: ReadonlyArray<{ readonly name: string; readonly message: string }>
  ) => Effect.Effect<ReadonlyArray<string>, StoreError>
  readonly prune: (retentionMillis: number) => Effect.Effect<void, StoreError>
}

const chunks = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size))

/** How many names one statement has at most. */
const batch = 500

const wordsOf = (error: SqlError | MigrationError): string => {
  const cause = error._tag === "SqlError" ? error.reason.cause : error.cause
  const inner = cause instanceof Error ? cause.message : ""
  const text = inner === "" ? error.message : inner
  return text.split("\n")[0]?.slice(0, 200) ?? error._tag
}

const storeError = (address: string) => (error: SqlError | MigrationError | StoreError): StoreError => {
  if (error._tag === "StoreError") return error
  const detail = wordsOf(error)
  return new StoreError({
    store: address,
    problem: /file is not a database|malformed/.test(detail) ? "not-a-store" : "unavailable",
    detail
  })
}

/** Opens a store over an SQL client. The tables are created or upgraded. */
export const make = Effect.fnUntraced(function*(
  address: string
): Effect.fn.Return<Store, StoreError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const guard = <A>(effect: Effect.Effect<A, SqlError | MigrationError | StoreError>): Effect.Effect<A, StoreError> =>
    Effect.mapError(effect, storeError(address)).pipe(Effect.withTracerEnabled(false))
  yield* migrate(address).pipe(Effect.provideService(SqlClient.SqlClient, sql), guard)

  const isPostgres = sql.onDialectOrElse({ pg: () => true, orElse: () => false })
  const serverNow = sql.literal("(extract(epoch from now()) * 1000)::bigint")
  /** The present time inside a statement. */
  const time = Effect.map(Clock.currentTimeMillis, (millis) => {
    const now = Math.round(millis)
    return (add = 0) =>
      isPostgres ? sql`(${serverNow} + ${sql.literal(String(Math.round(add)))})` : sql`${now + Math.round(add)}`
  })
  const withTime = <A, E>(f: (at: (add?: number) => Fragment) => Effect.Effect<A, E>) => Effect.flatMap(time, f)

  const insertEvents = (
    events: ReadonlyArray<
      NewEvent & { readonly cluster: string; readonly generation: number; readonly runner?: string }
    >
  ) =>
    withTime((at) =>
      Effect.forEach(
        events,
        (event) =>
          sql`INSERT INTO fleet_events (cluster, generation, kind, message, at, runner, detail) VALUES (${event.cluster}, ${event.generation}, ${event.kind}, ${event.message}, ${at()}, ${
            event.runner ?? null
          }, ${detailOf(event)})`,
        { discard: true }
      )
    )

  const changeWithEvent = (
    change: Effect.Effect<ReadonlyArray<{ readonly name: string; readonly generation: number }>, SqlError>,
    event: NewEvent
  ) =>
    sql.withTransaction(Effect.flatMap(change, (rows) =>
      Effect.as(
        insertEvents(rows.map(({ generation, name }) => ({ ...event, cluster: name, generation: Number(generation) }))),
        rows.length > 0
      )))

  return {
    address,
    now: guard(
      isPostgres
        ? Effect.map(sql<{ now: string }>`SELECT ${serverNow} AS now`, ([row]) => Number(row?.now))
        : Effect.andThen(sql`SELECT 1 AS one`, Clock.currentTimeMillis)
    ),
    registerRunner: ({ isExclusive, name, settings }, expiryMillis) =>
      guard(sql.withTransaction(Effect.gen(function*() {
        const at = yield* time
        yield* sql`DELETE FROM fleet_runners WHERE expires_at < ${at()}`
        const others = yield* sql<{ settings: string }>`SELECT settings FROM fleet_runners WHERE name <> ${name}`
        const other = others.find((one) => isExclusive || one.settings !== settings)
        if (other !== undefined) return other.settings
        yield* sql`INSERT INTO fleet_runners (name, settings, expires_at) VALUES (${name}, ${settings}, ${
          at(expiryMillis)
        }) ON CONFLICT (name) DO UPDATE SET settings = excluded.settings, expires_at = excluded.expires_at`
        return undefined
      }))),
    unregisterRunner: (name) => guard(Effect.asVoid(sql`DELETE FROM fleet_runners WHERE name = ${name}`)),
    get: (name) =>
      guard(
        Effect.map(sql<Row>`SELECT * FROM fleet_clusters WHERE name = ${name}`, ([row]) =>
          row === undefined ? undefined : clusterOf(row))
      ),
    list: ({ after, limit = 1000, phase } = {}) =>
      guard(Effect.map(
        sql<Row>`SELECT * FROM fleet_clusters WHERE ${
          sql.and([
            sql`name > ${after ?? ""}`,
            ...(phase === undefined ? [] : [sql`phase = ${phase}`])
          ])
        } ORDER BY name LIMIT ${limit}`,
        (rows) => rows.map(clusterOf)
      )),
    events: ({ after = 0, cluster, limit = 100 } = {}) =>
      guard(Effect.map(
        sql<EventRow>`SELECT * FROM fleet_events WHERE ${
          sql.and([sql`id > ${after}`, ...(cluster === undefined ? [] : [sql`cluster = ${cluster}`])])
        } ORDER BY id DESC LIMIT ${limit}`,
        (rows) => rows.map(eventOf).reverse()
      )),
    revision: guard(Effect.map(
      sql<
        { rows: number; changed: number | null; event: number | null }
      >`SELECT (SELECT count(*) FROM fleet_clusters) AS rows, (SELECT max(changed_at) FROM fleet_clusters) AS changed, (SELECT max(id) FROM fleet_events) AS event`,
      ([row]) => `${row?.rows}/${row?.changed}/${row?.event}`
    )),
    phases: guard(Effect.map(
      sql<{ phase: FleetPhase; count: number }>`SELECT phase, count(*) AS count FROM fleet_clusters GROUP BY phase`,
      (rows) => rows.map(({ count, phase }) => ({ phase, count: Number(count) }))
    )),
    put: ({ backend, document, instance, name, nodes }) =>
      guard(sql.withTransaction(Effect.gen(function*() {
        const at = yield* time
        const [present] = yield* sql<Row>`SELECT * FROM fleet_clusters WHERE name = ${name}`
        if (present === undefined) {
          yield* sql`INSERT INTO fleet_clusters (name, backend, instance, document, nodes, generation, phase, due_at, requested_at, changed_at) VALUES (${name}, ${backend}, ${
            instance ?? null
          }, ${document}, ${nodes}, 1, 'pending', ${at()}, ${at()}, ${at()})`
          yield* insertEvents([{ cluster: name, generation: 1, kind: "Applied", message: "the document was added" }])
          return true
        }
        if (present.backend !== backend || (present.instance ?? undefined) !== instance) return false
        if (present.document === document && Number(present.removing) === 0) return true
        const generation = Number(present.generation) + 1
        yield* sql`UPDATE fleet_clusters SET document = ${document}, nodes = ${nodes}, generation = ${generation}, removing = 0, attempts = 0, phase = 'pending', due_at = CASE WHEN paused = 1 THEN NULL ELSE ${at()} END, requested_at = ${at()}, changed_at = ${at()} WHERE name = ${name}`
        yield* insertEvents([{ cluster: name, generation, kind: "Applied", message: "the document was changed" }])
        return true
      }))),
    forget: (name) =>
      guard(changeWithEvent(
        sql<Row>`DELETE FROM fleet_clusters WHERE name = ${name} RETURNING name, generation`,
        { kind: "Removed", message: "the document was removed; the nodes are kept" }
      )),
    requestRemoval: (name) =>
      guard(withTime((at) =>
        changeWithEvent(
          sql<
            Row
          >`UPDATE fleet_clusters SET removing = 1, generation = generation + 1, attempts = 0, paused = 0, phase = 'removing', due_at = ${at()}, requested_at = ${at()}, changed_at = ${at()} WHERE name = ${name} RETURNING name, generation`,
          { kind: "RemoveRequested", message: "the cluster is going to be deleted" }
        )
      )),
    setPaused: (name, isPaused) =>
      guard(withTime((at) =>
        changeWithEvent(
          isPaused
            ? sql<
              Row
            >`UPDATE fleet_clusters SET paused = 1, due_at = NULL, changed_at = ${at()} WHERE name = ${name} RETURNING name, generation`
            : sql<
              Row
            >`UPDATE fleet_clusters SET paused = 0, due_at = ${at()}, requested_at = ${at()}, changed_at = ${at()} WHERE name = ${name} RETURNING name, generation`,
          isPaused
            ? { kind: "Paused", message: "the cluster is not reconciled any more" }
            : { kind: "Resumed", message: "the cluster is reconciled again" }
        )
      )),
    take: (limit, leaseMillis) =>
      guard(withTime((at) =>
        Effect.map(
          sql<{ name: string }>`UPDATE fleet_clusters SET handed = 1, due_at = ${
            at(leaseMillis)
          } WHERE name IN (SELECT name FROM fleet_clusters WHERE due_at <= ${at()} ORDER BY due_at LIMIT ${limit}) RETURNING name`,
          (rows) => rows.map(({ name }) => name)
        )
      )),
    renew: (names, leaseMillis) =>
      guard(
        withTime((at) =>
          Effect.forEach(chunks(names, batch), (some) =>
            sql`UPDATE fleet_clusters SET due_at = ${at(leaseMillis)} WHERE ${
              sql.in("name", some)
            } AND handed = 1 AND paused = 0`, {
            discard: true
          })
        )
      ),
    begin: (name, runner) =>
      guard(withTime((at) =>
        Effect.map(
          sql<
            Row
          >`UPDATE fleet_clusters SET run = run + 1, runner = ${runner}, phase = CASE WHEN removing = 1 THEN 'removing' ELSE 'reconciling' END, changed_at = ${at()} WHERE name = ${name} AND handed = 1 AND paused = 0 RETURNING *`,
          ([row]): Claimed | undefined =>
            row === undefined ? undefined : {
              name: row.name,
              backend: row.backend,
              instance: row.instance ?? undefined,
              document: row.document,
              generation: Number(row.generation),
              isRemoving: Number(row.removing) === 1,
              attempts: Number(row.attempts),
              conditions: conditionsOf(row.conditions),
              run: Number(row.run),
              requestedAt: Number(row.requested_at)
            }
        )
      )),
    settle: (claimed, runner, { attempts, conditions, dueInMillis, event, isRemoved, phase }) =>
      guard(sql.withTransaction(Effect.gen(function*() {
        const at = yield* time
        const { generation, name, run } = claimed
        const rows = isRemoved
          ? yield* sql`DELETE FROM fleet_clusters WHERE name = ${name} AND run = ${run} AND generation = ${generation} RETURNING name`
          : []
        // A document that was changed in the meantime is due at once.
        const settled = rows.length > 0 ? rows : yield* sql`UPDATE fleet_clusters SET
          handed = 0,
          observed = CASE WHEN ${phase} = 'converged' THEN ${generation} ELSE observed END,
          attempts = CASE WHEN generation = ${generation} THEN ${attempts} ELSE 0 END,
          phase = CASE WHEN generation = ${generation} THEN ${phase} ELSE 'pending' END,
          conditions = ${JSON.stringify(conditions)},
          due_at = CASE WHEN paused = 1 THEN NULL WHEN generation = ${generation} THEN ${
          dueInMillis === undefined ? sql.literal("NULL") : at(dueInMillis)
        } ELSE ${at()} END,
          changed_at = ${at()}
          WHERE name = ${name} AND run = ${run} RETURNING name`
        if (settled.length === 0) return false
        if (event !== undefined) yield* insertEvents([{ ...event, cluster: name, generation, runner }])
        return true
      }))),
    giveBack: ({ name, run }) =>
      guard(
        withTime((at) =>
          sql`UPDATE fleet_clusters SET handed = 0, due_at = CASE WHEN paused = 1 THEN NULL ELSE ${at()} END, phase = CASE WHEN removing = 1 THEN 'removing' ELSE 'pending' END WHERE name = ${name} AND run = ${run}`
        )
      ).pipe(Effect.asVoid),
    atRest: guard(Effect.map(
      sql<
        Row
      >`SELECT name, backend, instance, document, nodes FROM fleet_clusters WHERE phase = 'converged' AND handed = 0 AND paused = 0`,
      (rows) =>
        rows.map(({ backend, document, instance, name, nodes }) => ({
          name,
          backend,
          document,
          nodes: Number(nodes),
          instance: instance ?? undefined
        }))
    )),
    markDrifted: (drifts) =>
      guard(Effect.map(
        Effect.forEach(chunks(drifts, batch), (some) =>
          sql.withTransaction(Effect.gen(function*() {
            const at = yield* time
            const rows = yield* sql<
              Row
            >`UPDATE fleet_clusters SET due_at = ${at()}, requested_at = ${at()}, changed_at = ${at()} WHERE ${
              sql.in("name", some.map(({ name }) => name))
            } AND phase = 'converged' AND handed = 0 AND paused = 0 RETURNING name, generation`
            yield* insertEvents(rows.map(({ generation, name }) => ({
              cluster: name,
              generation: Number(generation),
              kind: "Drifted",
              message: some.find((drift) => drift.name === name)?.message ?? ""
            })))
            return rows.map(({ name }) => name)
          }))),
        (all) => all.flat()
      )),
    prune: (retentionMillis) =>
      guard(Effect.asVoid(withTime((at) => sql`DELETE FROM fleet_events WHERE at < ${at(-retentionMillis)}`)))
  }
})
