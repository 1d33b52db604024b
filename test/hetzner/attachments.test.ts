/** Whether what exists is connected as requested, read from what the API shows of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  connectionTo,
  isAppliedBySelector,
  isInNetwork,
  primaryIpConnection,
  publicNetDifferences,
  serversWithout
} from "../../src/hetzner/Attachments.ts"
import * as Wire from "../../src/hetzner/Wire.ts"
import { type Fake, startFake } from "./fake/support.ts"

/** All of a collection, as the client reads it. */
const readAll = <A>(fake: Fake, { key, path, schema }: Wire.Collection<A>): Effect.Effect<ReadonlyArray<A>> =>
  Effect.map(
    fake.call("GET", path),
    ({ json }) => (json[key] as ReadonlyArray<unknown>).map((each) => Schema.decodeUnknownSync(schema)(each))
  )

describe("a firewall", () => {
  it.live("lacks the servers on which it is not, whether it is applied by name or by selector", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: "1 second" })
      const named = yield* fake.seed.server({ name: "named" })
      yield* fake.seed.server({ name: "labelled", labels: { role: "x" } })
      yield* fake.seed.server({ name: "open" })
      const id = yield* fake.seed.firewall({ name: "f", servers: [named], selector: "role=x" })
      const lacking = Effect.map(
        readAll(fake, Wire.servers),
        (servers) => serversWithout({ id }, servers).map(({ name }) => name)
      )
      assert.deepStrictEqual(yield* lacking, ["open"])
      const open = (yield* fake.state).servers.find(({ name }) => name === "open")
      yield* fake.call("POST", `/firewalls/${id}/actions/apply_to_resources`, {
        apply_to: [{ type: "server", server: { id: open?.id } }]
      })
      assert.deepStrictEqual(yield* lacking, [])
      const [firewall] = yield* readAll(fake, Wire.firewalls)
      if (firewall === undefined) return assert.fail("no firewall")
      assert.isTrue(isAppliedBySelector(firewall, "role=x"))
      assert.isFalse(isAppliedBySelector(firewall, "role=y"))
    }))
})

describe("a volume, a floating IP and a primary IP", () => {
  it.live("are connected to the server, free, or used by another one", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const a = yield* fake.seed.server({ name: "a" })
      const b = yield* fake.seed.server({ name: "b" })
      yield* fake.seed.volume({ name: "v", server: a })
      yield* fake.seed.floatingIp({ name: "i" })
      yield* fake.seed.primaryIp({ name: "p", server: b })
      const [volume] = yield* readAll(fake, Wire.volumes)
      const [floating] = yield* readAll(fake, Wire.floatingIps)
      const primary = (yield* readAll(fake, Wire.primaryIps)).find(({ name }) => name === "p")
      if (volume === undefined || floating === undefined || primary === undefined) return assert.fail("missing")
      assert.strictEqual(connectionTo(a, volume), "connected")
      assert.deepStrictEqual(connectionTo(b, volume), { usedBy: a })
      assert.strictEqual(connectionTo(a, floating), "free")
      assert.strictEqual(primaryIpConnection(b, primary), "connected")
      assert.deepStrictEqual(primaryIpConnection(a, primary), { usedBy: b })
    }))
})

describe("a server", () => {
  it.live("differs in each family of public addresses that it has and should not, or lacks", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      yield* fake.seed.server({ name: "a", publicNet: { ipv4: true, ipv6: false } })
      const [server] = yield* readAll(fake, Wire.servers)
      if (server === undefined) return assert.fail("no server")
      const fields = (ipv4: boolean, ipv6: boolean) =>
        publicNetDifferences(server, { ipv4, ipv6 }).map(({ actual, field, remedy, requested }) =>
          [field, actual, requested, remedy].join(" ")
        )
      assert.deepStrictEqual(fields(true, false), [])
      assert.deepStrictEqual(fields(false, true), [
        "publicNet.ipv4 true false replace",
        "publicNet.ipv6 false true replace"
      ])
    }))

  it.live("is in a network, at the address that is requested in whatever spelling", () =>
    Effect.gen(function*() {
      const fake = yield* startFake({ duration: 0 })
      const network = yield* fake.seed.network({ name: "n" })
      yield* fake.seed.server({ name: "a", networks: [network] })
      const [server] = yield* readAll(fake, Wire.servers)
      if (server === undefined) return assert.fail("no server")
      assert.isTrue(isInNetwork(server, network))
      assert.isTrue(isInNetwork(server, network, "10.0.1.2"))
      assert.isFalse(isInNetwork(server, network, "10.0.1.3"))
      assert.isFalse(isInNetwork(server, network + 1))
    }))
})
