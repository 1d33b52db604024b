/**
 * Arguments and flags that commands share, and handlers whose module is loaded when they run.
 */
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { runBody } from "./RunBody.ts"
import type { CommandContext } from "./Session.ts"
import { readSettings } from "./Settings.ts"
import { parseDuration } from "./Time.ts"

export const clusterArgument = Argument.String("cluster").pipe(Argument.withDescription("Name of the cluster"))
export const clusterArguments = (description: string, min: number) =>
  Argument.String("cluster").pipe(Argument.withDescription(description), Argument.variadic({ min }))

export const optional = <A>(flag: Flag.Flag<A>): Flag.Flag<A | undefined> =>
  Flag.map(Flag.optional(flag), Option.getOrUndefined)

export const many = (name: string, description: string): Flag.Flag<ReadonlyArray<string>> =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.atLeast(0))

export const on = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDescription(description), Flag.withDefault(false))

export const files = many("file", "A file of documents, a folder of them, or - for stdin; can be repeated").pipe(
  Flag.withAlias("f")
)
export const watchFlag = on("watch", "Show each change").pipe(Flag.withAlias("w"))

export const pairs = (name: string, description: string) =>
  many(name, description).pipe(
    Flag.filterMap(
      (given) => {
        const split = given.map((pair) => /^([^=]+)=(.*)$/s.exec(pair))
        return split.every((match) => match !== null)
          ? Option.some(Object.fromEntries(split.map((match) => [match?.[1] ?? "", match?.[2] ?? ""])))
          : Option.none()
      },
      (given) => `${given.map((pair) => JSON.stringify(pair)).join(", ")} must be key=value`
    )
  )

export const duration = (name: string, description: string, otherwise: Duration.Input) =>
  Flag.String(name).pipe(
    Flag.withDescription(description),
    Flag.filterMap(
      (given) => Option.fromUndefinedOr(parseDuration(given)),
      (given) => `"${given}" is not a duration such as 90s, 5m or 1h30m`
    ),
    Flag.withDefault(Duration.fromInputUnsafe(otherwise))
  )

export const count = (name: string, description: string, least: number) =>
  Flag.Int(name).pipe(
    Flag.withDescription(description),
    Flag.filter((value) => value >= least && value <= 1000, (value) =>
      `${value} must be an integer from ${least} to 1000`)
  )

/** A handler whose module is loaded when it runs. */
export const body = <Input, M>(
  load: () => Promise<M>,
  choose: (module: M) => (input: Input) => Effect.Effect<number, unknown, CommandContext>
) =>
(input: Input) =>
  Effect.flatMap(
    readSettings,
    (settings) => runBody(Effect.flatMap(Effect.promise(load), (module) => choose(module)(input)), settings)
  )
