/**
 * Measures `listNodes` beyond the engine's answer: 10,000 containers, read from a unix socket.
 *
 * The travel time of the answer is measured separately and subtracted. The rest is parsing, checking, creating nodes
 * and sorting them, against `JSON.parse` of the same text alone.
 */
import * as Effect from "effect/Effect"
import { request } from "../scripts/engine/api.ts"
import * as Docker from "../src/layers/Docker.ts"
import { atMost, type Measured, type NotMeasured, type Row } from "./row.ts"
import { inTurns, median, millisOf, spread } from "./samples.ts"
import { cannedContainer, cannedEngine } from "./socket.ts"

const CONTAINERS = 10_000
const ROUNDS = 15

/** Times before the code is compiled for speed are another matter. */
const WARM_UP_ROUNDS = 3

const measure: Effect.Effect<Measured, NotMeasured> = Effect.scoped(Effect.gen(function*() {
  const cluster = "large"
  const reply = Buffer.from(
    JSON.stringify(
      // Newest first, as an engine lists them.
      Array.from({ length: CONTAINERS }, (_, index) => cannedContainer(cluster, CONTAINERS - 1 - index, "running"))
    )
  )
  const { socketPath } = yield* cannedEngine(() => reply)
  const { provider } = yield* Docker.make({ host: `unix://${socketPath}` })
  const text = reply.toString("utf8")

  const list = Effect.flatMap(
    provider.listNodes(cluster),
    (nodes) =>
      nodes.length === CONTAINERS
        ? Effect.void
        : Effect.fail({ message: `listNodes gave ${nodes.length} nodes of ${CONTAINERS}` })
  )
  const contestants = {
    list: millisOf(list),
    transport: millisOf(request({ socketPath }, { method: "GET", path: "/containers/json" })),
    parse: millisOf(Effect.sync(() => JSON.parse(text) as unknown))
  }
  yield* inTurns(WARM_UP_ROUNDS, contestants)
  const times = yield* inTurns(ROUNDS, contestants)
  const [listing, travel, parsing] = [spread(times.list), spread(times.transport), spread(times.parse)]
  return {
    value: (median(times.list) - median(times.transport)) / median(times.parse),
    detail: `listNodes ${listing} less transport ${travel}, against JSON.parse ${parsing} of ${
      (reply.length / 1e6).toFixed(1)
    } MB; ${ROUNDS} rounds`
  }
}))

export const decodeRows: ReadonlyArray<Row> = [{
  id: "docker.list.10k",
  what: `parse and decode ${CONTAINERS} containers, / JSON.parse alone`,
  target: atMost(3.5),
  measure
}]
