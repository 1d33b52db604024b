/**
 * The calls on containers: list, inspect, create, start, stop, kill, restart, pause, remove, wait.
 *
 * A call that takes time sleeps on the Clock, and reads the container again afterwards.
 */
import * as Effect from "effect/Effect"
import { attempt, empty, filtersOf, type Handler, handler, json } from "./Call.ts"
import { checkBody, create } from "./CreateContainer.ts"
import { type Container, containerOf, type Engine, imageOf, record, runs } from "./Engine.ts"
import { hasLabel } from "./EventLog.ts"
import { begin, graceOf, killForRemoval, pause, remove, signal, unpause } from "./Lifecycle.ts"
import { inspected, stateInList, summary } from "./Views.ts"

const flag = (text: string | undefined): boolean => text === "1" || text === "true" || text === "True"

const pattern = (text: string): RegExp | undefined => {
  try {
    return new RegExp(text)
  } catch {
    return undefined
  }
}

const dockerStates = ["created", "running", "paused", "restarting", "removing", "exited", "dead"]
const podmanStates = [
  "created",
  "initialized",
  "running",
  "paused",
  "stopping",
  "stopped",
  "removing",
  "exited",
  "unknown"
]

const listFilters = [
  "ancestor",
  "before",
  "expose",
  "exited",
  "health",
  "id",
  "is-task",
  "isolation",
  "label",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume"
]

/** `label` values are ANDed; of any other filter one value is enough. */
const passesList = (engine: Engine, filters: Readonly<Record<string, ReadonlyArray<string>>>) => (each: Container) => {
  const some = (key: string, holds: (value: string) => boolean) =>
    filters[key] === undefined || filters[key].some(holds)
  const isNamed = (value: string) => {
    const wanted = pattern(value)
    return wanted !== undefined && (wanted.test(each.name) || wanted.test(`/${each.name}`))
  }
  // Podman takes `key=` for any value.
  const hasWanted = (wanted: string) =>
    engine.flavor.isPodman && wanted.endsWith("=")
      ? hasLabel(each.labels, wanted.slice(0, -1))
      : hasLabel(each.labels, wanted)
  return (filters["label"] ?? []).every(hasWanted) &&
    some("name", isNamed) &&
    some("id", (value) => each.id.startsWith(value)) &&
    some("status", (value) => stateInList(engine, each) === value || each.status === value) &&
    some("health", (value) => each.health === value) &&
    some("ancestor", (value) => imageOf(engine, value)?.id === each.imageId) &&
    some("exited", (value) => each.finishedAt !== undefined && String(each.exitCode) === value) &&
    some(
      "network",
      (value) =>
        [...each.endpoints.values()].some(({ key, networkId }) =>
          key === value || (value !== "" && networkId === value)
        )
    ) &&
    some("volume", (value) => each.mounts.some(({ name, target }) => name === value || target === value))
}

const list = handler((engine, call) => {
  const { query } = call
  const filters = filtersOf(engine, call, listFilters)
  for (const status of filters["status"] ?? []) {
    const known = engine.flavor.isPodman ? podmanStates : dockerStates
    if (!known.includes(status)) throw engine.refuse.statusFilter(status)
  }
  const ordered = engine.flavor.id === "podman5" ? [...engine.containers].reverse() : engine.containers
  const all = flag(query["all"]) || query["limit"] !== undefined || filters["status"] !== undefined
  const found = ordered.filter((each) => all || runs(each) || (!engine.flavor.isPodman && each.status === "restarting"))
    .filter(passesList(engine, filters))
  const limit = Number(query["limit"] ?? 0)
  const shown = limit <= 0 ? found : engine.flavor.id === "podman5" ? found.slice(-limit) : found.slice(0, limit)
  return json(shown.map((each) => summary(engine, each)))
})

const inspect = handler((engine, { part }) => json(inspected(engine, containerOf(engine, part))))

