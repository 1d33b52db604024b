/**
 * The calls whose reply comes bit by bit: logs, execs, events.
 *
 * A reply has a function that writes to a sink; closing it ends the subscription, and never the process.
 */
import { attempt, type Call, empty, filtersOf, type Handler, handler, json, reply, type Sink } from "./Call.ts"
import {
  type Container,
  containerOf,
  type Engine,
  type Exec,
  imageOf,
  type LogLine,
  record,
  runs,
  text,
  texts
} from "./Engine.ts"
import { type EngineEvent, passes } from "./EventLog.ts"
import { execView, nanosText } from "./Views.ts"

const isSet = (value: string | undefined): boolean => value === "true" || value === "1"

/** A frame of the multiplexed form: stream, three zeros, length, payload. */
const frame = (stream: "stdout" | "stderr", payload: string): Uint8Array => {
  const bytes = new TextEncoder().encode(payload)
  const framed = new Uint8Array(8 + bytes.length)
  framed[0] = stream === "stdout" ? 1 : 2
  new DataView(framed.buffer).setUint32(4, bytes.length)
  framed.set(bytes, 8)
  return framed
}

/** Nanoseconds of `1700000000`, `1700000000.000000001` or RFC 3339. */
const parseTime = (value: string | undefined): bigint | undefined => {
  const [, seconds, fraction = ""] = /^(\d+)(?:\.(\d{1,9}))?$/.exec(value ?? "") ?? []
  if (seconds !== undefined) return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"))
  const millis = Date.parse(value ?? "")
  return Number.isNaN(millis) ? undefined : BigInt(millis) * 1_000_000n
}

// -----------------------------------------------------------------------------
// Logs
// -----------------------------------------------------------------------------

const logs = handler((engine, call) => {
  const { flavor, refuse } = engine
  const { query } = call
  if (!isSet(query["stdout"]) && !isSet(query["stderr"])) throw refuse.noLogStream(call.target)
  const container = containerOf(engine, call.part)
  const since = parseTime(query["since"])
  const until = parseTime(query["until"])
  const isWanted = ({ nanos, stream }: LogLine) =>
    isSet(query[stream]) && (since === undefined || nanos >= since) && (until === undefined || nanos <= until)
  const show = ({ nanos, stream, text: line }: LogLine): Uint8Array | string => {
    const time = flavor.id === "podman4" ? `${nanosText(nanos).slice(0, 19)}Z` : nanosText(nanos)
    const shown = isSet(query["timestamps"]) ? `${time} ${line}` : line
    return container.isTty ? shown.replace(/\n$/, "\r\n") : frame(stream, shown)
  }
  const present = container.log.filter(isWanted)
  const tail = query["tail"] ?? "all"
  const shown = tail === "all" || !/^\d+$/.test(tail) ? present : Number(tail) === 0 ? [] : present.slice(-Number(tail))
  const contentType = flavor.id === "docker29"
    ? container.isTty ? "application/vnd.docker.raw-stream" : "application/vnd.docker.multiplexed-stream"
    // Podman 4 guesses it from the first bytes.
    : flavor.id === "podman4" && shown.length > 0
    ? container.isTty ? "text/plain; charset=utf-8" : "application/octet-stream"
    : undefined
  return {
    ...reply(200, "", contentType),
    stream: (sink) => follow(container, shown.map(show), isWanted, show, isSet(query["follow"]), sink)
  }
})

const follow = (
  container: Container,
  present: ReadonlyArray<Uint8Array | string>,
  isWanted: (line: LogLine) => boolean,
  show: (line: LogLine) => Uint8Array | string,
  isFollowing: boolean,
  sink: Sink
): () => void => {
  for (const chunk of present) sink.write(chunk)
  if (!isFollowing || !(runs(container) || container.status === "restarting")) {
    sink.end()
    return () => {}
  }
  const reader = (line: LogLine | "exit" | "gone") => {
    if (typeof line === "object") {
      if (isWanted(line)) sink.write(show(line))
    } else {
      container.readers.delete(reader)
      sink.end()
    }
  }
  container.readers.add(reader)
  return () => container.readers.delete(reader)
}

// -----------------------------------------------------------------------------
// Execs
// -----------------------------------------------------------------------------

