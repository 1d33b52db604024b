/** A registry on loopback that has one small image and requires a login. Engines pull from loopback without TLS. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { gzipSync } from "node:zlib"

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** The two zero blocks of an empty archive. */
const layer = gzipSync(Buffer.alloc(1024))
const config = Buffer.from(JSON.stringify({
  architecture: { x64: "amd64", arm64: "arm64" }[process.arch as "x64" | "arm64"] ?? process.arch,
  os: "linux",
  config: { Cmd: ["/none"] },
  rootfs: { type: "layers", diff_ids: [digestOf(Buffer.alloc(1024))] }
}))
const manifestType = "application/vnd.docker.distribution.manifest.v2+json"
const manifest = Buffer.from(JSON.stringify({
  schemaVersion: 2,
  mediaType: manifestType,
  config: {
    mediaType: "application/vnd.docker.container.image.v1+json",
    size: config.length,
    digest: digestOf(config)
  },
  layers: [{
    mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    size: layer.length,
    digest: digestOf(layer)
  }]
}))

export interface Registry {
  /** Its host and port, as an image name has them. */
  readonly host: string
  /** The users that logged in. */
  readonly users: Array<string>
}

export const registry = (login: string): Effect.Effect<Registry, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly server: http.Server; readonly users: Array<string> }>((resume) => {
        const users: Array<string> = []
        const server = http.createServer((request, response) => {
          const [scheme = "", value = ""] = (request.headers.authorization ?? "").split(" ")
          const given = Buffer.from(value, "base64").toString()
          if (scheme !== "Basic" || given !== login) {
            response.writeHead(401, {
              "WWW-Authenticate": "Basic realm=\"kubelayer test\"",
              "Content-Type": "application/json"
            })
            return response.end(
              JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "authentication required" }] })
            )
          }
          users.push(given.split(":")[0] ?? "")
          const send = (bytes: Uint8Array, type: string) => {
            response.writeHead(200, {
              "Content-Type": type,
              "Content-Length": bytes.length,
              "Docker-Content-Digest": digestOf(bytes)
            })
            response.end(request.method === "HEAD" ? undefined : bytes)
          }
          const path = request.url ?? ""
          if (path === "/v2/") return send(Buffer.from("{}"), "application/json")
          if (path.includes("/manifests/")) return send(manifest, manifestType)
          const blob = [layer, config].find((bytes) => path.endsWith(digestOf(bytes)))
          if (blob !== undefined) return send(blob, "application/octet-stream")
          response.writeHead(404).end()
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, users })))
      }),
      ({ server }) =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
    ),
    ({ server, users }) => ({ host: `127.0.0.1:${(server.address() as AddressInfo).port}`, users })
  )
