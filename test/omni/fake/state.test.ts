/** The fake Omni's resource API, driven by a client that is none of the product's: writes, refusals, queries, access. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { LabelTerm_Operation } from "../../../src/omni/proto/cosi_pb.ts"
import { at, patch, refusal, resource, stage, status, term } from "./wire.ts"

const patches = "ConfigPatches"
const missing = (kind: string, id: string) => `resource ${kind}.omni.sidero.dev(default/${id}@undefined) doesn't exist`

describe("the fake's store", () => {
  it.live("counts versions up, sets the time of creation, and keeps what was sent", () =>
    Effect.gen(function*() {
      const { call, fake, make } = yield* stage()
      const made = (yield* make(patches, "a", { labels: { x: "" } })).resource
      assert.strictEqual(made?.metadata?.version, "1")
      assert.isAbove(Number(made?.metadata?.created?.seconds), 1_600_000_000)
      const metadata = { ...made?.metadata, labels: { y: "1" } } as never
      const changed = yield* call("update", { newResource: { metadata, spec: { protoSpec: patch } }, options: {} })
      assert.strictEqual(changed.resource?.metadata?.version, "2")
      const read = (yield* call("get", at(patches, "a"))).resource?.metadata
      assert.deepStrictEqual([read?.version, read?.labels, read?.phase, read?.owner], ["2", { y: "1" }, "running", ""])
      assert.deepStrictEqual(yield* fake.violations, [])
    }))

  it.live("refuses in the words and codes of a server", () =>
    Effect.gen(function*() {
      const { call, fake, make } = yield* stage()
      assert.strictEqual(yield* refusal(call("get", at(patches, "a"))), `5 ${missing(patches, "a")}`)
      assert.strictEqual(yield* refusal(call("teardown", at(patches, "a"))), `5 ${missing(patches, "a")}`)
      const made = (yield* make(patches, "a")).resource
      assert.strictEqual(
        yield* refusal(make(patches, "a")),
        "6 failed to create: resource ConfigPatches.omni.sidero.dev(default/a@undefined) already exists"
      )
      // Versions are printed as characters.
      const stale = { metadata: { ...made?.metadata, version: "7" } as never, spec: { protoSpec: patch } }
      assert.match(
        yield* refusal(call("update", { newResource: stale, options: {} })),
        /^9 failed to update: .*update conflict: expected version '.', actual version '.'/s
      )
      const right = { metadata: made?.metadata as never, spec: { protoSpec: patch } }
      assert.match(
        yield* refusal(call("update", { newResource: right, options: { expectedPhase: "tearingDown" } })),
        /^3 failed to update: resource .* is not in phase tearingDown/
      )
      yield* fake.put(patches, { id: "a", finalizers: ["Other"] })
      assert.isFalse((yield* call("teardown", at(patches, "a"))).destroyReady)
      assert.isFalse((yield* call("teardown", at(patches, "a"))).destroyReady)
      assert.match(
        yield* refusal(call("destroy", at(patches, "a"))),
        /^9 failed to destroy: .*pending finalizers &\[Other\]/
      )
      assert.deepStrictEqual(yield* fake.violations, [])
    }))

  it.live("falls over what a server falls over, and notes it", () =>
    Effect.gen(function*() {
      const { call, fake, list, make } = yield* stage()
      const made = (yield* make(patches, "a")).resource
      const metadata = made?.metadata as never
      assert.match(
        yield* refusal(call("update", { newResource: { metadata, spec: { protoSpec: patch } } })),
        /^13 .*nil pointer/
      )
      assert.match(yield* refusal(call("update", { newResource: { metadata }, options: {} })), /^2 spec is missing/)
      assert.match(
        yield* refusal(list(patches, { labelQuery: [{ terms: [term("x", LabelTerm_Operation.EQUAL)] }] })),
        /^13 .*index out of range/
      )
      const bad = resource(patches, "b")
      const created = (changes: object) =>
        call("create", { resource: { ...bad, metadata: { ...bad.metadata, ...changes } } })
      assert.match(yield* refusal(created({ version: "" })), /^2 error parsing version/)
      assert.match(yield* refusal(created({ phase: "" })), /^2 unknown phase/)
      assert.match(
        yield* refusal(created({ owner: "me" })),
        /^2 failed to set owner on create .*: owner is already set to "me"/
      )
      assert.strictEqual((yield* fake.violations).length, 1)
      yield* call("create", { resource: bad, options: { owner: "me" } })
      // A call with another owner is refused.
      assert.match(yield* refusal(call("teardown", at(patches, "b"))), /^7 .* is owned by "me"/)
      assert.match((yield* fake.violations).at(-1) ?? "", /with the owner me/)
    }))

  it.live("answers NOT_FOUND to every second teardown and destroy of what nothing holds, which is gone all the same", () =>
    Effect.gen(function*() {
      const { call, ids, make } = yield* Effect.map(stage({ pace: "1 hour" }), (all) => ({
        ...all,
        ids: Effect.map(all.fake.resources(patches), (found) => found.map(({ id }) => id))
      }))
      const seen: Array<string> = []
      for (const id of ["a", "b", "c", "d"]) {
        yield* make(patches, id)
        seen.push(
          yield* Effect.match(call("teardownAndDestroy", at(patches, id)), {
            onSuccess: () => "ok",
            onFailure: ({ code, details }) => `${code} ${details.split(":")[0]}`
          })
        )
      }
      assert.deepStrictEqual(seen, ["5 failed to destroy", "ok", "5 failed to destroy", "ok"])
      assert.deepStrictEqual(yield* ids, [])
    }))
})

describe("the fake's queries", () => {
  it.live("join terms by and, queries by or", () =>
    Effect.gen(function*() {
      const { list, make } = yield* stage()
      yield* make(patches, "a", { labels: { tier: "gold", n: "10" } })
      yield* make(patches, "b", { labels: { tier: "tin", n: "9" } })
      yield* make(patches, "c", { labels: { n: "x" } })
      const op = LabelTerm_Operation
      const found = (...queries: ReadonlyArray<ReadonlyArray<ReturnType<typeof term>>>) =>
        Effect.map(
          list(patches, { labelQuery: queries.map((terms) => ({ terms: [...terms] })) }),
          (all) => all.map(({ metadata }) => metadata?.id).join("")
        )
      assert.strictEqual(yield* found(), "abc")
      assert.strictEqual(yield* found([term("tier", op.EXISTS)]), "ab")
      assert.strictEqual(yield* found([{ ...term("tier", op.EXISTS), invert: true }]), "c")
      assert.strictEqual(yield* found([term("tier", op.NOT_EXISTS)]), "c")
      assert.strictEqual(yield* found([term("tier", op.EQUAL, "gold")], [term("n", op.EQUAL, "x")]), "ac")
      assert.strictEqual(yield* found([term("tier", op.EXISTS), term("n", op.EQUAL, "9")]), "b")
      assert.strictEqual(yield* found([term("tier", op.IN, "tin", "iron")]), "b")
      // "10" is before "9", and 9 before 10.
      assert.strictEqual(yield* found([term("n", op.LT, "9")]), "a")
      assert.strictEqual(yield* found([term("n", op.LT_NUMERIC, "10")]), "b")
      assert.strictEqual(yield* found([term("n", op.LTE_NUMERIC, "10")]), "ab")
    }))

  it.live("choose ids by a pattern, and refuse one that is none", () =>
    Effect.gen(function*() {
      const { list, make } = yield* stage()
      for (const id of ["dev-1", "dev-2", "prod-1"]) yield* make(patches, id)
      const found = yield* list(patches, { idQuery: { regexp: "^dev-" } })
      assert.deepStrictEqual(found.map(({ metadata }) => metadata?.id), ["dev-1", "dev-2"])
      assert.match(yield* refusal(list(patches, { idQuery: { regexp: "(" } })), /^3 /)
    }))
})

describe("permissions on the fake", () => {
  it.live("kinds that are not there, that are a controller's, and roles", () =>
    Effect.gen(function*() {
      const { call, fake, list, make } = yield* stage()
      assert.match(yield* refusal(list("Wishes")), /^7 failed to validate: .*no access is permitted/s)
      assert.match(
        yield* refusal(make("MachineInstallDiskConfigs", "a")),
        /^7 failed to validate: .*no access is permitted/s
      )
      assert.match(
        yield* refusal(make("ClusterStatuses", "a")),
        /^7 failed to validate: .*only read access is permitted/s
      )
      assert.match(
        yield* refusal(make("Links", "a")),
        /^7 failed to validate: .*only read and delete access is permitted/s
      )
      yield* fake.setRole("Reader")
      assert.deepStrictEqual(yield* list(patches), [])
      assert.match(yield* refusal(make(patches, "a")), /^7 failed to validate: .*insufficient role: "Reader"/s)
      yield* fake.setRole("None")
      assert.match(yield* refusal(list(patches)), /^7 /)
      // The EULA is checked before the signature.
      yield* fake.setEula(false)
      assert.match(yield* refusal(call("get", at(patches, "a"), { method: "/other" })), /^9 EULA has not been accepted/)
    }))

  it.live("a newer server knows newer kinds", () =>
    Effect.gen(function*() {
      const { make } = yield* stage({ absentKinds: [] })
      assert.strictEqual((yield* make("MachineInstallDiskConfigs", "a")).resource?.metadata?.version, "1")
    }))
})

describe("ordered failures", () => {
  it.live("come at the call that is meant, before the work or after it, and are taken back with their scope", () =>
    Effect.gen(function*() {
      const { fake, list, make } = yield* stage()
      const failure = { method: "Create", type: patches, code: status.unavailable, message: "Connection dropped" }
      yield* fake.failNext({ ...failure, after: 1 })
      yield* make(patches, "a")
      assert.strictEqual(yield* refusal(make(patches, "b")), "14 Connection dropped")
      yield* make(patches, "b")
      yield* fake.failNext({ ...failure, afterwards: true })
      assert.strictEqual(yield* refusal(make(patches, "c")), "14 Connection dropped")
      assert.deepStrictEqual((yield* list(patches)).map(({ metadata }) => metadata?.id), ["a", "b", "c"])
      yield* Effect.scoped(Effect.andThen(
        fake.failWhile(failure),
        Effect.forEach([1, 2, 3], () => Effect.flip(make(patches, "d")))
      ))
      yield* make(patches, "d")
      const creates = (yield* fake.calls).filter(({ method }) => method === "Create")
      assert.deepStrictEqual(
        creates.map(({ id, type }) => `${type} ${id}`).join(),
        "a,b,b,c,d,d,d,d".replaceAll(/\w/g, `${patches} $&`)
      )
    }))
})
