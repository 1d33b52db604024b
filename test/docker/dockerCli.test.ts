/** The same engine is chosen, or the same address refused, as by the docker CLI of this machine. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile, execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { resolve } from "../../src/docker/Connection.ts"
import { type Env, serviceIn } from "./support/connecting.ts"
import { temporaryFolder } from "./support/Conversation.ts"
import { makeHome } from "./support/home.ts"
import { pretend } from "./support/pretend.ts"

const cliVersion = ((): number | undefined => {
  try {
    const text = execFileSync("docker", ["--version"], { encoding: "utf8" })
    return Number(/version (\d+)/.exec(text)?.[1])
  } catch {
    return undefined
  }
})()

interface Outcome {
  readonly code: number | null
  readonly output: string
}

/** `docker version` with this environment and nothing else. */
const cli = (env: Env, before: ReadonlyArray<string> = []): Effect.Effect<Outcome> =>
  Effect.callback((resume) => {
    const search = [...before, ...(process.env["PATH"] ?? "").split(path.delimiter)].join(path.delimiter)
    const child = execFile(
      "docker",
      ["version", "--format", "{{.Server.Version}}"],
      { env: { ...env, PATH: search }, timeout: 10_000 },
      (_error, stdout, stderr) => resume(Effect.succeed({ code: child.exitCode, output: stdout + stderr }))
    )
  })

/** The address in the CLI's words where nothing listens there. */
const addressIn = ({ output }: Outcome): string | undefined =>
  /Cannot connect to the Docker daemon at (\S+?)\. Is the docker daemon running/.exec(output)?.[1]

