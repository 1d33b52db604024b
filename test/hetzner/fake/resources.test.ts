/** Tests of the fake's networks, firewalls, groups, addresses, volumes, keys and load balancers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { aServer, type Fake, type Loose, startFake } from "./support.ts"

const code = (fake: Fake, method: string, path: string, body?: unknown) =>
  Effect.map(fake.call(method, path, body), ({ json, status }) => json?.error?.code ?? status)

describe("networks", () => {
  it.live("give addresses from the second one on, in the zone of the location", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const { json } = yield* fake.call("POST", "/networks", {
        name: "n",
        ip_range: "10.0.0.0/16",
        subnets: [
          { type: "cloud", network_zone: "us-east", ip_range: "10.0.0.0/24" },
          { type: "cloud", network_zone: "eu-central", ip_range: "10.0.1.0/24" }
        ]
      })
      const network = json.network.id
      assert.deepStrictEqual(json.network.subnets.map((one: Loose) => one.gateway), ["10.0.0.1", "10.0.1.1"])
      for (const name of ["a", "b"]) yield* fake.call("POST", "/servers", aServer(name, { networks: [network] }))
      const ips = (yield* fake.call("GET", `/networks/${network}/members`)).json.members
      assert.deepStrictEqual(ips.map(({ ip, status, subnet, type }: Loose) => [ip, status, subnet, type]), [
        ["10.0.1.2", "ok", "10.0.1.0/24", "server"],
        ["10.0.1.3", "ok", "10.0.1.0/24", "server"]
      ])
      const [a, b] = (yield* fake.state).servers
      const attach = (body: unknown) => code(fake, "POST", `/servers/${b?.id}/actions/attach_to_network`, body)
      assert.strictEqual(yield* attach({ network }), "server_already_attached")
      assert.strictEqual(
        yield* code(fake, "POST", `/servers/${b?.id}/actions/detach_from_network`, { network }),
        201
      )
      assert.strictEqual(yield* attach({ network, ip: "10.0.1.2" }), "ip_not_available")
      assert.strictEqual(yield* attach({ network, ip: "10.0.1.1" }), "ip_not_available")
      assert.strictEqual(yield* attach({ network, ip_range: "10.0.0.0/24" }), "no_subnet_available")
      const other = yield* fake.seed.network({ name: "o", ipRange: "10.0.0.0/8" })
      assert.strictEqual(
        yield* code(fake, "POST", `/servers/${a?.id}/actions/attach_to_network`, { network: other }),
        "networks_overlap"
      )
      assert.strictEqual(yield* attach({ network, ip: "10.0.1.9", alias_ips: ["10.0.1.10"] }), 201)
      assert.strictEqual(
        yield* code(fake, "POST", `/servers/${b?.id}/actions/change_alias_ips`, { network, alias_ips: [] }),
        201
      )
      assert.deepStrictEqual((yield* fake.call("GET", `/networks/${network}`)).json.network.servers, [a?.id, b?.id])
    }))

  it.live("are changed one thing at a time, and not under somebody's feet", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const network = yield* fake.seed.network({ name: "n" })
      const act = (name: string, body: unknown) => code(fake, "POST", `/networks/${network}/actions/${name}`, body)
      const subnet = { type: "cloud", network_zone: "eu-central" }
      assert.strictEqual(yield* act("add_subnet", { ...subnet, ip_range: "10.0.1.0/25" }), "invalid_input")
      assert.strictEqual(yield* act("add_subnet", { ...subnet, ip_range: "10.9.0.0/15" }), "invalid_input")
      assert.strictEqual(yield* act("add_subnet", subnet), 201)
      assert.strictEqual(yield* act("delete_subnet", { ip_range: "10.0.1.0/24" }), "conflict")
      yield* fake.advance("1 second")
      const { json } = yield* fake.call("GET", `/networks/${network}`)
      assert.deepStrictEqual(json.network.subnets.map((one: Loose) => one.ip_range), ["10.0.1.0/24", "10.0.0.0/24"])
      yield* fake.seed.server({ name: "a", networks: [network] })
      assert.strictEqual(yield* act("delete_subnet", { ip_range: "10.0.1.0/24" }), "service_error")
      assert.strictEqual(yield* act("delete_subnet", { ip_range: "10.0.0.0/24" }), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* act("add_route", { destination: "10.5.0.0/16", gateway: "10.0.1.2" }), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* act("delete_route", { destination: "10.5.0.0/16", gateway: "10.0.1.2" }), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* act("change_ip_range", { ip_range: "10.0.0.0/24" }), "invalid_input")
      assert.strictEqual(yield* act("change_ip_range", { ip_range: "10.0.0.0/12" }), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* act("change_protection", { delete: true }), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* code(fake, "DELETE", `/networks/${network}`), "protected")
    }))

  it.live("are refused ranges that are none, public or too small, and names that are taken", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const make = (ip_range: string) => code(fake, "POST", "/networks", { name: "n", ip_range })
      assert.strictEqual(yield* make("10.0.0.1/16"), "invalid_input")
      assert.strictEqual(yield* make("8.8.0.0/16"), "invalid_input")
      assert.strictEqual(yield* make("10.0.0.0/25"), "invalid_input")
      assert.strictEqual(yield* make("10.0.0.0/16"), 201)
      assert.strictEqual(yield* make("10.1.0.0/16"), "uniqueness_error")
    }))

  it.live("let go of who is in them when they are deleted, or refuse", () =>
    Effect.gen(function*() {
      for (const networkDelete of ["detach", "refuse"] as const) {
        const fake = yield* startFake({ duration: 0, networkDelete })
        const network = yield* fake.seed.network({ name: "n" })
        const server = yield* fake.seed.server({ name: "a", networks: [network] })
        yield* fake.seed.loadBalancer({ name: "l", networks: [network] })
        const answer = yield* code(fake, "DELETE", `/networks/${network}`)
        assert.strictEqual(answer, networkDelete === "detach" ? 204 : "resource_in_use")
        const { json } = yield* fake.call("GET", `/servers/${server}`)
        assert.lengthOf(json.server.private_net, networkDelete === "detach" ? 0 : 1)
      }
    }))
})

describe("firewalls", () => {
  const rule = { direction: "in", protocol: "tcp", port: "22", source_ips: ["0.0.0.0/0"] }

  it.live("are on servers by name and by label, and in use as long as that is so", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const a = yield* fake.seed.server({ name: "a", labels: { role: "x" } })
      const b = yield* fake.seed.server({ name: "b" })
      const made = yield* fake.call("POST", "/firewalls", {
        name: "f",
        rules: [rule],
        apply_to: [
          { type: "server", server: { id: b } },
          { type: "label_selector", label_selector: { selector: "role=x" } }
        ]
      })
      assert.deepStrictEqual(
        made.json.actions.map((one: Loose) => [one.command, one.resources[0].type]),
        [["apply_firewall", "server"], ["apply_firewall", "firewall"]]
      )
      const { id } = made.json.firewall
      const on = Effect.map(
        fake.state,
        ({ servers }) => servers.map(({ json }) => (json["public_net"] as Loose).firewalls)
      )
      assert.deepStrictEqual(yield* on, [[], [{ id, status: "pending" }]])
      yield* fake.advance("1 second")
      // The selector is applied by now. Its actions were not in any response, and they lock the server.
      assert.deepStrictEqual(yield* on, [[{ id, status: "pending" }], [{ id, status: "applied" }]])
      assert.strictEqual(yield* code(fake, "POST", `/servers/${a}/actions/poweroff`), "locked")
      yield* fake.advance("1 second")
      assert.deepStrictEqual(yield* on, [[{ id, status: "applied" }], [{ id, status: "applied" }]])

      const { json } = yield* fake.call("GET", `/firewalls/${id}`)
      assert.deepStrictEqual(json.firewall.applied_to.map((one: Loose) => one.type), ["server", "label_selector"])
      const withdraw = (remove_from: ReadonlyArray<unknown>) =>
        code(fake, "POST", `/firewalls/${id}/actions/remove_from_resources`, { remove_from })
      assert.strictEqual(yield* withdraw([{ type: "server", server: { id: a } }]), "firewall_managed_by_label_selector")
      assert.strictEqual(yield* withdraw([{ type: "server", server: { id: 1 } }]), "firewall_resource_not_found")
      assert.strictEqual(
        yield* code(fake, "POST", `/firewalls/${id}/actions/apply_to_resources`, {
          apply_to: [{ type: "server", server: { id: b } }]
        }),
        "firewall_already_applied"
      )
      assert.strictEqual(yield* code(fake, "DELETE", `/firewalls/${id}`), "resource_in_use")
      yield* fake.call("PUT", `/servers/${a}`, { labels: {} })
      yield* fake.advance("1 second")
      assert.deepStrictEqual((yield* on)[0], [])
      assert.strictEqual(
        yield* withdraw([
          { type: "server", server: { id: b } },
          { type: "label_selector", label_selector: { selector: "role=x" } }
        ]),
        201
      )
      yield* fake.advance("1 second")
      assert.strictEqual(yield* code(fake, "DELETE", `/firewalls/${id}`), 204)
    }))

  it.live("apply to a new server that matches their selector or names them", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const chosen = yield* fake.seed.firewall({ name: "f" })
      const meant = yield* fake.seed.firewall({ name: "g", selector: "role in (x,y)" })
      yield* fake.call("POST", "/servers", aServer("a", { labels: { role: "y" }, firewalls: [{ firewall: chosen }] }))
      assert.deepStrictEqual((yield* fake.state).servers[0]?.firewalls, [chosen, meant])
    }))

  it.live("are refused rules that cannot be", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const id = yield* fake.seed.firewall({ name: "f" })
      const set = (...rules: ReadonlyArray<unknown>) =>
        code(fake, "POST", `/firewalls/${id}/actions/set_rules`, { rules })
      assert.strictEqual(yield* set({ ...rule, port: null }), "invalid_input")
      assert.strictEqual(yield* set({ ...rule, protocol: "icmp" }), "invalid_input")
      assert.strictEqual(yield* set({ ...rule, source_ips: ["10.0.0.1/8"] }), "invalid_input")
      assert.strictEqual(yield* set({ ...rule, source_ips: ["2001:db8::1/32"] }), "invalid_input")
      assert.strictEqual(yield* set({ ...rule, source_ips: [] }), "invalid_input")
      assert.strictEqual(yield* set({ ...rule, direction: "out" }), "invalid_input")
      assert.strictEqual(
        yield* set({ ...rule, source_ips: ["10.0.0.0/8", "2001:db8::/32", "::/0", "1.2.3.4/32"] }),
        201
      )
      assert.strictEqual(yield* set(), 201)
      assert.deepStrictEqual((yield* fake.state).firewalls[0]?.json["rules"], [])
    }))
})

describe("the smaller resources", () => {
  it.live("placement groups let go of their servers when they are deleted", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const { json, status } = yield* fake.call("POST", "/placement_groups", { name: "g", type: "spread" })
      assert.deepStrictEqual([status, json.action], [201, null])
      const { id } = json.placement_group
      const server = yield* fake.seed.server({ name: "a", status: "off" })
      const act = (name: string, body?: unknown) => code(fake, "POST", `/servers/${server}/actions/${name}`, body)
      assert.strictEqual(yield* act("add_to_placement_group", { placement_group: id }), 201)
      assert.strictEqual(yield* act("add_to_placement_group", { placement_group: id }), "already_in_placement_group")
      assert.deepStrictEqual((yield* fake.call("GET", `/placement_groups/${id}`)).json.placement_group.servers, [
        server
      ])
      assert.strictEqual(yield* act("remove_from_placement_group"), 201)
      assert.strictEqual(yield* act("add_to_placement_group", { placement_group: id }), 201)
      yield* fake.call("PUT", `/placement_groups/${id}`, { name: "h", labels: { a: "b" } })
      assert.strictEqual(yield* code(fake, "DELETE", `/placement_groups/${id}`), 204)
      assert.strictEqual((yield* fake.state).servers[0]?.placementGroup, null)
    }))

  it.live("floating IPs are not deleted while they are assigned", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const server = yield* fake.seed.server({ name: "a" })
      const { json } = yield* fake.call("POST", "/floating_ips", {
        type: "ipv4",
        server,
        name: "i",
        labels: { a: "b" }
      })
      assert.strictEqual(json.action.command, "assign_floating_ip")
      const { id, ip } = json.floating_ip
      yield* fake.advance("1 second")
      assert.strictEqual(yield* code(fake, "DELETE", `/floating_ips/${id}`), "must_be_unassigned")
      assert.strictEqual(
        yield* code(fake, "POST", `/floating_ips/${id}/actions/assign`, { server }),
        "floating_ip_assigned"
      )
      assert.strictEqual(yield* code(fake, "POST", `/floating_ips/${id}/actions/unassign`), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(
        yield* code(fake, "POST", `/floating_ips/${id}/actions/change_dns_ptr`, { ip, dns_ptr: "x.example" }),
        201
      )
      yield* fake.call("PUT", `/floating_ips/${id}`, { description: "d" })
      assert.strictEqual(yield* code(fake, "DELETE", `/floating_ips/${id}`), 204)
      assert.strictEqual(yield* code(fake, "POST", "/floating_ips", { type: "ipv6", home_location: "nbg1" }), 201)
    }))

  it.live("volumes go to servers of their location, and are not deleted there", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const server = yield* fake.seed.server({ name: "a" })
      const far = yield* fake.seed.server({ name: "b", location: "hel1" })
      const { json } = yield* fake.call("POST", "/volumes", { name: "v", size: 10, location: "fsn1", format: "ext4" })
      const { id } = json.volume
      assert.deepStrictEqual([json.volume.status, json.action.command, json.next_actions], [
        "creating",
        "create_volume",
        []
      ])
      const act = (name: string, body?: unknown) => code(fake, "POST", `/volumes/${id}/actions/${name}`, body)
      assert.strictEqual(yield* act("attach", { server }), "locked")
      yield* fake.advance("1 second")
      assert.strictEqual(yield* act("attach", { server: far }), "invalid_input")
      assert.strictEqual(yield* act("attach", { server, automount: false }), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* code(fake, "DELETE", `/volumes/${id}`), "service_error")
      assert.strictEqual(yield* act("resize", { size: 9 }), "invalid_input")
      assert.strictEqual(yield* act("detach"), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* act("change_protection", { delete: true }), 201)
      yield* fake.advance("1 second")
      assert.strictEqual(yield* code(fake, "DELETE", `/volumes/${id}`), "protected")
      const made = yield* fake.call("POST", "/servers", aServer("c", { volumes: [id] }))
      assert.deepStrictEqual(made.json.next_actions.map((one: Loose) => one.command), ["start_server", "attach_volume"])
      assert.deepStrictEqual(made.json.server.volumes, [id])
    }))

  it.live("SSH keys are known by name and by fingerprint", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const public_key = `ssh-ed25519 ${Buffer.from("not a real key").toString("base64")} me@example`
      const { json } = yield* fake.call("POST", "/ssh_keys", { name: "k", public_key })
      assert.match(json.ssh_key.fingerprint, /^(?:[0-9a-f]{2}:){15}[0-9a-f]{2}$/)
      assert.strictEqual(yield* code(fake, "POST", "/ssh_keys", { name: "l", public_key }), "uniqueness_error")
      assert.strictEqual(yield* code(fake, "POST", "/ssh_keys", { name: "l", public_key: "nonsense" }), "invalid_input")
      const found = yield* fake.call("GET", `/ssh_keys?fingerprint=${json.ssh_key.fingerprint}`)
      assert.deepStrictEqual(found.json.ssh_keys.map((one: Loose) => one.name), ["k"])
      assert.strictEqual(yield* code(fake, "DELETE", `/ssh_keys/${json.ssh_key.id}`), 204)
    }))

  it.live("primary IPs remain after their servers are deleted when auto-delete is off", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const { json } = yield* fake.call("POST", "/primary_ips", { name: "p", type: "ipv4", location: "fsn1" })
      const { id } = json.primary_ip
      assert.strictEqual(json.primary_ip.assignee_type, "unassigned")
      const made = yield* fake.call("POST", "/servers", aServer("a", { public_net: { ipv4: id, enable_ipv6: false } }))
      assert.strictEqual(made.json.server.public_net.ipv4.id, id)
      assert.strictEqual(
        yield* code(fake, "POST", "/servers", aServer("b", { public_net: { ipv4: id } })),
        "primary_ip_assigned"
      )
      assert.strictEqual(
        yield* code(fake, "POST", "/servers", aServer("b", { public_net: { ipv6: id } })),
        "primary_ip_version_mismatch"
      )
      assert.strictEqual(yield* code(fake, "DELETE", `/primary_ips/${id}`), "must_be_unassigned")
      yield* fake.call("DELETE", `/servers/${made.json.server.id}`)
      assert.strictEqual(
        yield* code(fake, "POST", "/servers", aServer("b", { location: "hel1", public_net: { ipv4: id } })),
        "primary_ip_datacenter_mismatch"
      )
      const server = yield* fake.seed.server({ name: "c", status: "off", publicNet: { ipv4: false, ipv6: true } })
      const assign = { assignee_id: server, assignee_type: "server" }
      assert.strictEqual(yield* code(fake, "POST", `/primary_ips/${id}/actions/assign`, assign), 201)
      assert.strictEqual(yield* code(fake, "POST", `/primary_ips/${id}/actions/unassign`), 201)
      assert.strictEqual(yield* code(fake, "PUT", `/primary_ips/${id}`, { auto_delete: true }), 200)
      assert.strictEqual(yield* code(fake, "DELETE", `/primary_ips/${id}`), 204)
    }))

  it.live("load balancers leave networks, and are deleted by an action", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const network = yield* fake.seed.network({ name: "n" })
      const server = yield* fake.seed.server({ name: "a" })
      const id = yield* fake.seed.loadBalancer({ name: "l", networks: [network], targets: [server] })
      assert.deepStrictEqual((yield* fake.call("GET", `/servers/${server}`)).json.server.load_balancers, [id])
      const { json } = yield* fake.call("GET", `/networks/${network}/members?type=load_balancer`)
      assert.deepStrictEqual(json.members.map((one: Loose) => [one.type, one.id]), [["load_balancer", id]])
      assert.strictEqual(
        yield* code(fake, "POST", `/load_balancers/${id}/actions/detach_from_network`, { network }),
        201
      )
      yield* fake.advance("1 second")
      assert.deepStrictEqual((yield* fake.call("GET", `/load_balancers/${id}`)).json.load_balancer.private_net, [])
      const deleted = yield* fake.call("DELETE", `/load_balancers/${id}`)
      assert.deepStrictEqual([deleted.status, deleted.json.action.command], [201, "delete_load_balancer"])
      yield* fake.advance("1 second")
      assert.deepStrictEqual((yield* fake.state).loadBalancers, [])
    }))

  it.live("server types list their locations, and the datacenters endpoint is gone", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      yield* fake.offer("cx23", "hel1", { available: false })
      const { json } = yield* fake.call("GET", "/server_types?name=cx23")
      assert.deepStrictEqual(json.server_types[0].locations.map((one: Loose) => [one.name, one.available]), [
        ["fsn1", true],
        ["nbg1", true],
        ["hel1", false]
      ])
      for (const path of ["/locations?sort=name:desc", "/isos", "/images?type=system", "/server_types", "/pricing"]) {
        assert.strictEqual(yield* code(fake, "GET", path), 200)
      }
      assert.strictEqual(
        yield* code(fake, "GET", `/locations/${(yield* fake.call("GET", "/locations")).json.locations[0].id}`),
        200
      )
      assert.strictEqual(yield* code(fake, "GET", "/datacenters"), "deprecated_api_endpoint")
      const snapshot = yield* fake.seed.snapshot({ description: "s", labels: { a: "b" } })
      const listed = yield* fake.call("GET", "/images?type=snapshot&label_selector=a%3Db")
      assert.deepStrictEqual(listed.json.images.map((one: Loose) => [one.id, one.name]), [[snapshot, null]])
      assert.strictEqual(yield* code(fake, "PUT", `/images/${snapshot}`, { description: "t" }), 200)
      assert.strictEqual(yield* code(fake, "DELETE", `/images/${snapshot}`), 204)
    }))
})
