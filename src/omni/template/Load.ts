/**
 * From what a caller hands in, a text or a value, to a template without faults.
 *
 * All faults that can be seen without a server come at once, in one `InvalidSpec`: of the text, of shape, of meaning, of
 * the patches and their files.
 */
import * as Effect from "effect/Effect"
import type { InvalidSpec } from "../../ProviderError.ts"
import { ownPrefix } from "../Labels.ts"
import { type Add, dotted, invalid, type Issue, type Place, withoutConsequences } from "./Issue.ts"
import type { Draft, Template } from "./Model.ts"
import { parse, type Parsed } from "./Parse.ts"
import { type Contents, contents } from "./Patches.ts"
import { ofValue } from "./TemplateSchema.ts"
import { validate } from "./Validate.ts"

export interface LoadOptions {
  /** The folder that each `file` is relative to, and has to be in. Without it, files are refused. */
  readonly baseDirectory?: string | undefined
  /** More folders that files may be in. */
  readonly allowedFolders?: ReadonlyArray<string> | undefined
}

/** A valid template, the contents of its patches, and how to name a place in it. */
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

/** Leaves out the annotations that kubelayer writes itself: an export of a cluster has them. */
const withoutOwnAnnotations = (
  draft: Draft<Template>
): { readonly draft: Draft<Template>; readonly removed: ReadonlySet<string> } => {
  const removed = new Set<string>()
  const cleaned = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(cleaned)
    if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => {
        // Contents are not of the template's own shape.
        if (key === "inline" || key === "job") return [key, each]
        if (key !== "annotations" || typeof each !== "object" || each === null) return [key, cleaned(each)]
        return [
          key,
          Object.fromEntries(
            Object.entries(each).filter(([name]) => {
              const isOwn = name.startsWith(ownPrefix)
              if (isOwn) removed.add(name)
              return !isOwn
            })
          )
        ]
      })
    )
  }
  return { draft: cleaned(draft) as Draft<Template>, removed }
}

/** Loads a template: a text is YAML, anything else is a value. */
export const load = Effect.fnUntraced(function*(
  source: string | Template,
  options: LoadOptions = {}
): Effect.fn.Return<Loaded, InvalidSpec> {
  const { draft: parsed, issues, place } = typeof source === "string" ? yield* parse(source) : ofProgram(source)
  const { draft, removed } = withoutOwnAnnotations(parsed)
  if (removed.size > 0) {
    yield* Effect.logInfo(`left out of the template: annotations of kubelayer itself (${[...removed].join(", ")})`)
  }
  const meaning: Array<Issue> = []
  validate(draft, (path, message) => void meaning.push({ path, message }))
  const { allowedFolders = [], baseDirectory } = options
  const read = yield* contents(draft, baseDirectory === undefined ? undefined : { baseDirectory, allowedFolders })
  const all = withoutConsequences(issues, [...meaning, ...read.issues])
  if (all.length > 0) return yield* invalid(all, place)
  // Nothing is missing any more: everything that a template needs was loaded.
  return { template: draft as Draft<Template> as Template, contents: read.contents, place }
})
