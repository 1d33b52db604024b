/**
 * Starting, stopping and deleting 20 nodes on a real engine, against the same by hand; and stopping nodes that ignore
 * SIGTERM.
 *
 * One control plane and the rest workers, so that there are two waves, one after the other. The rows of start and stop
 * are read off the same runs: a contestant starts the cluster, and then stops it.
 */
import Dockerode from "dockerode"
import * as Effect from "effect/Effect"
import * as Docker from "../src/layers/Docker.ts"
import type { ProviderService } from "../src/Provider.ts"
import * as handwritten from "./handwritten.ts"
import { atMost, Chosen, type Measured, type NotMeasured, type Row } from "./row.ts"
import { inTurns, median, millisOf, PAIRS, ratio, spread } from "./samples.ts"
import { type Cluster, killAll, makeCluster, Stage, startAll } from "./stage.ts"

const NODES = 20

/** 20 slow nodes one after the other take more than 20 s. */
const LONG_PAIRS = 3

const GRACE_MILLIS = 10_000

const provider: Effect.Effect<ProviderService, NotMeasured, Stage> = Effect.gen(function*() {
  const { socketPath } = yield* Stage
  const { provider } = yield* Docker.make({ host: `unix://${socketPath}` })
  yield* provider.checkAvailable
  return provider
})

const dockerode = Effect.map(Stage, ({ socketPath }) => new Dockerode({ socketPath }))

const byHand = (work: () => Promise<void>): Effect.Effect<void, NotMeasured> =>
  Effect.tryPromise({ try: work, catch: (error) => ({ message: `by hand: ${String(error)}` }) })

const ids = {
  stopAlone: "docker.stop20.slow.seq",
  stopWave: "docker.stop20.slow.wave",
  startWave: "docker.start20.wave",
  startAlone: "docker.start20.seq"
}

interface Cycle {
  readonly start: ReadonlyArray<number>
  readonly stop: ReadonlyArray<number>
}

/** Starts and stops one cluster, each contestant in turn. */
const cycles = Effect.gen(function*() {
  const chosen = yield* Chosen
  const { startNodes, stopNodes } = yield* provider
  const docker = yield* dockerode
  const cluster = yield* makeCluster({ nodes: NODES, init: "slow" })
  // The first start of a container does more than the later ones.
  yield* Effect.andThen(startAll(cluster), killAll(cluster))

  const contestant = (start: Effect.Effect<unknown, NotMeasured>, stop: Effect.Effect<unknown, NotMeasured>) => {
    const times = { start: [] as Array<number>, stop: [] as Array<number> }
    const take = (kind: "start" | "stop", work: Effect.Effect<unknown, NotMeasured>) =>
      Effect.map(millisOf(work), (millis) => times[kind].push(millis))
    return { times, start: take("start", start), stop: take("stop", stop) }
  }
  const ours = contestant(startNodes(cluster.name), stopNodes(cluster.name))
  const wave = contestant(
    byHand(() => handwritten.startInWaves(docker, cluster.name)),
    byHand(() => handwritten.stopInWaves(docker, cluster.name))
  )
  const alone = contestant(
    byHand(() => handwritten.startOneByOne(docker, cluster.name)),
    byHand(() => handwritten.stopOneByOne(docker, cluster.name))
  )

  for (let round = 0; round < PAIRS; round++) {
    yield* Effect.andThen(ours.start, ours.stop)
    if (chosen(ids.startWave) || chosen(ids.stopWave)) yield* Effect.andThen(wave.start, wave.stop)
    const stopsAlone = chosen(ids.stopAlone) && round < LONG_PAIRS
    if (chosen(ids.startAlone) || stopsAlone) {
      yield* Effect.andThen(alone.start, stopsAlone ? alone.stop : killAll(cluster))
    }
  }
  return { ours: ours.times, wave: wave.times, alone: alone.times }
}).pipe(Effect.scoped)

const deleting = Effect.gen(function*() {
  const { deleteNodes } = yield* provider
  const docker = yield* dockerode
  /** Each turn has its own cluster, created and started before the clock runs. */
  const turn = (work: (cluster: Cluster) => Effect.Effect<unknown, NotMeasured>) =>
    Effect.scoped(
      Effect.gen(function*() {
        const cluster = yield* makeCluster({ nodes: NODES, init: "obedient" })
        yield* startAll(cluster)
        return yield* millisOf(work(cluster))
      })
    )
  const { hand, ours } = yield* inTurns(PAIRS, {
    ours: turn((cluster) => deleteNodes(cluster.name)),
    hand: turn((cluster) => byHand(() => handwritten.deleteAll(docker, cluster.name)))
  })
  return ratio(ours, hand, "by hand")
})

const deaf = Effect.gen(function*() {
  const { stopNodes } = yield* provider
  const cluster = yield* makeCluster({ nodes: 8, init: "deaf" })
  const { ours } = yield* inTurns(LONG_PAIRS, {
    ours: Effect.andThen(startAll(cluster), millisOf(stopNodes(cluster.name)))
  })
  return {
    value: median(ours) / GRACE_MILLIS,
    detail: `${spread(ours)} against one grace of ${GRACE_MILLIS / 1000} s; ${ours.length} runs, as one takes over 10 s`
  }
}).pipe(Effect.scoped)

export const powerRows: Effect.Effect<ReadonlyArray<Row<Stage>>> = Effect.gen(function*() {
  const shared = yield* Effect.cached(cycles)
  const read = (
    kind: keyof Cycle,
    against: "wave" | "alone",
    words: string
  ): Effect.Effect<Measured, NotMeasured, Stage> =>
    Effect.map(shared, (times) => {
      const theirs = times[against][kind]
      // The turns that are compared.
      return ratio(times.ours[kind].slice(0, theirs.length), theirs, words)
    })
  return [
    {
      id: ids.stopAlone,
      what: `stop ${NODES} nodes that take 1 s at SIGTERM, / one after the other`,
      target: atMost(0.2),
      measure: Effect.map(read("stop", "alone", "one after the other"), ({ detail, value }) => ({
        value,
        detail: `${detail}, as one takes over 10 s`
      }))
    },
    {
      id: ids.stopWave,
      what: `stop ${NODES} nodes that take 1 s at SIGTERM, / hand-written waves`,
      target: atMost(1.15),
      measure: read("stop", "wave", "by hand")
    },
    {
      id: ids.startWave,
      what: `start ${NODES} nodes, / hand-written waves`,
      target: atMost(1.15),
      measure: read("start", "wave", "by hand")
    },
    {
      id: ids.startAlone,
      what: `start ${NODES} nodes, / one after the other`,
      target: atMost(0.85),
      measure: read("start", "alone", "one after the other")
    },
    {
      id: "docker.delete20.wave",
      what: `delete ${NODES} running nodes, / hand-written`,
      target: atMost(1.15),
      measure: deleting
    },
    {
      id: "docker.stop8.deaf",
      what: "stop 1 control plane and 7 workers that ignore SIGTERM, / one grace: two waves",
      target: atMost(2.4),
      measure: deaf
    }
  ]
})
