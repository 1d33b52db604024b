/** Puts a fleet together: the store, the runner, and how runners reach each other. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { InvalidSpec } from "../ProviderError.ts"
import { StoreError } from "./Errors.ts"
import { make as makeStore, type Store } from "./Store.ts"

/** The store of a fleet. */
export type StoreOptions = { readonly sqlite: string } | { readonly postgres: string }

/** The address of a store without credentials. */
export const storeAddress = (store: StoreOptions): string => {
  if ("sqlite" in store) return `sqlite:${store.sqlite}`
  try {
    const { host, pathname } = new URL(store.postgres)
    return `postgres://${host}${pathname}`
  } catch {
    return "postgres:"
  }
}

/** `sqlite:PATH` or `postgres://...`. */
export const parseStore = (text: string): Effect.Effect<StoreOptions, InvalidSpec> =>
  text.startsWith("sqlite:") && text.length > "sqlite:".length
    ? Effect.succeed({ sqlite: text.slice("sqlite:".length) })
    : /^postgres(?:ql)?:\/\//.test(text)
    ? Effect.succeed({ postgres: text })
    : Effect.fail(
      new InvalidSpec({ issues: [{ path: "store", message: "must be sqlite:PATH or postgres://USER@HOST/DATABASE" }] })
    )

/** How many connections a process has at most; one of them is for locks. */
const poolSize = 6

/** The SQL client of a store. */
const openSql = (
  options: StoreOptions
): Effect.Effect<SqlClient.SqlClient, StoreError, Scope.Scope> => {
  const failed = (problem: StoreError["problem"], cause: unknown) =>
    new StoreError({
      store: storeAddress(options),
      problem,
      detail: (cause instanceof Error ? cause.message : String(cause)).split("\n")[0] ?? ""
    })
  const layer: Effect.Effect<Layer.Layer<SqlClient.SqlClient, unknown>, StoreError> = "sqlite" in options
    ? Effect.map(Effect.promise(() => import("./Sqlite.ts")), (module) => module.layer(options.sqlite))
    : Effect.tryPromise({
      try: async () => (await import("./Postgres.ts")).loadPostgres(options.postgres, poolSize),
      catch: () => failed("unavailable", "the package @effect/sql-pg is not installed")
    })
  return Effect.flatMap(
    layer,
    (sql) => Effect.map(Layer.build(Layer.fresh(sql)), (context) => Context.get(context, SqlClient.SqlClient))
  ).pipe(Effect.mapError((error) => {
    if (error instanceof StoreError) return error
    const cause = (error as { readonly reason?: { readonly cause?: unknown } }).reason?.cause ?? error
    return failed(/not a database|malformed/.test(String(cause)) ? "not-a-store" : "unavailable", cause)
  }))
}

/** Opens a store. */
export const openStore = (
  options: StoreOptions
): Effect.Effect<{ readonly store: Store; readonly sql: SqlClient.SqlClient }, StoreError, Scope.Scope> =>
  Effect.gen(function*() {
    const sql = yield* openSql(options)
    const store = yield* makeStore(storeAddress(options)).pipe(Effect.provideService(SqlClient.SqlClient, sql))
    return { store, sql }
  })
