import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { checkClusterName, checkNewClusterName, checkUnicodeClusterName } from "kubelayer/Cluster"
import { ClusterName, isClusterName } from "kubelayer/Model"
import { InvalidClusterName } from "kubelayer/ProviderError"

const checks = {
  "to refer to": checkClusterName,
  "to refer to, on Omni": checkUnicodeClusterName,
  "to create": checkNewClusterName
}

const refusal = (check: (input: string) => Effect.Effect<ClusterName, InvalidClusterName>, input: unknown) =>
  Effect.flip(check(input as string))

/** Names that no cluster can have, each with a part of the message. */
const hostile: ReadonlyArray<readonly [what: string, input: string, told: RegExp]> = [
  ["nothing", "", /it is empty/],
  ["a blank", " ", /U\+0020/],
  ["64 characters", "a".repeat(64), /64 characters, at most 63/],
  ["a megabyte", "a".repeat(1_000_000), /1000000 characters/],
  ["a glob", "*", /"\*" \(U\+002A\)/],
  ["a glob behind a name", "dev*", /U\+002A/],
  ["a selector", "dev=prod", /U\+003D/],
  ["a second value", "dev,prod", /U\+002C/],
  ["a negation", "!dev", /U\+0021/],
  ["a line end", "dev\n", /U\+000A/],
  ["a second line", "dev\nprod", /U\+000A/],
  ["a carriage return", "dev\r", /U\+000D/],
  ["a line separator", "dev\u2028prod", /U\+2028/],
  ["a path upwards", "../dev", /U\+002F/],
  ["two dots", "..", /begin and end/],
  ["one dot", ".", /begin and end/],
  ["a path", "dev/prod", /U\+002F/],
  ["a path on Windows", "dev\\prod", /U\+005C/],
  ["NUL", "dev\0", /U\+0000/],
  ["an escape sequence", "\u001B[31mdev", /U\+001B/],
  ["a right-to-left override", "dev\u202Everp", /U\+202E/],
  ["a zero-width joiner", "de\u200Dv", /U\+200D/],
  ["a non-breaking blank", "dev\u00A0prod", /U\+00A0/],
  ["half a character", "dev\uD83D", /U\+D83D/],
  ["a picture", "dev😀", /"😀" \(U\+1F600\)/],
  ["a query", "dev?force=true", /U\+003F/],
  ["a fragment", "dev#1", /U\+0023/],
  ["percent coding", "dev%2Fprod", /U\+0025/],
  ["a command", "$(reboot)", /U\+0024/],
  ["a second command", "dev;reboot", /U\+003B/],
  ["a quote", "dev\"", /U\+0022/],
  ["a back quote", "`reboot`", /U\+0060/],
  ["a colon", "dev:1", /U\+003A/],
  ["an at", "dev@prod", /U\+0040/],
  ["a leading dash, an option", "-rf", /begin and end/],
  ["a leading dot", ".dev", /begin and end/],
  ["a leading underscore", "_dev", /begin and end|U\+005F/],
  ["a trailing dash", "dev-", /begin and end/],
  ["a trailing dot", "dev.", /begin and end/],
  ["a trailing underscore", "dev_", /begin and end|U\+005F/]
]

