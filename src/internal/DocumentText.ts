/**
 * Reads YAML documents and knows the position of each value in the text.
 *
 * Text from outside is bounded: its size and its aliases. Duplicate keys and tabs are issues. The `yaml`
 * library is loaded when a text is read.
 */
import * as Effect from "effect/Effect"
import type * as Yaml from "yaml"
import { loadPackage } from "./LoadPackage.ts"
import type { Path } from "./SpecIssues.ts"

const maxBytes = 1024 * 1024
const maxAliases = 100
const maxIssues = 50

/** One document of a text. `offset` is where a path begins, or the nearest thing around it. */
export interface TextDocument {
  readonly value: unknown
  /** From the first character of the document to its last. */
  readonly range: readonly [start: number, end: number]
  readonly offset: (path: Path) => number
}

interface TextIssue {
  readonly offset: number
  readonly message: string
}

export interface DocumentText {
  readonly documents: ReadonlyArray<TextDocument>
  readonly issues: ReadonlyArray<TextIssue>
  /** `line:column`, both from 1. */
  readonly position: (offset: number) => string
}

export const loadYaml: Effect.Effect<typeof Yaml> = Effect.promise(() => loadPackage<typeof Yaml>("yaml"))

/** A key may have dots, as labels do, and a path is joined by dots. */
const pairAt = (yaml: typeof Yaml, map: Yaml.YAMLMap, path: Path, from: number) => {
  for (let to = path.length; to > from; to--) {
    const wanted = path.slice(from, to).join(".")
    const pair = map.items.find(({ key }) => String(yaml.isScalar(key) ? key.value : key) === wanted)
    if (pair !== undefined) return { pair, next: to }
  }
  return undefined
}

const offsetOf = (yaml: typeof Yaml, document: Yaml.Document.Parsed, path: Path): number => {
  let node: unknown = document.contents
  let offset = document.contents?.range?.[0] ?? document.range[0]
  let index = 0
  while (index < path.length) {
    const from = yaml.isAlias(node) ? node.resolve(document) : node
    const part = path[index]
    if (yaml.isMap(from)) {
      const found = pairAt(yaml, from, path, index)
      if (found === undefined) return offset
      const { key, value } = found.pair
      if (yaml.isNode(key) && key.range) offset = key.range[0]
      node = value
      index = found.next
    } else if (yaml.isSeq(from) && typeof part === "number") {
      node = from.items[part]
      if (yaml.isNode(node) && node.range) offset = node.range[0]
      index++
    } else return offset
  }
  return offset
}

const single = (message: string): DocumentText => ({
  documents: [],
  issues: [{ offset: 0, message }],
  position: () => "1:1"
})

/** The parser calls itself for each level of nesting, so that a deep text ends its stack. */
const parseAll = (
  yaml: typeof Yaml,
  text: string,
  lineCounter: Yaml.LineCounter
): ReadonlyArray<Yaml.Document.Parsed> | undefined => {
  try {
    const parsed = yaml.parseAllDocuments(text, { merge: true, prettyErrors: false, logLevel: "silent", lineCounter })
    return Array.isArray(parsed) ? parsed : []
  } catch {
    return undefined
  }
}

/** Reads all documents of a text. It never fails: what is wrong is in `issues`. */
export const readText = Effect.fnUntraced(function*(text: string): Effect.fn.Return<DocumentText> {
  const size = new TextEncoder().encode(text).length
  if (size > maxBytes) return single(`the text has ${size} bytes, at most ${maxBytes} are allowed`)
  const yaml = yield* loadYaml
  const lines = new yaml.LineCounter()
  const all = yield* Effect.sync(() => parseAll(yaml, text, lines))
  if (all === undefined) return single("the text is nested too deeply")
  const issues: Array<TextIssue> = []
  const documents: Array<TextDocument> = []
  for (const document of all) {
    const start = document.contents?.range?.[0] ?? document.range[0]
    for (const problem of [...document.errors, ...document.warnings]) {
      const message = /call stack/.test(problem.message)
        ? "the text is nested too deeply"
        : problem.message.split("\n")[0] ?? problem.message
      // A broken text repeats itself.
      const isReported = issues.some((each) => each.offset === problem.pos[0] && each.message === message)
      if (!isReported && issues.length < maxIssues) issues.push({ offset: problem.pos[0], message })
    }
    // Values of a broken document are not what its author meant.
    if (document.errors.length > 0) continue
    try {
      const value: unknown = document.toJS({ maxAliasCount: maxAliases })
      if (value === null || value === undefined) continue
      documents.push({
        value,
        range: [document.range[0], document.range[2]],
        offset: (path) => offsetOf(yaml, document, path)
      })
    } catch (cause) {
      issues.push({ offset: start, message: cause instanceof Error ? cause.message : "the document cannot be read" })
    }
  }
  return {
    documents,
    issues,
    position: (offset) => {
      const { col, line } = lines.linePos(offset)
      return `${line}:${col}`
    }
  }
})
