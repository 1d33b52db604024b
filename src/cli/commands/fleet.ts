/**
 * The commands of a fleet. Each opens the store itself; `serve` is a runner.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import * as Fleet from "../../fleet.ts"
import { noBackend, type Open } from "../../fleet/Backends.ts"
import { parseHostPort, serveHttp } from "../../fleet/Http.ts"
import { InvalidSpec } from "../../ProviderError.ts"
import { Backends } from "../Backends.ts"
import { UsageError } from "../Failure.ts"
import { hint, renderList, renderValue } from "../Render.ts"
import { currentTime } from "../Rows.ts"
import { Screen } from "../Screen.ts"
import { confirm, withDeadline } from "../Session.ts"
import type { BackendName } from "../Settings.ts"
import { readDocuments } from "../Sources.ts"
import type { Column } from "../Table.ts"
import { shortDuration } from "../Time.ts"

interface StoreInput {
  readonly store: string
}

const open = (input: StoreInput) =>
  Effect.flatMap(Fleet.parseStore(input.store), (store) => Fleet.makeClient({ store }))

// -----------------------------------------------------------------------------
// serve
// -----------------------------------------------------------------------------

interface ServeInput extends StoreInput {
  readonly listen: string | undefined
  readonly http: string
  readonly secrets: string | undefined
  readonly concurrency: number
  readonly lease: Fleet.RunnerSettings["lease"]
  readonly lockExpiration: Fleet.RunnerSettings["lockExpiration"]
  readonly resync: Fleet.RunnerSettings["resync"]
}

/** A port that nothing uses. */
const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const hostPort = (flag: string, text: string) => {
  const found = parseHostPort(text)
  return found === undefined
    ? Effect.fail(new UsageError({ message: `--${flag} must be HOST:PORT, got "${text}"` }))
    : Effect.succeed(found)
}

/** Opens the backends of documents with the credentials of the environment. */
const opener: Effect.Effect<Open, never, Backends> = Effect.map(
  Backends,
  (backends) => ({ backend, ...address }) =>
    backends.open({ ...address, backend: backend as BackendName, scheme: address.scheme ?? "kubelayer" }).pipe(
      Effect.mapError((error) =>
        noBackend(error instanceof InvalidSpec ? "NotConfigured" : "NoSuchBackend", error.message)
      )
    )
)

export const serve = Effect.fnUntraced(function*(input: ServeInput) {
  const store = yield* Fleet.parseStore(input.store)
  const listen = input.listen === undefined
    ? { host: "127.0.0.1", port: yield* freePort }
    : yield* hostPort("listen", input.listen)
  const { fleet, health } = yield* Fleet.makeWith({
    store,
    listen,
    open: yield* opener,
    concurrency: input.concurrency,
    ...(input.secrets === undefined ? {} : { secrets: input.secrets }),
    ...(input.lease === undefined ? {} : { lease: input.lease }),
    ...(input.lockExpiration === undefined ? {} : { lockExpiration: input.lockExpiration }),
    ...(input.resync === undefined ? {} : { resync: input.resync })
  })
  if (input.http !== "off") {
    const http = yield* hostPort("http", input.http)
    const port = yield* serveHttp(http, health)
    yield* hint(`metrics: http://${http.host}:${port}/metrics`)
  }
  yield* hint(`runner ${listen.host}:${listen.port} of ${Fleet.storeAddress(store)}`)
  const screen = yield* Screen
  let after = (yield* fleet.events({ limit: 1 })).at(-1)?.id ?? 0
  // Each event is one line, whichever runner wrote it.
  const follow = Effect.gen(function*() {
    const events = yield* fleet.events({ after, limit: 1000 })
    after = events.at(-1)?.id ?? after
    for (const { cluster, kind, message } of events) yield* screen.err(`${cluster} ${kind}: ${message}\n`)
  }).pipe(Effect.catchTag("StoreError", (error) => screen.err(`${error.message}\n`)))
  return yield* Effect.forever(Effect.andThen(follow, Effect.sleep("1 second")))
})

// -----------------------------------------------------------------------------
// Documents
// -----------------------------------------------------------------------------

export const apply = Effect.fnUntraced(function*(input: StoreInput & { readonly files: ReadonlyArray<string> }) {
  if (input.files.length === 0) return yield* new UsageError({ message: "name the documents with -f" })
  const sources = yield* readDocuments(input.files)
  const fleet = yield* open(input)
  const template = sources.find(({ document }) => document.kind === "Template")
  if (template !== undefined) {
    return yield* new UsageError({ message: `cluster "${template.document.name}": a fleet takes no templates of Omni` })
  }
  const applied: Array<Fleet.FleetCluster> = []
  for (const { document } of sources) {
    if (document.kind === "Template") continue
    applied.push(
      yield* fleet.apply(document.document).pipe(
        Effect.mapError((error) => error._tag === "InvalidSpec" ? document.locate(error) : error)
      )
    )
  }
  yield* renderClusters(applied)
  return 0
})

