/**
 * Shows the log of a node.
 *
 * A node can be named without its cluster.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ClusterNotFound } from "../../ProviderError.ts"
import type { Connection } from "../Backends.ts"
import { UsageError } from "../Failure.ts"
import { Screen } from "../Screen.ts"
import { connect, withDeadline } from "../Session.ts"
import { Settings } from "../Settings.ts"

export interface LogsInput {
  /** A cluster and a node, or a node alone. */
  readonly target: ReadonlyArray<string>
  readonly follow: boolean
  readonly tail: number | undefined
  readonly timestamps: boolean
}

/** A node by its cluster and name, or by its name alone. */
const findNode = Effect.fnUntraced(function*(connection: Connection, target: ReadonlyArray<string>) {
  const [first = "", second] = target
  if (second !== undefined) return { cluster: first, node: second }
  const statuses = yield* connection.provider.listAllStatuses
  const node = statuses.flatMap(({ nodes }) => nodes).find(({ name }) => name === first)
  if (node !== undefined) return { cluster: node.clusterName as string, node: node.name }
  const cluster = statuses.find(({ clusterName }) => clusterName === first)
  if (cluster === undefined) {
    return yield* new ClusterNotFound({ provider: connection.provider.name, clusterName: first })
  }
  const [only, ...others] = cluster.nodes
  if (only !== undefined && others.length === 0) return { cluster: first, node: only.name }
  return yield* new UsageError({
    message: `cluster "${first}" has ${cluster.nodes.length} nodes; name one: ${
      cluster.nodes.map(({ name }) => name).join(", ")
    }`
  })
})

export const dockerOf = (connection: Connection, command: string) =>
  connection.docker === undefined
    ? Effect.fail(new UsageError({ message: `${command} is available with --backend docker only` }))
    : Effect.succeed(connection.docker)

export const logs = Effect.fnUntraced(function*(input: LogsInput) {
  const screen = yield* Screen
  const { format } = yield* Settings
  const connection = yield* connect
  const docker = yield* dockerOf(connection, "logs")
  const { cluster, node } = yield* findNode(connection, input.target)
  const lines = docker.logs(cluster, node, {
    follow: input.follow,
    ...(input.tail === undefined ? {} : { tail: input.tail })
  })
  yield* withDeadline(Stream.runForEach(lines, (line) => {
    if (format === "json") return screen.out(JSON.stringify(line))
    const text = `${input.timestamps ? `${line.time} ` : ""}${line.text}\n`
    return line.source === "stderr" ? screen.errBytes(text) : screen.outBytes(text)
  }))
  return 0
})