const createContainer: Handler = (engine, call) =>
  Effect.gen(function*() {
    yield* attempt(() => {
      const body = record(call.json)
      for (const field of checkBody(engine, body)) call.violate(`the create body has no field ${field}`)
    })
    yield* Effect.sleep(engine.durations.create)
    return yield* attempt(() => {
      const { id } = create(engine, call.query["name"] ?? "", record(call.json))
      return json({ Id: id, Warnings: [] }, 201)
    })
  })

const beginChecked = (engine: Engine, container: Container): 204 | 304 => {
  const { flavor, refuse } = engine
  if (container.status === "paused") throw refuse.startPaused(container.id)
  if (container.status === "removing" || container.status === "dead") throw refuse.markedForRemoval()
  if (container.status === "running") {
    if (flavor.id === "podman5") container.error = `container ${container.id}: container is running`
    return 304
  }
  container.wasStopped = false
  container.restartCount = 0
  container.backoff = 0
  begin(engine, container)
  return 204
}

const start: Handler = (engine, { part }) =>
  Effect.gen(function*() {
    const container = yield* attempt(() => containerOf(engine, part))
    if (!runs(container)) yield* Effect.sleep(engine.durations.start)
    return yield* attempt(() => {
      if (!engine.containers.includes(container)) throw engine.refuse.container(part)
      return empty(beginChecked(engine, container))
    })
  })

/** Waits until the process exits, however long that takes. */
const untilExit = (container: Container): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (!runs(container)) return resume(Effect.void)
    const waiter = () => resume(Effect.void)
    container.waiters.add(waiter)
    return Effect.sync(() => container.waiters.delete(waiter))
  })

const stopProcess = (engine: Engine, container: Container, t: string | undefined) =>
  Effect.gen(function*() {
    const grace = graceOf(engine, container, t)
    container.wasStopped = true
    yield* Effect.sleep(engine.durations.stop)
    if (engine.flavor.isPodman && grace === 0) return signal(engine, container, "KILL", true)
    if (container.status === "paused") container.status = "running"
    signal(engine, container, "TERM", true)
    if (grace < 0) return yield* untilExit(container)
    yield* Effect.raceFirst(
      untilExit(container),
      Effect.andThen(Effect.sleep(grace * 1000), Effect.sync(() => signal(engine, container, "KILL", true)))
    )
  })

/** Stops a container; false where there is nothing to stop. */
const stopContainer = (engine: Engine, container: Container, t: string | undefined) =>
  Effect.gen(function*() {
    const { isPodman } = engine.flavor
    if (container.status === "restarting") {
      // Podman goes on with the restarts.
      if (isPodman) return false
      container.wasStopped = true
      container.run++
      container.status = "exited"
      return true
    }
    if (container.status === "created") return isPodman
    if (!runs(container)) return false
    if (container.status === "paused" && isPodman) return yield* Effect.fail(engine.refuse.stopPaused(container.id))
    yield* stopProcess(engine, container, t)
    return true
  })

const checkTime = (
  call: { readonly query: Readonly<Record<string, string>>; readonly violate: (detail: string) => void }
) => {
  const { t } = call.query
  if (t !== undefined && !/^-?\d+$/.test(t)) call.violate(`t is no number of seconds: ${t}`)
}

const stop: Handler = (engine, call) =>
  Effect.gen(function*() {
    checkTime(call)
    const container = yield* attempt(() => containerOf(engine, call.part))
    return empty((yield* stopContainer(engine, container, call.query["t"])) ? 204 : 304)
  })

const restart: Handler = (engine, call) =>
  Effect.gen(function*() {
    checkTime(call)
    const container = yield* attempt(() => containerOf(engine, call.part))
    if (container.status === "paused" && engine.flavor.isPodman) {
      return yield* Effect.fail(engine.refuse.restartPaused())
    }
    if (engine.flavor.isPodman) engine.events.publish({ type: "container", action: "restart", container })
    yield* stopContainer(engine, container, call.query["t"])
    yield* Effect.sleep(engine.durations.start)
    return yield* attempt(() => {
      beginChecked(engine, container)
      if (!engine.flavor.isPodman) engine.events.publish({ type: "container", action: "restart", container })
      return empty(204)
    })
  })

