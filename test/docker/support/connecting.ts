/** The service in an environment of its own, and the engines that it may find there. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Docker from "kubelayer/layers/Docker"
import type { ProviderUnavailable } from "kubelayer/ProviderError"
import * as fs from "node:fs"
import type { Conversation } from "./Conversation.ts"
import { type Home, makeHome } from "./home.ts"
import { pretend } from "./pretend.ts"
import { failureOf, impatient } from "./service.ts"

export type Env = Readonly<Record<string, string>>

/** The service as a program has it whose environment is `env` and nothing else. */
export const serviceIn = (env: Env, options: Docker.Options = {}): Effect.Effect<Docker.DockerService> =>
  Docker.make({ ...options, policy: { ...impatient, ...options.policy } }).pipe(
    Effect.orDie,
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))
  )

export const checked = (env: Env, options: Docker.Options = {}) =>
  Effect.flatMap(serviceIn(env, options), ({ provider }) => provider.checkAvailable)

export const unavailable = (env: Env, options: Docker.Options = {}): Effect.Effect<ProviderUnavailable> =>
  failureOf(checked(env, options))

/** Two engines, and a home whose contexts `one` and `two` lead to them. */
export const twoEngines: Effect.Effect<
  { readonly one: Conversation; readonly two: Conversation; readonly home: Home },
  never,
  Scope.Scope
> = Effect.gen(function*() {
  const one = yield* pretend()
  const two = yield* pretend()
  const home = yield* makeHome
  home.addContext("one", one.host)
  home.addContext("two", two.host)
  return { one, two, home }
})

/** Returns which of the two got a request. */
export const asked = ({ one, two }: { readonly one: Conversation; readonly two: Conversation }): string =>
  [one.heard.length > 0 ? "one" : "", two.heard.length > 0 ? "two" : ""].join("")

/** Whether an engine of this machine is at one of the usual sockets. */
export const systemSocket = ["/var/run/docker.sock", "/run/podman/podman.sock"].some((path) => fs.existsSync(path))
