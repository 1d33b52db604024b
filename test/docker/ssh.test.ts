/** An engine behind a real sshd on loopback, reached by the system's ssh and `docker system dial-stdio`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as DockerClient from "kubelayer/layers/DockerClient"
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { sshArguments } from "../../src/docker/Ssh.ts"
import { serviceIn } from "./support/connecting.ts"
import { temporaryFolder, until } from "./support/Conversation.ts"
import { type FakeEngine, pretend } from "./support/pretend.ts"
import { failureOf, kindNode } from "./support/service.ts"

const sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].find((file) => fs.existsSync(file))
const has = (command: string) => spawnSync(command, ["-V"], { stdio: "ignore" }).error === undefined
const possible = sshd !== undefined && has("ssh") && has("ssh-keygen") && has("docker")

const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const answers = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    const end = (answer: boolean) => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.on("data", () => end(true)).on("error", () => end(false))
  })

interface Server {
  readonly port: number
  readonly user: string
  /** The configuration of the client: its key and the host keys that it knows. */
  readonly writeConfig: (known: boolean) => void
}

/** sshd for one user, whose sessions find the fake engine. `ssh` of this process uses a configuration of its own. */
const serve = Effect.fnUntraced(function*(
  engine: FakeEngine
): Effect.fn.Return<Server, never, Scope.Scope> {
  const folder = yield* temporaryFolder
  const file = (name: string) => path.join(folder, name)
  for (const key of ["host", "user"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", file(key)])
  }
  const port = yield* freePort
  const user = os.userInfo().username
  fs.writeFileSync(
    file("sshd_config"),
    [
      "ListenAddress 127.0.0.1",
      `Port ${port}`,
      `HostKey ${file("host")}`,
      `AuthorizedKeysFile ${file("user")}.pub`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "PermitRootLogin prohibit-password",
      `SetEnv DOCKER_HOST=${engine.host} PATH=${process.env["PATH"]} HOME=${folder}`
    ].join("\n")
  )
  const writeConfig = (known: boolean) => {
    const [type, key] = fs.readFileSync(file("host.pub"), "utf8").split(" ")
    fs.writeFileSync(file("known_hosts"), known ? `[127.0.0.1]:${port} ${type} ${key}\n` : "")
  }
  writeConfig(true)
  fs.writeFileSync(
    file("config"),
    [
      `IdentityFile ${file("user")}`,
      "IdentitiesOnly yes",
      `UserKnownHostsFile ${file("known_hosts")}`,
      "GlobalKnownHostsFile /dev/null",
      "StrictHostKeyChecking yes",
      "BatchMode yes"
    ].join("\n")
  )
  // ssh reads the configuration in the home of the user by the user database, so it is given another one by name.
  const real = execFileSync("sh", ["-c", "command -v ssh"], { encoding: "utf8" }).trim()
  fs.mkdirSync(file("bin"))
  fs.writeFileSync(file("bin/ssh"), `#!/bin/sh\nexec ${real} -F ${file("config")} "$@"\n`, { mode: 0o755 })
  // For the separation of privileges, where root starts it.
  if (process.getuid?.() === 0) fs.mkdirSync("/run/sshd", { recursive: true })
  yield* Effect.acquireRelease(
    Effect.sync((): ChildProcess => spawn(sshd ?? "", ["-D", "-e", "-f", file("sshd_config")], { stdio: "ignore" })),
    (child) => Effect.sync(() => void child.kill())
  )
  const saved = process.env["PATH"]
  yield* Effect.acquireRelease(
    Effect.sync(() => void (process.env["PATH"] = `${file("bin")}${path.delimiter}${saved}`)),
    () => Effect.sync(() => void (process.env["PATH"] = saved))
  )
  for (let tries = 0; !(yield* answers(port)); tries++) {
    if (tries > 200) return yield* Effect.die(new Error("sshd does not answer"))
    yield* Effect.sleep(25)
  }
  return { port, user, writeConfig }
})

describe.skipIf(!possible)("an engine over ssh", () => {
  const world = { containers: [kindNode("dev-control-plane", "dev", "control-plane"), kindNode("dev-worker")] }

  it.live("lists, stops, starts and watches nodes, through few connections", () =>
    Effect.gen(function*() {
      const engine = yield* pretend({ world })
      const { port, user } = yield* serve(engine)
      const host = `ssh://${user}@127.0.0.1:${port}`
      const docker = yield* serviceIn({ DOCKER_HOST: host }, { scheme: "kind" })
      const { provider } = docker
      yield* provider.checkAvailable
      assert.lengthOf(yield* provider.listNodes("dev"), 2)
      const watch = yield* provider.watchCluster("dev").pipe(
        Stream.takeUntil(({ phase }) => phase === "stopped"),
        Stream.runCollect,
        Effect.forkChild
      )
      yield* until("the events are open", () => engine.events.opened === 1)
      yield* provider.stopNodes("dev")
      const seen = yield* Fiber.join(watch)
      assert.strictEqual(seen.at(-1)?.phase, "stopped")
      yield* provider.startNodes("dev")
      assert.deepStrictEqual(engine.containers.map(({ state }) => state), ["running", "running"])
      assert.strictEqual((yield* provider.getClusterStatus("dev"))._tag, "Some")
      // Each `docker system dial-stdio` sends a ping of its own first.
      const dials = engine.heard.filter(({ method }) => method === "HEAD").length
      // As many calls overlap at most: the events, the list of the watch, two stops, and the list after a stop.
      assert.isAtMost(dials, 5)
      assert.isAbove(engine.heard.length - dials, 10)
      yield* DockerClient.use(docker, (dockerode) => dockerode.ping())
    }), 60_000)

  it.live(
    "a host key that is not known, a key that is refused and a closed port are reported in ssh's words",
    () =>
      Effect.gen(function*() {
        const engine = yield* pretend({ world })
        const { port, user, writeConfig } = yield* serve(engine)
        const failed = (host: string) =>
          Effect.flatMap(serviceIn({ DOCKER_HOST: host }), ({ provider }) => failureOf(provider.checkAvailable))
        writeConfig(false)
        const unknown = yield* failed(`ssh://${user}@127.0.0.1:${port}`)
        assert.strictEqual(unknown._tag, "ProviderUnavailable")
        assert.match(unknown.message, /Host key verification failed/)
        writeConfig(true)
        assert.match((yield* failed(`ssh://nobody-here@127.0.0.1:${port}`)).message, /Permission denied/)
        assert.match((yield* failed(`ssh://${user}@127.0.0.1:${yield* freePort}`)).message, /Connection refused/)
        assert.deepStrictEqual(engine.heard, [])
      }),
    60_000
  )
})

describe("the arguments of ssh", () => {
  it("have the user, the port and the socket, and the host after --", () => {
    assert.deepStrictEqual(sshArguments({ host: "far" }), ["--", "far", "docker", "system", "dial-stdio"])
    assert.deepStrictEqual(
      sshArguments({ host: "far", user: "me", port: 2222, socketPath: "/run/podman/podman.sock" }).join(" "),
      "-l me -p 2222 -- far docker --host unix:///run/podman/podman.sock system dial-stdio"
    )
  })
})
