/** The SQL client for PostgreSQL. It needs the package `@effect/sql-pg`. */
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { loadPackage } from "../internal/LoadPackage.ts"

/** Loads the package, which rejects where it is not installed. */
export const loadPostgres = async (url: string, connections: number): Promise<Layer.Layer<SqlClient, SqlError>> => {
  const { PgClient } = await loadPackage<typeof import("@effect/sql-pg")>("@effect/sql-pg")
  return PgClient.layer({
    url: Redacted.make(url),
    maxConnections: connections,
    applicationName: "kubelayer",
    connectTimeout: "5 seconds"
  })
}
