/**
 * Checks the imports of `src`, as CONTRIBUTING.md describes them: one way, never in a ring, and never from one backend
 * to another. Modules load only `effect` and Node from outside.
 *
 * An import of types is an arrow, too.
 */
import { posix } from "node:path"
import { faultAt, type File, filesAt, lineAt } from "./files.ts"
import { isGenerated } from "./generated.ts"

interface Import {
  readonly kind: "types" | "loaded" | "dynamic"
  readonly specifier: string
  readonly line: number
}

// The formatter sees to it that an import begins its line and has double quotes.
const statement = /^(?:import|export)\s+(type\s+)?(?:[\w\s{},*$]*?\sfrom\s+)?"([^"]+)"/gm
const dynamic = /\bimport\("([^"]+)"\)/g

const importsOf = (text: string): ReadonlyArray<Import> => [
  ...[...text.matchAll(statement)].map(({ 0: whole, 1: type, 2: specifier = "", index }): Import => ({
    kind: type === undefined ? "loaded" : "types",
    specifier,
    line: lineAt(text, index + whole.length)
  })),
  ...[...text.matchAll(dynamic)].map(({ 1: specifier = "", index }): Import => ({
    kind: "dynamic",
    specifier,
    line: lineAt(text, index)
  }))
]

/**
 * The level of a module; imports go down. Modules of one level may import each other, except in rings and across
 * backends.
 */
interface Place {
  readonly level: number
  /** Lower case, for folder and layer to agree. */
  readonly backend?: string
}

const core: Readonly<Record<string, number>> = {
  "src/Reason.ts": 0,
  // Suggestions of words, which an error makes of the names that it carries.
  "src/internal/Suggest.ts": 0,
  "src/Model.ts": 1,
  "src/Report.ts": 2,
  "src/ProviderError.ts": 3,
  "src/Plan.ts": 4,
  "src/Policy.ts": 4,
  "src/Progress.ts": 4,
  "src/Metrics.ts": 4,
  "src/Provider.ts": 5,
  "src/Resource.ts": 6,
  "src/Cluster.ts": 8,
  "src/Backend.ts": 8,
  "src/Script.ts": 8,
  "src/Document.ts": 11,
  "src/promise.ts": 11,
  "src/fleet.ts": 12,
  "src/index.ts": 13
}
const folders: Readonly<Record<string, number>> = { internal: 7, layers: 10, fleet: 12, testing: 12, cli: 13 }
const BACKEND = 9

const placeIn = (paths: ReadonlySet<string>) => {
  const layers = new Set([...paths].flatMap((path) => /^src\/layers\/(\w+)\.ts$/.exec(path)?.[1]?.toLowerCase() ?? []))
  return (path: string): Place | undefined => {
    const [, folder = "", name = ""] = /^src\/(?:(\w+)\/)?(.*)\.ts$/.exec(path) ?? []
    const level = core[path] ?? folders[folder] ?? (layers.has(folder) ? BACKEND : undefined)
    if (level === undefined) return undefined
    // DockerClient is a second module of the Docker layer.
    if (folder === "layers") return { level, backend: name.toLowerCase().replace(/client$/, "") }
    return level === BACKEND ? { level, backend: folder } : { level }
  }
}

const rule =
  "arrows go layers → backend folder → Backend → internal → Resource → Provider → Plan → ProviderError → Report → Model → Reason"

const outsideFault = ({ kind, specifier }: Import): string | undefined => {
  if (specifier === "effect") return "the barrel of effect is slow; import the module by its path, as effect/Effect"
  return kind === "loaded" && !/^(?:effect\/|node:)/.test(specifier)
    ? `${specifier} is imported when the module is loaded; use import() where it is needed, or import type`
    : undefined
}

const generatedFault = ({ kind }: Import, path: string, target: string): string | undefined =>
  kind === "loaded" && isGenerated(target) && !isGenerated(path)
    ? `${target} loads a client library; use import() where it is needed, or import type`
    : undefined

const arrowFault = (from: Place, to: Place, target: string): string | undefined => {
  if (from.backend !== undefined && to.backend !== undefined && from.backend !== to.backend) {
    return `a backend never imports another: ${target}`
  }
  return to.level <= from.level ? undefined : `${target} is above this module; ${rule}`
}

/** One ring of arrows among modules, if there is any. */
const ringIn = (arrows: ReadonlyMap<string, ReadonlySet<string>>): ReadonlyArray<string> | undefined => {
  const done = new Set<string>()
  const visit = (path: string, way: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    const seen = way.indexOf(path)
    if (seen >= 0) return [...way.slice(seen), path]
    if (done.has(path)) return undefined
    for (const next of arrows.get(path) ?? []) {
      const ring = visit(next, [...way, path])
      if (ring !== undefined) return ring
    }
    done.add(path)
    return undefined
  }
  for (const path of arrows.keys()) {
    const ring = visit(path, [])
    if (ring !== undefined) return ring
  }
  return undefined
}

const arrowFaults = (files: ReadonlyArray<File>): ReadonlyArray<string> => {
  const paths = new Set(files.map(({ path }) => path))
  const placeOf = placeIn(paths)
  const faults: Array<string> = []
  const arrows = new Map<string, Set<string>>()
  for (const { path, text } of files) {
    const from = placeOf(path)
    if (from === undefined) {
      faults.push(faultAt(path, 1, "scripts/docs/arrows.ts does not know the level of this module"))
      continue
    }
    const targets = new Set<string>()
    arrows.set(path, targets)
    for (const each of importsOf(text)) {
      const { line, specifier } = each
      if (!specifier.startsWith(".")) {
        // It is loaded by nobody who is loaded himself.
        const fault = isGenerated(path) ? undefined : outsideFault(each)
        if (fault !== undefined) faults.push(faultAt(path, line, fault))
        continue
      }
      const target = posix.normalize(posix.join(posix.dirname(path), specifier))
      if (!paths.has(target)) {
        faults.push(faultAt(path, line, `${target} is no module of src`))
        continue
      }
      const to = placeOf(target)
      if (to === undefined) continue
      targets.add(target)
      const fault = arrowFault(from, to, target) ?? generatedFault(each, path, target)
      if (fault !== undefined) faults.push(faultAt(path, line, fault))
    }
  }
  const ring = ringIn(arrows)
  return ring === undefined ? faults : [...faults, `a ring of imports: ${ring.join(" → ")}`]
}

export const checkArrows = () => arrowFaults(filesAt("src/**/*.ts"))
