/**
 * Checks that every module begins with a comment about its purpose.
 */
import { faultAt, type File, filesAt } from "./files.ts"
import { isGenerated } from "./generated.ts"

/** Lines of a header in `src`, its delimiters included, without its examples and lists. */
const MOST = 12

const sentence = /\w+\W+\w+[\s\S]*[.:?!](?:\s|$)/

const proseOf = (comment: string): string =>
  comment.replace(/^\/\*+|\*\/$/g, "").replaceAll(/^\s*\*+ ?/gm, "").replaceAll(/^\s*@.*$/gm, "").trim()

const headerFault = ({ path, text }: File): string | undefined => {
  const [, first = "", header, next = ""] = /^((?:#!.*\n)?)(\/\*[\s\S]*?\*\/)\n?(.*)/.exec(text) ?? []
  const line = first === "" ? 1 : 2
  if (header === undefined) return faultAt(path, 1, "the module does not begin with a comment that says what it is for")
  if (!sentence.test(proseOf(header))) return faultAt(path, line, "the module's header has no sentence")
  if (next !== "" && !/^(?:import\b|export (?:type )?[{*])/.test(next)) {
    return faultAt(path, line, "the first comment belongs to the declaration below it; the module has no header")
  }
  const prose = header.replaceAll(/ \* (\*\*Example[^\n]*\n \*\n \* )?```[\s\S]*?```\n(?: \*\n)?/g, "")
    .replaceAll(/ \* - .*\n(?: \*  .*\n)*/g, "")
  const lines = prose.split("\n").length
  return path.startsWith("src/") && lines > MOST
    ? faultAt(path, line, `the header of the module has ${lines} lines; at most ${MOST} are allowed in src`)
    : undefined
}

export const checkHeaders = () => {
  // Generated files have one line that says that they are generated.
  const files = filesAt("src/**/*.ts", "scripts/**/*.ts", "bench/**/*.ts").filter(({ path }) => !isGenerated(path))
  return { checked: files.length, faults: files.flatMap((file) => headerFault(file) ?? []) }
}
