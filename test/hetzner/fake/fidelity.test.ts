/** Behaviour of the API that other clients showed: spellings, habits, catalogue, power and images. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { HetznerFake } from "kubelayer/testing"
import { aServer, type Fake, type Loose, startFake } from "./support.ts"

const code = (fake: Fake, method: string, path: string, body?: unknown) =>
  Effect.map(fake.call(method, path, body), ({ json, status }) => json?.error?.code ?? status)

const statusOf = (fake: Fake, id: number) =>
  Effect.map(fake.call("GET", `/servers/${id}`), ({ json }) => json.server.status as string)

describe("networks of firewalls, networks and routes", () => {
  it.live("are stored in their shortest spelling (H7)", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const rules = [
        { direction: "in", protocol: "tcp", port: "22", source_ips: ["::0/0", "2001:DB8:0:0::/48", "0.0.0.0/0"] },
        { direction: "out", protocol: "icmp", destination_ips: ["0:0::/0"] }
      ]
      const { firewall } = (yield* fake.call("POST", "/firewalls", { name: "f", rules })).json
      assert.deepStrictEqual(firewall.rules.map((one: Loose) => [one.source_ips, one.destination_ips]), [
        [["::/0", "2001:db8::/48", "0.0.0.0/0"], []],
        [[], ["::/0"]]
      ])
      for (const range of ["2001:db8::1/48", "10.0.0.1/8", "10.0.0.0", "::/129", "::/0/0"]) {
        const wrong = [{ direction: "in", protocol: "tcp", port: "22", source_ips: [range] }]
        assert.strictEqual(yield* code(fake, "POST", "/firewalls", { name: "g", rules: wrong }), "invalid_input", range)
      }
    }))

  it.live("of routes lead to an address of the network, once each", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const { network } = (yield* fake.call("POST", "/networks", {
        name: "n",
        ip_range: "10.0.0.0/16",
        routes: [{ destination: "0.0.0.0/0", gateway: "10.0.1.2" }]
      })).json
      assert.deepStrictEqual(network.routes, [{ destination: "0.0.0.0/0", gateway: "10.0.1.2" }])
      const act = (what: string, destination: string, gateway: string) =>
        code(fake, "POST", `/networks/${network.id}/actions/${what}`, { destination, gateway })
      assert.strictEqual(yield* act("add_route", "0.0.0.0/0", "10.0.1.3"), "invalid_input")
      assert.strictEqual(yield* act("add_route", "10.8.0.0/16", "192.168.0.1"), "invalid_input")
      assert.strictEqual(yield* act("add_route", "10.8.0.0/16", "10.0.1.3"), 201)
      assert.strictEqual(yield* act("delete_route", "10.9.0.0/16", "10.0.1.3"), "invalid_input")
      assert.strictEqual(yield* act("delete_route", "0.0.0.0/0", "10.0.1.2"), 201)
      const { routes } = (yield* fake.call("GET", `/networks/${network.id}`)).json.network
      assert.deepStrictEqual(routes, [{ destination: "10.8.0.0/16", gateway: "10.0.1.3" }])
    }))
})

describe("habits of official clients", () => {
  it.live("a firewall on a label selector is answered with one action (H20)", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const id = yield* fake.seed.firewall({ name: "f" })
      const selector = [{ type: "label_selector", label_selector: { selector: "a=b" } }]
      const act = (what: string, body: unknown) => fake.call("POST", `/firewalls/${id}/actions/${what}`, body)
      const commands = ({ json }: { readonly json: Loose }) =>
        json.actions.map((one: Loose) => [one.command, one.status, one.resources])
      assert.deepStrictEqual(commands(yield* act("apply_to_resources", { apply_to: selector })), [
        ["apply_firewall", "running", [{ id, type: "firewall" }]]
      ])
      yield* fake.advance("1 second")
      assert.deepStrictEqual(commands(yield* act("remove_from_resources", { remove_from: selector })), [
        ["remove_firewall", "running", [{ id, type: "firewall" }]]
      ])
    }))

  it.live("`True` is a boolean in a query, as Python writes it (H20)", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      yield* fake.image("debian-12", { deprecated: 0 })
      const count = (query: string) =>
        Effect.map(fake.call("GET", `/images?name=debian-12${query}`), ({ json }) => json.images.length)
      assert.strictEqual(yield* count(""), 0)
      for (const yes of ["true", "True"]) assert.strictEqual(yield* count(`&include_deprecated=${yes}`), 2)
      assert.strictEqual(yield* count("&include_deprecated=False"), 0)
      assert.strictEqual(yield* code(fake, "GET", "/images?include_deprecated=yes"), "invalid_input")
    }))

  it.live("datacenters are gone, however they are listed; certificates are none (H20)", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      assert.strictEqual(
        yield* code(fake, "GET", "/datacenters?page=1&per_page=50&sort=name&name=fsn1-dc14"),
        "deprecated_api_endpoint"
      )
      assert.deepStrictEqual((yield* fake.call("GET", "/certificates?type=managed")).json.certificates, [])
      assert.strictEqual(yield* code(fake, "GET", "/certificates/1"), "not_found")
      assert.deepStrictEqual(yield* fake.violations, [])
    }))

  it.live("an image without a description is created when the description is null (H20)", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a" })
      const { json, status } = yield* fake.call("POST", `/servers/${id}/actions/create_image`, { description: null })
      assert.deepStrictEqual([status, json.image.description], [201, "snapshot of a"])
      assert.deepStrictEqual(yield* fake.violations, [])
    }))
})

describe("replies", () => {
  it.live("of a list have a Link header, and each has the state of the quota", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ quota: { limit: 3600, remaining: 100 } })
      for (let n = 0; n < 5; n++) yield* fake.seed.server({ name: `s${n}` })
      const { headers } = yield* fake.call("GET", "/servers?per_page=2&page=2&sort=id")
      assert.strictEqual(
        headers.get("link"),
        "</v1/servers?per_page=2&page=1&sort=id>; rel=prev, </v1/servers?per_page=2&page=3&sort=id>; rel=next, " +
          "</v1/servers?per_page=2&page=3&sort=id>; rel=last"
      )
      assert.strictEqual(headers.get("ratelimit-remaining"), "99")
      assert.isNull((yield* fake.call("GET", "/pricing")).headers.get("link"))
    }))

  it.effect("come without a socket with `listen: false`, and each such fake has its own endpoint", () =>
    Effect.scoped(Effect.gen(function*() {
      const [one, other] = [yield* HetznerFake.make({ listen: false }), yield* HetznerFake.make({ listen: false })]
      assert.notStrictEqual(one.endpoint, other.endpoint)
      yield* one.seed.server({ name: "a" })
      const read = (fake: HetznerFake.HetznerFakeService) =>
        fake.httpClient.execute(
          HttpClientRequest.get(`${fake.endpoint}/servers`).pipe(HttpClientRequest.bearerToken(fake.token))
        ).pipe(
          Effect.flatMap((response) => response.json),
          Effect.map((json) => (json as Loose).servers.length as number)
        )
      assert.deepStrictEqual([yield* read(one), yield* read(other)], [1, 0])
      yield* Effect.scoped(Effect.gen(function*() {
        yield* one.outage
        assert.strictEqual((yield* Effect.exit(read(one)))._tag, "Failure")
      }))
      assert.strictEqual(yield* read(one), 1)
    })))
})

describe("images", () => {
  it.live("of the Project are found by label, architecture and status, and cannot be used before they are available", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const labels = { os: "talos" }
      const x86 = yield* fake.seed.snapshot({ description: "a", labels })
      const arm = yield* fake.seed.snapshot({ description: "b", labels, architecture: "arm" })
      const young = yield* fake.seed.snapshot({ description: "c", labels, status: "creating" })
      const found = (query: string) =>
        Effect.map(
          fake.call("GET", `/images?type=snapshot&label_selector=os=talos${query}`),
          ({ json }) => json.images.map((one: Loose) => one.id)
        )
      assert.deepStrictEqual(yield* found(""), [x86, arm, young])
      assert.deepStrictEqual(yield* found("&architecture=x86&status=available"), [x86])
      assert.strictEqual(yield* code(fake, "POST", "/servers", aServer("a", { image: young })), "invalid_input")
      yield* fake.image(young, { status: "available", labels: { os: "other" } })
      assert.strictEqual(yield* code(fake, "POST", "/servers", aServer("a", { image: young })), 201)
      assert.deepStrictEqual(yield* found(""), [x86, arm])
    }))

  it.live("of type backup need backups to be enabled, and are deleted when backups are disabled", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a" })
      const act = (what: string, body?: unknown) => code(fake, "POST", `/servers/${id}/actions/${what}`, body)
      assert.strictEqual(yield* act("create_image", { type: "backup" }), "invalid_input")
      assert.strictEqual(yield* act("enable_backup"), 201)
      assert.strictEqual(yield* act("create_image", { type: "backup" }), 201)
      assert.strictEqual(yield* act("create_image", { type: "snapshot" }), 201)
      const types = Effect.map(fake.state, ({ snapshots }) => snapshots.map(({ json }) => json["type"]))
      assert.deepStrictEqual(yield* types, ["backup", "snapshot"])
      assert.strictEqual(yield* act("disable_backup"), 201)
      assert.deepStrictEqual(yield* types, ["snapshot"])
    }))
})

describe("ISO images", () => {
  it.live("are listed by architecture, with those of every architecture on request, and attached until they retire", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      yield* fake.seed.iso({ name: "any.iso", architecture: null })
      const old = yield* fake.seed.iso({ name: "old.iso", deprecation: { announced: 0, unavailableAfter: 1 } })
      const names = (query: string) =>
        Effect.map(fake.call("GET", `/isos?${query}`), ({ json }) => json.isos.map((one: Loose) => one.name))
      assert.deepStrictEqual(yield* names("architecture=arm"), ["talos-1.11-arm.iso"])
      assert.deepStrictEqual(yield* names("architecture=arm&include_architecture_wildcard=true"), [
        "talos-1.11-arm.iso",
        "any.iso"
      ])
      assert.deepStrictEqual(yield* names("name=any.iso"), ["any.iso"])
      const { server } = (yield* fake.call("POST", "/servers", aServer("a", { start_after_create: false }))).json
      const act = (what: string, body?: unknown) => code(fake, "POST", `/servers/${server.id}/actions/${what}`, body)
      assert.strictEqual(yield* act("attach_iso", { iso: "talos-1.11-x86.iso" }), 201)
      assert.strictEqual(yield* act("attach_iso", { iso: old }), "not_found")
      const shown = (yield* fake.call("GET", `/servers/${server.id}`)).json.server
      assert.deepStrictEqual([shown.status, shown.iso.name], ["off", "talos-1.11-x86.iso"])
      assert.strictEqual(yield* act("detach_iso"), 201)
      assert.isNull((yield* fake.call("GET", `/servers/${server.id}`)).json.server.iso)
    }))
})

describe("servers", () => {
  it.live("start after a type change, as the reference documents, unless the fake is configured otherwise", () =>
    Effect.gen(function*() {
      for (const [changeType, after] of [["starts", "running"], ["stays-off", "off"]] as const) {
        const fake = yield* startFake({ duration: "1 second", changeType })
        const id = yield* fake.seed.server({ name: "a", status: "off" })
        const change = (server_type: string, upgrade_disk: boolean) =>
          code(fake, "POST", `/servers/${id}/actions/change_type`, { server_type, upgrade_disk })
        assert.strictEqual(yield* change("cx33", false), 201)
        assert.strictEqual(yield* statusOf(fake, id), "migrating")
        yield* fake.advance("1 second")
        const { server } = (yield* fake.call("GET", `/servers/${id}`)).json
        assert.deepStrictEqual([server.status, server.server_type.name, server.primary_disk_size], [after, "cx33", 40])
        yield* fake.change(id, { status: "off" })
        assert.strictEqual(yield* change("cx43", true), 201)
        yield* fake.advance("1 second")
        yield* fake.change(id, { status: "off" })
        assert.strictEqual(yield* change("cx33", false), "invalid_server_type")
        yield* fake.change(id, { status: "running" })
        assert.strictEqual(yield* change("cx43", false), "server_not_stopped")
      }
    }))

  it.live("reboot as their machine does; a reset does not ask it", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a", guest: { shutdown: "ignores", boot: 1000 } })
      const { pricing } = (yield* fake.call("GET", "/pricing")).json
      assert.strictEqual(pricing.currency, "EUR")
      const restarted = Effect.map(fake.state, ({ servers: [server] }) => server?.startedAt ?? 0)
      const before = yield* restarted
      yield* fake.advance("10 seconds")
      yield* fake.call("POST", `/servers/${id}/actions/reboot`)
      assert.strictEqual(yield* restarted, before)
      yield* fake.call("POST", `/servers/${id}/actions/reset`)
      assert.strictEqual(yield* restarted, before + 10_000)
      yield* fake.change(id, { guest: { shutdown: 3000 } })
      yield* fake.advance("10 seconds")
      yield* fake.call("POST", `/servers/${id}/actions/reboot`)
      yield* fake.advance("2 seconds")
      assert.strictEqual(yield* restarted, before + 10_000)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* restarted, before + 23_000)
      assert.strictEqual(yield* statusOf(fake, id), "running")
    }))

  it.live("stay locked for the configured time", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.server({ name: "a", status: "off" })
      yield* fake.change(id, { locked: "5 seconds" })
      assert.isTrue((yield* fake.call("GET", `/servers/${id}`)).json.server.locked)
      assert.strictEqual(yield* code(fake, "POST", `/servers/${id}/actions/poweron`), "locked")
      yield* fake.advance("5 seconds")
      assert.strictEqual(yield* code(fake, "POST", `/servers/${id}/actions/poweron`), 201)
    }))

  it.live("of a type that retires everywhere show it, and cannot be created once it is gone", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const type = Effect.map(
        fake.call("GET", "/server_types?name=cx23"),
        ({ json }) => [json.server_types[0].deprecated, json.server_types[0].deprecation?.unavailable_after]
      )
      const retire = (location: string, unavailableAfter: number) =>
        fake.offer("cx23", location, { deprecation: { announced: 0, unavailableAfter } })
      yield* retire("fsn1", 1000)
      assert.deepStrictEqual(yield* type, [false, undefined])
      yield* retire("nbg1", 3000)
      yield* retire("hel1", 2000)
      assert.deepStrictEqual(yield* type, [true, "1970-01-01T00:00:03Z"])
      assert.strictEqual(yield* code(fake, "POST", "/servers", aServer("a")), "invalid_input")
    }))

  it.live("take a primary IP of their own while they are off and have none of its family", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const ip = yield* fake.seed.primaryIp({ name: "ip" })
      const full = yield* fake.seed.server({ name: "full", status: "off" })
      const bare = yield* fake.seed.server({ name: "bare", publicNet: { ipv4: false, ipv6: true } })
      const assign = (server: number) =>
        code(fake, "POST", `/primary_ips/${ip}/actions/assign`, { assignee_id: server, assignee_type: "server" })
      assert.strictEqual(yield* assign(full), "server_has_ipv4")
      assert.strictEqual(yield* assign(bare), "server_not_stopped")
      yield* fake.change(bare, { status: "off" })
      assert.strictEqual(yield* assign(bare), 201)
      assert.strictEqual(yield* assign(full), "primary_ip_already_assigned")
      yield* fake.call("PUT", `/primary_ips/${ip}`, { auto_delete: true })
      yield* fake.call("DELETE", `/servers/${bare}`)
      assert.notInclude((yield* fake.state).primaryIps.map(({ name }) => name), "ip")
    }))
})
