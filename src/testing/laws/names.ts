/**
 * Laws on names: which names are refused, when, and with which error.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { InvalidClusterName } from "../../ProviderError.ts"
import { expect, expectSame, failsWith, type Law, law, succeeds, type World } from "../Law.ts"

/** Names that could mean something to a selector, a filter, a URL, a path, a shell or a terminal. */
const refused: ReadonlyArray<string> = [
  "",
  " ",
  " a",
  "a ",
  "a b",
  "a\n",
  "a\tb",
  "a\u0000b",
  "a\u001b[2J",
  "a,b",
  "a=b",
  "a!=b",
  "!a",
  "a in (b)",
  "*",
  "a*",
  "a?b",
  "a/b",
  "../a",
  "..",
  "a%2fb",
  "a&b",
  "a#b",
  "a:b",
  "$(a)",
  "`a`",
  "a;b",
  "a|b",
  "a'b",
  "a\"b",
  "a\\b",
  ".a",
  "a\u200bb",
  "a\u202eb",
  "\u{1F433}",
  "a".repeat(254)
]

/** Names that no new cluster can have, but that a backend may store. */
const stored: ReadonlyArray<string> = ["-a", "a-", "a_", "a".repeat(64)]

/** Every method that takes the name of a cluster. */
const methods = ({ provider }: World) =>
  [
    ["startNodes", provider.startNodes],
    ["stopNodes", provider.stopNodes],
    ["listNodes", provider.listNodes],
    ["nodesExist", provider.nodesExist],
    ["deleteNodes", provider.deleteNodes],
    ["getClusterStatus", provider.getClusterStatus],
    ["watchCluster", (cluster: string) => Stream.runHead(provider.watchCluster(cluster))]
  ] as const satisfies ReadonlyArray<
    readonly [string, (cluster: string) => Effect.Effect<unknown, { readonly _tag: string } | InvalidClusterName>]
  >

const isRefused = (
  name: string,
  method: string,
  call: (cluster: string) => Effect.Effect<unknown, { readonly _tag: string } | InvalidClusterName>
) => failsWith(`${method} of ${JSON.stringify(name)}`, "InvalidClusterName", call(name))

/**
 * @category laws
 * @since 0.1.0
 */
export const names: ReadonlyArray<Law> = [
  law({
    id: "names.refused",
    title: "a name that could mean something to a filter, a URL or a shell is refused by every method",
    check: (world) =>
      Effect.gen(function*() {
        for (const name of refused) {
          for (const [method, call] of methods(world)) yield* isRefused(name, method, call)
        }
      })
  }),
  law({
    id: "names.strict",
    title: "a name that begins or ends with `-` or `_`, or is longer than 63 characters, is refused by every method",
    needs: ["strict-names"],
    check: (world) =>
      Effect.gen(function*() {
        for (const name of stored) {
          for (const [method, call] of methods(world)) yield* isRefused(name, method, call)
        }
      })
  }),
  law({
    id: "names.before-io",
    title: "a name is refused before the backend is asked",
    needs: ["outage"],
    check: (world) =>
      Effect.gen(function*() {
        yield* world.harness.outage
        for (const [method, call] of methods(world)) yield* isRefused("not a name", method, call)
      })
  }),
  law({
    id: "names.referable",
    title: "a name of up to 63 letters of both cases, digits, `.`, `_` and `-` is accepted",
    check: ({ cluster, provider }) =>
      Effect.gen(function*() {
        for (const name of ["a", "7", `${cluster}.A_b-C`, cluster.padEnd(63, "x")]) {
          yield* succeeds(`listNodes of ${name}`, provider.listNodes(name))
        }
      })
  }),
  law({
    id: "names.told",
    title: "the error of a name that is refused has the name as it was given, and prints it on one line, escaped",
    check: ({ provider }) =>
      Effect.gen(function*() {
        const name = "a\nb\u001b[2J"
        const error = yield* failsWith("listNodes", "InvalidClusterName", provider.listNodes(name))
        yield* expectSame("its input is", JSON.stringify(name), JSON.stringify(error.input))
        yield* expect(
          // oxlint-disable-next-line no-control-regex
          !/[\u0000-\u001f]/.test(error.message),
          "its message has no control characters",
          JSON.stringify(error.message)
        )
      })
  })
]
