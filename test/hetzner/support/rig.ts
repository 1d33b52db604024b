/** A fake Project, the layer that acts on it, and a clock that advances on its own. */
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { HttpClient, transform } from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Hetzner from "kubelayer/layers/Hetzner"
import type { OperationReport } from "kubelayer/Report"
import * as HetznerFake from "kubelayer/testing/HetznerFake"
import { simulated } from "kubelayer/testing/SimulatedTime"
import { judged } from "../fake/support.ts"

type Fake = HetznerFake.HetznerFakeService

export interface Settings extends Partial<Hetzner.Options> {
  readonly fake?: HetznerFake.Options
}

export interface Rig {
  readonly fake: Fake
  readonly hetzner: Hetzner.HetznerService
  /** A second layer, as of another process. */
  readonly another: Hetzner.HetznerService
  /**
   * A layer of a process that dies at its `n`th call, before the call is sent or after its work is done. That call and
   * all later ones get no response. `died` completes when the process has died.
   */
  readonly mortal: (
    n: number,
    when: "before" | "after"
  ) => Effect.Effect<
    { readonly hetzner: Hetzner.HetznerService; readonly died: Effect.Effect<void> },
    never,
    Scope.Scope
  >
}

const service = (fake: Fake, settings: Settings, http: HttpClient = fake.httpClient) =>
  Effect.map(
    Layer.build(
      Layer.fresh(Hetzner.layerHttpClient({ token: fake.token, endpoint: fake.endpoint, ...settings })).pipe(
        Layer.provide(Layer.succeed(HttpClient, http))
      )
    ),
    (context) => Context.get(context, Hetzner.Hetzner)
  )

const mortal = (fake: Fake, settings: Settings): Rig["mortal"] => (n, when) =>
  Effect.gen(function*() {
    const died = yield* Deferred.make<void>()
    let calls = 0
    const http = transform(fake.httpClient, (send) =>
      Effect.suspend(() => {
        if (++calls < n) return send
        const last = calls === n && when === "after" ? Effect.ignore(send) : Effect.void
        return last.pipe(Effect.andThen(Deferred.succeed(died, undefined)), Effect.andThen(Effect.never))
      }))
    // Nobody is there any more to whom time could run out.
    const policy = { ...settings.policy, requestTimeout: Duration.infinity, cleanupTimeout: Duration.infinity } as const
    // Another name of the same endpoint, since what the layers of one process share would be shared here too.
    const endpoint = fake.endpoint.replace("127.0.0.1", "localhost")
    const hetzner = yield* Effect.orDie(service(fake, { ...settings, policy, endpoint }, http))
    return { hetzner, died: Deferred.await(died) }
  })

/** Runs a test on a Project of its own; a request that the API has no reading for fails it. */
export const onFake = <A, E>(settings: Settings, body: (rig: Rig) => Effect.Effect<A, E, Scope.Scope>) =>
  simulated(Effect.scoped(Effect.gen(function*() {
    const fake = yield* HetznerFake.make(settings.fake)
    const result = yield* body({
      fake,
      hetzner: yield* service(fake, settings),
      another: yield* service(fake, settings),
      mortal: mortal(fake, settings)
    })
    assert.deepStrictEqual(yield* fake.violations, [])
    yield* judged(fake)
    return result
  })))

export const nodes = { image: "debian-13", serverTypes: ["cx23"], locations: ["fsn1", "nbg1"] }
export const spec: Hetzner.HetznerClusterSpec = { cluster: "dev", controlPlanes: 1, workers: 2, nodes }
export const rules: ReadonlyArray<Hetzner.FirewallRule> = [
  { direction: "in", protocol: "tcp", port: "22", sourceIps: ["0.0.0.0/0", "::/0"] }
]

/** The labels by which kubelayer knows its own. */
export const ours = (cluster = "dev", role?: "control-plane" | "worker"): Record<string, string> => ({
  "kubelayer.cluster": cluster,
  ...(role === undefined ? {} : { "kubelayer.role": role })
})

/** `kind name outcome` of each line of a report. */
export const told = (report: OperationReport): ReadonlyArray<string> =>
  report.outcomes.map(({ kind, name, outcome }) => `${kind} ${name} ${outcome._tag}`)

/** The contents of the Project, by kind and name. */
export const inventory = (fake: Fake): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(fake.state, (state) => {
    const named = (kind: string, all: ReadonlyArray<{ readonly name: string }>) =>
      all.map(({ name }) => `${kind} ${name}`)
    return [
      ...named("server", state.servers),
      ...named("network", state.networks),
      ...named("firewall", state.firewalls),
      ...named("group", state.placementGroups),
      ...named("floating IP", state.floatingIps),
      ...named("volume", state.volumes),
      ...named("key", state.sshKeys),
      ...named("load balancer", state.loadBalancers)
    ].sort()
  })

/** Nothing is there. */
export const expectNothing = (fake: Fake): Effect.Effect<void> =>
  Effect.map(inventory(fake), (left) => assert.deepStrictEqual(left, []))

/** The calls that write, as `METHOD template`. */
export const writes = (fake: Fake): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    fake.calls,
    (calls) => calls.filter(({ method }) => method !== "GET").map(({ method, template }) => `${method} ${template}`)
  )

/** The failure of an effect that has to fail. */
export const failure = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<E, never, R> =>
  Effect.catch(Effect.flip(self), (value) => Effect.die(new Error(`it succeeded: ${JSON.stringify(value)}`)))
