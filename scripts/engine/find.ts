/**
 * Is there a Docker engine that answers?
 *
 * Finds the engine as the docker CLI does, in its order: DOCKER_HOST, DOCKER_CONTEXT or the current context, then the
 * usual sockets. An address that the user has set is the only one tried: another engine in its place would be a
 * surprise.
 */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { endpointOf, request } from "./api.ts"

export interface Candidate {
  readonly dockerHost: string
  /** The source of the address, for people. */
  readonly source: string
}

export interface Attempt extends Candidate {
  readonly outcome: string
}

export interface Search {
  readonly found?: Candidate & { readonly version: string }
  readonly tried: ReadonlyArray<Attempt>
}

type Environment = Readonly<Record<string, string | undefined>>

const readJson = (path: string): Record<string, unknown> => {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, "utf8"))
    return typeof parsed === "object" && parsed !== null ? parsed as Record<string, unknown> : {}
  } catch {
    return {}
  }
}

const contextHost = (configDirectory: string, context: string): string => {
  const folder = createHash("sha256").update(context).digest("hex")
  const meta = readJson(join(configDirectory, "contexts", "meta", folder, "meta.json")) as {
    readonly Endpoints?: { readonly docker?: { readonly Host?: unknown } }
  }
  const host = meta.Endpoints?.docker?.Host
  return typeof host === "string" ? host : ""
}

const candidates = (env: Environment = process.env): ReadonlyArray<Candidate> => {
  if (env["DOCKER_HOST"]) return [{ dockerHost: env["DOCKER_HOST"], source: "DOCKER_HOST" }]

  const home = env["HOME"] ?? homedir()
  const configDirectory = env["DOCKER_CONFIG"] ?? join(home, ".docker")
  const current = readJson(join(configDirectory, "config.json"))["currentContext"]
  const context = env["DOCKER_CONTEXT"] || (typeof current === "string" ? current : "")
  if (context !== "" && context !== "default") {
    return [{ dockerHost: contextHost(configDirectory, context), source: `context "${context}"` }]
  }

  const runtime = env["XDG_RUNTIME_DIR"]
  return [
    "/var/run/docker.sock",
    join(home, ".docker/run/docker.sock"),
    ...(runtime ? [join(runtime, "docker.sock")] : [])
  ]
    .map((path) => ({ dockerHost: `unix://${path}`, source: "default socket" }))
}

const reason = (detail: string): string =>
  detail === "ENOENT" ? "no such socket" : detail === "ECONNREFUSED" ? "nothing listens there" : detail

const probe = Effect.fnUntraced(function*(candidate: Candidate) {
  if (candidate.dockerHost === "") return { failure: "the context is not known here" }
  const endpoint = endpointOf(candidate.dockerHost)
  if (endpoint === undefined) return { failure: "not reachable with plain HTTP, so not tried" }
  return yield* request(endpoint, { method: "GET", path: "/version", deadlineMillis: 5000 }).pipe(
    Effect.map((body) => {
      try {
        const { Version } = JSON.parse(body) as { readonly Version?: unknown }
        if (typeof Version === "string") return { version: Version }
      } catch {
        // Falls through: whatever answered is not an engine.
      }
      return { failure: "what answers is not a Docker engine" }
    }),
    Effect.catch((error) => Effect.succeed({ failure: reason(error.detail) }))
  )
})

export const findEngine = Effect.fnUntraced(function*(env: Environment = process.env): Effect.fn.Return<Search> {
  const tried: Array<Attempt> = []
  for (const candidate of candidates(env)) {
    const result = yield* probe(candidate)
    if ("version" in result) {
      tried.push({ ...candidate, outcome: `answers, version ${result.version}` })
      return { found: { ...candidate, version: result.version }, tried }
    }
    tried.push({ ...candidate, outcome: result.failure })
  }
  return { tried }
})
