import { absent } from "./absent.ts"
import { concurrency } from "./concurrency.ts"
import { create } from "./create.ts"
import { idempotency } from "./idempotency.ts"
import { interruption } from "./interruption.ts"
import { lifecycle } from "./lifecycle.ts"
import { names } from "./names.ts"
import { ownership } from "./ownership.ts"
import { partial } from "./partial.ts"
import { plan } from "./plan.ts"
import { scale } from "./scale.ts"
import { secrecy } from "./secrecy.ts"
import { sweep } from "./sweep.ts"
import { watch } from "./watch.ts"
import type { Wrong } from "./Wrong.ts"

/** Those that act wrongly, and those that answer wrongly: two halves, for two processors. */
export const acting: ReadonlyArray<Wrong> = [
  ...lifecycle,
  ...idempotency,
  ...partial,
  ...concurrency,
  ...interruption
]

export const answering: ReadonlyArray<Wrong> = [
  ...absent,
  ...ownership,
  ...names,
  ...watch,
  ...secrecy,
  ...create,
  ...plan,
  ...scale,
  ...sweep
]
