import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HetznerFake from "../../src/testing/HetznerFake.ts"
import * as OmniFake from "../../src/testing/OmniFake.ts"
import { command } from "./support/run.ts"
import { makeScreen } from "./support/screen.ts"

const withInput = (env: Readonly<Record<string, string>>) => (input: string, ...args: ReadonlyArray<string>) =>
  command([...args, "-f", "-"], { env, screen: makeScreen({ input }) })

describe("documents on Hetzner", () => {
  it.live("are planned with prices, bought with -y only, and plan empty afterwards", () =>
    Effect.gen(function*() {
      const fake = yield* HetznerFake.make({ duration: "20 millis" })
      const run = withInput({ HCLOUD_ENDPOINT: fake.endpoint, HCLOUD_TOKEN: fake.token })
      const document = [
        "apiVersion: kubelayer/v1",
        "kind: Cluster",
        "backend: hetzner",
        "name: dev",
        "controlPlanes: 1",
        "nodes: { image: debian-13, serverTypes: [cx23], locations: [fsn1] }",
        "pools: [{ name: web, role: worker, count: 2 }]",
        ""
      ].join("\n")
      const planned = yield* run(document, "plan")
      assert.strictEqual(planned.code, 0, planned.stderr)
      assert.match(planned.stdout, /\+ create node dev-web-2 \(.*EUR a month/)
      assert.strictEqual((yield* run(document, "apply")).code, 2)
      assert.lengthOf((yield* fake.state).servers, 0)
      const applied = yield* run(document, "apply", "-y")
      assert.strictEqual(applied.code, 0, applied.stderr)
      assert.lengthOf((yield* fake.state).servers, 3)
      assert.strictEqual((yield* run(document, "plan", "--exit-code")).code, 0)
      const written = yield* command(["-b", "hetzner", "get", "dev"], {
        env: { HCLOUD_ENDPOINT: fake.endpoint, HCLOUD_TOKEN: fake.token }
      })
      assert.strictEqual((yield* run(written.stdout, "plan", "--exit-code")).code, 0, written.stdout)
      const gone = yield* run(document, "delete", "-y")
      assert.strictEqual(gone.code, 0, gone.stderr)
      assert.lengthOf((yield* fake.state).servers, 0)
    }), 60_000)
})

describe("documents on Omni", () => {
  it.live("are clusters by counts and cluster templates, each with its own lines", () =>
    Effect.gen(function*() {
      const fake = yield* OmniFake.make({
        machines: 3,
        machineClasses: { any: ["omni.sidero.dev/arch = amd64"] },
        pace: "20 millis"
      })
      const run = withInput({ OMNI_ENDPOINT: fake.endpoint, OMNI_SERVICE_ACCOUNT_KEY: fake.serviceAccountKey })
      const counts = "apiVersion: kubelayer/v1\nkind: Cluster\nbackend: omni\nname: dev\nmachineClass: any\n"
      const template = (version: string) =>
        `kind: Cluster\nname: edge\nkubernetes: { version: v1.34.1 }\ntalos: { version: ${version} }\n---\n` +
        "kind: ControlPlane\nmachineClass: { name: any, size: 1 }\n"
      const applied = yield* run(`${counts}---\n${template("v1.11.2")}`, "apply", "-y")
      assert.strictEqual(applied.code, 0, applied.stderr)
      assert.strictEqual((yield* run(`${counts}---\n${template("v1.11.2")}`, "plan", "--exit-code")).code, 0)
      const wrong = yield* run(`${counts}---\n${template("v1.2.3")}`, "plan")
      assert.strictEqual(wrong.code, 2)
      assert.include(wrong.stderr, "stdin:10:10 Cluster.talos.version")
    }), 60_000)
})
