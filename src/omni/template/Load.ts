/**
 * From what a caller hands in, a text or a value, to a template without faults.
 *
 * All faults that can be seen without a server come at once, in one `InvalidSpec`: of the text, of shape, of meaning, of
 * the patches and their files.
 */
import * as Effect from "effect/Effect"
import type { InvalidSpec } from "../../ProviderError.ts"
import { type Add, dotted, invalid, type Issue, type Place, withoutConsequences } from "./Issue.ts"
import type { Draft, Template } from "./Model.ts"
import { parse, type Parsed } from "./Parse.ts"
import { type Contents, contents } from "./Patches.ts"
import { ofValue } from "./Shape.ts"
import { validate } from "./Validate.ts"

export interface LoadOptions {
  /** The folder that `file` of a patch is relative to. Without it, patches from files are refused. */
  readonly baseDirectory?: string | undefined
}

/** A template without faults, the contents of its patches, and how to tell a place in it. */
export interface Loaded {
  readonly template: Template
  readonly contents: Contents
  readonly place: Place
}

const ofProgram = (value: unknown): Parsed => {
  const issues: Array<Issue> = []
  const add: Add = (path, message) => void issues.push({ path, message })
  const draft = ofValue(value, add)
  return { draft, issues, place: (path) => ({ text: path.length === 0 ? "template" : dotted(path), offset: 0 }) }
}

/** Loads a template: a text is YAML, anything else is a value. */
export const load = Effect.fnUntraced(function*(
  source: string | Template,
  options: LoadOptions = {}
): Effect.fn.Return<Loaded, InvalidSpec> {
  const { draft, issues, place } = typeof source === "string" ? yield* parse(source) : ofProgram(source)
  const meaning: Array<Issue> = []
  validate(draft, (path, message) => void meaning.push({ path, message }))
  const read = yield* contents(draft, options.baseDirectory)
  const all = withoutConsequences(issues, [...meaning, ...read.issues])
  if (all.length > 0) return yield* invalid(all, place)
  // Nothing is missing any more: everything that a template needs has been looked for.
  return { template: draft as Draft<Template> as Template, contents: read.contents, place }
})
