/** Networks and volumes that the engine says are in use, though no node is left that uses them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { json, type Reply } from "./support/Conversation.ts"
import { type FakeEngine, pretend } from "./support/pretend.ts"
import { serviceAt } from "./support/service.ts"
import { problems, told } from "./support/told.ts"

const labels = { "kubelayer.owned": "kubelayer/dev" }

const things = [
  {
    kind: "network",
    path: "/networks/n1",
    name: "kubelayer-dev",
    refusal: json({ message: "error while removing network: network kubelayer-dev id n1 has active endpoints" }, 403)
  },
  {
    kind: "volume",
    path: "/volumes/dev-data",
    name: "dev-data",
    refusal: json({ message: "remove dev-data: volume is in use - [4fe]" }, 409)
  }
] as const

/** An engine that refuses to remove the thing so many times; `then` happens at the first time. */
const engineThatHolds = Effect.fnUntraced(function*(
  thing: typeof things[number],
  times: number,
  then: (engine: FakeEngine) => void = () => {}
) {
  let refusals = 0
  const engine: FakeEngine = yield* pretend({
    world: {
      containers: [{
        id: "w1",
        name: "dev-worker",
        labels: { ...labels, "kubelayer.cluster": "dev", "kubelayer.role": "worker" },
        state: "running",
        networks: ["kubelayer-dev"],
        volumes: ["dev-data"]
      }],
      networks: [{ id: "n1", name: "kubelayer-dev", labels }],
      volumes: [{ name: "dev-data", labels }]
    },
    script: (heard): Reply | undefined => {
      if (heard.method !== "DELETE" || heard.path !== thing.path || ++refusals > times) return undefined
      if (refusals === 1) then(engine)
      return thing.refusal
    }
  })
  return {
    engine,
    docker: yield* serviceAt(engine, { policy: { poll: Schedule.upTo(Schedule.spaced("1 millis"), { times: 20 }) } })
  }
})

for (const thing of things) {
  describe(`deleteNodes, for a ${thing.kind} in use`, () => {
    it.live("removes it once the engine no longer counts removed containers as users", () =>
      Effect.gen(function*() {
        const { docker, engine } = yield* engineThatHolds(thing, 3)
        const report = yield* docker.provider.deleteNodes("dev")
        assert.deepStrictEqual(told(report), {
          "dev-worker": "Done",
          "kubelayer-dev": "Done",
          "dev-data": "Done"
        })
        assert.deepStrictEqual([...engine.containers, ...engine.networks, ...engine.volumes], [])
      }))

    it.live("skips it when a container not owned by the cluster has joined since the list, and names that container", () =>
      Effect.gen(function*() {
        const { docker, engine } = yield* engineThatHolds(thing, 1, (holder) =>
          holder.add({
            containers: [{
              id: "f1",
              name: "foreign",
              labels: {},
              state: "running",
              networks: ["kubelayer-dev"],
              volumes: ["dev-data"]
            }]
          }))
        const report = yield* docker.provider.deleteNodes("dev")
        assert.strictEqual(told(report)[thing.name], "Skipped")
        assert.include(problems(report)[thing.name], "used by container foreign")
        assert.deepStrictEqual(engine.containers.map(({ name }) => name), ["foreign"])
      }))

    it.live("skips it with the engine's message when no container uses it", () =>
      Effect.gen(function*() {
        const { docker } = yield* engineThatHolds(thing, Number.POSITIVE_INFINITY)
        const report = yield* docker.provider.deleteNodes("dev")
        assert.strictEqual(told(report)[thing.name], "Skipped")
        assert.match(problems(report)[thing.name] ?? "", /active endpoints|in use/)
      }))
  })
}
