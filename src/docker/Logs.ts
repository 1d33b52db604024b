/**
 * The log of a node, line by line, over restarts of its container.
 *
 * The engine ends a followed log when the container stops. The stream then waits for the start event, and opens the log
 * again from the time of the last line. It leaves out the lines of that time that it has already emitted, so that no
 * line is lost or doubled. Source: Docker Engine API reference, `ContainerLogs`.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { isReason } from "../internal/CallFailures.ts"
import type { Client } from "./Client.ts"
import { frames, LineCutter, type Piece } from "./Frames.ts"
import type { CallFailure } from "./Transport.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface LogLine {
  readonly source: "stdout" | "stderr"
  /** When the engine took it, ISO 8601 with nanoseconds, UTC. */
  readonly time: string
  readonly text: string
}

/**
 * @category models
 * @since 0.1.0
 */
export interface LogOptions {
  /** Go on with what comes, also over restarts, until the container is removed. */
  readonly follow?: boolean
  /** Begin with the last so many lines; all of them where it is left out. */
  readonly tail?: number
}

/** The value of `since`: seconds and nanoseconds, because a date would be cut to milliseconds. */
const since = (time: string): string => {
  const [, seconds = "", fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(time) ?? []
  return `${Math.floor(Date.parse(`${seconds}Z`) / 1000)}.${fraction.padEnd(9, "0")}`
}

/** Cuts pieces into lines, separately for each source. */
const toLines = <E, R>(pieces: Stream.Stream<Piece, E, R>): Stream.Stream<LogLine, E, R> =>
  Stream.suspend(() => {
    const cutters = { stdout: new LineCutter(), stderr: new LineCutter() }
    const line = (source: LogLine["source"]) => (text: string): LogLine => {
      const space = text.indexOf(" ")
      return space < 0
        ? { source, time: text, text: "" }
        : { source, time: text.slice(0, space), text: text.slice(space + 1) }
    }
    return Stream.concat(
      Stream.flatMap(pieces, ({ bytes, source }) => Stream.fromIterable(cutters[source].push(bytes).map(line(source)))),
      Stream.suspend(() =>
        Stream.fromIterable([
          ...cutters.stdout.end().map(line("stdout")),
          ...cutters.stderr.end().map(line("stderr"))
        ])
      )
    )
  })

/** How far one source was given. Only within a source do lines come in the order of their times. */
class Position {
  time = ""
  private given = 0
  private repeated = 0

  /** From now on lines of the last time come again, and are to be left out. */
  reopened(): void {
    this.repeated = this.given
  }

  isNew(time: string): boolean {
    if (time < this.time) return false
    if (time > this.time) {
      this.time = time
      this.given = 0
      this.repeated = 0
    }
    if (this.repeated > 0) {
      this.repeated--
      return false
    }
    this.given++
    return true
  }
}

/** Ends when the container is started, and fails with `NotFoundError` where it is gone. */
const nextStart = (client: Client, id: string): Effect.Effect<void, CallFailure> =>
  client.events({ type: ["container"], container: [id] }).pipe(
    // The state is read after the stream is open, so that a start in between is seen either way.
    Stream.mapEffect((event) =>
      event === "Opened" || event === "Undecodable" || event.Action === "start" || event.Action === "destroy" ||
        event.Action === "remove"
        ? client.inspectContainer(id)
        : Effect.undefined
    ),
    Stream.takeUntil((inspected) => inspected !== undefined && inspected.State.Status === "running"),
    Stream.runDrain
  )

/** The log of a container. Without `follow` it ends with what there is; with it, when the container is removed. */
export const logs = (client: Client, id: string, options: LogOptions): Stream.Stream<LogLine, CallFailure> =>
  Stream.unwrap(Effect.map(client.inspectContainer(id), (inspected) => {
    const follow = options.follow === true
    const positions = { stdout: new Position(), stderr: new Position() }
    const reached = () => [positions.stdout.time, positions.stderr.time].filter((time) => time !== "").sort()[0]
    const open = (settings: { readonly tail?: number; readonly since?: string }) =>
      client.logs(id, { follow, ...settings }).pipe(
        frames(inspected.Config.Tty === true),
        toLines,
        Stream.filter((line) => positions[line.source].isNew(line.time))
      )
    const first = open(options.tail === undefined ? {} : { tail: options.tail })
    if (!follow) return first
    const again: Stream.Stream<LogLine, CallFailure> = Stream.suspend(() => {
      positions.stdout.reopened()
      positions.stderr.reopened()
      const time = reached()
      return Stream.concat(open(time === undefined ? {} : { since: since(time) }), next)
    })
    const next: Stream.Stream<LogLine, CallFailure> = Stream.unwrap(Effect.as(nextStart(client, id), again))
    return Stream.concat(first, next).pipe(
      Stream.catchIf((error) => isReason(error, "NotFoundError"), () => Stream.empty)
    )
  }))
