/** Choosing images and ISO images, label values of long texts, dates of retirement, and whom a load balancer serves. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Policy from "kubelayer/Policy"
import { servesAny, servesWhom } from "../../src/hetzner/BalancerTargets.ts"
import * as Client from "../../src/hetzner/Client.ts"
import { deprecationText, isRetired } from "../../src/hetzner/Deprecation.ts"
import { newestImage, olderThanNewest, readSnapshots } from "../../src/hetzner/Images.ts"
import { findIso, readIsos } from "../../src/hetzner/Isos.ts"
import { isLabelValueOf, labelValueOf } from "../../src/hetzner/LabelValues.ts"
import { makeGovernor } from "../../src/hetzner/Quota.ts"
import type * as Wire from "../../src/hetzner/Wire.ts"
import { startFake } from "./fake/support.ts"

const image = (id: number, more: Partial<Wire.Image> = {}): Wire.Image => ({
  id,
  type: "snapshot",
  status: "available",
  architecture: "x86",
  disk_size: 20,
  created: `2026-01-0${id}T00:00:00Z`,
  ...more
})
const needs = { selector: "os=talos", architecture: "x86", diskGb: 40 }
const chosen = (found: ReadonlyArray<Wire.Image>, more: Partial<typeof needs> = {}) => {
  const result = newestImage(found, { ...needs, ...more })
  return typeof result === "string" ? result : result.id
}

describe("newestImage", () => {
  it("is the newest available snapshot of the architecture that fits the disk", () => {
    const found = [
      image(1),
      image(3),
      image(2),
      image(4, { architecture: "arm" }),
      image(5, { status: "creating" }),
      image(6, { disk_size: 80 })
    ]
    assert.strictEqual(chosen(found), 3)
    assert.strictEqual(chosen(found, { architecture: "arm" }), 4)
    assert.strictEqual(chosen(found, { diskGb: 80 }), 6)
  })

  it("of two of one second is the one with the higher id, in whatever order they come", () => {
    const created = "2026-01-01T00:00:00Z"
    const two = [image(8, { created }), image(9, { created })]
    assert.strictEqual(chosen(two), 9)
    assert.strictEqual(chosen(two.toReversed()), 9)
  })

  it("says why there is none: no snapshot, other architecture, not available, larger disk", () => {
    assert.include(String(chosen([])), "\"os=talos\" selects no snapshot")
    assert.include(String(chosen([image(1, { architecture: "arm" })])), "for arm only, and the server type is x86")
    assert.include(String(chosen([image(1, { status: "creating" })])), "no available snapshot for x86: creating")
    assert.include(String(chosen([image(1, { disk_size: 80 })])), "a disk of 80 GB or more, and the server type has 40")
  })

  it("leaves the newest `n`, protected ones and unfinished ones out of what is deleted", () => {
    const found = [
      image(1),
      image(2, { protection: { delete: true } }),
      image(3),
      image(4, { status: "creating" }),
      image(5)
    ]
    assert.deepStrictEqual(olderThanNewest(found, 1).map(({ id }) => id), [3, 1])
    assert.deepStrictEqual(olderThanNewest(found, 9), [])
  })
})

describe("findIso", () => {
  const isos: ReadonlyArray<Wire.Iso> = [
    { id: 1, name: "talos-1.11-x86.iso", architecture: "x86" },
    { id: 2, name: "talos-1.11-arm.iso", architecture: "arm" },
    { id: 3, name: "any.iso", architecture: null },
    { id: 4, name: null, architecture: "x86" },
    { id: 5, name: "old.iso", architecture: "x86", deprecation: { unavailable_after: "2026-01-01T00:00:00Z" } }
  ]
  const found = (requested: string | number, architecture = "x86") => {
    const result = findIso(isos, requested, architecture, Date.parse("2026-06-01T00:00:00Z"))
    return typeof result === "string" ? result : result.id
  }

  it("finds by name and by id, and any architecture for one that has none", () => {
    assert.deepStrictEqual([found("talos-1.11-x86.iso"), found(4), found("4"), found("any.iso", "arm")], [1, 4, 4, 3])
  })

  it("says why there is none: unknown, with similar names; other architecture; retired", () => {
    assert.match(String(found("talos-1.12-x86.iso")), /there is no ISO talos-1.12-x86.iso; similar: talos-1.11-x86.iso/)
    assert.notMatch(String(found("talos-1.12-x86.iso")), /arm/)
    assert.strictEqual(found("talos-1.11-arm.iso"), "the ISO talos-1.11-arm.iso is for arm, and the server type is x86")
    assert.strictEqual(found("old.iso"), "the ISO old.iso is not available any more")
  })
})

describe("the client", () => {
  it.live("reads the snapshots of a label selector, and all ISO images of however many pages", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      const client = yield* Client.make({
        credential: { token: Redacted.make(fake.token), endpoint: fake.endpoint },
        http: fake.httpClient,
        governor: makeGovernor(),
        policy: Effect.succeed(Policy.make()),
        isOwned: () => false
      })
      const old = yield* fake.seed.snapshot({ description: "old", labels: { os: "talos" }, created: 1_000_000_000_000 })
      const newest = yield* fake.seed.snapshot({ description: "new", labels: { os: "talos" } })
      yield* fake.seed.snapshot({ description: "other", labels: { os: "flatcar" } })
      const snapshots = yield* readSnapshots(client, needs.selector)
      assert.deepStrictEqual(snapshots.map(({ id }) => id), [old, newest])
      assert.strictEqual(chosen(snapshots), newest)
      for (let n = 0; n < 60; n++) yield* fake.seed.iso({ name: `iso-${n}` })
      assert.isAbove((yield* readIsos(client)).length, 60)
    }))
})

describe("labelValueOf", () => {
  const long = "a-very-long-name-of-a-machine-configuration-that-somebody-chose-for-production-in-europe"

  it("keeps a text that can be a value", () => {
    for (const text of ["", "dev", "v1.12.0", "A_b-c", "x".repeat(63)]) assert.strictEqual(labelValueOf(text), text)
  })

  it("gives every other text a value of its own, with its readable beginning", () => {
    const texts = [
      long,
      `${long}2`,
      "a b",
      "a/b",
      "ä",
      "-a",
      "a-",
      "x".repeat(64),
      "/".repeat(80),
      "a--0123456789abc",
      "0123456789abc"
    ]
    const values = texts.map(labelValueOf)
    for (const value of values) assert.match(value, /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/)
    assert.strictEqual(new Set([...values, ...texts]).size, 2 * texts.length)
    assert.isTrue(labelValueOf(long).startsWith("a-very-long-name-of-a-machine"))
    for (const text of texts) {
      assert.isTrue(isLabelValueOf(labelValueOf(text), text), text)
      assert.isFalse(isLabelValueOf(labelValueOf(text), `${text}x`), text)
    }
  })

  it.live("is taken by the API, in labels and in selectors", () =>
    Effect.gen(function*() {
      const fake = yield* startFake()
      for (const text of [long, "a/b", "ä"]) {
        const value = labelValueOf(text)
        yield* fake.seed.snapshot({ description: text, labels: { of: value } })
        const { json } = yield* fake.call("GET", `/images?label_selector=${encodeURIComponent(`of=${value}`)}`)
        assert.lengthOf(json.images, 1, text)
      }
    }))
})

describe("a deprecation", () => {
  const now = Date.parse("2026-06-01T00:00:00Z")

  it("has the day until which new servers can be created", () => {
    const later = { announced: "2026-05-01T00:00:00Z", unavailable_after: "2026-09-01T00:00:00Z" }
    assert.strictEqual(deprecationText(later, now), "deprecated, not available for new servers after 2026-09-01")
    assert.isFalse(isRetired(later, now))
    const before = { announced: "2026-01-01T00:00:00Z", unavailable_after: "2026-05-01T00:00:00+00:00" }
    assert.strictEqual(deprecationText(before, now), "not available for new servers since 2026-05-01")
    assert.isTrue(isRetired(before, now))
  })

  it("of nothing, or without a date that can be read, retires nothing", () => {
    for (const none of [undefined, null]) assert.isUndefined(deprecationText(none, now))
    for (const odd of [undefined, null, {}, { unavailable_after: null }, { unavailable_after: "soon" }]) {
      assert.isFalse(isRetired(odd, now))
    }
    assert.strictEqual(deprecationText({}, now), "deprecated")
  })
})

describe("a load balancer", () => {
  const balancer = (...targets: NonNullable<Wire.LoadBalancer["targets"]>): Wire.LoadBalancer => ({
    id: 1,
    name: "l",
    labels: { "hcloud-ccm/service-uid": "x" },
    private_net: [],
    targets
  })
  const server = (id: number) => ({ type: "server", server: { id } })
  const selected = (...ids: ReadonlyArray<number>) => ({
    type: "label_selector",
    label_selector: { selector: "a=b" },
    targets: ids.map((id) => ({ server: { id } }))
  })
  const ours = new Set([1, 2])
  const cases: ReadonlyArray<readonly [what: string, balancer: Wire.LoadBalancer, serves: string, any: boolean]> = [
    ["of the cluster's servers only", balancer(server(1), selected(2)), "cluster", true],
    ["of the cluster's and another's", balancer(server(1), server(9)), "others", true],
    ["of another cluster", balancer(server(9)), "others", false],
    ["with a selector that also selects another's server", balancer(selected(1, 9)), "others", true],
    ["with an address as target", balancer({ type: "ip" }, server(1)), "others", true],
    ["with a selector of which the servers are not told", balancer({ type: "label_selector" }), "others", false],
    ["without targets", balancer(), "nothing", false],
    ["with a selector that selects nothing", balancer(selected()), "nothing", false]
  ]
  for (const [what, given, serves, any] of cases) {
    it(`${what} serves ${serves}`, () => {
      assert.strictEqual(servesWhom(given, ours), serves)
      assert.strictEqual(servesAny(given, ours), any)
    })
  }

  it("with labels of a controller and targets that are absent serves nothing that is known", () => {
    assert.strictEqual(servesWhom({ ...balancer(), targets: null }, ours), "nothing")
  })
})
