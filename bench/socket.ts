/**
 * Servers on a unix socket for as long as a scope lives. One counts the calls on their way to an engine, the other
 * answers as an engine would, from given data.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import { join } from "node:path"
import { temporaryDirectory } from "../scripts/lib/temporary.ts"
import type { NotMeasured } from "./row.ts"

/** Listens on a socket of its own, and gives its path. */
const listen = Effect.fnUntraced(function*(
  handler: http.RequestListener
): Effect.fn.Return<string, NotMeasured, Scope.Scope> {
  const path = join(yield* temporaryDirectory("bench"), "docker.sock")
  yield* Effect.acquireRelease(
    Effect.callback<http.Server, NotMeasured>((resume) => {
      const server = http.createServer(handler)
      server.on("error", (error) => resume(Effect.fail({ message: `${path}: ${error.message}` })))
      server.listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  return path
})

export interface CountingProxy {
  readonly dockerHost: string
  /** The calls since the last `forget`, as `METHOD path`. */
  readonly calls: () => ReadonlyArray<string>
  readonly forget: () => void
}

/** Carries calls to the engine behind `socketPath`, and notes each. */
export const countingProxy = Effect.fnUntraced(function*(
  socketPath: string
): Effect.fn.Return<CountingProxy, NotMeasured, Scope.Scope> {
  let calls: Array<string> = []
  const path = yield* listen((incoming, outgoing) => {
    calls.push(`${incoming.method} ${incoming.url?.split("?")[0]}`)
    const onward = http.request({
      socketPath,
      agent: false,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers
    }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      // An event stream is open before its first event.
      outgoing.flushHeaders()
      answer.on("error", () => outgoing.destroy())
      answer.pipe(outgoing)
    })
    onward.on("error", () => outgoing.destroy())
    outgoing.on("close", () => onward.destroy())
    incoming.pipe(onward)
  })
  return {
    dockerHost: `unix://${path}`,
    calls: () => calls,
    forget: () => {
      calls = []
    }
  }
})

/** A container in the answer to `GET /containers/json`, with the fields of a real engine. */
export const cannedContainer = (cluster: string, index: number, state: "running" | "exited") => {
  const name = index === 0 ? `${cluster}-control-plane` : `${cluster}-worker${index === 1 ? "" : index}`
  const id = index.toString(16).padStart(64, "c0ffee")
  const address = `10.${89 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`
  return {
    Id: id,
    Names: [`/${name}`],
    Image: "kindest/node:v1.34.0",
    ImageID: `sha256:${"7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a"}`,
    Command: "/usr/local/bin/entrypoint /sbin/init",
    Created: 1_763_900_000 + index,
    Ports: index === 0 ? [{ IP: "127.0.0.1", PrivatePort: 6443, PublicPort: 41_235, Type: "tcp" }] : [],
    Labels: {
      "kubelayer.cluster": cluster,
      "kubelayer.role": index === 0 ? "control-plane" : "worker",
      "kubelayer.owned": `kubelayer/${cluster}`,
      "kubelayer.session": "build-7:4026531836/48211/1763899990/q3v7d0xk"
    },
    State: state,
    Status: state === "running" ? "Up 3 hours" : "Exited (0) 3 hours ago",
    HostConfig: { NetworkMode: `kubelayer-${cluster}` },
    NetworkSettings: {
      Networks: {
        [`kubelayer-${cluster}`]: {
          IPAMConfig: { IPv4Address: address },
          Links: null,
          Aliases: [id.slice(0, 12)],
          NetworkID: "5b2c8a40a4b3f2f4be9ac29ab4f3c9e21e05d83e3bd7f8ec3d4a87c80f4e62a1",
          EndpointID: id,
          Gateway: "10.89.0.1",
          IPAddress: state === "running" ? address : "",
          IPPrefixLen: 16,
          IPv6Gateway: "",
          GlobalIPv6Address: "",
          GlobalIPv6PrefixLen: 0,
          MacAddress: "02:42:0a:59:00:02",
          DriverOpts: null
        }
      }
    },
    Mounts: [{
      Type: "volume",
      Name: id,
      Source: "",
      Destination: "/var",
      Driver: "local",
      Mode: "",
      RW: true,
      Propagation: ""
    }]
  }
}

export interface CannedEngine {
  readonly socketPath: string
  /** Sends an event to all who listen. */
  readonly tell: (event: unknown) => void
}

/** Answers as an engine whose list is `list()`. */
export const cannedEngine = Effect.fnUntraced(function*(
  list: () => string | Buffer
): Effect.fn.Return<CannedEngine, NotMeasured, Scope.Scope> {
  const listeners = new Set<http.ServerResponse>()
  const socketPath = yield* listen((incoming, outgoing) => {
    const path = incoming.url?.split("?")[0] ?? ""
    outgoing.setHeader("Content-Type", "application/json")
    if (path.endsWith("/version")) {
      outgoing.end(JSON.stringify({ Version: "29.0.0", ApiVersion: "1.47", MinAPIVersion: "1.24" }))
    } else if (path.endsWith("/containers/json")) {
      outgoing.end(list())
    } else if (path.endsWith("/events")) {
      outgoing.flushHeaders()
      listeners.add(outgoing)
      outgoing.on("close", () => listeners.delete(outgoing))
    } else {
      outgoing.writeHead(404).end(JSON.stringify({ message: "page not found" }))
    }
  })
  return {
    socketPath,
    tell: (event) => {
      for (const listener of listeners) listener.write(`${JSON.stringify(event)}\n`)
    }
  }
})