const signals: Readonly<Record<string, "TERM" | "KILL">> = {
  "": "KILL",
  KILL: "KILL",
  SIGKILL: "KILL",
  "9": "KILL",
  TERM: "TERM",
  SIGTERM: "TERM",
  "15": "TERM"
}

/** Signals other than SIGTERM and SIGKILL do nothing to a process of the fake. */
const others = ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH", "CONT", "STOP"]

const kill = handler((engine, { part, query }) => {
  const { refuse } = engine
  const container = containerOf(engine, part)
  const name = (query["signal"] ?? "").toUpperCase()
  const known = signals[name]
  if (known === undefined && !others.includes(name.replace(/^SIG/, ""))) throw refuse.signal(part, name)
  if (!runs(container)) throw refuse.killStopped({ id: container.id, name: part }, container.status)
  if (known === "KILL") container.wasStopped = true
  if (known !== undefined) signal(engine, container, known)
  return empty(204)
})

const pauseContainer = handler((engine, { part }) => {
  pause(engine, containerOf(engine, part))
  return empty(204)
})

const unpauseContainer = handler((engine, { part }) => {
  unpause(engine, containerOf(engine, part))
  return empty(204)
})

const removeContainer: Handler = (engine, { part, query }) =>
  Effect.gen(function*() {
    const { flavor, refuse } = engine
    const container = yield* attempt(() => {
      const found = containerOf(engine, part, refuse.containerToRemove)
      if (found.status === "removing") throw refuse.removalInProgress(part)
      const isUp = runs(found) || (found.status === "restarting" && !flavor.isPodman)
      if (isUp && !flag(query["force"])) {
        throw found.status === "paused"
          ? refuse.removePaused(found.id, part)
          : refuse.removeRunning(found.id, part, found.status)
      }
      return found
    })
    if (engine.durations.remove > 0) {
      container.wasStopped = true
      if (runs(container)) killForRemoval(engine, container)
      container.run++
      container.status = "removing"
      yield* Effect.sleep(engine.durations.remove)
    }
    remove(engine, container, flag(query["v"]))
    return empty(204)
  })

const wait: Handler = (engine, { part, query }) =>
  Effect.gen(function*() {
    const { flavor, refuse } = engine
    const container = yield* attempt(() => containerOf(engine, part, refuse.containerToWait))
    const condition = query["condition"] ?? "not-running"
    const waiters = condition === "removed" ? container.removalWaiters : container.waiters
    const isOver = condition === "not-running" && !runs(container) && container.status !== "restarting"
    const code = isOver
      ? container.exitCode
      : yield* Effect.callback<number>((resume) => {
        const waiter = (exitCode: number) => resume(Effect.succeed(exitCode))
        waiters.add(waiter)
        return Effect.sync(() => waiters.delete(waiter))
      })
    return json({ ...(flavor.id === "docker29" ? {} : { Error: null }), StatusCode: code })
  })

/** @internal */
export const containerRoutes = [
  { method: "GET", template: "/containers/json", query: ["all", "filters", "limit", "size"], run: list },
  { method: "GET", template: "/containers/{id}/json", query: ["size"], run: inspect },
  { method: "POST", template: "/containers/create", query: ["name", "platform"], run: createContainer },
  { method: "POST", template: "/containers/{id}/start", query: ["detachKeys"], run: start },
  { method: "POST", template: "/containers/{id}/stop", query: ["signal", "t"], run: stop },
  { method: "POST", template: "/containers/{id}/restart", query: ["signal", "t"], run: restart },
  { method: "POST", template: "/containers/{id}/kill", query: ["signal"], run: kill },
  { method: "POST", template: "/containers/{id}/pause", query: [], run: pauseContainer },
  { method: "POST", template: "/containers/{id}/unpause", query: [], run: unpauseContainer },
  { method: "DELETE", template: "/containers/{id}", query: ["force", "link", "v"], run: removeContainer },
  { method: "POST", template: "/containers/{id}/wait", query: ["condition"], run: wait }
] as const
