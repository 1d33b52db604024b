/** All rows, in the order of the table: those that need an engine, and those that do not. */
import * as Effect from "effect/Effect"
import { callRows } from "./calls.ts"
import { cliRows } from "./cli.ts"
import { decodeRows } from "./decode.ts"
import { fleetRows } from "./fleet.ts"
import { hetznerRows } from "./hetzner.ts"
import { hetznerMakingRows } from "./hetznerMaking.ts"
import { importRows } from "./imports.ts"
import { omniRows } from "./omni.ts"
import { powerRows } from "./power.ts"
import type { Row } from "./row.ts"
import type { Stage } from "./stage.ts"
import { watchRows } from "./watch.ts"

export const rowsOnEngine: Effect.Effect<ReadonlyArray<Row<Stage>>> = Effect.map(powerRows, (rows) => [
  ...rows,
  ...callRows
])

export const rowsWithoutEngine: ReadonlyArray<Row> = [
  ...decodeRows,
  ...watchRows,
  ...hetznerRows,
  ...hetznerMakingRows,
  ...omniRows,
  ...importRows,
  ...cliRows,
  ...fleetRows
]