describe.each(Object.entries(checks))("a name %s", (_, check) => {
  // Omni stores names that no new cluster can have.
  const refused = check === checkUnicodeClusterName
    ? hostile.filter(([, input]) => !/^[A-Za-z0-9_-][A-Za-z0-9._-]{1,252}$/.test(input))
      .map(([what, input, told]) => [what, input, /^\.{1,2}$|^\.dev/.test(input) ? /must not begin/ : told] as const)
    : hostile
  it.effect.each(refused)("is not %s", ([, input, told]) =>
    Effect.gen(function*() {
      const error = yield* refusal(check, input)
      assert.instanceOf(error, InvalidClusterName)
      assert.match(error.issue, told)
      // A line of a log that the input cannot break, colour or flood.
      assert.match(error.message, /^invalid cluster name "[\p{L}\p{M}\p{N}\p{P}\p{S} ]*": [\p{L}\p{N}\p{P}\p{S} ]+$/u)
      assert.isBelow(error.message.length, 300)
    }))

  it.effect.each([
    ["undefined", undefined],
    ["null", null],
    ["a number", 7],
    ["NaN", Number.NaN],
    ["a boolean", true],
    ["a symbol", Symbol("dev")],
    ["a bigint", 7n],
    ["an object", { name: "dev" }],
    ["an object without a prototype", Object.create(null)],
    ["an object that throws", { toString: () => assert.fail("it was asked for its text") }],
    ["a list", ["dev"]],
    ["a String object", Object("dev")],
    ["a function", () => "dev"]
  ])("is not %s", ([, input]) =>
    Effect.gen(function*() {
      const error = yield* refusal(check, input)
      assert.instanceOf(error, InvalidClusterName)
      assert.isString(error.input)
      assert.match(error.issue, /not a string|none was given/)
      assert.notMatch(error.message, /undefined|\[object/)
    }))

  it.effect.each(["a", "7", "dev", "k3d-dev", "dev.example.org", "a--b", "a".repeat(63)])(
    "may be %s",
    (input) => Effect.map(check(input), (name) => assert.strictEqual(name, input))
  )
})

describe("where the rules differ", () => {
  const accepts = (input: string) =>
    Effect.all(
      [checkClusterName(input), checkUnicodeClusterName(input), checkNewClusterName(input)].map(Effect.isSuccess)
    )

  it.effect.each(
    [
      ["Dev", [true, true, false]],
      ["dev_1", [true, true, false]],
      ["büro", [false, true, false]],
      ["кластер", [false, true, false]],
      ["集群", [false, true, false]],
      // Cyrillic `а` resembles the Latin letter. It is another cluster, and only Omni has such names.
      ["dеv-prod", [false, true, false]],
      ["ｄｅｖ", [false, true, false]],
      ["dev²", [false, true, false]],
      ["-t19-", [false, true, false]],
      ["a".repeat(70), [false, true, false]],
      ["a".repeat(254), [false, false, false]]
    ] as const
  )(
    "%j",
    ([input, expected]) => Effect.map(accepts(input), (accepted) => assert.deepStrictEqual(accepted, [...expected]))
  )

  it.effect("a letter that resembles another one is named by its code", () =>
    Effect.map(refusal(checkClusterName, "dеv"), (error) => assert.include(error.issue, "\"е\" (U+0435)")))

  it.effect("a capital in a new name is named, with what is allowed", () =>
    Effect.map(refusal(checkNewClusterName, "Dev"), (error) => {
      assert.include(error.issue, "\"D\" (U+0044)")
      assert.include(error.issue, "lower-case letters")
    }))
})

// Every kind of character that has a meaning for the rule, in every mix.
const characters = ["a", "z", "Q", "0", "9", ".", "_", "-", "é", "ш", "*", "=", ",", "\n", "/", " ", "\0", "\u0301"]
const mixed = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Schema.Literals(characters)), { maxLength: 70 }),
  (all) => all.join("")
)
const likely = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Schema.Literals(["a", "b", "Z", "7", ".", "-", "_", "é"])), { maxLength: 66 }),
  (all) => all.join("")
)

/** The rule once more, by walking over the characters. */
const allowed = (input: string, letters: string, inside: string): boolean => {
  const all = [...input]
  const first = all[0]
  const last = all[all.length - 1]
  return first !== undefined && last !== undefined && input.length <= 63 && letters.includes(first) &&
    letters.includes(last) && all.every((character) => letters.includes(character) || inside.includes(character))
}
/** Omni's rule once more. */
const allowedOnOmni = (input: string, letters: string): boolean => {
  const all = [...input]
  return input.length <= 253 && all.some((character) => letters.includes(character)) && all[0] !== "." &&
    all.every((character) => letters.includes(character) || "._-".includes(character))
}
const lower = "abcdefghijklmnopqrstuvwxyz"
const digits = "0123456789"

describe("over generated names", () => {
  const agree = (input: string) =>
    Effect.gen(function*() {
      const ascii = lower + lower.toUpperCase() + digits
      assert.strictEqual(yield* Effect.isSuccess(checkClusterName(input)), allowed(input, ascii, "._-"))
      assert.strictEqual(yield* Effect.isSuccess(checkUnicodeClusterName(input)), allowedOnOmni(input, `${ascii}éш`))
      assert.strictEqual(yield* Effect.isSuccess(checkNewClusterName(input)), allowed(input, lower + digits, ".-"))
    })

  it.effect.prop(
    "the checks agree with the rule",
    { mixed, likely },
    (input) => Effect.andThen(agree(input.mixed), agree(input.likely)),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "the schema, the guard and the check agree",
    { mixed, likely, any: Schema.String },
    (inputs) =>
      Effect.forEach(Object.values(inputs), (input) =>
        Effect.gen(function*() {
          const accepted = yield* Effect.isSuccess(checkUnicodeClusterName(input))
          assert.strictEqual(isClusterName(input), accepted)
          assert.strictEqual(Exit.isSuccess(Schema.decodeUnknownExit(ClusterName)(input)), accepted)
        })),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "a name that may be created may be referred to",
    { mixed, likely },
    (inputs) =>
      Effect.forEach(Object.values(inputs), (input) =>
        Effect.gen(function*() {
          if (yield* Effect.isSuccess(checkNewClusterName(input))) yield* checkClusterName(input)
          if (yield* Effect.isSuccess(checkClusterName(input))) yield* checkUnicodeClusterName(input)
        }))
  )
})