const knowsUser = (engine: Engine, container: Container, user: string): boolean =>
  user === "" || /^\d/.test(user) ||
  (imageOf(engine, container.imageId)?.users ?? ["root"]).includes(user.split(":")[0] ?? "")

const createExec = handler((engine, call) => {
  const { flavor, refuse } = engine
  const container = containerOf(engine, call.part)
  const body = record(call.json)
  const command = texts(body["Cmd"])
  if (command.length === 0) throw refuse.execEmpty()
  if (container.status === "paused") throw refuse.execPaused(container.id, call.part)
  if (container.status !== "running") throw refuse.execNotRunning(container.id)
  const user = text(body["User"])
  if (flavor.id === "docker29" && !knowsUser(engine, container, user)) throw refuse.user(400, user)
  const exec: Exec = {
    id: engine.newId(),
    container: container.name,
    command,
    env: texts(body["Env"]),
    workingDirectory: text(body["WorkingDir"]),
    user,
    isTty: body["Tty"] === true,
    isPrivileged: body["Privileged"] === true,
    state: "created",
    exitCode: null,
    pid: 0
  }
  engine.execs.set(exec.id, exec)
  if (!flavor.isPodman) {
    const attributes = { execID: exec.id }
    engine.events.publish({ type: "container", action: `exec_create: ${command.join(" ")}`, container, attributes })
  }
  return json({ Id: exec.id }, 201)
})

const execOf = (engine: Engine, id: string): Exec => {
  const exec = engine.execs.get(id)
  if (exec === undefined) throw engine.refuse.exec(id)
  return exec
}

const ended = (exec: Exec, exitCode: number): void => {
  exec.state = "ended"
  exec.exitCode = exitCode
}

/** The output and exit code of the engine for a command that it cannot run. */
const obstacle = (engine: Engine, container: Container, exec: Exec) => {
  const { flavor } = engine
  const [command = ""] = exec.command
  const invoked = "OCI runtime attempted to invoke a command that was not found"
  const stat = `exec: "${command}": stat ${command}: no such file or directory`
  if (!knowsUser(engine, container, exec.user)) {
    return {
      stream: "stdout",
      text: `unable to find user ${exec.user}: no matching entries in passwd file\r\n`,
      code: 126
    } as const
  }
  if (imageOf(engine, container.imageId)?.missing?.includes(command) !== true) return undefined
  const failed = "exec failed: unable to start container process: "
  if (!flavor.isPodman) {
    const more = flavor.id === "docker20" ? ": unknown" : ""
    return {
      stream: "stdout",
      text: `OCI runtime exec failed: ${failed}${stat}${more}\r\n`,
      code: flavor.id === "docker20" ? 126 : 127
    } as const
  }
  const runtime = flavor.id === "podman4"
    ? `crun: executable file \`${command}\` not found in $PATH: No such file or directory: ${invoked}`
    : `runc: ${failed}${stat}: ${invoked}`
  return { stream: "stderr", text: `Error: ${runtime}\n`, code: 127 } as const
}

const connectionLost = "Error: read unixpacket @->/run/fake/attach: read: connection reset by peer\n"

const writeAll = (chunks: ReadonlyArray<Uint8Array>, sink: Sink): () => void => {
  for (const chunk of chunks) sink.write(chunk)
  sink.end()
  return () => {}
}

