/**
 * The fake, driven by clients that were written for the real thing: Debian's hcloud-cli and python3-hcloud.
 *
 * Where they are not installed these tests are skipped; on CI they have to be there.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { accessSync, constants, existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Fake, startFake } from "./support.ts"

const PYTHON = "/usr/bin/python3"
const TOKEN = "fake-token-of-a-stock-client"

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const hasCli = (process.env["PATH"] ?? "").split(delimiter).some((folder) => isExecutable(join(folder, "hcloud")))
const hasPython = isExecutable(PYTHON) && existsSync("/usr/lib/python3/dist-packages/hcloud/__init__.py")
const onCi = process.env["CI"] === "true"

/** Runs a client to its end; what it says of a failure is part of the failure. */
const run = (fake: Fake, command: string, args: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const child = execFile(command, args, {
      env: {
        PATH: process.env["PATH"],
        HCLOUD_ENDPOINT: fake.endpoint,
        HCLOUD_TOKEN: TOKEN,
        // What a user has set up at home is none of this.
        HCLOUD_CONFIG: "/dev/null",
        HOME: "/nonexistent"
      }
    }, (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.succeed(stdout)
          : Effect.die(new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`))
      ))
    return Effect.sync(() => child.kill())
  })

/** On the clock of the machine, as these clients are, and with nothing in their requests that the API would not know. */
const withClient = <A, E>(f: (fake: Fake) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fake = yield* startFake({ time: "clock", duration: "5 millis", token: TOKEN })
    const result = yield* f(fake)
    assert.deepStrictEqual(yield* fake.violations, [])
    return result
  })

describe("stock clients", () => {
  it.runIf(onCi)("are installed", () => {
    assert.isTrue(hasCli && hasPython, "apt-get install hcloud-cli python3-hcloud")
  })

  it.live.skipIf(!hasCli)("hcloud, the command line", () =>
    withClient((fake) =>
      Effect.gen(function*() {
        const hcloud = (line: string) => run(fake, "hcloud", line.split(" "))
        yield* hcloud("network create --name n --ip-range 10.0.0.0/16 --label cluster=c")
        yield* hcloud("network add-subnet n --type cloud --network-zone eu-central --ip-range 10.0.1.0/24")
        yield* hcloud("firewall create --name f")
        yield* hcloud("firewall add-rule f --direction in --protocol tcp --port 22 --source-ips 0.0.0.0/0")
        yield* hcloud("placement-group create --name g --type spread")
        const made = yield* hcloud(
          "server create --name a --type cx23 --image debian-12 --location fsn1 --network n --firewall f --placement-group g --label cluster=c"
        )
        assert.include(made, "10.0.1.2 (n)")
        const list = () => hcloud("server list -o noheader -o columns=name,status -l cluster=c")
        assert.match(yield* list(), /^a +running\s*$/)
        yield* hcloud("server poweroff a")
        assert.match(yield* list(), /^a +off\s*$/)
        for (const power of ["poweron", "reboot", "shutdown"]) yield* hcloud(`server ${power} a`)
        assert.match(yield* list(), /^a +off\s*$/)
        yield* hcloud("volume create --name v --size 10 --server a")
        yield* hcloud("floating-ip create --type ipv4 --server a --name i")
        assert.match(yield* hcloud("floating-ip list -o noheader -o columns=name,server"), /^i +a\s*$/)
        yield* hcloud("floating-ip unassign i")
        yield* hcloud("floating-ip delete i")
        yield* hcloud("volume detach v")
        yield* hcloud("server detach-from-network a --network n")
        assert.include(yield* hcloud("server describe a"), "No Private Networks")
        for (const what of ["image", "server-type", "location", "iso", "primary-ip", "load-balancer", "ssh-key"]) {
          yield* hcloud(`${what} list`)
        }
        yield* hcloud("server delete a")
        while ((yield* list()).trim() !== "") yield* Effect.sleep("5 millis")
        for (const rest of ["firewall delete f", "placement-group delete g", "volume delete v", "network delete n"]) {
          yield* hcloud(rest)
        }
        const { firewalls, networks, placementGroups, servers, volumes } = yield* fake.state
        assert.deepStrictEqual([servers, networks, firewalls, placementGroups, volumes], [[], [], [], [], []])
      })
    ), 60_000)

  it.live.skipIf(!hasPython)("hcloud, the library for Python", () =>
    withClient((fake) =>
      Effect.gen(function*() {
        const script = fileURLToPath(new URL("clients.py", import.meta.url))
        const told: unknown = JSON.parse(yield* run(fake, PYTHON, ["-W", "ignore", script, fake.endpoint]))
        assert.deepStrictEqual(told, {
          created: ["running", "10.0.1.2", "cx23", null],
          labelled: ["a"],
          "after shutdown": "off",
          "volume on": true,
          "volume deleted": true,
          "address deleted": true,
          snapshots: ["d"],
          firewall: "resource_in_use",
          "same name": "uniqueness_error",
          missing: "not_found",
          left: [],
          deleted: [true, true, true, true],
          catalogue: [true, true, true, 0, 0]
        })
      })
    ), 60_000)
})
