/** The recordings of real engines in `test/recordings/engines`, as records. */
import * as fs from "node:fs"
import * as path from "node:path"

/** A request that prepares the state, or that is sent while a stream of events is open. */
export interface Sent {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly status: number
}

export interface Recording {
  readonly engine: string
  /** The name of its file, such as `03-networks.json`. */
  readonly topic: string
  readonly id: string
  readonly before?: ReadonlyArray<Sent | { readonly wait: string }>
  readonly during?: ReadonlyArray<Sent>
  readonly when?: string
  readonly body?: unknown
  readonly method: string
  /** With the version prefix as it was sent. */
  readonly path: string
  readonly reply?: { readonly status: number; readonly contentType: string | null; readonly body: unknown }
  readonly headers?: Readonly<Record<string, string>>
  /** The body has only some fields of the reply. */
  readonly trimmed?: boolean
}

const root = path.join(import.meta.dirname, "../recordings/engines")

export const engines = ["docker-20.10.24", "docker-29", "podman-4.3.1", "podman-5.8.2"] as const

export const recordings: ReadonlyArray<Recording> = engines.flatMap((engine) =>
  fs.readdirSync(path.join(root, engine)).sort().flatMap((file) =>
    (JSON.parse(fs.readFileSync(path.join(root, engine, file), "utf8")) as ReadonlyArray<
      Omit<Recording, "engine" | "topic">
    >)
      .map((record) => ({ ...record, engine, topic: file }))
  )
)

/** The path of a request without its version. */
export const pathOf = ({ path }: Recording): string => path.replace(/^\/v\d+\.\d+/, "")

/** A reply's body as it came over the wire. */
export const bodyText = (record: Recording): string => {
  const body = record.reply?.body
  return typeof body === "string" ? body : body === undefined ? "" : JSON.stringify(body)
}
