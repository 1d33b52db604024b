/**
 * Measures a create and a delete of 26 servers on Hetzner, in calls and against the time of one server.
 *
 * The API is the fake in simulated time: actions of 2 s, replies of 30 ms. So every figure is the same on each run and
 * each machine.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { HttpClient } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Hetzner from "../src/layers/Hetzner.ts"
import type { OperationReport } from "../src/Report.ts"
import * as HetznerFake from "../src/testing/HetznerFake.ts"
import { simulated } from "../src/testing/SimulatedTime.ts"
import { atMost, type Measured, type NotMeasured, type Row } from "./row.ts"

const spec: Hetzner.HetznerClusterSpec = {
  cluster: "dev",
  controlPlanes: 3,
  workers: 23,
  nodes: { image: "debian-13", serverTypes: ["cx23"], locations: ["fsn1", "nbg1"] },
  firewall: { rules: [{ direction: "in", protocol: "tcp", port: "6443", sourceIps: ["0.0.0.0/0", "::/0"] }] }
}

interface Cost {
  readonly calls: number
  readonly seconds: number
  /** The content of the Project afterwards. */
  readonly left: number
}

interface Costs {
  readonly create: Cost
  readonly again: Cost
  readonly delete: Cost
}

const costsOf = (wish: Hetzner.HetznerClusterSpec): Effect.Effect<Costs, NotMeasured> =>
  simulated(Effect.scoped(Effect.gen(function*() {
    const fake = yield* HetznerFake.make({ duration: "2 seconds", latency: "30 millis", keepReplies: false })
    const context = yield* Layer.build(
      Layer.provide(
        Hetzner.layerHttpClient({ token: fake.token, endpoint: fake.endpoint }),
        Layer.succeed(HttpClient, fake.httpClient)
      )
    )
    const hetzner = Context.get(context, Hetzner.Hetzner)
    const cost = <E>(operation: Effect.Effect<OperationReport, E>) =>
      Effect.gen(function*() {
        yield* fake.clearCalls
        const { durationMillis } = yield* operation
        const state = yield* fake.state
        const left = [state.servers, state.networks, state.firewalls, state.placementGroups, state.primaryIps]
        return { calls: (yield* fake.calls).length, seconds: durationMillis / 1000, left: left.flat().length }
      })
    return {
      create: yield* cost(hetzner.createNodes(wish)),
      again: yield* cost(hetzner.createNodes(wish)),
      delete: yield* cost(hetzner.provider.deleteNodes(wish.cluster))
    }
  })))

const measured = (read: (many: Costs, one: Costs) => Measured) =>
  Effect.map(
    Effect.all([costsOf(spec), costsOf({ ...spec, controlPlanes: 1, workers: 0 })]),
    ([many, one]) => read(many, one)
  )

const words = ({ calls, seconds }: Cost): string => `${calls} calls, ${seconds.toFixed(1)} s`

export const hetznerMakingRows: ReadonlyArray<Row> = [
  {
    id: "hetzner.create-calls",
    what: "Hetzner, calls of a create of 3 + 23 servers with network, firewall, 3 groups (actions of 2 s)",
    target: atMost(100),
    measure: measured(({ again, create }) => ({
      value: create.calls,
      detail: `${words(create)}; when run again ${words(again)}`
    }))
  },
  {
    id: "hetzner.create-time",
    what: "Hetzner, wall time of that create, over one server's",
    target: atMost(3),
    measure: measured(({ create }, one) => ({
      value: create.seconds / one.create.seconds,
      detail: `${create.seconds.toFixed(1)} s, one server ${one.create.seconds.toFixed(1)} s`
    }))
  },
  {
    id: "hetzner.delete-calls",
    what: "Hetzner, calls of a delete of 26 servers with network, firewall, 3 groups (KSail 61, and leaves things)",
    target: atMost(50),
    measure: measured((many) => ({
      value: many.delete.calls,
      detail: `${words(many.delete)}; ${many.delete.left} things left`
    }))
  }
]
