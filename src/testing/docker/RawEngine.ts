/**
 * An engine asked directly, without the product's client: what a harness makes, breaks and reads goes this way.
 *
 * Source: Docker Engine API reference.
 */
import * as Effect from "effect/Effect"
import * as http from "node:http"
import type { NodeState } from "../../Model.ts"
import { HarnessError } from "../Harness.ts"

export type Json = Record<string, unknown>

/** The address of a DOCKER_HOST, as node:http takes it. */
const target = (host: string) => {
  if (host.startsWith("unix://")) return { socketPath: host.slice("unix://".length) }
  const { hostname, port } = new URL(host)
  return { host: hostname, port: Number(port) }
}

/** Asks an engine. Statuses from 400 on are an error, but for those that are `fine`. */
export type Ask = (action: string, method: string, path: string, options?: {
  readonly body?: unknown
  readonly tar?: Uint8Array
  readonly fine?: ReadonlyArray<number>
}) => Effect.Effect<unknown, HarnessError>

/** Asks the engine at an address. */
export const asking = (engine: string): Ask => (action, method, path, options = {}) =>
  Effect.callback((resume, signal) => {
    const fail = (detail: string) => resume(Effect.fail(new HarnessError({ action, detail })))
    const payload = options.tar ?? (options.body === undefined ? undefined : JSON.stringify(options.body))
    const request = http.request({
      ...target(engine),
      method,
      path,
      agent: false,
      signal,
      headers: payload === undefined ? {} : {
        "Content-Type": options.tar === undefined ? "application/json" : "application/x-tar",
        "Content-Length": Buffer.byteLength(payload)
      }
    }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => text += chunk)
      response.on("error", (error) => fail(error.message))
      response.on("end", () => {
        const status = response.statusCode ?? 0
        if (status >= 400 && !(options.fine ?? []).includes(status)) return fail(`${status} ${text.trim()}`)
        try {
          resume(Effect.succeed(text === "" ? undefined : JSON.parse(text)))
        } catch {
          resume(Effect.succeed(text))
        }
      })
    })
    request.on("error", (error) => fail(error.message))
    request.end(payload)
  })

export const states: Readonly<Record<string, NodeState>> = {
  created: "stopped",
  running: "running",
  paused: "stopped",
  restarting: "starting",
  removing: "deleting",
  exited: "stopped",
  dead: "failed"
}

export interface Container {
  readonly Id: string
  readonly Names: ReadonlyArray<string>
  readonly Labels: Readonly<Record<string, string>>
  readonly State: string
  readonly NetworkSettings?: { readonly Networks?: Readonly<Record<string, unknown>> | null } | null
}

export interface Resource {
  readonly Name: string
  readonly Labels: Readonly<Record<string, string>> | null
}

/** An archive of one small file, in the old tar format that every engine takes. */
export const archive = (name: string, content: string): Uint8Array => {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write("0000644\0", 100)
  header.write("0000000\0", 108)
  header.write("0000000\0", 116)
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124)
  header.write("00000000000\0", 136)
  header.write("        ", 148)
  header.write("0", 156)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  const body = Buffer.alloc(Math.ceil(content.length / 512) * 512)
  body.write(content)
  return Buffer.concat([header, body, Buffer.alloc(1024)])
}
