/**
 * The checks of `doctor` on Docker: which engine, its version, memory, disk and clock.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { environment, resolve } from "../../docker/Connection.ts"
import type { Connection } from "../Backends.ts"
import { type Check, clockCheck, failed, ok, unavailable, warning } from "./Check.ts"

type Json = { readonly [key: string]: unknown }

const leastDiskBytes = 10e9
const leastMemoryBytes = 2e9

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`

/** Engines from 20.10 on, Podman from 4.3 on. */
const isOld = (version: string, isPodman: boolean): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return isPodman ? major < 4 || major === 4 && minor < 3 : major < 20 || major === 20 && minor < 10
}

const versionChecks = (version: Json): ReadonlyArray<Check> => {
  const components = Array.isArray(version["Components"]) ? version["Components"] as ReadonlyArray<Json> : []
  const isPodman = components.some((component) => String(component["Name"]).includes("Podman"))
  const number = String(version["Version"] ?? "unknown")
  const text = `${isPodman ? "Podman" : "Docker"} ${number}, API ${String(version["ApiVersion"] ?? "unknown")}`
  return [
    isOld(number, isPodman)
      ? warning("version", text, `Use ${isPodman ? "Podman 4.3" : "Docker 20.10"} or newer.`)
      : ok("version", text)
  ]
}

/** Free bytes of the engine's folder, where the engine is on this machine. */
const freeBytes = (folder: unknown): Effect.Effect<number | undefined> =>
  typeof folder !== "string" ? Effect.succeed(undefined) : Effect.promise(async () => {
    const { statfs } = await import("node:fs/promises")
    try {
      const { bavail, bsize } = await statfs(folder)
      return bavail * bsize
    } catch {
      return undefined
    }
  })

const infoChecks = Effect.fnUntraced(function*(info: Json, isLocal: boolean) {
  const memory = Number(info["MemTotal"] ?? 0)
  const free = isLocal ? yield* freeBytes(info["DockerRootDir"]) : undefined
  const now = yield* Clock.currentTimeMillis
  const warnings = Array.isArray(info["Warnings"]) ? info["Warnings"] as ReadonlyArray<string> : []
  const checks: ReadonlyArray<Check> = [
    memory > 0 && memory < leastMemoryBytes
      ? warning("memory", gigabytes(memory), "A Kubernetes node needs about 2 GB. Give the engine more.")
      : ok("memory", `${gigabytes(memory)}, ${String(info["NCPU"] ?? "?")} processors`),
    ...(free === undefined ? [] : [
      free < leastDiskBytes
        ? warning(
          "disk",
          `${gigabytes(free)} free in ${String(info["DockerRootDir"])}`,
          "Remove images that are not used: docker system prune."
        )
        : ok("disk", `${gigabytes(free)} free in ${String(info["DockerRootDir"])}`)
    ]),
    ...(info["CgroupVersion"] === "1"
      ? [
        warning(
          "cgroups",
          "version 1",
          "Recent node images need cgroup v2. Boot with systemd.unified_cgroup_hierarchy=1."
        )
      ]
      : []),
    ...clockCheck(typeof info["SystemTime"] === "string" ? Date.parse(info["SystemTime"]) : undefined, now),
    ...warnings.map((text) => warning("engine", text, "See the documentation of the engine."))
  ]
  return checks
})

/** The engine that is used, and those that were passed over on the way to it. */
const resolutionChecks = Effect.fnUntraced(function*(host: string | undefined) {
  const resolution = yield* resolve(host === undefined ? {} : { host }, yield* environment)
  const passedOver = resolution.passedOver.map(({ address, why }): Check => ({
    name: "passed over",
    state: "skipped",
    detail: `${address}: ${why}`
  }))
  return { passedOver, first: resolution.endpoints[0]?.address ?? "" }
})

export const dockerChecks = Effect.fnUntraced(function*(connection: Connection, host: string | undefined) {
  const available = yield* Effect.result(connection.provider.checkAvailable)
  if (available._tag === "Failure") return unavailable(available.failure)
  const { passedOver } = yield* resolutionChecks(host).pipe(
    Effect.orElseSucceed(() => ({ passedOver: [] as ReadonlyArray<Check>, first: "" }))
  )
  const address = connection.engine === undefined ? undefined : yield* connection.engine.address
  const get = (path: string) =>
    connection.engine === undefined
      ? Effect.succeed<Json>({})
      : Effect.map(connection.engine.get(path), (body) => body as Json)
  const read = yield* Effect.result(Effect.all([get("/version"), get("/info")]))
  if (read._tag === "Failure") {
    return [
      ...passedOver,
      failed("engine", read.failure.message.split("\n")[0] ?? "", "Check the permissions of this user.")
    ]
  }
  const [version, info] = read.success
  return [
    ...passedOver,
    ok("connection", address ?? "connected"),
    ...versionChecks(version),
    ...yield* infoChecks(info, address?.startsWith("unix:") === true)
  ]
})
