/** Fakes of the engines that kubelayer supports, each with a layer on it, and what tests ask them beside the layer. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Docker from "kubelayer/layers/Docker"
import { DockerFake } from "kubelayer/testing"
import { it } from "../../support/it.ts"

export const flavors: ReadonlyArray<{ readonly flavor: "docker" | "podman"; readonly version: Version }> = [
  { flavor: "docker", version: "20.10.24" },
  { flavor: "docker", version: "29.0.0" },
  { flavor: "podman", version: "4.3.1" },
  { flavor: "podman", version: "5.8.2" }
]

type Version = NonNullable<DockerFake.Options["version"]>

export const dockers = flavors.filter(({ flavor }) => flavor === "docker")

const image = "node:1"

/** One call of the API; the status of its reply. */
type Send = (method: string, target: string, body?: unknown) => Effect.Effect<number>

export interface OnFake {
  readonly fake: DockerFake.DockerFakeService
  readonly docker: Docker.DockerService
  /** A second layer on the same fake, as another process has one. */
  readonly another: Effect.Effect<Docker.DockerService>
  readonly send: Send
  /** Creates and starts a container that belongs to no cluster, or to one by its labels. */
  readonly run: (name: string, body?: Readonly<Record<string, unknown>>) => Effect.Effect<void>
  readonly networksOf: (container: string) => Effect.Effect<Readonly<Record<string, string>> | undefined>
  /** `name state`, sorted. */
  readonly states: Effect.Effect<ReadonlyArray<string>>
  readonly networkNames: Effect.Effect<ReadonlyArray<string>>
}

/** A layer on a fake of its own. */
export const onFake = Effect.fnUntraced(function*(
  options: DockerFake.Options = {},
  layer: Docker.Options = {}
): Effect.fn.Return<OnFake, never, Scope.Scope> {
  const fake = yield* DockerFake.make({ listen: "none", images: { [image]: {} }, ...options })
  const make = Effect.orDie(
    Effect.provide(Docker.make({ nodes: { image, pull: "never" }, ...layer }), fake.transport)
  )
  const send: Send = (method, target, body) =>
    Effect.map(
      fake.answer({
        method,
        target,
        contentType: body === undefined ? undefined : "application/json",
        body: body === undefined ? "" : JSON.stringify(body)
      }),
      (answer) => answer._tag === "Reply" ? answer.status : 0
    )
  const run: OnFake["run"] = Effect.fnUntraced(function*(name, body = {}) {
    assert.strictEqual(yield* send("POST", `/containers/create?name=${name}`, { Image: image, ...body }), 201, name)
    assert.strictEqual(yield* send("POST", `/containers/${name}/start`), 204, name)
  })
  return {
    fake,
    docker: yield* make,
    another: make,
    send,
    run,
    networksOf: (container) =>
      Effect.map(fake.state, ({ containers }) => containers.find(({ name }) => name === container)?.networks),
    states: Effect.map(fake.state, ({ containers }) => containers.map(({ name, state }) => `${name} ${state}`).sort()),
    networkNames: Effect.map(
      fake.state,
      ({ networks }) => networks.flatMap(({ isPredefined, name }) => isPredefined ? [] : [name]).sort()
    )
  }
})

/** A test on a fake of each engine, in simulated time. A call that the API does not have fails the test. */
export const onEach = (
  title: string,
  test: (world: OnFake) => Effect.Effect<unknown, unknown, Scope.Scope>,
  options: {
    readonly engines?: ReadonlyArray<DockerFake.Options>
    readonly fake?: DockerFake.Options
    readonly layer?: Docker.Options
  } = {}
): void => {
  for (const engine of options.engines ?? flavors) {
    const [, name, id = ""] = /^(.*?)( \([DPU]\d+\))?$/.exec(title) ?? []
    it.simulated(`${name}: ${engine.flavor} ${engine.version}${id}`, () =>
      Effect.gen(function*() {
        const world = yield* onFake({ ...options.fake, ...engine }, options.layer)
        yield* test(world)
        assert.deepStrictEqual(yield* world.fake.violations, [])
      }))
  }
}
