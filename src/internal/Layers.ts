/**
 * The layers of every backend: one function builds all of them, and reads the environment in one way.
 *
 * A required variable that is not set, and one whose value the backend refuses, is an `InvalidSpec` that names the
 * variable, the option that replaces it, and an example. No value of a variable is repeated.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { NodeCreator, type NodeCreatorService, Provider, type ProviderService } from "../Provider.ts"
import { InvalidSpec, type SpecIssue } from "../ProviderError.ts"

/** A variable of the environment that sets an option of a layer. */
export interface Variable<Options> {
  readonly name: string
  /** The option that it sets. Issues of the option are then reported for the variable. */
  readonly option: keyof Options & string
  /** A value that works, without secrets. */
  readonly example: string
  readonly isRequired?: boolean
  /** The value of the option if neither the caller nor the environment sets it. */
  readonly otherwise?: unknown
  /** It is read as a `Redacted`, and the exit code of its errors is that of credentials. */
  readonly isCredential?: boolean
  /** Whether the caller's options leave it open; by default, whether the option is undefined. */
  readonly isOpen?: (given: Partial<Options>) => boolean
  /** The option's value; by default the text itself. */
  readonly value?: (text: string, given: Partial<Options>) => unknown
  /** The issue of the text, or undefined. */
  readonly issue?: (text: string) => string | undefined
}

const exampleOf = <Options>({ example, name }: Variable<Options>): string => `Example: ${name}=${example}`

const issueOf = <Options>(variable: Variable<Options>, message: string): SpecIssue => ({
  path: variable.name,
  message: `${message}${/[.?!]$/.test(message) ? "" : "."} ${exampleOf(variable)}`,
  ...(variable.isCredential === true ? { isCredential: true } : {})
})

const notSet = <Options>(variable: Variable<Options>): SpecIssue =>
  issueOf(variable, `is not set. Set it, or give the layer the option \`${variable.option}\``)

/** Reads one variable; one that is empty counts as not set. */
const read = <Options>(variable: Variable<Options>): Effect.Effect<Option.Option<string>, SpecIssue> =>
  Effect.mapBoth(Config.option(Config.Redacted(variable.name)), {
    onFailure: () => issueOf(variable, "cannot be read from the configuration"),
    onSuccess: (found) => Option.filter(Option.map(found, Redacted.value), (text) => text.trim() !== "")
  })

/** The options that the caller gave, completed from the environment, and the variables that were used for it. */
const complete = <Options extends object>(variables: ReadonlyArray<Variable<Options>>, given: Partial<Options>) =>
  Effect.gen(function*() {
    const issues: Array<SpecIssue> = []
    const used: Array<Variable<Options>> = []
    const found: Record<string, unknown> = {}
    for (const variable of variables) {
      const isOpen = variable.isOpen ?? ((options) => options[variable.option] === undefined)
      if (!isOpen(given)) continue
      const text = yield* Effect.result(read(variable))
      if (text._tag === "Failure") issues.push(text.failure)
      else if (Option.isNone(text.success)) {
        if (variable.isRequired === true) issues.push(notSet(variable))
        if (variable.otherwise !== undefined) found[variable.option] = variable.otherwise
      } else {
        const value = text.success.value
        const issue = variable.issue?.(value)
        if (issue !== undefined) issues.push(issueOf(variable, issue))
        used.push(variable)
        found[variable.option] = variable.value?.(value, given) ??
          (variable.isCredential === true ? Redacted.make(value, { label: variable.name }) : value)
      }
    }
    if (issues.length > 0) return yield* new InvalidSpec({ issues })
    // An option that is given as undefined is left open.
    const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
    return { options: { ...present, ...found } as unknown as Options, used }
  })

/** An issue of an option that came from a variable is an issue of the variable. */
const byVariable = <Options>(used: ReadonlyArray<Variable<Options>>) => (error: unknown): unknown =>
  error instanceof InvalidSpec
    ? new InvalidSpec({
      issues: error.issues.map((issue) => {
        const variable = used.find(({ option }) => issue.path === option || issue.path.startsWith(`${option}.`))
        return variable === undefined ? issue : issueOf(variable, issue.message)
      })
    })
    : error

interface BackendService {
  readonly provider: ProviderService
  readonly creator: NodeCreatorService
}

/** `Provider`, `NodeCreator` and the backend's own service, from one instance. */
export const everything = <I, S extends BackendService>(
  key: Context.Key<I, S>,
  service: S
): Context.Context<I | Provider | NodeCreator> =>
  Context.make(key, service).pipe(
    Context.add(Provider, service.provider),
    Context.add(NodeCreator, service.creator)
  )

/** The four layers of a backend. Without required variables all options can be left out. */
export const makeLayers = <I, S extends BackendService, Options extends object, E>(
  key: Context.Key<I, S>,
  make: (options: Options) => Effect.Effect<S, E, Scope.Scope>,
  variables: ReadonlyArray<Variable<Options>>
) => {
  const fromEnvironment = (given: Partial<Options>): Effect.Effect<S, E | InvalidSpec, Scope.Scope> =>
    Effect.flatMap(
      complete(variables, given),
      ({ options, used }) => Effect.mapError(make(options), (error) => byVariable(used)(error) as E | InvalidSpec)
    )
  const all = <E2>(service: Effect.Effect<S, E2, Scope.Scope>) =>
    Layer.effectContext(Effect.map(service, (made) => everything(key, made)))
  return {
    layer: (options: Options) => all(make(options)),
    layerService: (options: Options) => Layer.effect(key, make(options)),
    layerConfig: (given: Partial<Options> = {}) => all(fromEnvironment(given)),
    layerServiceConfig: (given: Partial<Options> = {}) => Layer.effect(key, fromEnvironment(given))
  }
}
