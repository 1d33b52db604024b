/**
 * Collects the prose of a file: paragraphs of Markdown, comments, messages and test titles, each with its line.
 *
 * Code spans become `CODE` and quoted text becomes `QUOTE`, so that words of programs and of backends are not checked.
 */
import { type Node as Syntax, parseSync, visitorKeys } from "oxc-parser"
import { type File, lineAt } from "./files.ts"

export interface Prose {
  readonly line: number
  readonly text: string
  readonly kind: "paragraph" | "heading" | "comment" | "message" | "title"
}

const plain = (text: string): string =>
  text
    .replaceAll(/<!--[\s\S]*?-->/g, " ")
    .replaceAll(/(`+)[^`][\s\S]*?\1/g, "CODE")
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/\{@\w+ ([^}]*)\}/g, "CODE")
    .replaceAll(/"[^"]*"/g, "QUOTE")
    .replaceAll(/\*\*|<[^>\n]*>/g, "")
    .replaceAll(/\s+/g, " ")
    .trim()

/** Paragraphs, items of lists and cells of tables. */
const markdownProse = (text: string, first: number, kind: "paragraph" | "comment"): ReadonlyArray<Prose> => {
  const found: Array<Prose> = []
  let open: { line: number; lines: Array<string> } | undefined
  let fence: string | undefined
  const close = () => {
    if (open !== undefined) found.push({ line: open.line, text: plain(open.lines.join(" ")), kind })
    open = undefined
  }
  for (const [index, raw] of text.split("\n").entries()) {
    const line = first + index
    const ticks = /^\s*(`{3,})/.exec(raw)?.[1]
    if (fence !== undefined) {
      if (ticks !== undefined && ticks.length >= fence.length) fence = undefined
      continue
    }
    if (ticks !== undefined) {
      close()
      fence = ticks
      continue
    }
    if (/^\s*$/.test(raw) || /^ {4}/.test(raw) && open === undefined) {
      close()
      continue
    }
    if (/^#+ /.test(raw)) {
      close()
      found.push({ line, text: plain(raw.replace(/^#+ /, "")), kind: "heading" })
      continue
    }
    if (/^\s*\|/.test(raw)) {
      close()
      const cells = raw.replaceAll(/`[^`]*`/g, "CODE").split(/(?<!\\)\|/).map(plain)
      for (const cell of cells) if (!/^[-: ]*$/.test(cell)) found.push({ line, text: cell, kind })
      continue
    }
    const item = /^\s*(?:[-*•]|\d+\.|@\w+)\s+(.*)$/.exec(raw)
    if (item !== null) close()
    open ??= { line, lines: [] }
    open.lines.push(item?.[1] ?? raw)
  }
  close()
  return found.filter(({ text }) => text !== "")
}

interface Comment {
  readonly type: "Line" | "Block"
  readonly value: string
  readonly start: number
  readonly end: number
}

