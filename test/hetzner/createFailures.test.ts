/** A create that meets shortages, lost replies and refusals, and what is left where it does not succeed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import type { FaultRule } from "kubelayer/testing/HetznerFake"
import { expectNothing, failure, inventory, nodes, onFake, ours, rules, spec, told, writes } from "./support/rig.ts"

const key = { name: "me", publicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleKeyThatIsNobodys me@here" }
const everything = {
  ...spec,
  firewall: { rules },
  sshKeys: [key],
  volumes: [{ name: "data", sizeGb: 10, each: "worker" }],
  floatingIp: {}
} as const
const one = { ...spec, workers: 0 }

describe("places that are sold out", () => {
  it.live("are left for the next one, in the same group, and the decision is in the report", () =>
    onFake({ fake: { capacity: { "cx23@fsn1": 0 } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const report = yield* hetzner.createNodes(spec)
        const { placementGroups, servers } = yield* fake.state
        assert.deepStrictEqual([...new Set(servers.map(({ location }) => location))], ["nbg1"])
        assert.isTrue(servers.every(({ placementGroup }) => placementGroup === placementGroups[0]?.id))
        const first = report.outcomes.find(({ kind }) => kind === "node")
        assert.match(first?.notes?.join("\n") ?? "", /cx23 in fsn1, dev-placement-1: CapacityUnavailable: error during/)
        assert.match(first?.notes?.join("\n") ?? "", /cx23 in nbg1, dev-placement-1: created/)
      })))

  it.live("are tried after the others by the next create, until they have rested", () =>
    onFake({ fake: { capacity: { "cx23@fsn1": 0 } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(one)
        yield* fake.clearCalls
        yield* hetzner.createNodes({ ...one, cluster: "next" })
        const sent = (yield* fake.counts)["POST /servers"]
        yield* Effect.sleep("1 minute")
        yield* fake.capacity("cx23", "fsn1", undefined)
        yield* hetzner.createNodes({ ...one, cluster: "later" })
        assert.strictEqual(sent, 1)
        assert.strictEqual((yield* fake.state).servers.at(-1)?.location, "fsn1")
      })))

  it.live("everywhere: it fails, names every place, and leaves nothing", () =>
    onFake(
      { fake: { capacity: { "cx23@fsn1": 0, "cx23@nbg1": 0, "cx33@fsn1": 0, "cx33@nbg1": 0 } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const error = yield* failure(
            hetzner.createNodes({ ...one, nodes: { ...nodes, serverTypes: ["cx23", "cx33"] } })
          )
          assert.strictEqual(error._tag, "NodesNotCreated")
          if (error._tag !== "NodesNotCreated") return
          assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), ["CapacityUnavailable"])
          for (const place of ["cx23 in fsn1", "cx23 in nbg1", "cx33 in fsn1", "cx33 in nbg1"]) {
            assert.include(error.message, place)
          }
          assert.include(told(error.report), "network dev-network RolledBack")
          yield* expectNothing(fake)
        })
    ))

  it.live("cost no place in a group", () =>
    onFake({ fake: { capacity: { "cx23@fsn1": 0 } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes({ ...spec, workers: 9 })
        assert.strictEqual((yield* fake.state).placementGroups.length, 1)
      })))

  it.live("by the catalogue's own word are tried all the same, where there is no other", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        for (const place of nodes.locations) yield* fake.offer("cx23", place, { available: false })
        yield* failure(hetzner.createNodes(one))
        assert.strictEqual((yield* fake.counts)["POST /servers"], 2)
      })))

  it.live("by the catalogue's own word come last", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.offer("cx23", "fsn1", { available: false })
        yield* hetzner.createNodes(one)
        assert.strictEqual((yield* fake.counts)["POST /servers"], 1)
        assert.strictEqual((yield* fake.state).servers[0]?.location, "nbg1")
      })))

  it.live("for a spread group are skipped too, and no server is created without its group", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ on: /POST \/servers$/, fault: { _tag: "Refuse", code: "placement_error" } })
        yield* hetzner.createNodes(one)
        const bodies = (yield* fake.calls).filter(({ template, method }) =>
          method === "POST" && template === "/servers"
        )
        assert.deepStrictEqual(
          bodies.map(({ body }) => (body as Record<string, unknown>)["location"]),
          ["fsn1", "nbg1"]
        )
        assert.isTrue(bodies.every(({ body }) => "placement_group" in (body as object)))
      })))

  it.live("a group that is full after all gives way to another, and then to one more", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const full: FaultRule = {
          on: /POST \/servers$/,
          fault: { _tag: "Refuse", code: "placement_group_member_limit_reached" }
        }
        yield* fake.fault(full)
        yield* hetzner.createNodes(one)
        const { placementGroups, servers } = yield* fake.state
        assert.deepStrictEqual(placementGroups.map(({ name }) => name), ["dev-placement-1", "dev-placement-2"])
        assert.strictEqual(servers[0]?.placementGroup, placementGroups[1]?.id)
        assert.strictEqual(servers[0]?.location, "fsn1")
      })))
})

describe("a lost reply", () => {
  const templates = [
    "/networks",
    "/firewalls",
    "/placement_groups",
    "/ssh_keys",
    "/servers",
    "/volumes",
    "/floating_ips"
  ]
  for (const template of templates) {
    for (const fault of ["CutAfter", "CutBefore", "HangAfter", "Garble"] as const) {
      it.live(`to POST ${template} (${fault}): the thing is there once, in the first place`, () =>
        onFake({ policy: { requestTimeout: "5 seconds" } }, ({ fake, hetzner }) =>
          Effect.gen(function*() {
            yield* fake.fault({
              on: ({ method, template: at }) => method === "POST" && at === template,
              fault: { _tag: fault }
            })
            const report = yield* hetzner.createNodes(everything)
            // Its own resources are Done, also after a lost reply.
            assert.deepStrictEqual(report.outcomes.filter(({ outcome }) => outcome._tag !== "Done"), [])
            const { servers } = yield* fake.state
            assert.deepStrictEqual(
              servers.map(({ name }) => name).sort(),
              ["dev-control-plane-1", "dev-worker-1", "dev-worker-2"]
            )
            assert.isTrue(servers.every(({ location, status }) => location === "fsn1" && status === "running"))
            // Every resource belongs to the cluster, so deleteNodes removes it.
            yield* hetzner.provider.deleteNodes("dev")
            yield* expectNothing(fake)
          })))
    }
  }

  it.live("ends in NameTaken when an unlabelled network took the name first, and keeps that network", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const isCreate = ({ method, template }: { method: string; template: string }) =>
          method === "POST" && template === "/networks"
        yield* fake.fault({ on: isCreate, fault: { _tag: "Refuse", code: "uniqueness_error" } })
        const seed = fake.seed.network({ name: "dev-network" })
        // It appears between the list and the create.
        yield* fake.fault({
          on: (call) => {
            if (isCreate(call)) Effect.runSync(seed)
            return false
          },
          fault: { _tag: "CutBefore" }
        })
        const error = yield* failure(hetzner.createNodes(one))
        assert.include(error.message, "network \"dev-network\": the name is used by a network without labels")
        assert.deepStrictEqual(yield* inventory(fake), ["network dev-network"])
      })))
})

describe("a server whose creation fails half-way", () => {
  it.live("is removed before another place is tried", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.failAction({ command: "create_server" })
        const report = yield* hetzner.createNodes(one)
        const { servers } = yield* fake.state
        assert.deepStrictEqual(servers.map(({ location, name }) => `${name} ${location}`), ["dev-control-plane-1 nbg1"])
        assert.match(report.outcomes.at(-1)?.notes?.[0] ?? "", /cx23 in fsn1.*what is left of it is removed/)
      })))

  it.live("is removed, and forgotten, where nothing else carries the mark of an unfinished create", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.failAction({ command: "create_server" })
        yield* hetzner.createNodes({ ...one, network: false, placementGroups: false })
        assert.deepStrictEqual((yield* fake.state).servers.map(({ labels }) => labels["kubelayer.pending"]), [
          undefined
        ])
      })))

  it.live("is reported when its machine powers off immediately", () =>
    onFake({ fake: { guest: { exits: true } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        assert.match((yield* failure(hetzner.createNodes(one))).message, /it was created but does not run/)
        yield* expectNothing(fake)
      })))

  it.live("is removed when it cannot be started", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.failAction({ command: "start_server", times: 2 })
        const error = yield* failure(hetzner.createNodes(one))
        assert.include(error.message, "dev-control-plane-1")
        yield* expectNothing(fake)
      })))
})

describe("a permanent refusal", () => {
  const refusals = [
    ["unauthorized", "Unauthorized"],
    ["forbidden", "ReadOnlyCredential"],
    ["resource_limit_exceeded", "QuotaExceeded"],
    ["invalid_input", "InvalidInput"]
  ] as const
  for (const [code, reason] of refusals) {
    it.live(`${code} is not retried in a second location and is the reported reason`, () =>
      onFake({}, ({ fake, hetzner }) =>
        Effect.gen(function*() {
          yield* fake.fault({ on: /POST \/servers$/, fault: { _tag: "Refuse", code } })
          const error = yield* failure(hetzner.createNodes(one))
          assert.strictEqual(error._tag, "NodesNotCreated")
          if (error._tag === "NodesNotCreated") assert.deepStrictEqual(error.reasons.map(({ _tag }) => _tag), [reason])
          assert.strictEqual((yield* fake.counts)["POST /servers"], 1)
          yield* expectNothing(fake)
        })))
  }

  it.live("an exhausted quota stops the servers that were not requested yet", () =>
    onFake(
      { fake: { limits: { server_limit: 3 } }, policy: { concurrency: { create: 2 } } },
      ({ fake, hetzner }) =>
        Effect.gen(function*() {
          const error = yield* failure(hetzner.createNodes({ ...spec, workers: 19 }))
          assert.strictEqual(error._tag, "NodesNotCreated")
          assert.isAtMost((yield* fake.counts)["POST /servers"] ?? 0, 6)
          yield* expectNothing(fake)
        })
    ))

  it.live("a request is retried after a conflict or a lock", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ on: /POST \/servers$/, fault: { _tag: "Refuse", code: "conflict" } })
        yield* fake.fault({ on: /POST \/placement_groups$/, fault: { _tag: "Refuse", code: "locked" } })
        yield* hetzner.createNodes(one)
        assert.strictEqual((yield* fake.state).servers[0]?.location, "fsn1")
      })))
})

describe("a create that is interrupted", () => {
  it.live("removes only the resources that it created", () =>
    onFake({ fake: { durations: { create_server: "1 minute" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: "dev-network", labels: ours() })
        yield* fake.seed.server({ name: "stranger" })
        yield* fake.takes("create_server", "30 seconds")
        const fiber = yield* Effect.forkChild(
          hetzner.createNodes({ ...everything, network: { subnet: "10.0.1.0/24" } })
        )
        yield* Effect.sleep("10 seconds")
        assert.strictEqual((yield* fake.state).servers.length, 4)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* inventory(fake), ["network dev-network", "server stranger"])
      })))

  it.live("removes the server of a request that was in flight", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ on: /POST \/servers$/, fault: { _tag: "Delay", millis: 20_000 } })
        const fiber = yield* Effect.forkChild(hetzner.createNodes(one))
        yield* Effect.sleep("5 seconds")
        yield* Fiber.interrupt(fiber)
        yield* expectNothing(fake)
      })))

  it.live("names in a warning what it could not remove in time", () =>
    onFake({ fake: { durations: { delete_server: "10 minutes" } } }, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        const warnings: Array<string> = []
        const logger = Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))
        yield* fake.takes("create_server", "1 minute")
        const fiber = yield* Effect.forkChild(Effect.provide(hetzner.createNodes(one), Logger.layer([logger])))
        yield* Effect.sleep("10 seconds")
        yield* Fiber.interrupt(fiber)
        assert.match(warnings.join("\n"), /node dev-control-plane-1: the time for the clean-up was over/)
      })))
})

describe("a create that does not succeed", () => {
  const failing = { on: /POST \/servers$/, after: 2, fault: { _tag: "Refuse", code: "invalid_input" } } as const

  it.live("keeps and names its resources with `onFailure: \"keep\"`", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault(failing)
        const error = yield* failure(hetzner.createNodes({ ...spec, onFailure: "keep" }))
        const there = [
          "group dev-placement-1",
          "network dev-network",
          "server dev-control-plane-1",
          "server dev-worker-1"
        ]
        assert.deepStrictEqual(yield* inventory(fake), there)
        assert.strictEqual(error._tag, "NodesNotCreated")
        if (error._tag !== "NodesNotCreated") return
        assert.deepStrictEqual(
          error.leftovers.map(({ name }) => name).sort(),
          there.map((each) => each.replace(/^\w+ /, "")).sort()
        )
      })))

  it.live("names what it could not remove", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault(failing)
        const lift = yield* fake.fault({
          on: /DELETE \/networks/,
          fault: { _tag: "Refuse", code: "protected" },
          times: 9
        })
        const error = yield* failure(hetzner.createNodes(spec))
        const left = yield* inventory(fake)
        // The record that it is to be removed stays as long as it does.
        assert.deepStrictEqual(left.map((each) => each.replace(/-fate-.*/, "-fate")), [
          "group kubelayer-fate",
          "network dev-network"
        ])
        assert.match(error.message, /left behind: network dev-network: .*protected/i)
        yield* lift
        yield* hetzner.provider.deleteNodes("dev")
        yield* expectNothing(fake)
      })))

  it.live("removes the resources of its own call only and keeps existing ones", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* hetzner.createNodes(one)
        const before = yield* inventory(fake)
        yield* fake.fault({ ...failing, after: 0 })
        yield* failure(hetzner.createNodes(spec))
        assert.deepStrictEqual(yield* inventory(fake), before)
      })))

  it.live("leaves the subnet in place that it added to a network: repairs are not undone", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.seed.network({ name: "dev-network", labels: ours(), subnets: [] })
        yield* fake.fault({ ...failing, after: 0 })
        yield* failure(hetzner.createNodes(one))
        const [network] = (yield* fake.state).networks
        assert.lengthOf(network?.json["subnets"] as ReadonlyArray<unknown>, 1)
      })))

  it.live("writes nothing when a list fails", () =>
    onFake({}, ({ fake, hetzner }) =>
      Effect.gen(function*() {
        yield* fake.fault({ on: /GET \/networks/, fault: { _tag: "Refuse", code: "unauthorized" } })
        assert.strictEqual((yield* failure(hetzner.createNodes(spec)))._tag, "BackendError")
        assert.deepStrictEqual(yield* writes(fake), [])
      })))
})
