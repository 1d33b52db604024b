/**
 * Generates `api/`: one text file a public module with the declarations of its exports, without comments.
 *
 * A change of the public types is then a change of a file. Declarations that a module exports from a private one are
 * copied from there.
 */
import * as Effect from "effect/Effect"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join, posix } from "node:path"
import { type Node as Syntax, parseSync } from "oxc-parser"
import { runOrFail } from "../lib/exec.ts"
import { ROOT } from "../lib/pack.ts"
import { temporaryDirectory } from "../lib/temporary.ts"
import { filesAt } from "./files.ts"

interface Source {
  readonly text: string
  readonly body: ReadonlyArray<Syntax>
  readonly comments: ReadonlyArray<{ readonly start: number; readonly end: number }>
}

/** The public modules of package.json as paths without extension, such as `layers/Docker`. */
export const publicModules = (): ReadonlyArray<string> => {
  const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    readonly exports: Readonly<Record<string, string>>
  }
  return Object.values(exports).flatMap((target) => {
    const [, name] = /^\.\/dist\/(.*)\.js$/.exec(target) ?? []
    if (name === undefined) return []
    return name.includes("*")
      ? filesAt(`src/${name}.ts`).map(({ path }) => path.slice("src/".length, -".ts".length))
      : [name]
  }).toSorted()
}

const reader = (directory: string) => {
  const cache = new Map<string, Source>()
  return (module: string): Source => {
    const known = cache.get(module)
    if (known !== undefined) return known
    const text = readFileSync(join(directory, `${module}.d.ts`), "utf8")
    const { comments, program } = parseSync(`${module}.d.ts`, text)
    const source = { text, comments, body: program.body }
    cache.set(module, source)
    return source
  }
}

/** The text of a node without the comments in it. */
const textOf = ({ comments, text }: Source, { end, start }: Syntax): string => {
  let result = ""
  let at = start
  for (const comment of comments) {
    if (comment.start < at || comment.end > end) continue
    result += text.slice(at, comment.start)
    at = comment.end
  }
  return (result + text.slice(at, end)).split("\n").map((line) => line.trimEnd()).filter((line) => line !== "").join(
    "\n"
  )
}

const nameOf = (node: Syntax): string =>
  node.type === "Identifier" ? node.name : node.type === "Literal" ? String(node.value) : ""

/** The names that a declaration declares. */
const declaredBy = (declaration: Syntax): ReadonlyArray<string> => {
  if (declaration.type === "VariableDeclaration") {
    return declaration.declarations.map(({ id }) => id.type === "Identifier" ? id.name : "")
  }
  const id = (declaration as { readonly id?: Syntax | null }).id
  return id === undefined || id === null ? [] : [nameOf(id)]
}

const resolve = (from: string, specifier: string): string =>
  posix.normalize(posix.join(posix.dirname(from), specifier)).replace(/\.(?:js|ts)$/, "")

/** The compiler declares the base of a class as a constant, if the base is an expression. */
const baseOf = (source: Source, name: string): ReadonlyArray<string> =>
  source.body.filter((statement) => declaredBy(statement).includes(`${name}_base`))
    .map((statement) => textOf(source, statement))

type Read = (module: string) => Source

/** All declarations of a name in a module, also where it exports them from another one. */
const declarationsOf = (read: Read, module: string, name: string): ReadonlyArray<string> => {
  const source = read(module)
  return source.body.flatMap((statement): ReadonlyArray<string> => {
    const exported = statement.type === "ExportNamedDeclaration" ? statement.declaration : undefined
    const declaration = exported ?? statement
    if (exported !== null && declaredBy(declaration).includes(name)) {
      return [...baseOf(source, name), textOf(source, declaration)]
    }
    if (statement.type !== "ExportNamedDeclaration" || statement.source === null) return []
    return statement.specifiers.flatMap((one) =>
      nameOf(one.exported) === name && statement.source?.value.startsWith(".")
        ? declarationsOf(read, resolve(module, statement.source.value), nameOf(one.local))
        : []
    )
  })
}

