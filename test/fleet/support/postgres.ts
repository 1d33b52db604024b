/** A PostgreSQL server of Debian's packages: own data folder, loopback only, removed with the scope. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"

const packages = "/usr/lib/postgresql"

const binaries = existsSync(packages)
  ? readdirSync(packages).sort((a, b) => Number(b) - Number(a)).map((version) => join(packages, version, "bin"))
    .find((path) => existsSync(join(path, "initdb")))
  : undefined

/** PostgreSQL does not run as root. */
const user = (): { readonly uid: number; readonly gid: number } | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const line = readFileSync("/etc/passwd", "utf8").split("\n").find((one) => one.startsWith("postgres:"))
  const [, , uid, gid] = line?.split(":") ?? []
  return { uid: Number(uid ?? 65_534), gid: Number(gid ?? 65_534) }
}

export const hasPostgres = binaries !== undefined

export const freePort = Effect.callback<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

export interface Postgres {
  readonly url: string
  /** The server's process. */
  readonly child: () => ChildProcess
  readonly stop: Effect.Effect<void>
  readonly start: Effect.Effect<void>
}

export const postgres: Effect.Effect<Postgres, never, Scope.Scope> = Effect.gen(function*() {
  const bin = binaries ?? "."
  const data = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "kubelayer-postgres-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
  const owner = user()
  if (owner !== undefined) chownSync(data, owner.uid, owner.gid)
  const port = yield* freePort
  yield* Effect.promise(() =>
    promisify(execFile)(join(bin, "initdb"), ["-D", data, "-A", "trust", "-U", "fleet", "--no-sync", "-E", "UTF8"], {
      ...owner,
      cwd: "/"
    })
  )
  let child: ChildProcess
  const ready = Effect.promise(async () => {
    for (let tries = 0;; tries++) {
      try {
        await promisify(execFile)(join(bin, "pg_isready"), ["-h", "127.0.0.1", "-p", String(port), "-U", "fleet"], {
          cwd: "/"
        })
        return
      } catch (error) {
        if (tries > 200) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  })
  const start = Effect.andThen(
    Effect.sync(() => {
      child = spawn(
        join(bin, "postgres"),
        [
          "-D",
          data,
          "-p",
          String(port),
          "-c",
          "listen_addresses=127.0.0.1",
          "-c",
          "unix_socket_directories=",
          "-c",
          "fsync=off"
        ],
        { ...owner, cwd: "/", stdio: "ignore" }
      )
    }),
    ready
  )
  const stop = Effect.callback<void>((resume) => {
    child.once("exit", () => resume(Effect.void))
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    // A fast shutdown: connections are closed.
    child.kill("SIGINT")
  })
  yield* Effect.acquireRelease(start, () => stop)
  return { url: `postgres://fleet@127.0.0.1:${port}/postgres`, child: () => child, start, stop }
})
