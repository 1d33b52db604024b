/** A fleet for a test: one process, a store in memory or in a file, the simulated backend. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { ClusterDocument } from "kubelayer/Document"
import * as Fleet from "kubelayer/fleet"
import * as Memory from "kubelayer/layers/Memory"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const document = (
  name: string,
  more: Partial<Extract<ClusterDocument, { readonly backend: "memory" }>> = {}
) => ({
  apiVersion: "kubelayer/v1",
  kind: "Cluster",
  backend: "memory",
  controlPlanes: 1,
  workers: 0,
  ...more,
  name
} as const)

/** A document of Hetzner whose user data is a reference. */
export const hetzner = (name: string, userData: { readonly env: string } | { readonly file: string }) => ({
  apiVersion: "kubelayer/v1",
  kind: "Cluster",
  backend: "hetzner",
  controlPlanes: 1,
  workers: 0,
  nodes: { userData },
  name
} as const)

export interface Rig {
  readonly fleet: Fleet.FleetService
  readonly memory: Memory.MemoryService
  readonly store: Fleet.StoreOptions
  /** Waits until something is so, for at most 20 s. */
  readonly until: <E>(isSo: Effect.Effect<boolean, E>) => Effect.Effect<void, E>
}

const until: Rig["until"] = (isSo) =>
  Effect.repeat(isSo, { until: (so) => so, schedule: Schedule.spaced("20 millis") }).pipe(
    Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error("it did not happen in 20 s")) }),
    Effect.asVoid
  )

/** The cluster, as soon as it is as a test wants it. */
export const eventually = (
  { fleet, until }: Rig,
  name: string,
  isSo: (cluster: Fleet.FleetCluster) => boolean
): Effect.Effect<Fleet.FleetCluster> =>
  Effect.orDie(Effect.andThen(until(Effect.map(fleet.status(name), isSo)), fleet.status(name)))

/** A folder that is removed with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "kubelayer-fleet-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

export const fleetOver = <A, E>(
  options: {
    readonly store?: "memory" | "file" | Fleet.StoreOptions
    readonly settings?: Fleet.RunnerSettings
    /** Other names of the simulated backend. */
    readonly others?: ReadonlyArray<string>
  },
  body: (rig: Rig) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.scoped(Effect.gen(function*() {
    const context = yield* Layer.build(Memory.layer())
    const memory = Context.get(context, Memory.Memory)
    const store = typeof options.store === "object"
      ? options.store
      : { sqlite: options.store === "file" ? join(yield* folder, "fleet.db") : ":memory:" }
    const fleet = yield* Fleet.make({
      store,
      backends: Object.fromEntries(
        ["memory", ...options.others ?? []].map((name) => [name, Layer.succeedContext(context)])
      ),
      backOff: { first: "200 millis" },
      ...options.settings
    })
    return yield* body({ fleet, memory, store, until })
  }))
