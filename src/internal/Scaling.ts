/**
 * What adding and removing nodes have in common, whatever a node is.
 */
import * as Effect from "effect/Effect"
import { InvalidSpec } from "../ProviderError.ts"
import { AlreadyDone } from "../Report.ts"
import type { Operation } from "./Operation.ts"

/**
 * How many nodes of each role are to be added.
 *
 * @category models
 * @since 0.1.0
 */
export interface Added {
  readonly controlPlanes?: number
  readonly workers?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly onFailure?: "remove" | "keep"
}

/** Why so many nodes cannot be added; undefined where they can. */
export const faultOfAdded = (added: Added): InvalidSpec | undefined => {
  const issues = (["controlPlanes", "workers"] as const).flatMap((path) => {
    const value = added[path] ?? 0
    return Number.isInteger(value) && value >= 0 ? [] : [{ path, message: `${value} is not a whole number from 0 on` }]
  })
  if (issues.length === 0 && (added.controlPlanes ?? 0) + (added.workers ?? 0) === 0) {
    return new InvalidSpec({ issues: [{ path: "workers", message: "no node is to be added" }] })
  }
  return issues.length === 0 ? undefined : new InvalidSpec({ issues })
}

/** Of the nodes that are there those of these names; a name that is not there is `AlreadyDone`. */
export const named = Effect.fnUntraced(function*<M>(
  operation: Operation,
  found: ReadonlyArray<M>,
  names: ReadonlyArray<string>,
  nameOf: (member: M) => string
): Effect.fn.Return<ReadonlyArray<M>> {
  const there = new Map(found.map((member) => [nameOf(member), member]))
  for (const name of new Set(names)) {
    if (!there.has(name)) yield* operation.record({ kind: "node", name }, new AlreadyDone({}))
  }
  return [...new Set(names)].flatMap((name) => there.get(name) ?? [])
})
