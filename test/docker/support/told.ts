/** Returns the outcomes and problems of a report by name, and the error of an effect that fails. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { OperationReport } from "kubelayer/Report"

export const told = (report: OperationReport): Readonly<Record<string, string>> =>
  Object.fromEntries(report.outcomes.map((entry) => [entry.name, entry.outcome._tag]))

export const problems = (report: OperationReport): Readonly<Record<string, string>> =>
  Object.fromEntries(report.outcomes.flatMap((entry) => entry.problem === "" ? [] : [[entry.name, entry.problem]]))

/** The error of an effect that has to fail with this tag. */
export const failing = <A, E extends { readonly _tag: string }, R, Tag extends E["_tag"]>(
  tag: Tag,
  self: Effect.Effect<A, E, R>
): Effect.Effect<Extract<E, { readonly _tag: Tag }>, Error, R> =>
  Effect.flatMap(Effect.exit(self), (exit) => {
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
    return error !== undefined && error._tag === tag
      ? Effect.succeed(error as Extract<E, { readonly _tag: Tag }>)
      : Effect.fail(
        new Error(`it is to fail with ${tag}, but ${Exit.isSuccess(exit) ? "succeeds" : Cause.pretty(exit.cause)}`)
      )
  })
