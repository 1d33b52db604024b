/** Tests of createNodes: created, adopted and refused resources. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { transform } from "effect/http/HttpClient"
import { fromWeb } from "effect/http/HttpClientResponse"
import type { HetznerClusterSpec } from "../../src/hetzner/Spec.ts"
import { over } from "./support/over.ts"
import { failure, inventory, nodes, onFake, ours, rules, spec, told, writes } from "./support/rig.ts"

const key = { name: "me", publicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleKeyThatIsNobodys me@here" }
const everything: HetznerClusterSpec = {
  ...spec,
  labels: { team: "blue" },
  firewall: { rules },
  sshKeys: [key],
  worker: { userData: "#cloud-config" },
  volumes: [{ name: "data", sizeGb: 10, each: "worker" }, { name: "shared", sizeGb: 20, keep: true }],
  floatingIp: {}
}

describe("createNodes", () => {
  it.live("creates servers and their shared resources with the cluster's labels", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const report = yield* hetzner.createNodes(everything)
        assert.deepStrictEqual(told(report).toSorted(), [
          "firewall dev-firewall Done",
          "floating-ip dev-ip Done",
          "network dev-network Done",
          "node dev-control-plane-1 Done",
          "node dev-worker-1 Done",
          "node dev-worker-2 Done",
          "placement-group dev-placement-1 Done",
          "ssh-key me Done",
          "volume dev-shared Done",
          "volume dev-worker-1-data Done",
          "volume dev-worker-2-data Done"
        ])
        const state = yield* fake.state
        const [first] = state.servers
        assert.deepStrictEqual(state.servers.map(({ name, status }) => `${name} ${status}`), [
          "dev-control-plane-1 running",
          "dev-worker-1 running",
          "dev-worker-2 running"
        ])
        for (const server of state.servers) {
          assert.strictEqual(server.labels["team"], "blue")
          assert.deepStrictEqual(server.networks, state.networks.map(({ id }) => id))
          assert.deepStrictEqual(server.firewalls, state.firewalls.map(({ id }) => id))
          assert.deepStrictEqual(server.sshKeys, state.sshKeys.map(({ id }) => id))
          assert.strictEqual(server.placementGroup, state.placementGroups[0]?.id)
        }
        assert.strictEqual(state.floatingIps[0]?.json["server"], first?.id)
        const made = Object.values(state).flat() as ReadonlyArray<
          { name: string; labels?: Record<string, string> }
        >
        for (const { labels, name } of made.filter(({ name }) => name?.startsWith("dev-"))) {
          assert.include(labels, ours(), name)
          assert.isUndefined(labels?.["kubelayer.pending"], name)
        }
        const bodies = (yield* fake.calls).filter(({ method }) => method === "POST").map(({ body }) => body)
        for (const body of bodies) assert.property((body as { labels: object }).labels, "kubelayer.session")
      })))

  it.live("changes nothing when it is run again", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(everything)
        const before = yield* fake.state
        yield* fake.clearCalls
        const again = yield* hetzner.createNodes(everything)
        assert.deepStrictEqual(yield* writes(fake), [])
        assert.isTrue(again.outcomes.every(({ outcome }) => outcome._tag === "AlreadyDone"))
        assert.deepStrictEqual(yield* fake.state, before)
      })))

  it.live("creates missing resources and keeps existing ones", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(spec)
        const [, gone] = (yield* fake.state).servers
        yield* fake.vanish(gone?.id ?? 0)
        const report = yield* hetzner.createNodes(spec)
        assert.deepStrictEqual(report.done.map(({ name }) => name), ["dev-worker-1"])
        assert.strictEqual((yield* fake.state).servers.length, 3)
      })))

  it.live("adds a missing subnet to the cluster's network", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: "dev-network", labels: ours(), subnets: [] })
        yield* fake.fault({ on: /add_subnet/, fault: { _tag: "Refuse", code: "conflict" } })
        const report = yield* hetzner.createNodes(spec)
        assert.include(told(report), "network dev-network Done")
        const [network] = (yield* fake.state).networks
        assert.deepInclude(network?.json["subnets"], {
          type: "cloud",
          ip_range: "10.0.0.0/24",
          network_zone: "eu-central",
          gateway: "10.0.0.1",
          vswitch_id: null
        })
      })))

  it.live("waits for a server of its name that is being deleted", () =>
    onFake({ fake: { durations: { delete_server: "20 seconds" } } }, ({ hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, workers: 1 })
        yield* Effect.forkChild(Effect.ignore(hetzner.provider.deleteNodes("dev")))
        yield* Effect.sleep("5 seconds")
        const report = yield* hetzner.createNodes({ ...spec, workers: 1, placementGroups: false, network: false })
        assert.deepStrictEqual(report.done.map(({ name }) => name), ["dev-control-plane-1", "dev-worker-1"])
      })))

  it.live("creates everything once when two calls run in parallel, and both succeed", () =>
    onFake({ fake: { duration: "2 seconds" } }, ({ another, fake, hetzner }) =>
      Effect.gen(function*() {
        const reports = yield* Effect.all([hetzner.createNodes(spec), another.createNodes(spec)], { concurrency: 2 })
        assert.strictEqual((yield* fake.state).servers.length, 3)
        assert.strictEqual(reports.flatMap(({ done }) => done).length, 5)
      })))

  it.live("takes a key that is there under another name, and puts one there that is not", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, cluster: "other", sshKeys: [{ ...key, name: "theirs" }] })
        yield* hetzner.createNodes({ ...spec, sshKeys: [key] })
        const state = yield* fake.state
        assert.deepStrictEqual(state.sshKeys.map(({ name }) => name), ["theirs"])
        assert.deepStrictEqual(
          new Set(state.servers.flatMap(({ sshKeys }) => sshKeys)),
          new Set([state.sshKeys[0]?.id])
        )
      })))

  it.live("puts servers into groups of at most ten, evenly, control planes together", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, controlPlanes: 3, workers: 8 })
        const { placementGroups, servers } = yield* fake.state
        const sizes = placementGroups.map(({ id }) =>
          servers.filter(({ placementGroup }) => placementGroup === id).length
        )
        assert.deepStrictEqual(sizes, [6, 5])
        assert.strictEqual(new Set(servers.slice(0, 3).map(({ placementGroup }) => placementGroup)).size, 1)
      })))
})

describe("a create is refused, with nothing written,", () => {
  const refused = (
    wish: HetznerClusterSpec,
    arrange: (rig: Parameters<Parameters<typeof onFake>[1]>[0]) => Effect.Effect<unknown, unknown>,
    message: RegExp,
    reason: "Differs" | "NameTaken" = "Differs"
  ) =>
    onFake({}, (rig) =>
      Effect.gen(function*() {
        yield* arrange(rig)
        const before = yield* rig.fake.state
        yield* rig.fake.clearCalls
        const error = yield* failure(rig.hetzner.createNodes(wish))
        assert.strictEqual(error._tag, "BackendError")
        assert.match(error.message.replaceAll("\n", " "), message)
        if (error._tag === "BackendError") assert.strictEqual(error.reason._tag, reason)
        assert.deepStrictEqual(yield* writes(rig.fake), [])
        assert.deepStrictEqual(yield* rig.fake.state, before)
      }))

  it.live("when a node exists that the spec does not request", () =>
    refused(
      { ...spec, workers: 1 },
      ({ hetzner }) => hetzner.createNodes(spec),
      /node "dev-worker-2": the spec does not request it/
    ))

  it.live("when nodes differ from the spec, and the error names each node with its difference", () =>
    refused(
      {
        ...spec,
        nodes: { ...nodes, serverTypes: ["cx33"], image: "debian-12", userData: "new" },
        labels: { team: "red" },
        sshKeys: [key],
        firewall: { rules: rules.map((rule) => ({ ...rule, port: "6443" })) }
      },
      ({ hetzner }) => hetzner.createNodes({ ...spec, sshKeys: [], firewall: { rules } }),
      new RegExp(
        "firewall \"dev-firewall\": rules.*; " +
          "node \"dev-control-plane-1\": serverType: \"cx23\" \\(requested \"cx33\"\\), userData.*sshKeys.*" +
          "image: \"debian-13\" \\(requested \"debian-12\"\\).*labels.team.*requested \"red\".*; " +
          "node \"dev-worker-1\": serverType"
      )
    ))

  it.live("when the network has a different IP range", () =>
    refused(
      { ...spec, network: { ipRange: "10.4.0.0/16" } },
      ({ hetzner }) => hetzner.createNodes(spec),
      /network "dev-network": ipRange: "10.0.0.0\/16" \(requested "10.4.0.0\/16"\), subnet/
    ))

  const foreign = {
    server: ({ fake }) => fake.seed.server({ name: "dev-worker-1", labels: { team: "other" } }),
    network: ({ fake }) => fake.seed.network({ name: "dev-network", labels: { team: "other" }, ipRange: "10.0.0.0/8" }),
    firewall: ({ fake }) => fake.seed.firewall({ name: "dev-firewall" }),
    "placement group": ({ fake }) => fake.seed.placementGroup({ name: "dev-placement-1", labels: ours("dev2") }),
    volume: ({ fake }) => fake.seed.volume({ name: "dev-shared" }),
    "floating IP": ({ fake }) => fake.seed.floatingIp({ name: "dev-ip" }),
    "SSH key": ({ fake }) => fake.seed.sshKey({ name: "me" })
  } satisfies Record<string, (rig: Parameters<Parameters<typeof onFake>[1]>[0]) => Effect.Effect<unknown>>
  for (const [kind, arrange] of Object.entries(foreign)) {
    it.live(`when a ${kind} uses its name and is not owned by this cluster`, () =>
      refused(
        everything,
        arrange,
        kind === "SSH key" ? /ssh-key "me": .* used by another key/ : /the name is used by an? /,
        "NameTaken"
      ))
  }
})

describe("an invalid spec", () => {
  it.live("fails without a request when validation needs no data from the API", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const wrong = { ...spec, workers: -1, nodes: { ...nodes, userData: "x".repeat(32 * 1024 + 1) } }
        const error = yield* failure(hetzner.createNodes(wrong))
        assert.strictEqual(error._tag, "InvalidSpec")
        assert.strictEqual(
          (yield* failure(hetzner.createNodes({ ...spec, cluster: "a,b" })))._tag,
          "InvalidClusterName"
        )
        assert.deepStrictEqual(yield* fake.calls, [])
      })))

  const faulty = (wish: Partial<HetznerClusterSpec>, ...told: ReadonlyArray<RegExp>) =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.sshKey({ name: "laptop" })
        const error = yield* failure(hetzner.createNodes({ ...spec, ...wish }))
        assert.strictEqual(error._tag, "InvalidSpec")
        for (const each of told) assert.match(error.message, each)
        assert.deepStrictEqual(yield* writes(fake), [])
      }))

  it.live("names what is unknown, all at once, with what is near", () =>
    faulty(
      { nodes: { image: "debian-31", serverTypes: ["cx32"], locations: ["fns1"] }, sshKeys: ["latpop"] },
      /controlPlane.image: there is no image debian-31; similar: debian-1[23]/,
      /controlPlane.serverTypes\[0\]: there is no server type cx32; similar: cpx32, cx23, cx33/,
      /controlPlane.locations\[0\]: there is no location fns1; similar: fsn1/,
      /worker.image/,
      /sshKeys\[0\]: there is no key latpop; similar: laptop/
    ))
  it.live("is refused when the image has a different architecture or needs a larger disk", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const snapshot = yield* fake.seed.snapshot({ description: "mine", architecture: "arm" })
        const big = yield* fake.seed.snapshot({ description: "big", diskSize: 80 })
        const of = (image: number) =>
          Effect.map(failure(hetzner.createNodes({ ...spec, nodes: { ...nodes, image } })), ({ message }) => message)
        assert.match(yield* of(snapshot), /image: the image \d+ is for arm, and the server type cx23 is x86/)
        assert.match(yield* of(big), /image: the image \d+ needs a disk of 80 GB, and the server type cx23 has 40/)
        assert.match(yield* of(12), /image: there is no image 12/)
      })))
  it.live("a snapshot's description in place of its id has the hint to give the id (H19)", () =>
    faulty(
      { nodes: { ...nodes, image: "talos-v1.12-amd64" } },
      /controlPlane.image: there is no image talos-v1.12-amd64.*A snapshot is given by its id, not by its description/
    ))
  it.live("a server type without the field `locations` is not reported as sold out (H14)", () =>
    onFake({}, ({ fake }) =>
      Effect.gen(function*() {
        const http = transform(fake.httpClient, (send, request) =>
          request.url.includes("/server_types")
            ? Effect.flatMap(send, (response) =>
              Effect.map(response.json, (json) => {
                const types = (json as { server_types: ReadonlyArray<Record<string, unknown>> }).server_types
                const without = types.map((type) => ({ ...type, locations: null }))
                return fromWeb(request, Response.json({ server_types: without }))
              }))
            : send)
        const { createNodes } = yield* over(http, { token: fake.token, endpoint: fake.endpoint })
        const error = yield* failure(createNodes(spec))
        assert.strictEqual(error._tag, "InvalidSpec")
        assert.include(error.message, "the API sent no field `locations` for the server type cx23")
        assert.notInclude(error.message, "sold")
      })))
  it.live("another spelling of a firewall's network is no difference (H7)", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const spelled = (...sourceIps: ReadonlyArray<string>): HetznerClusterSpec => ({
          ...spec,
          firewall: { rules: [{ direction: "in", protocol: "tcp", port: "22", sourceIps }] }
        })
        yield* hetzner.createNodes(spelled("0.0.0.0/0", "::0/0", "2001:DB8:0::/48"))
        for (const again of [["::/0", "0.0.0.0/0", "2001:db8::/48"], ["0.0.0.0/0", "::0/0", "2001:DB8:0::/48"]]) {
          const plan = yield* hetzner.plan(spelled(...again))
          assert.isTrue(plan.isEmpty, plan.toString())
        }
        const report = yield* hetzner.createNodes({ ...spelled("0.0.0.0/0", "::0/0", "2001:DB8:0::/48"), workers: 3 })
        assert.lengthOf(report.done.filter(({ kind }) => kind === "node"), 1)
        const [firewall] = (yield* fake.state).firewalls
        assert.lengthOf((yield* fake.state).firewalls, 1)
        assert.notInclude(JSON.stringify(firewall?.json), "::0/0")
      })))
  it.live("is refused with the locations that sell the server type", () =>
    faulty(
      { nodes: { ...nodes, locations: ["ash"] } },
      /locations: cx23 is sold in fsn1, nbg1, hel1/
    ))
  it.live("is refused when a location is not in the network's zone", () =>
    faulty(
      { nodes: { ...nodes, serverTypes: ["cpx22"], locations: ["fsn1", "ash"] } },
      /locations\[1\]: ash is in us-east, and the network is in eu-central/
    ))
  it.live("is refused when the network zone is unknown", () =>
    faulty({ network: { zone: "eu-north" } }, /network.zone: there is no/))
})

describe("plan", () => {
  it.live("lists the steps of a create and writes nothing", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: "dev-network", labels: ours(), subnets: [] })
        yield* fake.seed.server({ name: "dev-worker-2" })
        const { steps } = yield* hetzner.plan(spec)
        assert.deepStrictEqual(steps.map(({ action, kind, name }) => `${action} ${kind} ${name}`), [
          "repair network dev-network",
          "create placement-group dev-placement-1",
          "create node dev-control-plane-1",
          "create node dev-worker-1",
          "refuse node dev-worker-2"
        ])
        assert.deepStrictEqual(yield* writes(fake), [])
        assert.deepStrictEqual(yield* inventory(fake), ["network dev-network", "server dev-worker-2"])
      })))
  it.live("is empty after a create", () =>
    onFake({}, ({ hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(everything)
        assert.isTrue((yield* hetzner.plan(everything)).isEmpty)
      })))
})
