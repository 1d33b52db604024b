/**
 * The pages of the site: the documents, the examples, and one page of reference for each public module.
 */
import { readFileSync } from "node:fs"
import { join, posix } from "node:path"
import { moduleName, publicModules, referenceOf } from "../docs/api.ts"
import { filesAt } from "../docs/files.ts"
import { ROOT } from "../lib/pack.ts"

export interface Page {
  readonly path: string
  readonly title: string
  readonly group: "guide" | "reference" | "other"
  readonly text: string
}

/** The order of the guide; documents that are not named here follow. */
const order = [
  "getting-started",
  "docker",
  "hetzner",
  "omni",
  "memory-and-mock",
  "errors",
  "policies",
  "plan-and-apply",
  "scripts",
  "testing",
  "cli",
  "adding-a-backend",
  "security",
  "compatibility",
  "runtimes"
]

const titleOf = (text: string, path: string): string => /^# (.*)$/m.exec(text)?.[1]?.replaceAll("`", "") ?? path

/** Braces of a document are no template of the site, and a fence of code has one word as its language. */
const body = (text: string): string =>
  text.split(/(^```[\s\S]*?^```$|``[^`][\s\S]*?``|`[^`\n]*`)/m)
    .map((part, index) => {
      if (index % 2 === 0) return part.replaceAll("{{", "&#123;&#123;").replaceAll(/<(?!!--)/g, "&lt;")
      if (part.startsWith("```")) return part.replace(/^```ts run/, "```ts")
      return part.includes("{{") || part.includes("<")
        ? `<code v-pre>${part.replace(/^`+ ?| ?`+$/g, "").replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</code>`
        : part
    }).join("")

/** The site has examples as pages. */
const links = (text: string): string =>
  text.replaceAll(
    /\]\(((?:\.\.\/)*)examples(?:\/([\w-]+)\.ts)?\)/g,
    (_, up: string, name?: string) => `](${up}examples/${name ?? "index"}.md)`
  )

const page = (path: string, group: Page["group"], text: string): Page => ({
  path,
  group,
  title: titleOf(text, path),
  text: `${links(body(text))}\n`
})

const rank = (path: string): number => {
  const index = order.indexOf(posix.basename(path, ".md"))
  return index === -1 ? order.length : index
}

export const pages = (): ReadonlyArray<Page> => {
  const guide = filesAt("docs/*.md").toSorted((one, other) => rank(one.path) - rank(other.path))
    .map(({ path, text }) => page(path, "guide", text))
  const examples = filesAt("examples/*.ts").map(({ path, text }) =>
    page(path.replace(/\.ts$/, ".md"), "other", `# ${posix.basename(path)}\n\n\`\`\`ts\n${text}\`\`\`\n`)
  )
  const list = examples.map(({ path, title }) => `- [${title}](${posix.basename(path)})`).join("\n")
  const read = (path: string) => readFileSync(join(ROOT, path), "utf8")
  return [
    page("index.md", "other", read("README.md").replace("# kubelayer", "# kubelayer {#kubelayer}")),
    page("CONTRIBUTING.md", "other", read("CONTRIBUTING.md")),
    page("CHANGELOG.md", "other", read("CHANGELOG.md")),
    ...guide,
    page("examples/index.md", "guide", `# Examples\n\n${list}\n`),
    ...examples
  ]
}

export const referencePages = (declarations: string): ReadonlyArray<Page> =>
  publicModules().map((module) => {
    const entries = referenceOf(declarations, module)
    const sections = entries.map(({ declaration, docs, name }) =>
      `## ${name}\n\n${docs}\n\n\`\`\`ts\n${declaration}\n\`\`\`\n`
    )
    return page(
      `reference/${module.replaceAll("/", ".")}.md`,
      "reference",
      `# ${moduleName(module)}\n\n${sections.join("\n")}`
    )
  })
