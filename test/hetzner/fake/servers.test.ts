/** Tests of the fake's servers: life cycle, locks, addresses and responses. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { aServer, type Fake, type Loose, startFake } from "./support.ts"

const only = (fake: Fake) => Effect.map(fake.state, ({ servers }) => servers[0])

describe("a server", () => {
  it.live("is created by actions that take time and lock it", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const made = yield* fake.call("POST", "/servers", aServer("a"))
      assert.strictEqual(made.status, 201)
      assert.deepStrictEqual([made.json.server.status, made.json.server.locked], ["initializing", true])
      assert.deepStrictEqual(made.json.next_actions.map((one: Loose) => one.command), ["start_server"])
      assert.isAbove(made.json.server.id, 2 ** 32)
      assert.isString(made.json.root_password)
      const { id } = made.json.server
      const early = yield* fake.call("POST", `/servers/${id}/actions/poweroff`)
      assert.deepStrictEqual([early.status, early.json.error.code], [423, "locked"])
      assert.strictEqual((yield* fake.call("PUT", `/servers/${id}`, { labels: { a: "b" } })).status, 200)

      yield* fake.advance("1 second")
      assert.strictEqual((yield* only(fake))?.status, "starting")
      yield* fake.advance("1 second")
      assert.deepInclude(yield* only(fake), { status: "running", locked: false, labels: { a: "b" } })
      const ids = [made.json.action.id, made.json.next_actions[0].id]
      const { json } = yield* fake.call("GET", `/actions?id=${ids[0]}&id=${ids[1]}&id=1`)
      assert.deepStrictEqual(json.actions.map((one: Loose) => [one.id, one.status, one.progress]), [
        [ids[0], "success", 100],
        [ids[1], "success", 100]
      ])
    }))

  it.live("stays off with `start_after_create: false`, and powers on and off", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const made = yield* fake.call("POST", "/servers", aServer("a", { start_after_create: false }))
      assert.deepStrictEqual(made.json.next_actions, [])
      const { id } = made.json.server
      const status = Effect.map(only(fake), (server) => server?.status)
      const act = (name: string) =>
        Effect.gen(function*() {
          const { json } = yield* fake.call("POST", `/servers/${id}/actions/${name}`)
          const during = yield* status
          yield* fake.advance("1 second")
          return [json.action.command, json.action.status, during, yield* status]
        })
      yield* fake.advance("1 second")
      assert.strictEqual(yield* status, "off")
      assert.deepStrictEqual(yield* act("poweron"), ["start_server", "running", "starting", "running"])
      assert.deepStrictEqual(yield* act("reboot"), ["reboot_server", "running", "running", "running"])
      assert.deepStrictEqual(yield* act("poweroff"), ["stop_server", "running", "stopping", "off"])
      assert.deepStrictEqual(yield* act("poweroff"), ["stop_server", "running", "off", "off"])
    }))

  it.live("is asked to shut down: the action is over when it has been asked", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second", guest: { shutdown: 5000 } })
      const id = yield* fake.seed.server({ name: "a" })
      const deaf = yield* fake.seed.server({ name: "b", guest: { shutdown: "ignores" } })
      for (const each of [id, deaf]) yield* fake.call("POST", `/servers/${each}/actions/shutdown`)
      const statuses = Effect.map(fake.state, ({ servers }) => servers.map(({ status }) => status))
      yield* fake.advance("1 second")
      assert.deepStrictEqual(yield* statuses, ["running", "running"])
      assert.deepStrictEqual((yield* fake.state).servers.map(({ locked }) => locked), [false, false])
      yield* fake.advance("5 seconds")
      assert.deepStrictEqual(yield* statuses, ["off", "running"])
    }))

  it.live("hears nothing while it boots, and forgets what was asked of an earlier run", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0, guest: { shutdown: 5000, boot: 10_000 } })
      const id = yield* fake.seed.server({ name: "a", status: "off" })
      const act = (name: string) => fake.call("POST", `/servers/${id}/actions/${name}`)
      yield* act("poweron")
      yield* act("shutdown")
      yield* fake.advance("9 seconds")
      assert.strictEqual((yield* only(fake))?.status, "running")
      yield* fake.advance("1 second")
      yield* act("shutdown")
      yield* act("reset")
      yield* fake.advance("6 seconds")
      assert.strictEqual((yield* only(fake))?.status, "running")
    }))

  it.live("can go off right after its start", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a", status: "off", guest: { exits: true } })
      yield* fake.call("POST", `/servers/${id}/actions/poweron`)
      assert.strictEqual((yield* only(fake))?.status, "off")
      yield* fake.call("POST", `/servers/${id}/actions/poweron`)
      assert.strictEqual((yield* only(fake))?.status, "running")
    }))

  it.live("is deleted with what is its own, and leaves the rest", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const network = yield* fake.seed.network({ name: "n" })
      const firewall = yield* fake.seed.firewall({ name: "f" })
      const group = yield* fake.seed.placementGroup({ name: "g" })
      const id = yield* fake.seed.server({
        name: "a",
        networks: [network],
        firewalls: [firewall],
        placementGroup: group
      })
      const volume = yield* fake.seed.volume({ name: "v", server: id })
      const ip = yield* fake.seed.floatingIp({ name: "i", server: id })
      const kept = yield* fake.seed.primaryIp({ name: "p", server: id })
      const { json: { server } } = yield* fake.call("GET", `/servers/${id}`)
      assert.deepStrictEqual(server.volumes, [volume])
      assert.deepStrictEqual(server.public_net.floating_ips, [ip])
      assert.deepStrictEqual(server.public_net.firewalls, [{ id: firewall, status: "applied" }])
      assert.strictEqual(server.placement_group.id, group)
      assert.strictEqual(server.private_net[0].network, network)
      assert.strictEqual(server.public_net.ipv4.id, kept)

      const { json, status } = yield* fake.call("DELETE", `/servers/${id}`)
      assert.deepStrictEqual([status, json.action.command], [200, "delete_server"])
      assert.strictEqual((yield* only(fake))?.status, "deleting")
      assert.strictEqual((yield* fake.call("DELETE", `/servers/${id}`)).json.error.code, "locked")
      assert.strictEqual((yield* fake.call("POST", "/servers", aServer("a"))).json.error.code, "uniqueness_error")
      yield* fake.advance("1 second")
      assert.strictEqual((yield* fake.call("GET", `/servers/${id}`)).json.error.code, "not_found")
      assert.strictEqual((yield* fake.call("GET", `/actions/${json.action.id}`)).json.action.status, "success")
      const state = yield* fake.state
      assert.deepStrictEqual(state.primaryIps.map(({ id }) => id), [kept])
      assert.strictEqual(state.volumes[0]?.json["server"], null)
      assert.strictEqual(state.floatingIps[0]?.json["server"], null)
      assert.deepStrictEqual(state.networks[0]?.json["servers"], [])
      assert.deepStrictEqual(state.firewalls[0]?.json["applied_to"], [])
      assert.deepStrictEqual((yield* fake.gone(id))?.name, "a")
    }))

  it.live("still counts for a while where it was, if detaching is slow", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0, detach: "5 seconds", networkDelete: "refuse" })
      const network = yield* fake.seed.network({ name: "n" })
      const firewall = yield* fake.seed.firewall({ name: "f" })
      const id = yield* fake.seed.server({ name: "a", networks: [network], firewalls: [firewall] })
      const ip = yield* fake.seed.floatingIp({ name: "i", server: id })
      yield* fake.call("DELETE", `/servers/${id}`)
      const codes = Effect.gen(function*() {
        const found: Array<unknown> = []
        for (const path of [`/firewalls/${firewall}`, `/networks/${network}`, `/floating_ips/${ip}`]) {
          const { json, status } = yield* fake.call("DELETE", path)
          found.push(json?.error.code ?? status)
        }
        return found
      })
      assert.deepStrictEqual(yield* codes, ["resource_in_use", "resource_in_use", "must_be_unassigned"])
      yield* fake.advance("5 seconds")
      assert.deepStrictEqual(yield* codes, [204, 204, 204])
    }))

  it.live("that is protected is not deleted", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a" })
      yield* fake.call("POST", `/servers/${id}/actions/change_protection`, { delete: true, rebuild: true })
      const refused = yield* fake.call("DELETE", `/servers/${id}`)
      assert.deepStrictEqual([refused.status, refused.json.error.code], [423, "protected"])
    }))
})

describe("a create request for a server", () => {
  const codeOf = (body: unknown) => (fake: Fake) =>
    Effect.map(fake.call("POST", "/servers", body), ({ json, status }) => [status, json.error?.code ?? "made"])

  it.live("is checked against the existing resources", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const refused = yield* Effect.forEach([
        aServer("a", { server_type: "cx99" }),
        aServer("a", { image: "windows" }),
        aServer("a", { location: "mars" }),
        aServer("a", { server_type: "cax11", location: "ash" }),
        aServer("not a hostname"),
        aServer("a", { labels: { "not a key": "" } }),
        aServer("a", { user_data: "x".repeat(32_769) }),
        aServer("a", { public_net: { enable_ipv4: false, enable_ipv6: false } })
      ], (body) => codeOf(body)(fake))
      assert.deepStrictEqual(refused, refused.map(() => [422, "invalid_input"]))
      const arm = (yield* fake.call("GET", "/images?name=debian-12&architecture=arm")).json.images[0].id
      assert.deepStrictEqual(yield* codeOf(aServer("a", { image: arm }))(fake), [422, "invalid_input"])
      assert.deepStrictEqual(yield* codeOf(aServer("a", { ssh_keys: ["nobody"] }))(fake), [404, "not_found"])
      assert.deepStrictEqual(yield* codeOf(aServer("a", { networks: [1] }))(fake), [404, "not_found"])
      assert.deepStrictEqual(yield* fake.violations, [])
      assert.deepStrictEqual((yield* fake.state).servers, [])
    }))

  it.live("accepts ids, names, and ids written as text", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const key = yield* fake.seed.sshKey({ name: "k" })
      const type = (yield* fake.call("GET", "/server_types?name=cax11")).json.server_types[0].id
      const bodies = [
        aServer("a", { server_type: type, ssh_keys: ["k"] }),
        aServer("b", { server_type: String(type), ssh_keys: [key] })
      ]
      const made = yield* Effect.forEach(bodies, (body) => fake.call("POST", "/servers", body))
      assert.deepStrictEqual(made.map(({ json, status }) => [status, json.server.server_type.name]), [
        [201, "cax11"],
        [201, "cax11"]
      ])
      assert.deepStrictEqual(made.map(({ json }) => [json.server.image.architecture, json.root_password]), [
        ["arm", null],
        ["arm", null]
      ])
    }))

  it.live("is bounded by capacity, limits, and groups of ten", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0, limits: { server_limit: 12 } })
      yield* fake.capacity("cx33", "nbg1", 1)
      yield* fake.offer("cx43", "hel1", { available: false })
      yield* fake.offer("cx43", "fsn1", { deprecation: { announced: 0, unavailableAfter: 1 } })
      const group = yield* fake.seed.placementGroup({ name: "g" })
      const at = (server_type: string, location: string, name: string) =>
        codeOf(aServer(name, { server_type, location }))
      assert.deepStrictEqual(yield* at("cx33", "nbg1", "a")(fake), [201, "made"])
      assert.deepStrictEqual(yield* at("cx33", "nbg1", "b")(fake), [412, "resource_unavailable"])
      assert.deepStrictEqual(yield* at("cx43", "hel1", "b")(fake), [412, "resource_unavailable"])
      assert.deepStrictEqual(yield* at("cx43", "fsn1", "b")(fake), [422, "invalid_input"])
      for (let n = 0; n < 10; n++) {
        assert.deepStrictEqual(yield* codeOf(aServer(`g${n}`, { placement_group: group }))(fake), [201, "made"])
      }
      assert.deepStrictEqual(
        yield* codeOf(aServer("g10", { placement_group: group }))(fake),
        [422, "placement_group_member_limit_reached"]
      )
      assert.deepStrictEqual(yield* codeOf(aServer("m"))(fake), [201, "made"])
      assert.deepStrictEqual(yield* codeOf(aServer("n"))(fake), [403, "resource_limit_exceeded"])
    }))

  it.live("may end in an error, and the server exists anyway", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      yield* fake.failAction({ command: "create_server" })
      const { json } = yield* fake.call("POST", "/servers", aServer("a"))
      yield* fake.advance("3 seconds")
      const ids = [json.action.id, json.next_actions[0].id]
      const read = yield* fake.call("GET", `/actions?id=${ids[0]}&id=${ids[1]}`)
      assert.deepStrictEqual(read.json.actions.map((one: Loose) => [one.status, one.error?.code]), [
        ["error", "action_failed"],
        ["error", "action_failed"]
      ])
      assert.strictEqual((yield* only(fake))?.status, "off")
      assert.deepStrictEqual(yield* codeOf(aServer("a"))(fake), [409, "uniqueness_error"])
    }))
})

describe("the rest of what can be done to a server", () => {
  it.live("images, ISO images, types, rescue and the like", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a" })
      const act = (name: string, body?: unknown) =>
        Effect.map(fake.call("POST", `/servers/${id}/actions/${name}`, body), ({ json, status }) => {
          return [status, json.action?.command ?? json.error.code]
        })
      const { ipv4 } = (yield* fake.call("GET", `/servers/${id}`)).json.server.public_net
      assert.deepStrictEqual(yield* act("create_image", { description: "d", labels: { a: "b" } }), [
        201,
        "create_image"
      ])
      assert.deepStrictEqual(yield* act("rebuild", { image: "ubuntu-24.04" }), [201, "rebuild_server"])
      assert.deepStrictEqual(yield* act("change_type", { server_type: "cx33", upgrade_disk: false }), [
        422,
        "server_not_stopped"
      ])
      assert.deepStrictEqual(yield* act("attach_iso", { iso: "talos-1.11-x86.iso" }), [201, "attach_iso"])
      assert.deepStrictEqual(yield* act("detach_iso"), [201, "detach_iso"])
      assert.deepStrictEqual(yield* act("enable_rescue", { type: "linux64" }), [201, "enable_rescue"])
      assert.deepStrictEqual(yield* act("disable_rescue"), [201, "disable_rescue"])
      assert.deepStrictEqual(yield* act("enable_backup"), [201, "enable_backup"])
      assert.deepStrictEqual(yield* act("disable_backup"), [201, "disable_backup"])
      assert.deepStrictEqual(yield* act("reset_password"), [201, "reset_password"])
      assert.deepStrictEqual(yield* act("request_console"), [201, "request_console"])
      assert.deepStrictEqual(yield* act("change_dns_ptr", { ip: ipv4.ip, dns_ptr: "a.example" }), [
        201,
        "change_dns_ptr"
      ])
      yield* fake.change(id, { status: "off" })
      assert.deepStrictEqual(yield* act("change_type", { server_type: "cx33", upgrade_disk: false }), [
        201,
        "change_server_type"
      ])
      const { json: { server } } = yield* fake.call("GET", `/servers/${id}`)
      assert.deepStrictEqual([server.server_type.name, server.image.name, server.public_net.ipv4.dns_ptr], [
        "cx33",
        "ubuntu-24.04",
        "a.example"
      ])
      assert.deepStrictEqual((yield* fake.state).snapshots.map(({ labels }) => labels), [{ a: "b" }])
    }))
})
