/**
 * A program of each layer, bundled by esbuild, Rollup and Vite without flags. The bundle has to do what the program does
 * unbundled: Hetzner and Omni against their fakes, Docker without an engine.
 */
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { run, runOrFail } from "../lib/exec.ts"
import { say, SmokeFailed } from "./common.ts"

const BUNDLERS = {
  esbuild: {
    package: "esbuild@0.28.2",
    command: (
      name: string
    ) => [
      "esbuild",
      `${name}.mjs`,
      "--bundle",
      "--platform=node",
      "--format=esm",
      `--outfile=out/esbuild/${name}/${name}.js`
    ]
  },
  rollup: {
    package: "rollup@4.68.8",
    command: (name: string) => ["rollup", `${name}.mjs`, "--dir", `out/rollup/${name}`]
  },
  vite: {
    package: "vite@8.3.8",
    command: (name: string) => ["vite", "build", "--ssr", `${name}.mjs`, "--outDir", `out/vite/${name}`]
  }
} as const

const program = (layer: string, imports: string, provided: string) => `
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ${layer} from "kubelayer/layers/${layer}"
import { Provider } from "kubelayer/Provider"
${imports}
const program = Provider.use((provider) => provider.listAllClusters).pipe(Effect.provide(${provided}))
Effect.runPromise(program).then(
  (clusters) => console.log(JSON.stringify(clusters)),
  (error) => console.log(error._tag + ": " + error.message)
)
`

const PROGRAMS = {
  Memory: program("Memory", "", "Memory.layer({ clusters: { dev: { controlPlanes: 1, workers: 1 } } })"),
  Mock: program("Mock", "", "Mock.layer({ listAllClusters: [\"dev\"] })"),
  Docker: program("Docker", "", "Docker.layer({ host: \"unix:///nowhere.sock\" })"),
  Hetzner: program(
    "Hetzner",
    "import { HetznerFake } from \"kubelayer/testing\"",
    "Layer.unwrap(Effect.map(HetznerFake.HetznerFake, ({ endpoint, token }) => Hetzner.layer({ endpoint, token })))" +
      ".pipe(Layer.provide(HetznerFake.layer()))"
  ),
  Omni: program(
    "Omni",
    "import { OmniFake } from \"kubelayer/testing\"",
    "Layer.unwrap(Effect.map(OmniFake.OmniFake, ({ endpoint, serviceAccountKey }) => " +
      "Omni.layer({ endpoint, serviceAccountKey }))).pipe(Layer.provide(OmniFake.layer()))"
  )
} as const

/** The output of each program without a bundler, for the text of a failure. */
const EXPECTED: { readonly [Name in keyof typeof PROGRAMS]: RegExp } = {
  Memory: /^\["dev"\]$/,
  Mock: /^\["dev"\]$/,
  Docker: /^ProviderUnavailable: .*nowhere\.sock/s,
  Hetzner: /^\[\]$/,
  Omni: /^\[\]$/
}

const names = Object.keys(PROGRAMS) as ReadonlyArray<keyof typeof PROGRAMS>

/** Bundles in a project that has kubelayer installed. */
export const checkBundles = Effect.fnUntraced(function*(project: string) {
  const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]
  yield* runOrFail("npm", ["install", ...flags, ...Object.values(BUNDLERS).map((bundler) => bundler.package)], {
    cwd: project
  })
  const printed = (file: string) =>
    Effect.map(run(process.execPath, [file], { cwd: project }), ({ output }) => output.trim())

  const faults: Array<string> = []
  for (const name of names) {
    writeFileSync(join(project, `${name}.mjs`), PROGRAMS[name])
    const unbundled = yield* printed(`${name}.mjs`)
    if (!EXPECTED[name].test(unbundled)) faults.push(`${name} unbundled prints: ${unbundled}`)
    for (const [bundler, { command }] of Object.entries(BUNDLERS)) {
      const [tool = "", ...args] = command(name)
      const built = yield* run(join(project, "node_modules/.bin", tool), args, { cwd: project })
      if (built.code !== 0) {
        faults.push(`${bundler} does not build ${name}:\n${built.output}`)
        continue
      }
      const bundled = yield* printed(`out/${bundler}/${name}/${name}.js`)
      if (bundled !== unbundled) faults.push(`${name} bundled by ${bundler} prints: ${bundled}`)
    }
  }
  if (faults.length > 0) return yield* new SmokeFailed({ message: faults.join("\n") })
  yield* say(`${names.length} layers bundled without flags by ${Object.keys(BUNDLERS).join(", ")}, and run`)
})
