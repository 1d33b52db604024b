/**
 * Measures the command: processor time of whole processes against bare Node, the size of the bundle, and a watch of
 * many clusters.
 *
 * The compile cache is on, as users have it. Contestants take turns, and processor time does not count what else the
 * machine does.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Metafile } from "esbuild"
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { bundle } from "../scripts/lib/bin.ts"
import { ROOT } from "../scripts/lib/pack.ts"
import { run } from "../src/cli/run.ts"
import { nodeScreen } from "../src/cli/Screen.ts"
import * as Memory from "../src/layers/Memory.ts"
import { atMost, type Measured, type NotMeasured, type Row } from "./row.ts"
import { inTurns } from "./samples.ts"

const ROUNDS = 20

interface Built {
  readonly folder: string
  readonly bytes: number
  readonly bytesWithoutFleet: number
}

/** Modules that only the commands of the fleet load: its own, the sockets of its runners, and the client of PostgreSQL. */
const ofFleet = /^src\/(?:fleet\/|cli\/commands\/fleet\.ts$)|\/(?:sql-pg|NodeClusterSocket|SocketRunner)\b/

/** The bytes of the command and of every chunk that it reaches without the commands of the fleet. */
const bytesWithoutFleet = ({ outputs }: Metafile): number => {
  const reached = new Set<string>()
  const paths = Object.keys(outputs).filter((path) => path.endsWith("/kubelayer.mjs"))
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    const output = outputs[path]
    if (output === undefined || reached.has(path) || ofFleet.test(output.entryPoint ?? "")) continue
    reached.add(path)
    paths.push(...output.imports.map((imported) => imported.path))
  }
  return [...reached].reduce((total, path) => total + (outputs[path]?.bytes ?? 0), 0)
}

const built: Effect.Effect<Built, NotMeasured, Scope.Scope> = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const cache = join(ROOT, "node_modules/.cache")
      mkdirSync(cache, { recursive: true })
      return mkdtempSync(join(cache, "kubelayer-bench-"))
    }),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const metafile = yield* Effect.promise(() => bundle(join(folder, "bin")))
  writeFileSync(join(folder, "empty.mjs"), "")
  return {
    folder,
    bytes: Object.values(metafile.outputs).reduce((total, { bytes }) => total + bytes, 0),
    bytesWithoutFleet: bytesWithoutFleet(metafile)
  }
})

/** Processor time of one process and its threads, in milliseconds. */
const cpuOf = (args: ReadonlyArray<string>, folder: string) =>
  Effect.sync(() => {
    // The child reports its own time at its end, so that nothing of this process counts.
    const hook =
      "process.on('exit',()=>{const{user,system}=process.cpuUsage();process.stderr.write('\\ncpu='+(user+system))})"
    const { stderr } = spawnSync(process.execPath, [
      "--import",
      `data:text/javascript,${encodeURIComponent(hook)}`,
      ...args
    ], {
      env: { PATH: process.env["PATH"], NODE_COMPILE_CACHE: join(folder, "cache") },
      encoding: "utf8"
    })
    return Number(/cpu=(\d+)$/.exec(stderr)?.[1]) / 1000
  })

const sum = (samples: ReadonlyArray<number>): number => samples.reduce((total, sample) => total + sample, 0)

const startOf = (args: ReadonlyArray<string>): Effect.Effect<Measured, NotMeasured> =>
  Effect.scoped(Effect.gen(function*() {
    const { folder } = yield* built
    const contestants = {
      ours: cpuOf([join(folder, "bin/kubelayer.mjs"), ...args], folder),
      bare: cpuOf([join(folder, "empty.mjs")], folder)
    }
    yield* inTurns(2, contestants)
    const { bare, ours } = yield* inTurns(ROUNDS, contestants)
    return {
      value: sum(ours) / sum(bare),
      detail: `${(sum(ours) / ROUNDS).toFixed(0)} ms against ${
        (sum(bare) / ROUNDS).toFixed(0)
      } ms of bare Node; ${ROUNDS} pairs`
    }
  }))

const size: Effect.Effect<Measured, NotMeasured> = Effect.scoped(
  Effect.map(built, ({ bytes, bytesWithoutFleet }) => ({
    value: bytesWithoutFleet / 1e6,
    detail: `${Math.round(bytesWithoutFleet / 1000)} kB, ${Math.round(bytes / 1000)} kB in all chunks`
  }))
)

const WATCHED = 100
const WATCH_SECONDS = 5

/** Processor time of this process during the events, while something watches. */
const during = Effect.fnUntraced(function*(
  memory: Memory.MemoryService,
  watcher: Effect.Effect<unknown, unknown>
) {
  const fiber = yield* Effect.forkChild(watcher)
  yield* Effect.sleep("1 second")
  const before = process.cpuUsage()
  for (let event = 0; event < WATCH_SECONDS * 10; event++) {
    const name = `cluster-${event % WATCHED}-worker`
    const node = (yield* memory.world).nodes.find((one) => one.name === name)
    yield* memory.setState(name, node?.state === "running" ? "stopped" : "running")
    yield* Effect.sleep("100 millis")
  }
  const { system, user } = process.cpuUsage(before)
  yield* Fiber.interrupt(fiber)
  return (user + system) / (WATCH_SECONDS * 10_000)
})

/** The simulator runs in this process too; what it takes without a watcher is subtracted. */
const watching: Effect.Effect<Measured, NotMeasured> = Effect.scoped(Effect.gen(function*() {
  const memory = yield* Memory.make({
    clusters: Object.fromEntries(
      Array.from({ length: WATCHED }, (_, index) => [`cluster-${index}`, { controlPlanes: 1, workers: 2 }])
    )
  })
  let redraws = 0
  const screen = {
    ...nodeScreen(),
    outIsLive: true,
    outBytes: () =>
      Effect.sync(() => {
        redraws++
      })
  }
  const command = run({
    args: ["-b", "memory", "watch"],
    version: "",
    screen,
    backends: { open: () => Effect.succeed({ provider: memory.provider, creator: memory.creator }) }
  })
  // Code is compiled while it runs first.
  yield* during(memory, command)
  const idle = yield* during(memory, Effect.never)
  redraws = 0
  const watched = yield* during(memory, command)
  return {
    value: watched - idle,
    detail: `${watched.toFixed(1)} % with a watch, ${idle.toFixed(1)} % without; ${
      (redraws / (WATCH_SECONDS + 1)).toFixed(1)
    } redraws a second`
  }
})).pipe(Effect.mapError((error) => ({ message: error.message })))

export const cliRows: ReadonlyArray<Row> = [
  {
    id: "cli.help",
    what: "`kubelayer --help`, processor time / bare Node",
    target: atMost(3.5),
    measure: startOf(["--help"])
  },
  {
    id: "cli.version",
    what: "`kubelayer --version`, processor time / bare Node",
    target: atMost(3.5),
    measure: startOf(["--version"])
  },
  {
    id: "cli.memory",
    what: "`kubelayer -b memory clusters`, processor time / bare Node",
    target: atMost(4),
    measure: startOf(["-b", "memory", "clusters"])
  },
  {
    id: "cli.size",
    what: "the bundle of the command without the chunks of the fleet, MB",
    target: atMost(1),
    measure: size
  },
  {
    id: "cli.watch",
    what: `\`watch\` of ${WATCHED} clusters, 10 events a second, percent of one processor`,
    target: atMost(5),
    measure: watching
  }
]
