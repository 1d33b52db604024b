/**
 * Uses the packed library as a user would, installed from its tarball beside `effect` and nothing else. It imports
 * every public module, compiles every example and every fence of the documents, and runs those that need no backend.
 * Then the tarball itself, the declarations in projects of three package managers, and bundles of every layer by three
 * bundlers.
 *
 *   node scripts/smoke.ts [tarball]
 */
import * as Effect from "effect/Effect"
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { basename, join, resolve, sep } from "node:path"
import { allFences, type Fence } from "./docs/fences.ts"
import { CommandFailed, run, runOrFail } from "./lib/exec.ts"
import { main } from "./lib/main.ts"
import { pack, ROOT } from "./lib/pack.ts"
import { temporaryDirectory } from "./lib/temporary.ts"
import { checkBundles } from "./smoke/bundles.ts"
import { emptyProject, installedVersion, publicModules, say, SmokeFailed } from "./smoke/common.ts"
import { checkDeclarations } from "./smoke/declarations.ts"
import { checkTarball } from "./smoke/tarball.ts"

/** The first line of an example that runs without a backend. */
const RUNS = "// runs on: memory"
const EXAMPLES = join(ROOT, "examples")

const install = Effect.fnUntraced(function*(project: string, tarball: string) {
  emptyProject(project)
  const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
  yield* runOrFail("npm", ["install", ...flags, tarball, `effect@${installedVersion("effect")}`], { cwd: project })
})

/** Runs in the project; its last argument is the list of modules to try, and it prints what became of each. */
const PROBE = `
const outcomes = {}
for (const specifier of JSON.parse(process.argv.at(-1))) {
  try {
    const names = Object.keys(await import(specifier))
    outcomes[specifier] = names.length > 0 ? "imported" : "exports nothing"
  } catch (error) {
    outcomes[specifier] = error.code === "ERR_PACKAGE_PATH_NOT_EXPORTED" ? "refused" : String(error)
  }
}
console.log(JSON.stringify(outcomes))
`

/** Modules whose only exports are types are files, too, but have nothing to import. */
const isTypesOnly = (file: string): boolean => {
  const text = readFileSync(file, "utf8").trim()
  return text === "" || text === "export {};"
}

const modulesOf = (dist: string): ReadonlyArray<string> =>
  readdirSync(dist, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".js") && !isTypesOnly(join(dist, file)))
    .map((file) => file.slice(0, -".js".length).split(sep).join("/"))

const checkImports = Effect.fnUntraced(function*(project: string) {
  const installed = join(project, "node_modules/kubelayer")
  const open = new Set(publicModules(installed))
  const dist = join(installed, "dist")
  // A module of types alone is open and has nothing to import.
  const withValues = new Set(modulesOf(dist).map((module) => `kubelayer/${module}`))
  const isTypes = (module: string) =>
    existsSync(join(dist, `${module.slice("kubelayer/".length)}.js`)) && !withValues.has(module)
  const expected = new Map<string, "imported" | "exports nothing" | "refused">(
    [...open].map((module) => [module, isTypes(module) ? "exports nothing" : "imported"])
  )
  for (const module of modulesOf(dist)) {
    if (!open.has(`kubelayer/${module}`)) expected.set(`kubelayer/${module}`, "refused")
  }
  writeFileSync(join(project, "probe.mjs"), PROBE)
  const probed = yield* runOrFail(process.execPath, ["probe.mjs", JSON.stringify([...expected.keys()])], {
    cwd: project
  })
  if (probed.stderr !== "") return yield* new SmokeFailed({ message: `Importing writes to stderr:\n${probed.stderr}` })
  const outcomes = JSON.parse(probed.stdout.trim().split("\n").at(-1) ?? "{}") as Record<string, string>
  const wrong = [...expected].filter(([specifier, outcome]) => outcomes[specifier] !== outcome)
    .map(([specifier, outcome]) => `${specifier}: ${outcomes[specifier]}, should be ${outcome}`)
  if (wrong.length > 0) return yield* new SmokeFailed({ message: wrong.join("\n") })
  const count = (outcome: string) => [...expected.values()].filter((value) => value === outcome).length
  yield* say(`${count("imported")} modules imported, ${count("refused")} private ones refused`)
})

