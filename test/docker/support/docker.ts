/** The layer under test on the engine of these tests, and its progress events. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Docker from "kubelayer/layers/Docker"
import { onEvent, type OperationEvent, type Sink } from "kubelayer/Progress"
import { engineHost, image } from "./engine.ts"

export const nodes: Docker.NodeSpec = { image: image(), pull: "never" }

/** A layer of its own for each use; `kubelayer`'s own scheme where none is given. */
export const docker = (options: Docker.Options = {}) =>
  Layer.fresh(Docker.layer({ host: engineHost, nodes, ...options }))

/** Keeps the events of what runs inside it, and hands each to `f`, which holds the operation while it runs. */
export const listening = (f: Sink = () => Effect.void) => {
  const events: Array<OperationEvent> = []
  const listen = onEvent((event) =>
    Effect.suspend(() => {
      events.push(event)
      return f(event)
    })
  )
  return { events, listen }
}

/** The nodes and resources that a call was sent for, and those that were settled: `> name` and `< name`. */
export const course = (events: ReadonlyArray<OperationEvent>): ReadonlyArray<string> =>
  events.flatMap((event) =>
    event._tag === "Sent" ? [`> ${event.subject.name}`] : event._tag === "Settled" ? [`< ${event.subject.name}`] : []
  )
