/** The built command on a real engine. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { engineHost, everythingOf, image, newCluster } from "../docker/support/engine.ts"
import { buildBin, end, eventually, start } from "./support/bin.ts"

let bin = ""
let remove = () => {}

beforeAll(async () => {
  const built = await buildBin()
  bin = built.bin
  remove = built.remove
})

afterAll(() => remove())

const kubelayer = (...args: ReadonlyArray<string>) =>
  end(process.execPath, [bin, ...args], { env: { DOCKER_HOST: engineHost } })

describe("the bin on a Docker engine", () => {
  it.live("creates, lists, reads, stops, starts and deletes a cluster", () =>
    Effect.gen(function*() {
      const cluster = yield* newCluster()
      const created = yield* kubelayer("create", cluster, "--workers", "1", "--image", image(), "-o", "json")
      assert.strictEqual(created.code, 0, created.stderr)
      assert.strictEqual((JSON.parse(created.stdout) as { readonly clusterName: string }).clusterName, cluster)
      const listed = yield* kubelayer("nodes", cluster, "-o", "name")
      assert.strictEqual(listed.stdout, `${cluster}-control-plane\n${cluster}-worker\n`)
      assert.include((yield* kubelayer("clusters", "-o", "name")).stdout.split("\n"), cluster)
      assert.strictEqual((yield* kubelayer("status", cluster, "--exit-code")).code, 0)

      const document = yield* kubelayer("get", cluster)
      assert.include(document.stdout, `image: ${image()}`)
      assert.include(document.stdout, "scheme: kubelayer")

      assert.strictEqual((yield* kubelayer("stop", cluster)).code, 0)
      assert.strictEqual((yield* kubelayer("status", cluster, "--exit-code")).code, 8)
      assert.strictEqual((yield* kubelayer("start", cluster)).code, 0)
      assert.strictEqual((yield* kubelayer("delete", cluster, "-y")).code, 0)
      assert.deepStrictEqual(yield* everythingOf(cluster), [])
    }))

  it.live("exec writes both streams and exits with the code of the command, and logs shows and follows a log", () =>
    Effect.gen(function*() {
      const cluster = yield* newCluster()
      yield* kubelayer("create", cluster, "--image", image())
      const node = `${cluster}-control-plane`
      const ended = yield* kubelayer("exec", cluster, node, "--", "sh", "-c", "echo out; echo err >&2; exit 7")
      assert.deepInclude(ended, { code: 7, stdout: "out\n", stderr: "err\n" })
      const log = yield* kubelayer("logs", node, "--tail", "1", "-o", "json")
      assert.strictEqual(log.code, 0, log.stderr)
      const lines = log.stdout.trimEnd().split("\n")
      assert.lengthOf(lines, 1)
      const last = JSON.parse(lines[0] ?? "") as { readonly text: string }
      yield* Effect.scoped(Effect.gen(function*() {
        const follower = yield* start(process.execPath, [bin, "logs", cluster, node, "-f"], {
          env: { DOCKER_HOST: engineHost }
        })
        yield* eventually("the log is shown", () => follower.stdout().includes(last.text))
        follower.child.kill("SIGINT")
        assert.strictEqual((yield* follower.ended).code, 130)
      }))
      yield* kubelayer("delete", cluster, "-y")
    }))

  it.live("applies a document, plans empty, and writes a document that plans empty", () =>
    Effect.gen(function*() {
      const cluster = yield* newCluster()
      const document = [
        "apiVersion: kubelayer/v1",
        "kind: Cluster",
        "backend: docker",
        "scheme: kind",
        `name: ${cluster}`,
        `nodes: { image: "${image()}" }`,
        "controlPlane: { ports: [{ container: 6443, host: 24443, address: 127.0.0.1 }] }",
        "pools: [{ name: extra, role: worker, count: 1 }]",
        "controlPlanes: 1",
        ""
      ].join("\n")
      const withInput = (input: string, ...args: ReadonlyArray<string>) =>
        end(process.execPath, [bin, ...args, "-f", "-"], { env: { DOCKER_HOST: engineHost }, input })
      const planned = yield* withInput(document, "plan", "--exit-code")
      assert.strictEqual(planned.code, 8, planned.stderr)
      assert.include(planned.stdout, `+ create node ${cluster}-extra-1`)
      assert.strictEqual((yield* withInput(document, "apply")).code, 0)
      assert.strictEqual((yield* withInput(document, "plan", "--exit-code")).code, 0)
      const { stdout } = yield* kubelayer("get", cluster)
      const again = yield* withInput(stdout, "plan", "--exit-code")
      assert.strictEqual(again.code, 0, stdout + again.stdout)
      assert.strictEqual((yield* withInput(document, "delete", "-y")).code, 0)
    }))

  it.live("doctor names the engine and its version", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* kubelayer("doctor", "-o", "json")
      assert.strictEqual(code, 0)
      const checks = JSON.parse(stdout) as ReadonlyArray<{ readonly name: string; readonly detail: string }>
      assert.strictEqual(checks.find(({ name }) => name === "connection")?.detail, engineHost)
      assert.match(checks.find(({ name }) => name === "version")?.detail ?? "", /^(?:Docker|Podman) \d/)
    }))
})