/** The exports of a module by name. */
const exportsOf = (read: Read, module: string): ReadonlyMap<string, string> => {
  const source = read(module)
  const found = new Map<string, string>()
  const add = (name: string, text: string) => found.set(name, [found.get(name), text].filter(Boolean).join("\n"))
  for (const statement of source.body) {
    if (statement.type === "ExportAllDeclaration") {
      const target = resolve(module, statement.source.value)
      if (statement.exported === null) { for (const [name, text] of exportsOf(read, target)) add(name, text) }
      else add(nameOf(statement.exported), `* as ${nameOf(statement.exported)} from "${target}"`)
    } else if (statement.type === "ExportNamedDeclaration" && statement.declaration !== null) {
      for (const name of declaredBy(statement.declaration)) {
        for (const text of [...baseOf(source, name), textOf(source, statement.declaration)]) add(name, text)
      }
    } else if (statement.type === "ExportNamedDeclaration") {
      const from = statement.source === null ? module : resolve(module, statement.source.value)
      for (const one of statement.specifiers) {
        const name = nameOf(one.exported)
        const texts = declarationsOf(read, from, nameOf(one.local))
        add(
          name,
          texts.length === 0 ? `export { ${nameOf(one.local)} } from "${from}"` : [...new Set(texts)].join("\n")
        )
      }
    }
  }
  return found
}

/** The name of a module as it is imported. */
export const moduleName = (module: string): string =>
  module === "index" ? "kubelayer" : `kubelayer/${module.replace(/\/index$/, "")}`

const docsBefore = ({ comments, text }: Source, start: number): string => {
  const comment = comments.findLast(({ end, start: begin }) =>
    end <= start && text.startsWith("/**", begin) && /^\s*(?:export |declare )*$/.test(text.slice(end, start))
  )
  if (comment === undefined) return ""
  return text.slice(comment.start + 3, comment.end - 2).replaceAll(/^[ \t]*\* ?/gm, "")
    .replaceAll(/^ *@(?:category|since|internal)\b.*$|@(?:category|since) \S+/gm, "")
    .replaceAll(/\{@link ([^}]*)\}/g, "`$1`").trim()
}

/** The docstring of an export, wherever it is declared. */
const docsOf = (read: Read, module: string, name: string): string => {
  const source = read(module)
  for (const statement of source.body) {
    const exported = statement.type === "ExportNamedDeclaration" ? statement.declaration : undefined
    const declaration = exported ?? statement
    if (exported !== null && declaredBy(declaration).includes(name)) {
      const docs = docsBefore(source, statement.start)
      if (docs !== "") return docs
    } else if (statement.type === "ExportNamedDeclaration" && statement.source?.value.startsWith(".")) {
      const one = statement.specifiers.find(({ exported: each }) => nameOf(each) === name)
      if (one !== undefined) return docsOf(read, resolve(module, statement.source.value), nameOf(one.local))
    }
  }
  return ""
}

/** The exports of a module with their docstrings, from the declarations of the compiler. */
export const referenceOf = (declarations: string, module: string) => {
  const read = reader(declarations)
  return [...exportsOf(read, module)].toSorted(([one], [other]) => one < other ? -1 : 1)
    .map(([name, declaration]) => ({ name, declaration, docs: docsOf(read, module, name) }))
}

/** The text files of `api/` from the declarations that the compiler has written into a folder. */
const renderApi = (declarations: string): ReadonlyArray<{ readonly path: string; readonly text: string }> => {
  const read = reader(declarations)
  return publicModules().map((module) => {
    const entries = [...exportsOf(read, module)].toSorted(([one], [other]) => one < other ? -1 : 1)
    return {
      path: `api/${module.replaceAll("/", ".")}.txt`,
      text: `# ${moduleName(module)}\n\n${entries.map(([, text]) => text).join("\n\n")}\n`
    }
  })
}

/** Checks that `api/` is as the code has it, or writes it so. */
export const checkApi = Effect.fnUntraced(function*(write: boolean) {
  const declarations = yield* temporaryDirectory("api")
  const flags = ["-p", "tsconfig.build.json", "--emitDeclarationOnly", "--outDir", declarations]
  yield* runOrFail(join(ROOT, "node_modules/.bin/tsc"), flags, { cwd: ROOT })
  const files = renderApi(declarations)
  const stale = files.filter(({ path, text }) =>
    !existsSync(join(ROOT, path)) || readFileSync(join(ROOT, path), "utf8") !== text
  )
  const surplus = filesAt("api/*.txt").filter(({ path }) => files.every((file) => file.path !== path))
  if (!write) return [...stale, ...surplus].map(({ path }) => `${path}: is stale; run "npm run docs -- --write"`)
  mkdirSync(join(ROOT, "api"), { recursive: true })
  for (const { path, text } of stale) writeFileSync(join(ROOT, path), text)
  for (const { path } of surplus) rmSync(join(ROOT, path))
  return []
})
