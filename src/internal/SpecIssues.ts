/**
 * Turns the issues of a Schema into the issues of an `InvalidSpec`: one plain sentence for each field.
 *
 * The annotation `expected` of a Schema describes a valid value, such as "an integer from 1 to 1000". Unknown fields and
 * unknown words of a fixed list name the nearest known one. Values are quoted only where they cannot be secret.
 */
import type * as SchemaAST from "effect/SchemaAST"
import type * as SchemaIssue from "effect/SchemaIssue"
import { didYouMean } from "./Suggest.ts"

/** From the root of the spec: `["nodes", "ports", 0, "container"]`. */
export type Path = ReadonlyArray<string | number>

export interface SpecIssue {
  readonly path: Path
  readonly message: string
}

/** `nodes.ports[0].container`. Keys that are no plain words are quoted. */
export const dotted = (path: Path): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`
    const key = /^[\w./-]+$/.test(part) ? part : JSON.stringify(part)
    return text === "" ? key : `${text}.${key}`
  }, "")

/** An issue for each field of a record that is not known, with the nearest known one. */
export const unknownFields = (
  record: object,
  known: ReadonlyArray<string>,
  prefix = ""
): ReadonlyArray<{ readonly path: string; readonly message: string }> =>
  Object.entries(record).flatMap(([key, value]) =>
    value === undefined || known.includes(key)
      ? []
      : [{ path: `${prefix}${dotted([key])}`, message: `unknown field${didYouMean(key, known)}` }]
  )

const valueAt = (input: unknown, path: Path): unknown =>
  path.reduce<unknown>(
    (value, part) =>
      typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[part] : undefined,
    input
  )

const maxShown = 60

/** A value from outside on one line; `a mapping` and `a list` for what has no short form. */
const shownValue = (value: unknown): string => {
  if (value === null || value === undefined) return "nothing"
  if (Array.isArray(value)) return "a list"
  if (typeof value === "object") return "a mapping"
  if (typeof value !== "string") return String(value)
  const cut = value.length > maxShown ? `${value.slice(0, maxShown)}…` : value
  return JSON.stringify(cut.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, "\u{FFFD}"))
}

const typeNames: { readonly [tag in string]?: string } = {
  String: "text",
  Number: "a number",
  Boolean: "true or false",
  Arrays: "a list",
  Objects: "a mapping"
}

const text = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/** The value that a Schema expects, in words. */
const expectedBy = (ast: SchemaAST.AST): string => {
  const annotated = text(ast.annotations?.["expected"])
  if (annotated !== undefined) return annotated
  if (ast._tag === "Literal") return JSON.stringify(ast.literal)
  if (ast._tag === "Union") return listed(ast.types.map(expectedBy))
  return typeNames[ast._tag] ?? "another value"
}

const listed = (words: ReadonlyArray<string>): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`

const isSecret = (ast: SchemaAST.AST): boolean => ast.annotations?.["secret"] === true

const literalsOf = (ast: SchemaAST.AST): ReadonlyArray<string> =>
  ast._tag === "Literal"
    ? typeof ast.literal === "string" ? [ast.literal] : []
    : ast._tag === "Union"
    ? ast.types.flatMap(literalsOf)
    : []

const mustBe = (ast: SchemaAST.AST, value: unknown): string => {
  const message = `must be ${expectedBy(ast)}`
  if (isSecret(ast)) return message
  const words = literalsOf(ast)
  const near = typeof value === "string" && words.length > 0 ? didYouMean(value, words) : ""
  return `${message}, got ${shownValue(value)}${near}`
}

/** All issues, in the order of the Schema's fields. `input` is the value that was decoded. */
export const specIssues = (issue: SchemaIssue.Issue, input: unknown): ReadonlyArray<SpecIssue> => {
  const found: Array<SpecIssue> = []
  const add = (path: Path, message: string) => {
    const at = dotted(path)
    if (!found.some((each) => each.message === message && dotted(each.path) === at)) found.push({ path, message })
  }

  const walk = (current: SchemaIssue.Issue, path: Path): void => {
    switch (current._tag) {
      case "Pointer":
        return walk(current.issue, [...path, ...current.path.filter((part) => typeof part !== "symbol")])
      case "Encoding":
        return walk(current.issue, path)
      case "Composite":
        return current.issues.forEach((each) => walk(each, path))
      case "Filter": {
        const message = text(current.filter.annotations?.["message"])
        if (message !== undefined) return add(path, message)
        const expected = text(current.filter.annotations?.["expected"])
        if (expected !== undefined) return add(path, `must be ${expected}, got ${shownValue(valueAt(input, path))}`)
        return walk(current.issue, path)
      }
      case "MissingKey":
        return add(path, "is required")
      case "UnexpectedKey": {
        const name = String(path.at(-1) ?? "")
        const known = current.ast._tag === "Objects"
          ? current.ast.propertySignatures.map((signature) => String(signature.name))
          : []
        return add(path, `unknown field${didYouMean(name, known)}`)
      }
      case "AnyOf": {
        // Only one member accepts this type, so its issues are more precise than the list of members.
        const [only, ...others] = current.issues
        if (only !== undefined && others.length === 0) return walk(only, path)
        return add(path, mustBe(current.ast, valueAt(input, path)))
      }
      case "OneOf":
      case "InvalidType":
        return add(path, mustBe(current.ast, valueAt(input, path)))
      case "InvalidValue":
      case "Forbidden":
        return add(path, text(current.annotations?.["message"]) ?? "is not allowed")
    }
  }
  walk(issue, [])
  return found
}
