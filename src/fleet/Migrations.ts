/**
 * The tables of a fleet's store. A migration is never changed after a release; another one follows it.
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { StoreError } from "./Errors.ts"

const table = "fleet_migrations"

/** Times are milliseconds since 1970. */
const createTables = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const id = sql.literal(sql.onDialectOrElse({
    pg: () => "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    orElse: () => "integer PRIMARY KEY AUTOINCREMENT"
  }))
  yield* sql`CREATE TABLE fleet_runners (name text PRIMARY KEY, settings text NOT NULL, expires_at bigint NOT NULL)`
  yield* sql`CREATE TABLE fleet_clusters (
    name text PRIMARY KEY,
    backend text NOT NULL,
    instance text,
    document text NOT NULL,
    nodes integer NOT NULL,
    generation integer NOT NULL,
    observed integer NOT NULL DEFAULT 0,
    phase text NOT NULL,
    paused integer NOT NULL DEFAULT 0,
    removing integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    handed integer NOT NULL DEFAULT 0,
    run integer NOT NULL DEFAULT 0,
    runner text,
    conditions text NOT NULL DEFAULT '[]',
    due_at bigint,
    requested_at bigint NOT NULL,
    changed_at bigint NOT NULL
  )`
  yield* sql`CREATE INDEX fleet_clusters_due ON fleet_clusters (due_at) WHERE due_at IS NOT NULL`
  yield* sql`CREATE INDEX fleet_clusters_phase ON fleet_clusters (phase)`
  yield* sql`CREATE INDEX fleet_clusters_changed ON fleet_clusters (changed_at)`
  yield* sql`CREATE TABLE fleet_events (
    id ${id},
    cluster text NOT NULL,
    generation integer NOT NULL,
    kind text NOT NULL,
    message text NOT NULL,
    at bigint NOT NULL,
    runner text,
    detail text
  )`
  yield* sql`CREATE INDEX fleet_events_cluster ON fleet_events (cluster, id)`
  yield* sql`CREATE INDEX fleet_events_at ON fleet_events (at)`
})

/** The version of the tables that this code works with. */
const storeVersion = 1

const migrations = Migrator.fromRecord({ "0001_create_tables": createTables })

const isOfAnother = (tables: ReadonlyArray<string>): boolean =>
  tables.length > 0 && !tables.includes(table) && !tables.some((name) => name.startsWith("cluster_"))

/** Creates or upgrades the tables. Fails for a store of a newer version, and for an SQLite file of another program. */
export const migrate = (
  store: string
): Effect.Effect<void, StoreError | SqlError | Migrator.MigrationError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const tables = yield* sql.onDialectOrElse({
      sqlite: () =>
        sql<{ name: string }>`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`,
      orElse: () =>
        sql<
          { name: string }
        >`SELECT table_name AS name FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = ${table}`
    })
    const names = tables.map(({ name }) => name)
    if (isOfAnother(names)) {
      return yield* new StoreError({
        store,
        problem: "not-a-store",
        detail: `it is the database of another program (it has the table "${names[0]}")`
      })
    }
    const [latest] = names.includes(table)
      ? yield* sql<{ id: number | null }>`SELECT max(migration_id) AS id FROM fleet_migrations`
      : []
    const version = Number(latest?.id ?? 0)
    if (version > storeVersion) {
      return yield* new StoreError({
        store,
        problem: "newer",
        detail: `its tables have version ${version}, and this kubelayer knows versions up to ${storeVersion}`
      })
    }
    if (version < storeVersion) yield* Migrator.make({})({ loader: migrations, table })
  })
