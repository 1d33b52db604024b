/**
 * Runs the packed library on Node 20 to 26, Bun and Deno, and prints a table of what works. `usage.mjs` has its arguments.
 *
 * The library has to be built. The runtimes come from npm and are installed into a temporary directory. Without a Docker
 * engine the program that needs one is not run.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { randomWord } from "../src/internal/Session.ts"
import { endpointOf } from "./engine/api.ts"
import { type Engine, engineMode, withEngine } from "./engine/engine.ts"
import { withNodeImages } from "./engine/image.ts"
import { run, runOrFail } from "./lib/exec.ts"
import { main } from "./lib/main.ts"
import { pack, ROOT } from "./lib/pack.ts"
import { temporaryDirectory } from "./lib/temporary.ts"
import { installRuntimes, type Runtime, RUNTIMES } from "./runtimes/install.ts"
import { programs, type RuntimeProgram } from "./runtimes/programs.ts"
import { emptyProject, installedVersion } from "./smoke/common.ts"
import { usages } from "./usage.mjs"

const TARGET = "docs/runtimes.md"
const LIMIT_MILLIS = 120_000

const readArguments = Effect.gen(function*() {
  const { values } = yield* Effect.try({
    try: () =>
      parseArgs({
        options: { engine: { type: "string" }, only: { type: "string" }, write: { type: "boolean", default: false } }
      }),
    catch: (error) => ({ message: `${(error as Error).message}\n\n${usages["runtimes"]}` })
  })
  const ids = values.only?.split(",").map((id) => id.trim()) ?? RUNTIMES
  const unknown = ids.find((id) => !RUNTIMES.includes(id))
  if (unknown !== undefined) {
    return yield* Effect.fail({
      message: `There is no runtime "${unknown}". The runtimes are: ${RUNTIMES.join(", ")}.`
    })
  }
  return { ids, write: values.write, mode: yield* engineMode(process.argv.slice(2)) }
})

interface Cell {
  readonly ok: boolean
  /** Why not, or that it was not run. */
  readonly why?: string
}

/** Runs one program on one runtime, to its end or to the exit that its signal leads to. */
const runProgram = (
  project: string,
  runtime: Runtime,
  program: RuntimeProgram,
  env: Readonly<Record<string, string>>
): Effect.Effect<Cell> =>
  Effect.callback((resume) => {
    const file = `program-${programs.indexOf(program)}.mjs`
    const child = spawn(runtime.executable, [...runtime.args, file], {
      cwd: project,
      env: { ...process.env, NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let [stdout, stderr, signalled] = ["", "", false]
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk
      if (program.signal === undefined || signalled || !stdout.includes("ready")) return
      signalled = true
      child.kill(program.signal.name)
    })
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk))
    const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MILLIS)
    child.on("error", (error) => (stderr += error.message))
    child.on("close", (code, signal) => {
      clearTimeout(timer)
      const ok = code === (program.signal?.code ?? 0) && stdout.trimEnd().endsWith("ok")
      const how = signal === null ? `exit code ${code}` : signal
      resume(Effect.succeed(ok ? { ok } : { ok, why: `${how}: ${(stderr.trim() || stdout.trim()).split("\n")[0]}` }))
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      child.kill("SIGKILL")
    })
  })

const versionOf = (runtime: Runtime) =>
  Effect.map(run(runtime.executable, ["--version"]), ({ stdout }) => {
    const name = runtime.id.startsWith("node") ? "Node" : runtime.id === "bun" ? "Bun" : "Deno"
    return `${name} ${/\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? "?"}`
  })

interface Line {
  readonly version: string
  readonly cells: ReadonlyArray<Cell | undefined>
}

const markdown = (lines: ReadonlyArray<Line>): string => {
  const shown = (cell: Cell | undefined) => cell === undefined ? "not run" : cell.ok ? "yes" : "no"
  const rows = [
    ["runtime", ...programs.map(({ name }) => name)],
    ["---", ...programs.map(() => "---")],
    ...lines.map(({ cells, version }) => [version, ...cells.map(shown)])
  ]
  return rows.map((row) => `| ${row.join(" | ")} |`).join("\n")
}

const page = (table: string, engine: Engine): string =>
  `# Runtimes

The packed library on each runtime. \`npm run build\` and then \`npm run runtimes -- --write\` generate this page.

${table}

- Memory, Hetzner and Docker: create, watch, stop and delete a cluster. Hetzner and Omni are the fakes of \`kubelayer/testing\`, on real sockets.
- Mock: a status from prepared nodes. Omni: signed calls and a stream over gRPC.
- promises: \`kubelayer/promise\` with an abort, a watch and a scoped create. Ctrl-C: \`runScript\` cleans up and exits with 130.
- Docker ran on ${engine.kind === "none" ? "no engine" : `an engine: ${engine.why.split(" at ")[0]}`}.
`

const runtimes = Effect.gen(function*() {
  const { ids, mode, write } = yield* readArguments
  const directory = yield* temporaryDirectory("runtimes")
  const project = join(directory, "project")
  mkdirSync(project)
  emptyProject(project)
  const tarball = yield* pack(directory)
  const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
  yield* runOrFail("npm", ["install", ...flags, tarball, `effect@${installedVersion("effect")}`], { cwd: project })
  programs.forEach(({ source }, index) => writeFileSync(join(project, `program-${index}.mjs`), source))

  const engine = yield* withEngine({ mode }).pipe(
    Effect.catch((error) => Effect.succeed<Engine>({ kind: "none", dockerHost: "", why: error.message, tried: [] }))
  )
  const endpoint = engine.kind === "none" ? undefined : endpointOf(engine.dockerHost)
  const socket = endpoint !== undefined && "socketPath" in endpoint ? endpoint.socketPath : undefined
  if (socket !== undefined) yield* withNodeImages(socket)
  process.stdout.write(`Engine: ${engine.why}\n`)

  const installed = yield* installRuntimes(join(directory, "runtimes"), ids)
  const lines: Array<Line> = []
  const faults: Array<string> = ids.filter((id) => !installed.some((runtime) => runtime.id === id))
    .map((id) => `${id}: npm has no build of it for this machine`)
  for (const runtime of installed) {
    const version = yield* versionOf(runtime)
    const cells = yield* Effect.forEach(programs, (program) =>
      program.needsEngine === true && socket === undefined
        ? Effect.succeed(undefined)
        : runProgram(project, runtime, program, {
          DOCKER_HOST: engine.dockerHost,
          IMAGE: "kubelayer-node:obedient",
          CLUSTER: `runtimes-${randomWord(6)}`
        }))
    lines.push({ version, cells })
    programs.forEach(({ name }, index) => {
      const why = cells[index]?.why
      if (why !== undefined) faults.push(`${version}: ${name}: ${why}`)
    })
    process.stdout.write(`${version}: ${cells.filter((cell) => cell?.ok).length} of ${cells.length} programs\n`)
  }
  const table = markdown(lines)
  process.stdout.write(`\n${table}\n${faults.map((fault) => `\n${fault}`).join("")}\n`)
  if (write) writeFileSync(join(ROOT, TARGET), page(table, engine))
  return faults.length > 0 ? 1 : 0
})

main(Effect.scoped(runtimes))
