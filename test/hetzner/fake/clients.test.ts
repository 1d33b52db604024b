/**
 * The fake, driven by clients that were written for the real thing: Debian's hcloud-cli and python3-hcloud.
 *
 * These tests are skipped when the clients are not installed; CI requires them.
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
        // The user's own configuration must not change the result.
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
        for (
          const what of [
            "image",
            "server-type",
            "location",
            "iso",
            "primary-ip",
            "load-balancer",
            "load-balancer-type",
            "certificate",
            "ssh-key"
          ]
        ) {
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
    ), 120_000)

  it.live.skipIf(!hasCli)(
    "hcloud, with load balancers, selectors, images, ISOs, types and protection (H20)",
    () =>
      withClient((fake) =>
        Effect.gen(function*() {
          const hcloud = (line: string) => run(fake, "hcloud", line.split(" "))
          yield* hcloud("network create --name n --ip-range 10.0.0.0/16")
          yield* hcloud("network add-subnet n --type cloud --network-zone eu-central --ip-range 10.0.1.0/24")
          yield* hcloud("network add-subnet n --type cloud --network-zone eu-central --ip-range 10.0.2.0/24")
          yield* hcloud("network add-route n --destination 0.0.0.0/0 --gateway 10.0.1.2")
          yield* hcloud(
            "server create --name a --type cx23 --image debian-12 --location fsn1 --label role=cp --start-after-create=false"
          )
          yield* hcloud("server attach-to-network a --network n --ip 10.0.2.7")
          yield* hcloud("server poweron a")
          yield* hcloud("firewall create --name f")
          yield* hcloud("firewall add-rule f --direction in --protocol tcp --port 22 --source-ips ::0/0")
          yield* hcloud("firewall apply-to-resource f --type label_selector --label-selector role=cp")
          assert.match(yield* hcloud("firewall describe f"), /role=cp/)
          assert.match(yield* hcloud("firewall describe f"), /::\/0/)
          yield* hcloud("firewall remove-from-resource f --type label_selector --label-selector role=cp")
          yield* hcloud("load-balancer create --name l --type lb11 --location fsn1 --label x=y")
          yield* hcloud("load-balancer add-service l --protocol tcp --listen-port 6443 --destination-port 6443")
          yield* hcloud(
            "load-balancer update-service l --listen-port 6443 --health-check-interval 5s --health-check-timeout 3s"
          )
          yield* hcloud("load-balancer attach-to-network l --network n --ip 10.0.1.9")
          yield* hcloud("load-balancer add-target l --label-selector role=cp --use-private-ip")
          yield* hcloud("load-balancer add-target l --server a")
          assert.match(yield* hcloud("load-balancer describe l"), /role=cp[^]*healthy/)
          assert.match(yield* hcloud("load-balancer list -o noheader -o columns=name,type"), /^l +lb11\s*$/)
          yield* hcloud("load-balancer remove-target l --server a")
          yield* hcloud("load-balancer change-algorithm l --algorithm-type least_connections")
          yield* hcloud("load-balancer enable-protection l delete")
          yield* hcloud("load-balancer disable-protection l delete")
          yield* hcloud("load-balancer detach-from-network l --network n")
          yield* hcloud("load-balancer delete l")
          yield* hcloud("server create-image a --type snapshot --description d --label os=talos")
          assert.match(yield* hcloud("image list -t snapshot -l os=talos -o noheader -o columns=description"), /^d\s*$/)
          for (
            const line of [
              "attach-iso a talos-1.11-x86.iso",
              "reset a",
              "detach-iso a",
              "enable-backup a",
              "disable-backup a",
              "enable-protection a delete rebuild",
              "disable-protection a delete rebuild",
              "add-label a x=y",
              "poweroff a",
              "change-type --keep-disk a cx33",
              "rebuild a --image debian-13"
            ]
          ) {
            yield* hcloud(`server ${line}`)
          }
          assert.match(yield* hcloud("server list -o noheader -o columns=name,type,status"), /^a +cx33 +running\s*$/)
          yield* hcloud("volume create --name v --size 10 --location fsn1")
          yield* hcloud("volume resize v --size 20")
          yield* hcloud("volume delete v")
          yield* hcloud("network remove-route n --destination 0.0.0.0/0 --gateway 10.0.1.2")
          assert.deepStrictEqual((yield* fake.state).loadBalancers, [])
        })
      ),
    60_000
  )

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
          "all images": true,
          balancer: ["lb11", 1, "cluster=c"],
          "selected by": ["cluster=c"],
          rules: [["::/0"]],
          type: ["cx33", 40],
          firewall: "resource_in_use",
          "same name": "uniqueness_error",
          missing: "not_found",
          left: [],
          deleted: [true, true, true, true],
          catalogue: [true, true, true, 0, 0]
        })
      })
    ), 120_000)
})
