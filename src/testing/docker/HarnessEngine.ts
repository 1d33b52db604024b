/**
 * An engine as a harness uses it: a real one behind a `TestedEngine`, or the fake.
 *
 * The harness speaks to the engine beside the layer under test, and refuses calls of the layer only.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Docker from "../../layers/Docker.ts"
import type { DockerFakeService } from "../DockerFake.ts"
import type { Plan } from "../FaultProxy.ts"
import { HarnessError, type TrueNode } from "../Harness.ts"
import type { TestedEngineService } from "../TestedEngine.ts"
import { archive, type Ask, asking } from "./RawEngine.ts"

/** A request as it reaches the engine. @internal */
interface SeenRequest {
  readonly method: string
  readonly path: string
}

/** The requests that are refused, and the answer. @internal */
interface RefusalRule {
  readonly on: (request: SeenRequest) => boolean
  readonly times: number
  readonly status: number
  readonly message: string
  readonly headers?: Readonly<Record<string, string>>
}

/** @internal */
export interface HarnessEngine {
  /** Asks the engine beside the layer under test. */
  readonly ask: Ask
  /** Connects another Docker layer, as another process has it. */
  readonly connect: (options: Docker.Options) => Effect.Effect<Docker.DockerService, HarnessError>
  /** The requests of the layer under test. */
  readonly calls: Effect.Effect<ReadonlyArray<SeenRequest>>
  /** Refuses requests of the layer under test, and returns what ends that. */
  readonly refuse: (rule: RefusalRule) => Effect.Effect<Effect.Effect<void>>
  /** Lets the process of a node exit as soon as it is started. */
  readonly exitAtOnce: (node: TrueNode) => Effect.Effect<void, HarnessError, Scope.Scope>
  readonly outage: Effect.Effect<void, HarnessError, Scope.Scope>
  /** Cuts the open connections whose `METHOD /path?query` matches. */
  readonly cut: (line: RegExp) => Effect.Effect<void>
  /** The beginning of a shell command that exits at once if the harness requests it. */
  readonly script: string
}

/** A node reads this file when it starts, and exits if the file has content. */
const exitFile = "kubelayer-harness-exit"

const isStartOf = ({ method, path }: SeenRequest, id: string): boolean =>
  method === "POST" && path.includes(`/containers/${id}/start`)

const notConnected = ({ message }: { readonly message: string }) =>
  new HarnessError({ action: "connect another layer", detail: message })

/** The real engine behind a `TestedEngine`. @internal */
export const ofTestedEngine = (engine: TestedEngineService, patience: Duration.Duration): HarnessEngine => {
  const { proxy } = engine
  const ask = asking(engine.engine)
  const rules = new Set<RefusalRule & { left: number }>()
  /** Nodes that exit at once, and whether they have been started. */
  const exiting = new Map<string, boolean>()
  const plan: Plan = (request) => {
    const rule = [...rules].find(({ left, on }) => left > 0 && on(request))
    if (rule !== undefined) {
      rule.left--
      return {
        _tag: "Answer",
        status: rule.status,
        headers: { "Content-Type": "application/json", ...rule.headers },
        body: JSON.stringify({ message: rule.message })
      }
    }
    for (const id of exiting.keys()) if (isStartOf(request, id)) exiting.set(id, true)
    // An engine takes note of the end of a process a moment after it, and a busy one later.
    const isLate = request.template === "/containers/json" && [...exiting.values()].includes(true)
    return isLate ? { _tag: "Delay", millis: Duration.toMillis(patience) / 2 } : undefined
  }
  const put = (node: TrueNode, content: string) =>
    ask(`let ${node.name} exit`, "PUT", `/containers/${node.id}/archive?path=/`, {
      tar: archive(exitFile, content),
      fine: [404]
    })
  return {
    ask,
    connect: (options) => Effect.mapError(Docker.make({ ...options, host: engine.engine }), notConnected),
    calls: proxy.calls,
    refuse: (rule) =>
      Effect.suspend(() => {
        const kept = { ...rule, left: rule.times }
        rules.add(kept)
        return Effect.as(proxy.follow(plan), Effect.sync(() => rules.delete(kept)))
      }),
    exitAtOnce: (node) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.suspend(() => {
          exiting.set(node.id, false)
          return Effect.andThen(proxy.follow(plan), put(node, "1"))
        }),
        () =>
          Effect.suspend(() => {
            exiting.delete(node.id)
            return Effect.orDie(put(node, ""))
          })
      )),
    outage: engine.outage,
    cut: engine.cut,
    script: `if [ -s /${exitFile} ]; then exit 3; fi`
  }
}

/** The fake engine; what the harness asks is not in its log. @internal */
export const ofFake = (fake: DockerFakeService): HarnessEngine => ({
  ask: (action, method, path, { body, fine = [] } = {}) =>
    Effect.flatMap(
      fake.answer({
        method,
        target: path,
        contentType: body === undefined ? undefined : "application/json",
        body: body === undefined ? "" : JSON.stringify(body)
      }),
      (answer) => {
        if (answer._tag !== "Reply") return new HarnessError({ action, detail: "the fake engine did not answer" })
        const text = typeof answer.body === "string" ? answer.body : new TextDecoder().decode(answer.body)
        return answer.status >= 400 && !fine.includes(answer.status)
          ? new HarnessError({ action, detail: `${answer.status} ${text.trim()}` })
          : Effect.succeed(text === "" ? undefined : JSON.parse(text) as unknown)
      }
    ),
  connect: (options) => Effect.mapError(Effect.provide(Docker.make(options), fake.transport), notConnected),
  calls: fake.calls,
  refuse: ({ headers = {}, message, on, status, times }) =>
    fake.fault({ on, times, fault: { _tag: "Refuse", status, message, headers } }),
  exitAtOnce: ({ id }) =>
    Effect.asVoid(Effect.acquireRelease(
      fake.behave(id, { exits: { code: 3 } }),
      () => fake.behave(id, {})
    )),
  outage: fake.outage,
  cut: fake.cut,
  script: ":"
})
