/** Load balancers of the fake: created and changed by requests, with targets that follow labels and health that follows servers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Fake, type Loose, startFake } from "./support.ts"

const code = (fake: Fake, method: string, path: string, body?: unknown) =>
  Effect.map(fake.call(method, path, body), ({ json, status }) => json?.error?.code ?? status)

const aBalancer = (more: Readonly<Record<string, unknown>> = {}) => ({
  name: "l",
  load_balancer_type: "lb11",
  location: "fsn1",
  ...more
})

const tcp = { protocol: "tcp", listen_port: 6443, destination_port: 6443 }

/** A load balancer that is there, with its id. */
const created = (fake: Fake, more: Readonly<Record<string, unknown>> = {}) =>
  Effect.map(fake.call("POST", "/load_balancers", aBalancer(more)), ({ json }) => json.load_balancer as Loose)

const read = (fake: Fake, id: number) =>
  Effect.map(fake.call("GET", `/load_balancers/${id}`), ({ json }) => json.load_balancer as Loose)

describe("a load balancer", () => {
  it.live("is created by an action, with services, targets and a network (H20)", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const network = yield* fake.seed.network({ name: "n" })
      const server = yield* fake.seed.server({ name: "a", networks: [network] })
      const { json, status } = yield* fake.call(
        "POST",
        "/load_balancers",
        aBalancer({
          network,
          labels: { role: "api" },
          services: [tcp],
          targets: [{ type: "server", server: { id: server }, use_private_ip: true }]
        })
      )
      assert.deepStrictEqual([status, json.action.command], [201, "create_load_balancer"])
      const { id } = json.load_balancer
      assert.deepStrictEqual((yield* read(fake, id)).private_net, [])
      yield* fake.advance("1 second")
      const made = yield* read(fake, id)
      assert.deepStrictEqual(made.private_net, [{ network, ip: "10.0.1.3" }])
      assert.deepStrictEqual(made.services[0].health_check, {
        protocol: "tcp",
        port: 6443,
        interval: 15,
        timeout: 10,
        retries: 3
      })
      assert.strictEqual(made.targets[0].health_status[0].status, "healthy")
      assert.deepStrictEqual((yield* fake.call("GET", `/servers/${server}`)).json.server.load_balancers, [id])
      assert.deepStrictEqual((yield* fake.call("GET", `/networks/${network}`)).json.network.load_balancers, [id])
      assert.deepStrictEqual(
        (yield* fake.call("GET", "/load_balancers?label_selector=role=api")).json.meta.pagination
          .total_entries,
        1
      )
    }))

  it.live("has the servers that its selector means, also later ones, each with its health", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const { id } = yield* created(fake, {
        services: [tcp],
        targets: [{ type: "label_selector", label_selector: { selector: "role=cp" } }]
      })
      const targets = Effect.map(
        read(fake, id),
        ({ targets: [target] }) => target.targets.map((one: Loose) => [one.server.id, one.health_status[0].status])
      )
      assert.deepStrictEqual(yield* targets, [])
      const a = yield* fake.seed.server({ name: "a", labels: { role: "cp" } })
      const b = yield* fake.seed.server({ name: "b", labels: { role: "cp" }, status: "off" })
      const c = yield* fake.seed.server({ name: "c", labels: { role: "cp" }, publicNet: { ipv4: false, ipv6: true } })
      yield* fake.seed.server({ name: "d", labels: { role: "worker" } })
      assert.deepStrictEqual(yield* targets, [[a, "healthy"], [b, "unhealthy"], [c, "unhealthy"]])
      yield* fake.change(a, { labels: {} })
      yield* fake.call("DELETE", `/servers/${b}`)
      assert.deepStrictEqual(yield* targets, [[c, "unhealthy"]])
    }))

  it.live("loses a server that is deleted, and keeps its other targets", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const a = yield* fake.seed.server({ name: "a" })
      const b = yield* fake.seed.server({ name: "b" })
      const id = yield* fake.seed.loadBalancer({ name: "l", targets: [a, b], selector: "x=y", ports: [443] })
      yield* fake.call("DELETE", `/servers/${a}`)
      const { services, targets } = yield* read(fake, id)
      assert.deepStrictEqual(targets.map((one: Loose) => one.server?.id ?? one.label_selector.selector), [b, "x=y"])
      assert.strictEqual(services[0].listen_port, 443)
    }))

  it.live("is changed by actions: services, targets, network, algorithm, type, pointer, interface", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const network = yield* fake.seed.network({ name: "n" })
      const server = yield* fake.seed.server({ name: "a", networks: [network] })
      const { id, public_net } = yield* created(fake)
      const act = (what: string, body?: unknown) => code(fake, "POST", `/load_balancers/${id}/actions/${what}`, body)
      assert.strictEqual(yield* act("add_service", tcp), 201)
      assert.strictEqual(yield* act("add_service", tcp), "source_port_already_used")
      assert.strictEqual(yield* act("add_service", { protocol: "http" }), 201)
      assert.strictEqual(yield* act("add_service", { protocol: "tcp", listen_port: 1 }), "invalid_input")
      assert.strictEqual(yield* act("add_service", { protocol: "https", listen_port: 2 }), "invalid_input")
      assert.strictEqual(
        yield* act("update_service", { listen_port: 6443, health_check: { interval: 5, timeout: 5 } }),
        201
      )
      assert.strictEqual(yield* act("update_service", { listen_port: 1, proxyprotocol: true }), "invalid_input")
      assert.strictEqual(yield* act("delete_service", { listen_port: 80 }), 201)
      const target = { type: "server", server: { id: server } }
      assert.strictEqual(
        yield* act("add_target", { ...target, use_private_ip: true }),
        "load_balancer_not_attached_to_network"
      )
      assert.strictEqual(yield* act("attach_to_network", { network, ip: "10.0.1.9" }), 201)
      assert.strictEqual(yield* act("attach_to_network", { network }), "load_balancer_already_attached")
      assert.strictEqual(yield* act("add_target", { ...target, use_private_ip: true }), 201)
      assert.strictEqual(yield* act("add_target", target), "target_already_defined")
      assert.strictEqual(yield* act("change_algorithm", { type: "least_connections" }), 201)
      assert.strictEqual(yield* act("change_type", { load_balancer_type: "lb21" }), 201)
      assert.strictEqual(yield* act("change_dns_ptr", { ip: public_net.ipv4.ip, dns_ptr: "api.example.com" }), 201)
      assert.strictEqual(yield* act("disable_public_interface"), 201)
      const changed = yield* read(fake, id)
      assert.deepStrictEqual(
        [
          changed.services.map((one: Loose) => [one.listen_port, one.health_check.interval]),
          changed.private_net,
          changed.algorithm.type,
          changed.load_balancer_type.name,
          changed.public_net.ipv4.dns_ptr,
          changed.public_net.enabled
        ],
        [[[6443, 5]], [{ network, ip: "10.0.1.9" }], "least_connections", "lb21", "api.example.com", false]
      )
      assert.strictEqual(yield* act("remove_target", target), 201)
      assert.strictEqual(yield* act("remove_target", target), "invalid_input")
      assert.strictEqual(yield* act("detach_from_network", { network }), 201)
      assert.deepStrictEqual((yield* read(fake, id)).private_net, [])
    }))

  it.live("refuses targets that it cannot reach, and more than its type allows", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const network = yield* fake.seed.network({ name: "n" })
      const alone = yield* fake.seed.server({ name: "alone" })
      const inside = yield* fake.seed.server({
        name: "inside",
        networks: [network],
        publicNet: { ipv4: false, ipv6: false }
      })
      const { id } = yield* created(fake, { network })
      const add = (body: unknown) => code(fake, "POST", `/load_balancers/${id}/actions/add_target`, body)
      const target = (server: number, isPrivate: boolean) => ({
        type: "server",
        server: { id: server },
        use_private_ip: isPrivate
      })
      assert.strictEqual(yield* add(target(alone, true)), "server_not_attached_to_network")
      assert.strictEqual(yield* add(target(inside, false)), "missing_ipv4")
      assert.strictEqual(yield* add(target(42, false)), "not_found")
      assert.strictEqual(yield* add({ type: "ip", ip: { ip: "203.0.113.7" } }), "ip_not_owned")
      assert.strictEqual(yield* add({ type: "server" }), "invalid_input")
      yield* fake.call("POST", `/load_balancers/${id}/actions/disable_public_interface`)
      assert.strictEqual(yield* add(target(alone, false)), "load_balancer_public_interface_disabled")
      const servers = yield* Effect.forEach(
        Array.from({ length: 26 }, (_, index) => index),
        (index) => fake.seed.server({ name: `s${index}` })
      )
      const targets = servers.map((server) => target(server, false))
      assert.strictEqual(
        yield* code(fake, "POST", "/load_balancers", aBalancer({ name: "m", targets })),
        "resource_limit_exceeded"
      )
      assert.strictEqual(yield* code(fake, "POST", "/load_balancers", aBalancer({ name: "l" })), "uniqueness_error")
      for (const wrong of [{ location: undefined }, { network_zone: "eu-central" }, { public_interface: false }]) {
        assert.strictEqual(
          yield* code(fake, "POST", "/load_balancers", aBalancer({ name: "m", ...wrong })),
          "invalid_input"
        )
      }
    }))

  it.live("is protected, locked while it changes, and deleted by an action", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const { id } = yield* created(fake)
      assert.strictEqual(yield* code(fake, "DELETE", `/load_balancers/${id}`), "locked")
      yield* fake.advance("1 second")
      yield* fake.call("POST", `/load_balancers/${id}/actions/change_protection`, { delete: true })
      yield* fake.advance("1 second")
      assert.strictEqual(yield* code(fake, "DELETE", `/load_balancers/${id}`), "protected")
      yield* fake.call("POST", `/load_balancers/${id}/actions/change_protection`, { delete: false })
      yield* fake.advance("1 second")
      const { json, status } = yield* fake.call("DELETE", `/load_balancers/${id}`)
      assert.deepStrictEqual([status, json.action.command], [201, "delete_load_balancer"])
      yield* fake.advance("1 second")
      assert.deepStrictEqual((yield* fake.state).loadBalancers, [])
    }))

  it.live("of each type is listed with its prices, which the pricing has too (H20)", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const { load_balancer_types: types } = (yield* fake.call("GET", "/load_balancer_types?sort=name")).json
      assert.deepStrictEqual(types.map((one: Loose) => one.name), ["lb11", "lb21", "lb31"])
      assert.strictEqual(
        (yield* fake.call("GET", `/load_balancer_types/${types[1].id}`)).json.load_balancer_type.name,
        "lb21"
      )
      const { pricing } = (yield* fake.call("GET", "/pricing")).json
      assert.deepStrictEqual(pricing.load_balancer_types[2].prices, types[2].prices)
    }))
})
