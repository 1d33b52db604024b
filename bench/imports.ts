/**
 * Measures the import of a module: whole processes that import it, against processes that import only its effect
 * modules. It also checks that no client library is loaded with it.
 *
 * The library is built for this run into a directory of its own, so that what is measured is what the sources are now.
 * The graph is what Node resolves, not what the text of the files seems to say.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join, sep } from "node:path"
import { pathToFileURL } from "node:url"
import { runOrFail } from "../scripts/lib/exec.ts"
import { ROOT } from "../scripts/lib/pack.ts"
import { temporaryDirectory } from "../scripts/lib/temporary.ts"
import { atMost, exactly, type Measured, type NotMeasured, type Row } from "./row.ts"
import { inTurns, millisOf, ratio } from "./samples.ts"

const ROUNDS = 15

/** Nothing of the surroundings may warm one side. */
const plain = { NODE_COMPILE_CACHE: undefined, NODE_OPTIONS: undefined, NODE_DISABLE_COMPILE_CACHE: "1" }

const node = (directory: string, args: ReadonlyArray<string>) =>
  runOrFail(process.execPath, args, { cwd: directory, env: plain })

/** Notes every import that Node resolves, with the file that names it, in graph.json. */
const RECORDER = `
import { writeFileSync } from "node:fs"
import { registerHooks } from "node:module"
const imports = []
registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context)
    imports.push([specifier, context.parentURL ?? "", resolved.url])
    return resolved
  }
})
process.on("exit", () => writeFileSync("graph.json", JSON.stringify(imports)))
`

type Import = readonly [specifier: string, from: string, url: string]

interface Built {
  readonly directory: string
  /** The imports from an entry on. */
  readonly graph: (entry: string) => Effect.Effect<ReadonlyArray<Import>, NotMeasured>
}

const build: Effect.Effect<Built, NotMeasured, Scope.Scope> = Effect.gen(function*() {
  const directory = yield* temporaryDirectory("bench")
  symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"), "junction")
  writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module" }))
  writeFileSync(join(directory, "recorder.js"), RECORDER)
  const outputs = [
    "--outDir",
    join(directory, "dist"),
    "--declaration",
    "false",
    "--declarationMap",
    "false",
    "--noCheck"
  ]
  yield* runOrFail(join(ROOT, "node_modules/.bin/tsc"), ["-p", join(ROOT, "tsconfig.build.json"), ...outputs])
  return {
    directory,
    graph: (entry) =>
      Effect.map(
        node(directory, ["--import", "./recorder.js", entry]),
        () => JSON.parse(readFileSync(join(directory, "graph.json"), "utf8")) as ReadonlyArray<Import>
      )
  }
})

const ofOurs = ({ directory }: Built, graph: ReadonlyArray<Import>): ReadonlyArray<Import> =>
  graph.filter(([, from]) => from.startsWith(pathToFileURL(join(directory, "dist") + sep).href))

/** Writes a file that imports exactly the effect modules that a module and what it imports name. */
const writeBaseline = Effect.fnUntraced(function*(built: Built, module: string) {
  const graph = yield* built.graph(`dist/${module}.js`)
  const named = new Set(
    ofOurs(built, graph).map(([specifier]) => specifier).filter((specifier) => specifier.startsWith("effect/"))
  )
  const file = `baseline-${module.replaceAll("/", "-")}.js`
  writeFileSync(join(built.directory, file), [...named].map((name) => `import ${JSON.stringify(name)}\n`).join(""))
  return { file, graph, named: named.size }
})

const importTime = (module: string): Effect.Effect<Measured, NotMeasured> =>
  Effect.scoped(Effect.gen(function*() {
    const built = yield* build
    const baseline = yield* writeBaseline(built, module)
    const process = (entry: string) => millisOf(node(built.directory, [entry]))
    const contestants = { ours: process(`dist/${module}.js`), theirs: process(baseline.file) }
    yield* inTurns(1, contestants)
    const { ours, theirs } = yield* inTurns(ROUNDS, contestants)
    return ratio(ours, theirs, `for the ${baseline.named} effect modules alone`)
  }))

const packageOf = (url: string): string | undefined => {
  const inside = url.split("/node_modules/").at(-1)
  if (inside === undefined || inside === url) return undefined
  const [first = "", second = ""] = inside.split("/")
  return first.startsWith("@") ? `${first}/${second}` : first
}

const packagesOf = (graph: ReadonlyArray<Import>): ReadonlySet<string> =>
  new Set(graph.flatMap(([, , url]) => packageOf(url) ?? []))

const foreignPackages = (module: string): Effect.Effect<Measured, NotMeasured> =>
  Effect.scoped(Effect.gen(function*() {
    const built = yield* build
    const baseline = yield* writeBaseline(built, module)
    const effects = packagesOf(yield* built.graph(baseline.file))
    const unexpected = [...packagesOf(baseline.graph)].filter((name) => !effects.has(name))
    return {
      value: unexpected.length,
      detail: `${unexpected.join(", ") || "none"} beside ${[...effects].join(", ")}; ${
        ofOurs(built, baseline.graph).length
      } imports checked`
    }
  }))

/** The kilobytes of a layer and what it loads, minified, with effect left outside. */
const bundleSize = (module: string): Effect.Effect<Measured, NotMeasured> =>
  Effect.scoped(Effect.gen(function*() {
    const { directory } = yield* build
    const { outputFiles } = yield* Effect.tryPromise({
      try: async () =>
        (await import("esbuild")).build({
          absWorkingDir: directory,
          entryPoints: [`dist/${module}.js`],
          bundle: true,
          minify: true,
          write: false,
          format: "esm",
          platform: "node",
          external: ["effect", "effect/*"]
        }),
      catch: (error): NotMeasured => ({ message: (error as Error).message })
    })
    const bytes = outputFiles.reduce((sum, { contents }) => sum + contents.length, 0)
    return { value: Math.round(bytes / 1000), detail: `${bytes} bytes` }
  }))

const cost = (id: string, module: string, limit: number): Row => ({
  id,
  what: `import of kubelayer/${module} in a fresh process, / of the effect modules that it names`,
  target: atMost(limit),
  measure: importTime(module)
})

const clients = (id: string, module: string): Row => ({
  id,
  what: `packages that importing kubelayer/${module} loads beside effect`,
  target: exactly(0),
  measure: foreignPackages(module)
})

export const importRows: ReadonlyArray<Row> = [
  cost("import.provider", "Provider", 1.05),
  clients("import.provider.clients", "Provider"),
  cost("import.docker", "layers/Docker", 1.1),
  clients("import.docker.clients", "layers/Docker"),
  clients("import.hetzner.clients", "layers/Hetzner"),
  clients("import.omni.clients", "layers/Omni"),
  {
    id: "bundle.hetzner",
    what: "kB of a minified bundle of kubelayer/layers/Hetzner, without effect",
    target: atMost(95),
    measure: bundleSize("layers/Hetzner")
  }
]