/** Compiles all that is in a folder of the project into `compiled/` of it, and says what the compiler said. */
const compile = Effect.fnUntraced(function*(project: string, folder: string) {
  const config = `tsconfig.${folder}.json`
  const compilerOptions = {
    target: "ES2022",
    module: "NodeNext",
    moduleDetection: "force",
    // Effect's own declarations name types of the web platform.
    lib: ["ES2023", "DOM"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    rewriteRelativeImportExtensions: true,
    rootDir: folder,
    outDir: `${folder}/compiled`,
    // For the examples' sake, which use the console. They come with the library, as all types that its own need.
    types: ["node"]
  }
  writeFileSync(join(project, config), JSON.stringify({ compilerOptions, include: [folder] }))
  return yield* run(join(ROOT, "node_modules/.bin/tsc"), ["-p", config], { cwd: project })
})

/** Runs what was compiled; `name` is what a failure calls it. */
const runCompiled = Effect.fnUntraced(function*(project: string, folder: string, file: string, name: string) {
  const compiled = join(folder, "compiled", file.replace(/\.ts$/, ".js"))
  const finished = yield* run(process.execPath, [compiled], { cwd: project }).pipe(
    Effect.timeoutOrElse({
      duration: "1 minute",
      orElse: () => Effect.fail(new SmokeFailed({ message: `${name} did not end within a minute` }))
    })
  )
  if (finished.code !== 0 || finished.stderr !== "") {
    const what = finished.code === 0 ? "wrote to stderr" : `ended with ${finished.code ?? finished.signal}`
    return yield* new SmokeFailed({ message: `${name} ${what}:\n${finished.output}` })
  }
  return finished
})

const checkExamples = Effect.fnUntraced(function*(project: string) {
  const examples = existsSync(EXAMPLES) ? readdirSync(EXAMPLES).filter((name) => name.endsWith(".ts")).toSorted() : []
  if (examples.length === 0) return yield* say("no examples to compile")
  mkdirSync(join(project, "examples"))
  for (const name of examples) copyFileSync(join(EXAMPLES, name), join(project, "examples", name))
  const compiled = yield* compile(project, "examples")
  if (compiled.code !== 0) return yield* new CommandFailed({ finished: compiled })

  const runnable = examples.filter((name) => readFileSync(join(EXAMPLES, name), "utf8").split("\n")[0]?.trim() === RUNS)
  for (const name of runnable) yield* runCompiled(project, "examples", name, `examples/${name}`)
  return yield* say(`${examples.length} examples compiled, ${runnable.length} of them run`)
})

/** The packages that a fence may use beside the library and `effect`: this repository's copy, linked for the fence. */
const EXTRAS = ["vitest", "@types/dockerode"]

const placeOf = (fence: Fence): string => `${fence.document}:${fence.line}`

const checkFences = Effect.fnUntraced(function*(project: string) {
  const { faults, fences } = allFences()
  if (faults.length > 0) return yield* new SmokeFailed({ message: faults.join("\n") })
  for (const name of EXTRAS) {
    symlinkSync(join(ROOT, "node_modules", name), join(project, "node_modules", name), "junction")
  }
  mkdirSync(join(project, "documents"))
  const files = fences.map((fence, index) => ({ fence, file: `fence${index}.ts` }))
  for (const { fence, file } of files) {
    // Empty lines before it, so that the compiler's lines are the document's.
    writeFileSync(join(project, "documents", file), `${"\n".repeat(fence.line - 1)}${fence.code}\n`)
  }
  const compiled = yield* compile(project, "documents")
  if (compiled.code !== 0) {
    const output = compiled.output.replaceAll(
      /documents\/fence(\d+)\.ts\((\d+),\d+\)/g,
      (whole, index: string, line: string) => `${fences[Number(index)]?.document ?? whole}:${line}`
    )
    return yield* new SmokeFailed({ message: `an example of a document does not compile:\n${output}` })
  }

  const runnable = files.filter(({ fence }) => fence.runs)
  const failures = yield* Effect.forEach(
    runnable,
    ({ fence, file }) =>
      runCompiled(project, "documents", file, placeOf(fence)).pipe(
        Effect.map(({ stdout }) => {
          const [said, printed] = [fence.output.join("\n"), stdout.trimEnd()]
          return said === printed ? [] : [`${placeOf(fence)} says that it prints\n${said}\nand prints\n${printed}`]
        }),
        Effect.catchTag("SmokeFailed", ({ message }) => Effect.succeed([message]))
      ),
    { concurrency: 2 }
  )
  if (failures.flat().length > 0) return yield* new SmokeFailed({ message: failures.flat().join("\n") })
  return yield* say(`${fences.length} fences of the documents compiled, ${runnable.length} of them run`)
})

/** The command of the installed package, on the simulation. */
const checkCommand = Effect.fnUntraced(function*(project: string) {
  for (const name of ["kubelayer", "kl"]) {
    const { stdout } = yield* runOrFail(join(project, "node_modules/.bin", name), [
      "-b",
      "memory",
      "clusters",
      "-o",
      "name"
    ], {
      cwd: project
    })
    if (stdout !== "dev\n") return yield* new SmokeFailed({ message: `${name} printed ${JSON.stringify(stdout)}` })
  }
  return yield* say("the command lists the simulated cluster")
})

const smoke = Effect.gen(function*() {
  const project = yield* temporaryDirectory("smoke")
  const given = process.argv[2]
  const tarball = given === undefined ? yield* pack(project) : resolve(given)
  yield* install(project, tarball)
  yield* say(`${basename(tarball)} installed beside effect`)
  yield* checkImports(project)
  yield* checkCommand(project)
  yield* checkExamples(project)
  yield* checkFences(project)
  yield* checkTarball(project, tarball)
  yield* checkDeclarations(project, tarball)
  yield* checkBundles(project)
  return 0
})

main(Effect.scoped(smoke))
