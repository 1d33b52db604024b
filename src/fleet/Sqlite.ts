/**
 * An SQL client over Node's own `node:sqlite`, for a store in one file on one host.
 *
 * Several processes on one file need three settings: a busy timeout, `BEGIN IMMEDIATE`, and write-ahead logging with
 * `synchronous = NORMAL`. Without `BEGIN IMMEDIATE` a transaction that reads before it writes fails at once with
 * "database is locked".
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { classifySqliteError, SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import type { DatabaseSync, StatementSync } from "node:sqlite"

/** How long a statement waits for another process, in milliseconds. */
const busyTimeoutMillis = 5000

/** How many statements are kept prepared. */
const preparedStatements = 200

const fail = (operation: string) => (cause: unknown) =>
  new SqlError({
    reason: classifySqliteError(cause, {
      message: cause instanceof Error ? cause.message : String(cause),
      operation
    })
  })

/** Node 22 and 24 warn on stderr when the module is loaded. That warning alone is left out. */
const loadSqlite = async (): Promise<typeof import("node:sqlite")> => {
  const { emitWarning } = process
  process.emitWarning = ((warning: string | Error, ...rest: Array<never>) => {
    if (!String(warning).includes("SQLite")) emitWarning.call(process, warning, ...rest)
  }) as typeof process.emitWarning
  try {
    return await import("node:sqlite")
  } finally {
    process.emitWarning = emitWarning
  }
}

const connectionOf = (database: DatabaseSync): Connection => {
  const prepared = new Map<string, StatementSync>()
  const prepare = (sql: string): StatementSync => {
    const present = prepared.get(sql)
    if (present !== undefined) return present
    const statement = database.prepare(sql)
    prepared.set(sql, statement)
    for (const oldest of prepared.keys()) {
      if (prepared.size <= preparedStatements) break
      prepared.delete(oldest)
    }
    return statement
  }
  const rows = (statement: StatementSync, params: ReadonlyArray<unknown>) =>
    statement.all(...params as Array<string | number | null>)
  const run = <A>(operation: string, body: () => A): Effect.Effect<A, SqlError> =>
    Effect.try({ try: body, catch: fail(operation) })

  const execute: Connection["execute"] = (sql, params, transform) =>
    run("execute", () => {
      const found = rows(prepare(sql), params)
      return transform === undefined ? found : transform(found)
    })
  const values: Connection["executeValues"] = (sql, params) =>
    run("execute", () => rows(prepare(sql), params).map((row) => Object.values(row)))
  return {
    execute,
    executeRaw: (sql, params) => run("execute", () => rows(prepare(sql), params)),
    executeValues: values,
    executeValuesUnprepared: values,
    executeUnprepared: execute,
    executeStream: (sql, params, transform) =>
      Stream.unwrap(Effect.map(execute(sql, params, transform), Stream.fromIterable))
  }
}

/**
 * Opens a file, which is created where it does not exist. Statements of one process run one after another.
 */
export const make = (filename: string) =>
  Effect.gen(function*() {
    const sqlite = yield* Effect.tryPromise({ try: loadSqlite, catch: fail("connect") })
    const database = yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          const opened = new sqlite.DatabaseSync(filename, { timeout: busyTimeoutMillis })
          try {
            opened.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")
          } catch (error) {
            opened.close()
            throw error
          }
          return opened
        },
        catch: fail("connect")
      }),
      (opened) => Effect.sync(() => opened.close())
    )
    const connection = connectionOf(database)
    return yield* SqlClient.make({
      ...SqlClient.makeSqliteAcquirers({
        connection: Effect.succeed(connection),
        semaphore: Semaphore.makeUnsafe(1),
        isTransaction: () => database.isTransaction
      }),
      compiler: Statement.makeCompilerSqlite(),
      driver: "kubelayer-node-sqlite",
      beginTransaction: "BEGIN IMMEDIATE",
      spanAttributes: [["db.system.name", "sqlite"]]
    })
  })

export const layer = (filename: string): Layer.Layer<SqlClient.SqlClient, SqlError> =>
  Layer.effect(SqlClient.SqlClient)(make(filename)).pipe(Layer.provide(Reactivity.layer))
