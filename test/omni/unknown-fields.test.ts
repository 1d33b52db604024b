/** Servers that are newer than this version: what it does not know stays as it is stored. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { makeServerVersion } from "../../src/omni/ServerVersion.ts"
import { Kinds } from "../../src/omni/State.ts"
import { encode, loadProtos, replacing } from "../../src/omni/Wire.ts"
import { makeStore } from "./support/store.ts"

const protos = await loadProtos()
const { protobuf, specs } = protos

/** The bytes of `field: text` in protobuf. */
const field = (number: number, text: string): Uint8Array => {
  const bytes = new TextEncoder().encode(text)
  return Uint8Array.from([...varint((number << 3) | 2), ...varint(bytes.length), ...bytes])
}

const varint = (value: number): ReadonlyArray<number> =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]

describe("an update of a resource", () => {
  it("keeps fields of a newer server, also inside of its messages", () => {
    const schema = specs.ClusterSpecSchema
    const features = protobuf.toBinary(
      specs.ClusterSpec_FeaturesSchema,
      protobuf.create(specs.ClusterSpec_FeaturesSchema, { diskEncryption: true })
    )
    const inner = Uint8Array.from([...features, ...field(77, "inner")])
    const stored = protobuf.fromBinary(
      schema,
      Uint8Array.from([
        ...protobuf.toBinary(schema, protobuf.create(schema, { talosVersion: "1.11.5" })),
        ...varint((4 << 3) | 2),
        ...varint(inner.length),
        ...inner,
        ...field(99, "outer")
      ])
    )
    assert.isTrue(stored.features?.diskEncryption)
    const next = replacing(protos, Kinds.Cluster, stored, {
      talosVersion: "1.12.1",
      features: { enableWorkloadProxy: true }
    })
    const { spec } = encode(protos, Kinds.Cluster, {
      metadata: {
        namespace: "default",
        type: Kinds.Cluster.type,
        id: "dev",
        version: "1",
        owner: "",
        phase: "running",
        labels: {},
        annotations: {},
        finalizers: [],
        created: undefined
      },
      spec: next
    })
    const sent = protobuf.fromBinary(schema, spec.protoSpec)
    assert.strictEqual(sent.talosVersion, "1.12.1")
    assert.deepStrictEqual(
      [sent.features?.enableWorkloadProxy, sent.features?.diskEncryption],
      [true, false]
    )
    const unknownOf = (
      message: { readonly $unknown?: ReadonlyArray<{ readonly no: number }> | undefined } | undefined
    ) => message?.$unknown?.map(({ no }) => no)
    assert.deepStrictEqual(unknownOf(sent), [99])
    assert.deepStrictEqual(unknownOf(sent.features), [77])
  })
})

describe("the release of a server", () => {
  it.effect("is read once", () =>
    Effect.gen(function*() {
      const store = yield* makeStore
      yield* store.put(Kinds.SysVersion, "current", { spec: { backendVersion: "v1.10.2" } })
      const version = makeServerVersion(store.state)
      assert.deepStrictEqual([yield* version, yield* version], ["1.10.2", "1.10.2"])
      assert.strictEqual(store.reads.length, 1)
      const silent = makeServerVersion((yield* makeStore).state)
      assert.isUndefined(yield* silent)
    }))
})
