/**
 * All laws, group by group. To add one, put a value into its group's list.
 *
 * @since 0.1.0
 */
import type { Law } from "./Law.ts"
import { absent } from "./laws/absent.ts"
import { concurrency } from "./laws/concurrency.ts"
import { create } from "./laws/create.ts"
import { idempotency } from "./laws/idempotency.ts"
import { interruption } from "./laws/interruption.ts"
import { lifecycle } from "./laws/lifecycle.ts"
import { names } from "./laws/names.ts"
import { ownership } from "./laws/ownership.ts"
import { partial } from "./laws/partial.ts"
import { plan } from "./laws/plan.ts"
import { scale } from "./laws/scale.ts"
import { secrecy } from "./laws/secrecy.ts"
import { sweep } from "./laws/sweep.ts"
import { watch } from "./laws/watch.ts"

/**
 * The laws that every layer has to hold.
 *
 * @category laws
 * @since 0.1.0
 */
export const laws: ReadonlyArray<Law> = [
  ...lifecycle,
  ...idempotency,
  ...absent,
  ...ownership,
  ...names,
  ...partial,
  ...concurrency,
  ...interruption,
  ...watch,
  ...secrecy,
  ...create,
  ...plan,
  ...scale,
  ...sweep
]