const commentProse = (source: string, comments: ReadonlyArray<Comment>): ReadonlyArray<Prose> => {
  const joined: Array<{ line: number; text: string; end: number }> = []
  for (const { end, start, type, value } of comments) {
    const line = lineAt(source, start)
    const last = joined.at(-1)
    if (type === "Block") {
      joined.push({ line, text: value.replace(/^\*/, "").replaceAll(/^[ \t]*\* ?/gm, ""), end })
    } else if (
      last !== undefined && /^\s*$/.test(source.slice(last.end, start)) && lineAt(source, last.end) + 1 === line
    ) {
      last.text += `\n${value.trim()}`
      last.end = end
    } else {
      joined.push({ line, text: value.trim(), end })
    }
  }
  const prose = joined.filter(({ text }) => !/^\s*(?:=>|@ts-|oxlint-|eslint-|#__|@__|v8 ignore)/.test(text))
  return prose.flatMap(({ line, text }) => markdownProse(text, line, "comment"))
}

const titleCalls = /^(?:it|test)\b/

const wordsOf = (node: Syntax): string | undefined => {
  if (node.type === "Literal") return typeof node.value === "string" ? node.value : undefined
  if (node.type === "TemplateLiteral") return node.quasis.map(({ value }) => value.cooked ?? value.raw).join("CODE")
  return undefined
}

/** At least three words, two of them in lower case: no name, no header, no path, no script of several lines. */
const isSentence = (text: string): boolean =>
  text.split("\n").length < 4 && !/^\s*(?:SELECT|UPDATE|INSERT|DELETE|CREATE|DROP) /.test(text) &&
  text.trim().split(/\s+/).length >= 3 && (text.match(/(?<![\w.\-/=:])[a-z]{2,}(?![\w=/])/g) ?? []).length >= 2

/** Visits a node and, if `enter` returns true, its children. Modules are not imported by sentences. */
const visitSyntax = (
  node: Syntax,
  enter: (node: Syntax, isTitle: boolean) => boolean,
  source = "",
  isTitle = false
) => {
  if (node.type === "ImportDeclaration" || node.type === "ImportExpression" || !enter(node, isTitle)) return
  const titled = node.type === "CallExpression" && titleCalls.test(source.slice(node.callee.start, node.callee.end))
  for (const key of visitorKeys[node.type] ?? []) {
    const child = (node as unknown as Record<string, unknown>)[key]
    for (const [index, each] of (Array.isArray(child) ? child : [child]).entries()) {
      if (each !== null && typeof each === "object") {
        visitSyntax(each as Syntax, enter, source, titled && key === "arguments" && index === 0)
      }
    }
  }
}

const stringProse = (source: string, program: Syntax, only: "titles" | "all"): ReadonlyArray<Prose> => {
  const found: Array<Prose> = []
  visitSyntax(program, (node, isTitle) => {
    const text = wordsOf(node)
    if (text !== undefined && (isTitle || only === "all" && isSentence(text))) {
      found.push({ line: lineAt(source, node.start), text: plain(text), kind: isTitle ? "title" : "message" })
    }
    return true
  }, source)
  return found
}

/** The text of strings that are joined with `+`, with `{name}` in place of each expression. */
const messageText = (source: string, node: Syntax): string | undefined => {
  if (node.type === "Literal") return typeof node.value === "string" ? node.value : undefined
  if (node.type === "TemplateLiteral") {
    return node.quasis.map(({ value }, index) => {
      const hole = node.expressions[index]
      return (value.cooked ?? value.raw) + (hole === undefined ? "" : `{${nameOf(source, hole)}}`)
    }).join("")
  }
  if (node.type !== "BinaryExpression" || node.operator !== "+") return undefined
  const left = messageText(source, node.left)
  const right = messageText(source, node.right)
  return left === undefined && right === undefined
    ? undefined
    : `${left ?? `{${nameOf(source, node.left)}}`}${right ?? `{${nameOf(source, node.right)}}`}`
}

const nameOf = (source: string, { end, start }: Syntax): string =>
  /([A-Za-z]\w*)(?:\(\))?$/.exec(source.slice(start, end))?.[1] ?? "..."

/** The sentences that a program can show to a person, in the order of the file. */
export const messagesOf = ({ path, text }: File): ReadonlyArray<string> => {
  const found: Array<string> = []
  visitSyntax(parseSync(path, text).program, (node) => {
    const message = messageText(text, node)
    if (message === undefined || !isSentence(message)) return true
    found.push(message.replaceAll(/\s+/g, " ").trim())
    // Of a template only the expressions can have more messages.
    return node.type === "TemplateLiteral"
  })
  return [...new Set(found)]
}

/** Servers and their fakes speak in words of their own; in tests only the titles are ours. */
const strings = (path: string): "titles" | "all" =>
  /^test\/|^src\/testing\/(?:docker|hetzner|omni|simulation)\//.test(path) ? "titles" : "all"

export const proseOf = ({ path, text }: File): ReadonlyArray<Prose> => {
  if (path.endsWith(".md")) return markdownProse(text, 1, "paragraph")
  const { comments, program } = parseSync(path, text)
  return [...commentProse(text, comments), ...stringProse(text, program, strings(path))]
}