const startExec: Handler = (engine, call) =>
  attempt(() => {
    const { flavor, refuse } = engine
    const exec = execOf(engine, call.part)
    const container = containerOf(engine, exec.container)
    const raw = flavor.id === "podman5"
      ? "application/vnd.docker.multiplexed-stream"
      : "application/vnd.docker.raw-stream"
    if (exec.state !== "created") {
      if (flavor.isPodman) throw refuse.execStarted(container.id, exec.id)
      const said = `${flavor.id === "docker20" ? "Error: Exec" : "exec"} command ${exec.id} has already run\r\n`
      return reply(200, frame("stdout", said), raw)
    }
    const blocked = obstacle(engine, container, exec)
    if (blocked !== undefined) {
      const isUser = !knowsUser(engine, container, exec.user)
      ended(exec, flavor.isPodman && isUser ? 125 : blocked.code)
      if (flavor.isPodman && isUser) throw refuse.user(500, exec.user)
      const more = flavor.isPodman ? [frame("stderr", connectionLost)] : []
      return {
        ...reply(200, "", raw),
        stream: (sink) => writeAll([frame(blocked.stream, blocked.text), ...more], sink)
      }
    }
    const publish = (action: string, attributes: Readonly<Record<string, string>>) =>
      engine.events.publish({ type: "container", action, container, attributes: { execID: exec.id, ...attributes } })
    publish(flavor.isPodman ? "exec" : `exec_start: ${exec.command.join(" ")}`, {})
    exec.state = "running"
    exec.pid = flavor.isPodman ? 0 : 5000 + engine.execs.size
    const { exitCode = 0, output = [] } = engine.run(exec)
    const finish = () => {
      ended(exec, exitCode)
      publish(flavor.isPodman ? "exec_died" : "exec_die", { exitCode: String(exitCode) })
    }
    const isDetached = record(call.json)["Detach"] === true
    if (isDetached) {
      engine.later(output.reduce((sum, { afterMillis = 0 }) => sum + afterMillis, 0), finish)
      return empty(200)
    }
    return { ...reply(200, "", raw), stream: (sink) => writeOutput(engine, exec, output, finish, sink) }
  })

/** The process goes on after its reader has left. */
const writeOutput = (
  engine: Engine,
  exec: Exec,
  output: NonNullable<ReturnType<Engine["run"]>["output"]>,
  finish: () => void,
  sink: Sink
): () => void => {
  let isRead = true
  const next = (index: number): void => {
    const piece = output[index]
    if (piece === undefined) {
      finish()
      if (isRead) sink.end()
      return
    }
    const write = () => {
      if (isRead) sink.write(exec.isTty ? piece.text : frame(piece.stream ?? "stdout", piece.text))
      next(index + 1)
    }
    if ((piece.afterMillis ?? 0) === 0) write()
    else engine.later(piece.afterMillis ?? 0, write)
  }
  next(0)
  return () => {
    isRead = false
  }
}

const inspectExec = handler((engine, { part }) => json(execView(engine, execOf(engine, part))))

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

const eventFilters = [
  "config",
  "container",
  "daemon",
  "event",
  "image",
  "label",
  "network",
  "node",
  "plugin",
  "pod",
  "scope",
  "secret",
  "service",
  "type",
  "volume"
]

const events: Handler = (engine, call: Call) =>
  attempt(() => {
    const filters = filtersOf(engine, call, eventFilters, "events")
    const since = parseTime(call.query["since"])
    const until = parseTime(call.query["until"])
    const isWanted = (event: EngineEvent) =>
      passes(event, filters, engine.flavor) && (until === undefined || event.nanos <= until)
    const line = ({ json: body }: EngineEvent) => `${body}\n`
    const stream = (sink: Sink): () => void => {
      const isPast = until !== undefined && Number(until / 1_000_000n) <= engine.now()
      // Podman returns nothing where all of the time is over.
      if (since !== undefined && !(engine.flavor.isPodman && isPast)) {
        for (const event of engine.events.past()) if (event.nanos >= since && isWanted(event)) sink.write(line(event))
      }
      const unsubscribe = engine.events.subscribe((event) => {
        if (isWanted(event)) sink.write(line(event))
      })
      if (until !== undefined) {
        const left = Number(until / 1_000_000n) - engine.now()
        const end = () => {
          unsubscribe()
          sink.end()
        }
        if (left <= 0) end()
        else engine.later(left, end)
      }
      return unsubscribe
    }
    return { ...reply(200, "", "application/json"), stream }
  })

/** @internal */
export const streamRoutes = [
  {
    method: "GET",
    template: "/containers/{id}/logs",
    query: ["details", "follow", "since", "stderr", "stdout", "tail", "timestamps", "until"],
    run: logs
  },
  { method: "POST", template: "/containers/{id}/exec", query: [], run: createExec },
  { method: "POST", template: "/exec/{id}/start", query: [], run: startExec },
  { method: "GET", template: "/exec/{id}/json", query: [], run: inspectExec },
  { method: "GET", template: "/events", query: ["filters", "since", "until"], run: events }
] as const
