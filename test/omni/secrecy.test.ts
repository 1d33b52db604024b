/** The canary: a key and a token that no error, log line, span, value or event of any call contains. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Omni from "kubelayer/layers/Omni"
import { onEvent } from "kubelayer/Provider"
import { inspect } from "node:util"
import { accountKey, makeKeys } from "./support/keys.ts"
import { world } from "./support/world.ts"

/** Every piece of a key that would give it away: the value itself, what is in it, and the material's lines. */
const pieces = (key: string): ReadonlyArray<string> => {
  const { pgp_key: armored } = JSON.parse(Buffer.from(key, "base64").toString("utf8")) as { readonly pgp_key: string }
  const lines = armored.split("\n").filter((line) => line.length > 40)
  return [key.slice(0, 80), key.slice(-80), ...lines, ...lines.map((line) => encodeURIComponent(line))]
}

const shown = (value: unknown): string =>
  [
    String(value),
    inspect(value, { depth: Infinity, showHidden: true }),
    JSON.stringify(value, (_, part: unknown) => typeof part === "bigint" ? String(part) : part) ?? "",
    value instanceof Error ? `${value.message}\n${value.stack}\n${String(value.cause)}` : ""
  ].join("\n")

const template = `
kind: Cluster
name: new
kubernetes: { version: v1.34.1 }
talos: { version: v1.11.2 }
---
kind: ControlPlane
machineClass: { name: small, size: 1 }
`

/** Everything that the layer can do, as it goes well and as it is refused. */
const everything = ({ omni, provider }: Effect.Success<ReturnType<typeof world>>) =>
  Effect.forEach(
    [
      provider.checkAvailable,
      provider.listAllClusters,
      provider.listNodes("dev"),
      provider.getClusterStatus("dev"),
      provider.stopNodes("dev"),
      provider.startNodes("dev"),
      Stream.runHead(provider.watchCluster("dev")).pipe(Effect.timeoutOption("1 second")),
      omni.planTemplate(template),
      omni.planTemplate("kind: Cluster\nname: !!binary x"),
      omni.sync(template),
      omni.awaitReady("new", { timeout: "3 seconds" }),
      omni.awaitUpgrade("new", { talos: "v9.9.9", timeout: "50 millis" }),
      omni.kubeconfig("dev"),
      omni.talosconfig("dev"),
      omni.talosVersions,
      omni.availableMachines,
      omni.whyBlocked("dev"),
      omni.sweep({ olderThan: 0 }),
      omni.createNodes({ cluster: "made", controlPlanes: 1, workers: 0 }),
      omni.createNodes({ cluster: "large", controlPlanes: 99, workers: 0 }),
      provider.deleteNodes("new"),
      provider.deleteNodes("made")
    ] as ReadonlyArray<Effect.Effect<unknown, unknown>>,
    (call) => Effect.exit(call)
  )

describe("the key of a service account, and a token that was made with it", () => {
  it.live("are in nothing that can be seen", () =>
    Effect.gen(function*() {
      const all = yield* world({ fake: { machines: 3 }, omni: { policy: { requestTimeout: "3 seconds" } } })
      yield* all.fake.addCluster("dev", { controlPlanes: 1, workers: 1, machine: { power: "on" } })
      const { kubeconfig } = yield* all.omni.kubeconfig("dev")
      const token = /token: (\S+)/.exec(Redacted.value(kubeconfig))?.[1] ?? ""
      assert.isAbove(token.length, 40)
      const canaries = [...pieces(all.fake.serviceAccountKey), token.slice(0, 40), token.slice(-20)]

      const seen: Array<string> = []
      const logger = Logger.make((entry) => {
        seen.push(Logger.formatLogFmt.log(entry), shown(entry.message), Cause.pretty(entry.cause))
      })
      const spans: Array<Tracer.NativeSpan> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const note = (exits: ReadonlyArray<Exit.Exit<unknown, unknown>>) => {
        for (const exit of exits) {
          seen.push(shown(Exit.isSuccess(exit) ? exit.value : Cause.squash(exit.cause)))
          if (Exit.isFailure(exit)) seen.push(Cause.pretty(exit.cause), shown(exit.cause))
        }
      }
      yield* Effect.gen(function*() {
        note(yield* everything(all))
        yield* all.fake.setRole("Reader")
        note(yield* everything(all))
        yield* all.fake.forgetAccounts
        note(yield* everything(all))
        yield* all.fake.setAvailable(false)
        note(yield* everything(all))
      }).pipe(
        onEvent((event) => Effect.sync(() => void seen.push(shown(event)))),
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(References.MinimumLogLevel, "All"),
        Effect.provideService(Tracer.Tracer, tracer)
      )
      seen.push(shown(all.omni), shown(all.provider))
      for (const span of spans) seen.push(shown([span.name, span.attributes, span.events, span.status]))
      assert.isAbove(seen.length, 200)
      const text = seen.join("\n")
      for (const canary of canaries) {
        assert.isFalse(text.includes(canary), `a piece of the key is shown: ${canary.length}`)
      }
    }), 60_000)

  it.live("are in no word that is said of options that do not work", () =>
    Effect.gen(function*() {
      const keys = yield* Effect.promise(() => makeKeys())
      const key = accountKey(keys.privateKey)
      const broken = [
        key.slice(0, -40),
        key.slice(4),
        `${key}!`,
        Buffer.from(Buffer.from(key, "base64").toString("utf8").replace("pgp_key", "key")).toString("base64"),
        accountKey(keys.privateKey.replace(/\n[^\n]{60}/, "\nAAAA"))
      ]
      for (const serviceAccountKey of broken) {
        const exit = yield* Effect.exit(Omni.make({ endpoint: "https://omni.example", serviceAccountKey }))
        assert.isTrue(Exit.isFailure(exit))
        const text = Exit.isFailure(exit) ? `${shown(Cause.squash(exit.cause))}${Cause.pretty(exit.cause)}` : ""
        for (const piece of pieces(key)) assert.isFalse(text.includes(piece))
        for (let at = 0; at + 24 < key.length; at += 12) assert.isFalse(text.includes(key.slice(at, at + 24)))
      }
    }))
})