describe.skipIf(cliVersion === undefined)("compared with the docker CLI", () => {
  const nobody = "127.0.0.1:9"
  const hosts: ReadonlyArray<string> = [
    `tcp://${nobody}`,
    `tcp://${nobody}/`,
    `tcp://${nobody}/some/prefix`,
    ` tcp://${nobody} `,
    nobody,
    "tcp://:9",
    "tcp://[::1]:9",
    "unix:///nowhere/docker.sock",
    "unix:///nowhere/docker.sock ",
    " unix:///nowhere/docker.sock",
    "ftp://host",
    "TCP://host:1",
    "tcp://host:0",
    "not an address",
    "tcp://[rubbish",
    "ssh://",
    "ssh://me:word@host",
    "ssh://host?x=1"
  ]
  for (const host of hosts) {
    it.live(`DOCKER_HOST="${host}" (D8)`, () =>
      Effect.gen(function*() {
        const home = yield* temporaryFolder
        const theirs = yield* cli({ HOME: home, DOCKER_HOST: host })
        const ours = yield* Effect.result(resolve({}, { home, host }))
        const address = addressIn(theirs)
        if (address === undefined) {
          assert.strictEqual(ours._tag, "Failure", `the CLI refused: ${theirs.output}`)
        } else {
          assert.strictEqual(ours._tag, "Success", `the CLI tried ${address}`)
          const chosen = ours._tag === "Success" ? ours.success.endpoints.map((each) => each.address) : []
          assert.deepStrictEqual(chosen.map((each) => each.replace(/\/$/, "")), [address.replace(/\/$/, "")])
        }
      }))
  }

  it.live("TLS without ca.pem is refused by both, and TLS without a host means port 2376 of this machine (D7)", () =>
    Effect.gen(function*() {
      const home = yield* makeHome
      for (const variable of ["DOCKER_TLS", "DOCKER_TLS_VERIFY"]) {
        for (const host of [undefined, `tcp://${nobody}`]) {
          const env = { HOME: home.path, [variable]: "1", ...(host === undefined ? {} : { DOCKER_HOST: host }) }
          const ours = { home: home.path, [variable === "DOCKER_TLS" ? "tls" : "tlsVerify"]: "1" }
          const refused = yield* Effect.result(resolve({}, { ...ours, ...(host === undefined ? {} : { host }) }))
          assert.include((yield* cli(env)).output, path.join(home.docker, "ca.pem"))
          assert.include(refused._tag === "Failure" ? refused.failure.message : "", `ca.pem in ${home.docker}`)
        }
      }
      home.writePems(home.docker, { ca: "" })
      const { endpoints } = yield* resolve({}, { home: home.path, tls: "1" })
      assert.deepStrictEqual(endpoints.map(({ address }) => address), ["https://localhost:2376"])
    }))

  it.live("both ask the same engine: by DOCKER_HOST, DOCKER_CONTEXT, the current context", () =>
    Effect.gen(function*() {
      const one = yield* pretend({ script: () => undefined })
      const two = yield* pretend({ script: () => undefined })
      const home = yield* makeHome
      home.addContext("one", one.host)
      home.addContext("two", two.host)
      home.use("two")
      const environments: ReadonlyArray<readonly [Env, "one" | "two" | "neither"]> = [
        [{ DOCKER_HOST: one.host, DOCKER_CONTEXT: "two" }, "one"],
        [{ DOCKER_CONTEXT: "one" }, "one"],
        // Before version 23 of the CLI an empty variable counts as set.
        ...((cliVersion ?? 0) >= 23
          ? [[{ DOCKER_HOST: "", DOCKER_CONTEXT: "one" }, "one"], [{ DOCKER_CONTEXT: "" }, "two"]] as const
          : []),
        [{}, "two"],
        [{ DOCKER_CONTEXT: "gone" }, "neither"]
      ]
      for (const [env, expected] of environments) {
        const whole = { ...env, HOME: home.path }
        const asked = Effect.fnUntraced(function*(ask: Effect.Effect<unknown>) {
          const before = [one.heard.length, two.heard.length]
          yield* ask
          const [first, second] = [one.heard.length > (before[0] ?? 0), two.heard.length > (before[1] ?? 0)]
          return first ? "one" : second ? "two" : "neither"
        })
        assert.strictEqual(yield* asked(cli(whole)), expected, `the CLI with ${JSON.stringify(env)}`)
        const ours = Effect.flatMap(serviceIn(whole), ({ provider }) => provider.isAvailable)
        assert.strictEqual(yield* asked(ours), expected, `kubelayer with ${JSON.stringify(env)}`)
      }
    }))

  it.live("both start ssh with the same arguments (U6)", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const ssh = path.join(folder, "ssh")
      fs.writeFileSync(ssh, "#!/bin/sh\nhead -c 1 >/dev/null\necho \"ARGUMENTS $*\" >&2\nexit 5\n", { mode: 0o755 })
      const saved = process.env["PATH"]
      yield* Effect.acquireRelease(
        Effect.sync(() => void (process.env["PATH"] = `${folder}${path.delimiter}${saved}`)),
        () => Effect.sync(() => void (process.env["PATH"] = saved))
      )
      const withSocket = (cliVersion ?? 0) >= 28 ? ["ssh://far.example/run/podman/podman.sock"] : []
      for (const host of ["ssh://me@far.example:2222", "ssh://far.example", ...withSocket]) {
        const { output } = yield* cli({ HOME: folder, DOCKER_HOST: host }, [folder])
        const { provider } = yield* serviceIn({ DOCKER_HOST: host })
        const error = yield* Effect.flip(provider.checkAvailable)
        const [, theirs] = /ARGUMENTS (.*)/.exec(output) ?? []
        const [, ours] = /ARGUMENTS ([^.]*.*dial-stdio)/.exec(error.message) ?? []
        // Versions of the CLI differ in options such as a timeout of the connection.
        const plain = (words = "") => words.replace(/-o \S+ |-T /g, "").replace(/'/g, "")
        assert.strictEqual(plain(ours), plain(theirs).trim(), output)
        assert.include(error.message, "exit code 5")
      }
    }))
})
