/**
 * The examples of the documents: every fence of TypeScript in the Markdown files and in the docstrings of `src`.
 *
 * A fence `ts` has to compile as a module. A fence `ts run` also has to run, and to print its comments `// => ...` line
 * by line. `scripts/smoke.ts` does both against the packed library.
 */
import { faultAt, type File, filesAt } from "./files.ts"

export interface Fence {
  readonly document: string
  /** Of the first line of code. */
  readonly line: number
  readonly code: string
  readonly runs: boolean
  /** Its expected output. */
  readonly output: ReadonlyArray<string>
}

export interface Fences {
  readonly fences: ReadonlyArray<Fence>
  readonly faults: ReadonlyArray<string>
}

const edge = /^\s*(`{3,})(.*)$/

/** The document's own lines, without the stars of a docstring; undefined for what is no text. */
const textLines = ({ path, text }: File): ReadonlyArray<string | undefined> => {
  const lines = text.split("\n")
  if (path.endsWith(".md")) return lines
  let inside = false
  return lines.map((line) => {
    const opens = /^\s*\/\*\*/.test(line)
    const prose = inside && !line.includes("*/") ? line.replace(/^\s*\* ?/, "") : undefined
    inside = (inside || opens) && !line.includes("*/")
    return prose
  })
}

const outputOf = (code: ReadonlyArray<string>): ReadonlyArray<string> =>
  code.flatMap((line) => /\/\/ => (.*)$/.exec(line)?.[1]?.trimEnd() ?? [])

const fencesOf = (file: File): Fences => {
  const fences: Array<Fence> = []
  const faults: Array<string> = []
  let open: { readonly ticks: string; readonly info: string; readonly line: number; code: Array<string> } | undefined
  const unclosed = () => {
    if (open !== undefined) faults.push(faultAt(file.path, open.line, "this fence is not closed"))
    open = undefined
  }
  for (const [index, line] of textLines(file).entries()) {
    if (line === undefined) {
      unclosed()
      continue
    }
    const [, ticks = "", info = ""] = edge.exec(line) ?? []
    if (open === undefined) {
      if (ticks !== "") open = { ticks, info: info.trim(), line: index + 1, code: [] }
    } else if (ticks.length < open.ticks.length || info.trim() !== "") {
      open.code.push(line)
    } else {
      const { code, info, line } = open
      const runs = info === "ts run"
      open = undefined
      if (info === "ts" || runs) {
        fences.push({ document: file.path, line: line + 1, code: code.join("\n"), runs, output: outputOf(code) })
      } else if (/^(?:ts|typescript|js|javascript)\b/i.test(info)) {
        faults.push(faultAt(file.path, line, `"${info}" is neither "ts" nor "ts run", and nothing would check it`))
      }
    }
  }
  unclosed()
  return { fences, faults }
}

/** Those of all documents. */
export const allFences = (): Fences => {
  const found = filesAt("*.md", "docs/**/*.md", "src/**/*.ts").map(fencesOf)
  return { fences: found.flatMap(({ fences }) => fences), faults: found.flatMap(({ faults }) => faults) }
}
