/** `kubelayer fleet ...`: documents in a store, and a runner that carries them out. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { folder } from "../fleet/support/rig.ts"
import { command, onMemory, simulator } from "./support/run.ts"
import { makeScreen } from "./support/screen.ts"

const documents = (...names: ReadonlyArray<string>) =>
  names.map((name) => `apiVersion: kubelayer/v1\nkind: Cluster\nbackend: memory\nname: ${name}\nworkers: 1\n`).join(
    "---\n"
  )

/** A store with documents in a folder of its own, and the command on it. */
const rig = Effect.gen(function*() {
  const path = yield* folder
  const file = join(path, "clusters.yaml")
  const backends = onMemory(yield* simulator)
  const fleet = (...args: ReadonlyArray<string>) =>
    command(["fleet", ...args], { backends, env: { KUBELAYER_STORE: `sqlite:${join(path, "fleet.db")}` } })
  return { path, file, fleet, backends }
})

const until = <E, R>(isSo: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(Effect.andThen(Effect.sleep("50 millis"), isSo), { until: (so) => so }).pipe(
    Effect.timeout("20 seconds")
  )

describe("the commands of a fleet", () => {
  it.live("apply documents, list them, and show why a cluster is not as requested", () =>
    Effect.scoped(Effect.gen(function*() {
      const { file, fleet } = yield* rig
      writeFileSync(file, documents("blue", "green"))
      assert.strictEqual((yield* fleet("apply", "-f", file)).code, 0)
      const listed = yield* fleet("list", "-o", "json")
      assert.deepStrictEqual(
        (JSON.parse(listed.stdout) as ReadonlyArray<{ name: string; phase: string }>).map((
          { name, phase }
        ) => [name, phase]),
        [["blue", "pending"], ["green", "pending"]]
      )
      assert.strictEqual((yield* fleet("status", "blue", "--exit-code")).code, 8)
      assert.strictEqual((yield* fleet("status", "red")).code, 4)
      assert.strictEqual((yield* fleet("pause", "blue")).code, 0)
      assert.match((yield* fleet("list")).stdout, /blue +memory +pending \(paused\)/)
      assert.match((yield* fleet("events", "--cluster", "blue")).stdout, /Applied[^]*Paused/)
      assert.match((yield* fleet("watch", "--timeout", "1s")).stdout, /blue pending \(paused\) 0\/1/)
    })))

  it.live("delete only with an answer, and keep the nodes on request", () =>
    Effect.scoped(Effect.gen(function*() {
      const { file, fleet } = yield* rig
      writeFileSync(file, documents("blue", "green"))
      yield* fleet("apply", "-f", file)
      const asked = yield* fleet("remove", "blue")
      assert.strictEqual(asked.code, 2)
      assert.match(asked.stderr, /Give -y to answer yes/)
      assert.strictEqual((yield* fleet("remove", "blue", "-y")).code, 0)
      assert.strictEqual((yield* fleet("remove", "green", "--keep-nodes")).code, 0)
      assert.match((yield* fleet("list")).stdout, /blue +memory +removing/)
      assert.notInclude((yield* fleet("list", "-o", "name")).stdout, "green")
    })))

  it.live("say where a document is wrong, and what is wrong with a store", () =>
    Effect.scoped(Effect.gen(function*() {
      const { file, fleet, path } = yield* rig
      writeFileSync(file, `${documents("blue")}wrkers: 2\n`)
      const wrong = yield* fleet("apply", "-f", file)
      assert.strictEqual(wrong.code, 2)
      assert.match(wrong.stderr, /clusters\.yaml:6:1 wrkers: unknown field/)
      const store = yield* fleet("list", "--store", "mysql://x")
      assert.strictEqual(store.code, 2)
      assert.match(store.stderr, /store: must be sqlite:PATH or postgres:/)
      writeFileSync(
        join(path, "text.db"),
        "this is no database, but a file of some length that SQLite reads".repeat(20)
      )
      const text = yield* fleet("list", "--store", `sqlite:${join(path, "text.db")}`)
      assert.strictEqual(text.code, 2)
      assert.match(text.stderr, /file is not a database/)
      const away = yield* fleet("list", "--store", "postgres://fleet:hunter2@127.0.0.1:9/fleet")
      assert.strictEqual(away.code, 3)
      assert.notInclude(away.stderr, "hunter2")
    })), 20_000)

  it.live(
    "serve until they are stopped, with metrics and health on loopback",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const { backends, file, fleet, path } = yield* rig
        writeFileSync(file, documents("blue"))
        yield* fleet("apply", "-f", file)
        const screen = makeScreen()
        const store = `sqlite:${join(path, "fleet.db")}`
        const runner = yield* Effect.forkChild(
          command(["fleet", "serve", "--store", store, "--http", "127.0.0.1:0"], { backends, screen })
        )
        yield* until(Effect.map(fleet("status", "blue", "--exit-code"), ({ code }) => code === 0))
        const port = /metrics: http:\/\/127\.0\.0\.1:(\d+)\/metrics/.exec(screen.stderr())?.[1]
        const get = (url: string) =>
          Effect.promise(async () => {
            const response = await fetch(`http://127.0.0.1:${port}${url}`)
            return { status: response.status, text: await response.text() }
          })
        assert.deepStrictEqual(yield* get("/healthz"), { status: 200, text: "ok\n" })
        const metrics = (yield* get("/metrics")).text
        assert.match(metrics, /kubelayer_fleet_reconciles\{[^}]*phase="converged"\} \d/)
        assert.match(metrics, /kubelayer_operations\{[^}]*operation="createNodes"/)
        assert.strictEqual((yield* get("/")).status, 404)
        yield* fleet("remove", "blue", "-y")
        yield* until(Effect.map(fleet("list", "-o", "name"), ({ stdout }) => !stdout.includes("blue")))
        yield* Fiber.interrupt(runner)
      })),
    60_000
  )
})
