/**
 * The events of the fake engine, in the form of its flavor: kept, filtered, and handed to whoever listens.
 *
 * As an engine does, it keeps the last 256 for `since`.
 */
import { type Flavor, imageName } from "./Flavor.ts"

/** @internal */
export interface EngineEvent {
  readonly type: "container" | "network" | "volume" | "image"
  readonly action: string
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
  readonly millis: number
  readonly nanos: bigint
  readonly json: string
}

/** An event, before the flavor gives it its form. @internal */
type Happening =
  | {
    readonly type: "container"
    readonly action: string
    readonly container: {
      readonly id: string
      readonly name: string
      readonly image: string
      readonly labels: Readonly<Record<string, string>>
    }
    readonly attributes?: Readonly<Record<string, string>>
  }
  | {
    readonly type: "network"
    readonly action: string
    readonly network: { readonly id: string; readonly name: string; readonly driver: string }
    readonly container?: { readonly id: string; readonly name: string }
  }
  | {
    readonly type: "volume"
    readonly action: string
    readonly name: string
    readonly attributes?: Readonly<Record<string, string>>
  }
  | { readonly type: "image"; readonly action: string; readonly name: string; readonly id: string }

/** @internal */
export type EventFilters = Readonly<Record<string, ReadonlyArray<string>>>

/** @internal */
export interface EventLog {
  readonly publish: (happening: Happening) => void
  readonly past: () => ReadonlyArray<EngineEvent>
  readonly subscribe: (listener: (event: EngineEvent) => void) => () => void
  readonly listeners: () => number
}

const exitCodeOf = (attributes: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  attributes["exitCode"] === undefined ? {} : { containerExitCode: attributes["exitCode"] }

const podmanForm = (flavor: Flavor, happening: Happening) => {
  const old = flavor.id === "podman4" ? { containerExitCode: "0" } : {}
  const common = { image: "", podId: "" }
  switch (happening.type) {
    case "container": {
      const { attributes = {}, container } = happening
      const { execID: _, signal: __, execDuration: ___, ...rest } = attributes
      const image = imageName(flavor, container.image)
      const own = happening.action === "exec_died"
        ? exitCodeOf(attributes)
        : { ...exitCodeOf(attributes), ...rest }
      return {
        id: container.id,
        from: image,
        attributes: { ...container.labels, ...old, ...own, image, name: container.name, podId: "" }
      }
    }
    case "network": {
      const { container, network } = happening
      const more = flavor.id === "podman4" ? {} : { network: network.name }
      return container === undefined
        ? { id: network.id, attributes: { ...common, driver: network.driver, name: "", ...more } }
        : { id: container.id, attributes: { ...common, ...old, name: container.name, ...more } }
    }
    case "volume":
      return { attributes: { ...common, ...old, name: happening.name } }
    case "image":
      return { id: happening.id, attributes: { ...common, ...old, name: happening.name } }
  }
}

const dockerForm = (happening: Happening) => {
  switch (happening.type) {
    case "container": {
      const { attributes, container } = happening
      return {
        id: container.id,
        from: container.image,
        attributes: { ...container.labels, ...attributes, image: container.image, name: container.name }
      }
    }
    case "network": {
      const { container, network } = happening
      const who = container === undefined ? {} : { container: container.id }
      return { id: network.id, attributes: { ...who, name: network.name, type: network.driver } }
    }
    case "volume":
      return { id: happening.name, attributes: { ...happening.attributes, driver: "local" } }
    case "image":
      return { id: happening.name, attributes: { name: happening.name } }
  }
}

const jsonOf = (flavor: Flavor, happening: Happening, millis: number, nanos: bigint): {
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
  readonly json: string
} => {
  const { type, action } = happening
  const form: { readonly id?: string; readonly from?: string; readonly attributes: Readonly<Record<string, string>> } =
    flavor.isPodman ? podmanForm(flavor, happening) : dockerForm(happening)
  const time = { scope: "local", time: Math.trunc(millis / 1000), timeNano: 0 }
  const { attributes, from, id = "" } = form
  const actorId = flavor.isPodman && type === "volume" ? "" : id
  const body = flavor.isPodman
    ? {
      status: action,
      ...(form.id === undefined ? {} : { id }),
      ...(from === undefined ? {} : { from }),
      Type: type,
      Action: action,
      Actor: { ID: actorId, Attributes: attributes },
      ...time
    }
    : {
      ...(type === "container" ? { status: action, id, from } : {}),
      Type: type,
      Action: action,
      Actor: { ID: actorId, Attributes: attributes },
      ...time
    }
  // A number of nanoseconds is more than a JavaScript number holds exactly.
  return { id, attributes, json: JSON.stringify(body).replace("\"timeNano\":0", `"timeNano":${nanos}`) }
}

const keptEvents = 256

/** @internal */
export const makeEventLog = (flavor: Flavor, now: () => number, nanos: () => bigint): EventLog => {
  const kept: Array<EngineEvent> = []
  const listeners = new Set<(event: EngineEvent) => void>()
  return {
    publish: (happening) => {
      // Podman 4 writes no event when a network is created or removed.
      if (flavor.id === "podman4" && happening.type === "network" && happening.container === undefined) return
      const millis = now()
      const at = nanos()
      const event = {
        type: happening.type,
        action: happening.action,
        millis,
        nanos: at,
        ...jsonOf(flavor, happening, millis, at)
      }
      kept.push(event)
      if (kept.length > keptEvents) kept.shift()
      for (const listener of listeners) listener(event)
    },
    past: () => [...kept],
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    listeners: () => listeners.size
  }
}

/** @internal */
export const hasLabel = (labels: Readonly<Record<string, string>>, wanted: string): boolean => {
  const at = wanted.indexOf("=")
  return at < 0 ? Object.hasOwn(labels, wanted) : Object.hasOwn(labels, wanted.slice(0, at)) &&
    labels[wanted.slice(0, at)] === wanted.slice(at + 1)
}

/**
 * Whether an event passes the filters: labels all, every other key any of its values. On Podman 4.3 nothing passes the
 * mere key of a label.
 *
 * @internal
 */
export const passes = (event: EngineEvent, filters: EventFilters, flavor: Flavor): boolean =>
  Object.entries(filters).every(([key, values]) => {
    if (values.length === 0) return true
    const own = (...names: ReadonlyArray<string | undefined>) => values.some((value) => names.includes(value))
    const { action, attributes, id, type } = event
    switch (key) {
      case "type":
        return own(type)
      case "event":
        return values.some((value) => action === value || action.startsWith(`${value}:`))
      case "label":
        return values.every((value) => (flavor.id !== "podman4" || value.includes("=")) && hasLabel(attributes, value))
      case "container":
        return type === "container" && values.some((value) => value === attributes["name"] || id.startsWith(value))
      case "image":
        return own(attributes["image"])
      case "network":
        return type === "network" && own(id, attributes["name"], attributes["network"])
      case "volume":
        return type === "volume" && own(id, attributes["name"])
      case "scope":
        return own("local")
      default:
        return true
    }
  })
