/**
 * Checks the references of the documents: files, headings, npm scripts, and the version in the changelog.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, posix } from "node:path"
import { ROOT } from "../lib/pack.ts"
import { faultAt, type File, filesAt, lineAt } from "./files.ts"

const link = /\]\(<?([^)\s>]+)>?[^)]*\)/g
/** Paths of our own folders, wherever they are named; with X or x they are an example of a backend to come. */
const ownPath = /(?<![\w./@-])(?:src|test|scripts|bench|examples)\/[\w./-]*\w/g
const placeholder = /\/x(?:\/|$|\.ts$)/i
const npmRun = /\bnpm run ([\w:-]+)/g

/** The anchor that a Markdown viewer makes of a heading. */
const anchorOf = (heading: string): string =>
  heading.toLowerCase().replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(/\s/g, "-")

const anchorsOf = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/^#{1,6} (.*)$/gm)].map(([, heading = ""]) => anchorOf(heading))

const linkFault = (from: string, target: string): string | undefined => {
  if (/^[a-z]+:/.test(target)) return undefined
  const [file = "", anchor] = target.split("#")
  const path = file === "" ? from : posix.join(posix.dirname(from), decodeURI(file))
  if (!existsSync(join(ROOT, path))) return `the link to ${target} leads nowhere`
  if (anchor === undefined || !path.endsWith(".md")) return undefined
  return anchorsOf(readFileSync(join(ROOT, path), "utf8")).includes(anchor) ? undefined : `${path} has no #${anchor}`
}

const manifest = () =>
  JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    readonly version: string
    readonly scripts: Readonly<Record<string, string>>
  }

const referenceFaults = ({ path, text }: File): ReadonlyArray<string> => {
  const { scripts } = manifest()
  const faultsOf = (
    pattern: RegExp,
    pick: (match: RegExpExecArray) => string,
    judge: (name: string) => string | undefined
  ) =>
    [...text.matchAll(pattern)].flatMap((match) => {
      const fault = judge(pick(match))
      return fault === undefined ? [] : [faultAt(path, lineAt(text, match.index), fault)]
    })
  const captured = (match: RegExpExecArray) => match[1] ?? ""
  return [
    ...faultsOf(link, captured, (target) => linkFault(path, target)),
    ...faultsOf(
      ownPath,
      ([whole]) => whole,
      (name) => placeholder.test(name) || existsSync(join(ROOT, name)) ? undefined : `there is no ${name}`
    ),
    ...faultsOf(npmRun, captured, (name) => name in scripts ? undefined : `package.json has no script "${name}"`)
  ]
}

const changelogFaults = (): ReadonlyArray<string> => {
  const { version } = manifest()
  const named = filesAt("CHANGELOG.md").some(({ text }) =>
    [...text.matchAll(/^## \[?v?([^\s\]]+)/gm)].some(([, heading]) => heading === version)
  )
  return named ? [] : [`CHANGELOG.md: no heading for version ${version} of package.json`]
}

/** CONTRIBUTING.md draws a tree of the project. It has everything at the top of the project and of `src`. */
const treeFaults = (): ReadonlyArray<string> => {
  const tree = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8").split("\n").filter((line) => /^ {4}/.test(line))
  const drawn = new Set(tree.flatMap((line) => line.match(/(?<=^\s*|\s{2})[\w.-]+(?:\/|\.ts)(?=\s|$)/g) ?? []))
  const inSrc = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter(({ name }) => name !== "index.ts")
    .map((entry) => entry.isDirectory() ? `${entry.name}/` : entry.name)
  const atTop = ["src/", "test/", "examples/", "bench/", "scripts/"].filter((name) => existsSync(join(ROOT, name)))
  return [...atTop, ...inSrc].filter((name) => !drawn.has(name))
    .map((name) => `CONTRIBUTING.md: its tree does not show ${name}`)
}

export const checkReferences = (): ReadonlyArray<string> => [
  ...filesAt("*.md", "docs/**/*.md").flatMap(referenceFaults),
  ...changelogFaults(),
  ...treeFaults()
]