export const remove = Effect.fnUntraced(function*(
  input: StoreInput & { readonly clusters: ReadonlyArray<string>; readonly keepNodes: boolean }
) {
  const fleet = yield* open(input)
  const found = yield* Effect.forEach(input.clusters, (cluster) => fleet.status(cluster))
  if (!input.keepNodes) {
    yield* confirm(`Delete ${found.map(({ name, nodes }) => `"${name}" (${nodes} nodes)`).join(", ")}?`)
  }
  for (const { name } of found) {
    yield* fleet.remove(name, { keepNodes: input.keepNodes })
    yield* hint(
      input.keepNodes ? `${name}: the document is removed, the nodes are kept` : `${name}: is going to be deleted`
    )
  }
  return 0
})

const setPaused = (isPaused: boolean) =>
  Effect.fnUntraced(function*(input: StoreInput & { readonly cluster: string }) {
    const fleet = yield* open(input)
    yield* isPaused ? fleet.pause(input.cluster) : fleet.resume(input.cluster)
    yield* hint(`${input.cluster}: ${isPaused ? "paused" : "resumed"}`)
    return 0
  })

export const pause = setPaused(true)
export const resume = setPaused(false)

// -----------------------------------------------------------------------------
// Reads
// -----------------------------------------------------------------------------

const problemOf = ({ conditions }: Fleet.FleetCluster): string =>
  conditions.find(({ status }) => status === "false")?.message ?? ""

const clusterColumns = (now: () => number): ReadonlyArray<Column<Fleet.FleetCluster>> => [
  { title: "NAME", value: ({ name }) => name },
  { title: "BACKEND", value: ({ backend, instance }) => instance === undefined ? backend : `${backend}/${instance}` },
  {
    title: "PHASE",
    value: ({ isPaused, phase }) => isPaused ? `${phase} (paused)` : phase,
    color: ({ phase }) => phase === "converged" ? "green" : phase === "failed" || phase === "refused" ? "red" : "yellow"
  },
  { title: "NODES", value: ({ nodes }) => String(nodes) },
  { title: "GENERATION", value: ({ generation, observedGeneration }) => `${observedGeneration}/${generation}` },
  { title: "CHANGED", value: ({ changedAt }) => shortDuration(now() - changedAt) },
  { title: "PROBLEM", value: problemOf },
  { title: "RUNNER", value: ({ runner }) => runner ?? "", isWide: true }
]

const renderClusters = Effect.fnUntraced(function*(rows: ReadonlyArray<Fleet.FleetCluster>, isSingle = false) {
  yield* renderList({
    columns: clusterColumns(yield* currentTime),
    rows,
    name: ({ name }) => name,
    json: (row) => ({ ...row }),
    none: "the fleet has no clusters",
    isSingle
  })
})

export const list = Effect.fnUntraced(function*(input: StoreInput) {
  const fleet = yield* open(input)
  const [clusters] = yield* withDeadline(Stream.runCollect(Stream.take(fleet.watch, 1)))
  yield* renderClusters(clusters ?? [])
  return 0
})

export const status = Effect.fnUntraced(function*(
  input: StoreInput & { readonly cluster: string; readonly exitCode: boolean }
) {
  const fleet = yield* open(input)
  const found = yield* fleet.status(input.cluster)
  yield* renderClusters([found], true)
  yield* hint(
    found.conditions.map(({ message, reason, status, type }) => `${type} ${status} ${reason}: ${message}`).join("\n")
  )
  return input.exitCode && !found.isConverged ? 8 : 0
})

export const watch = Effect.fnUntraced(function*(input: StoreInput) {
  const fleet = yield* open(input)
  const screen = yield* Screen
  let before = new Map<string, string>()
  yield* withDeadline(Stream.runForEach(fleet.watch, (clusters) => {
    const lines = new Map(clusters.map((cluster) => {
      const { generation, isPaused, name, observedGeneration, phase } = cluster
      const problem = problemOf(cluster)
      return [
        name,
        `${name} ${phase}${isPaused ? " (paused)" : ""} ${observedGeneration}/${generation}${
          problem === "" ? "" : ` ${problem}`
        }`
      ]
    }))
    const changed = [...lines].filter(([name, line]) => before.get(name) !== line).map(([, line]) => line)
    const gone = [...before.keys()].filter((name) => !lines.has(name)).map((name) => `${name} gone`)
    before = lines
    const all = [...changed, ...gone]
    return all.length === 0 ? Effect.void : screen.out(all.join("\n"))
  }))
  return 0
})

export const events = Effect.fnUntraced(function*(
  input: StoreInput & { readonly clusters: ReadonlyArray<string>; readonly limit: number }
) {
  const fleet = yield* open(input)
  const [cluster, ...others] = input.clusters
  if (others.length > 0) return yield* new UsageError({ message: "--cluster can be given once" })
  const found = yield* fleet.events({ limit: input.limit, ...(cluster === undefined ? {} : { cluster }) })
  if (found.length === 0) {
    yield* hint("no events")
    yield* renderValue([], "")
    return 0
  }
  const now = yield* currentTime
  yield* renderList({
    columns: [
      { title: "AGE", value: ({ at }) => shortDuration(now() - at) },
      { title: "CLUSTER", value: ({ cluster }) => cluster },
      { title: "EVENT", value: ({ kind }) => kind },
      {
        title: "MESSAGE",
        value: ({ changes, message }) => changes.length === 0 ? message : `${message}: ${changes.join(", ")}`
      },
      { title: "RUNNER", value: ({ runner }) => runner ?? "", isWide: true }
    ],
    rows: found,
    name: ({ id }) => String(id),
    json: (row) => ({ ...row }),
    none: "no events"
  })
  return 0
})
