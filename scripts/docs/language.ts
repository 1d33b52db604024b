/**
 * Checks the language of everything that a person reads: no opening with a clause, none of the words that a reader has to
 * decode, no sentence over 30 words. CONTRIBUTING.md has the rule and the glossary.
 *
 *   node scripts/docs/language.ts [path...]     lists the findings in these files, or counts them per folder
 */
import { faultAt, type File, filesAt } from "./files.ts"
import { isGenerated } from "./generated.ts"
import { MESSAGES } from "./messages.ts"
import { type Prose, proseOf } from "./prose.ts"

const MOST_WORDS = 30

/** Sentences that are better than the rule allows, by file, with the reason. At most 20. */
const exceptions: ReadonlyArray<readonly [path: string, text: string, why: string]> = []
const MOST_EXCEPTIONS = 20

const instead: ReadonlyArray<readonly [words: RegExp, advice: string]> = [
  [
    /\bforeign\b|\bnobody'?s\b|\bsomebody else'?s\b/i,
    "not owned by this cluster; owned by another cluster; unlabelled"
  ],
  [/\b(?:told|tells?|telling|says so|as asked|asked for|asks for)\b/i, "reported, reports, requested"],
  [/\b(?:made|making)\b/i, "created, creating, built"],
  [
    /\b(?:stands?|goes with|go with|standing)\b|\bholds? (?:a|the|its|this|that) (?:name|place)\b/i,
    "is, belongs to, uses"
  ],
  [/\blook(?:s|ed|ing)?\b(?! up\b)/i, "list, final check, list again"],
  [/\bjudge(?:s|d|ment|ments)?\b|\bjudging\b/i, "diff, compare, validate"],
  [/\bby (?:itself|themselves)\b|\banew\b|\bmeanwhile\b|\bat large\b/i, "on its own, again, in the meantime, pending"],
  [/\bobey(?:s|ed|ing)?\b|\bdeaf\b|\btakes? the power\b|\bpower is taken\b/i, "shut down, ignores SIGTERM, powers off"],
  [/\bwish(?:es|ed)?\b|\bfarness\b|\bheard\b|\bdead\b(?! links?)/i, "requested, distance, onResponse, exited"],
  [/\bthe one table\b|\bno method here\b/i, "say it directly"]
]

const opening = /^(?:What|Whose|Where|Who|Whoever|Whatever|Of these|Of those|That (?:all|an?|every|no|the)|Which)\b/
const openingOfTitle = new RegExp(opening.source, "i")

const sentencesOf = (text: string): ReadonlyArray<string> => text.split(/(?<=[.!?])\s+(?=["'(]?[A-Z])/)

const findingsIn = ({ kind, text }: Prose): ReadonlyArray<string> => {
  const words = instead.flatMap(([pattern, advice]) => {
    const found = pattern.exec(text)
    return found === null ? [] : [`"${found[0]}": write ${advice}`]
  })
  const sentences = sentencesOf(text).flatMap((sentence) => {
    // A message may be the end of a sentence.
    const pattern = kind === "message" ? opening : openingOfTitle
    const opens = kind !== "heading" && !sentence.endsWith("?") ? pattern.exec(sentence)?.[0] : undefined
    const count = sentence.split(/\s+/).filter((word) => /\w/.test(word)).length
    return [
      ...opens === undefined ? [] : [`a sentence opens with "${opens}"; begin with its subject`],
      ...count <= MOST_WORDS ? [] : [`a sentence of ${count} words: "${sentence.slice(0, 40)}..."`]
    ]
  })
  return [...words, ...sentences]
}

interface Finding {
  readonly path: string
  readonly fault: string
}

const findings = (file: File): ReadonlyArray<Finding> =>
  proseOf(file).flatMap((prose) => {
    if (exceptions.some(([path, text]) => path === file.path && prose.text.includes(text))) return []
    return findingsIn(prose).map((what) => ({ path: file.path, fault: faultAt(file.path, prose.line, what) }))
  })

const files = () =>
  filesAt("*.md", "docs/**/*.md", ...["src", "test", "scripts", "examples", "bench"].map((name) => `${name}/**/*.ts`))
    .filter(({ path }) => !isGenerated(path) && path !== MESSAGES && !path.includes("node_modules"))

const unusedExceptions = (all: ReadonlyArray<File>): ReadonlyArray<string> =>
  exceptions.flatMap(([path, text]) => {
    const file = all.find((each) => each.path === path)
    const used = file !== undefined && proseOf(file).some((prose) => prose.text.includes(text))
    return used ? [] : [`scripts/docs/language.ts: the exception "${text}" is not in ${path}`]
  })

export const checkLanguage = (): ReadonlyArray<string> => {
  const all = files()
  return [
    ...exceptions.length > MOST_EXCEPTIONS ? [`scripts/docs/language.ts: more than ${MOST_EXCEPTIONS} exceptions`] : [],
    ...unusedExceptions(all),
    ...all.flatMap(findings).map(({ fault }) => fault)
  ]
}

const report = (wanted: ReadonlyArray<string>): string => {
  const all = files().filter(({ path }) => wanted.length === 0 || wanted.some((start) => path.startsWith(start)))
    .flatMap(findings)
  if (wanted.length > 0) return all.map(({ fault }) => fault).join("\n")
  const counts = new Map<string, number>()
  for (const { path } of all) {
    const folder = path.split("/").slice(0, -1).slice(0, 3).join("/") || path
    counts.set(folder, (counts.get(folder) ?? 0) + 1)
  }
  return [...counts].toSorted(([, one], [, other]) => other - one)
    .map(([folder, count]) => `${String(count).padStart(5)} ${folder}`).concat(
      `${String(all.length).padStart(5)} in all`
    )
    .join("\n")
}

if (import.meta.main) process.stdout.write(`${report(process.argv.slice(2))}\n`)
