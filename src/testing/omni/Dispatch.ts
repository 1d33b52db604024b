/**
 * How a fake Omni carries a call out: it is recorded, let in or refused, and given to the method's handler.
 *
 * The handlers are found by the descriptor of the method, so that a call need not come over gRPC.
 */
import type { DescMethod, Message } from "@bufbuild/protobuf"
import type { WatchResponse } from "../../omni/proto/cosi_pb.ts"
import type { LogLine } from "../../omni/proto/management_pb.ts"
import { lower, type Role } from "./Access.ts"
import type { Accounts } from "./Accounts.ts"
import { callOf, type Calls, type OmniCall } from "./Calls.ts"
import type { makeKubeconfigs } from "./Kubeconfigs.ts"
import type { makeManagement } from "./Management.ts"
import { code, Refusal } from "./Refusal.ts"
import type { Call, Headers, Sink } from "./Service.ts"
import type { makeState } from "./State.ts"
import type { makeWatches } from "./Watch.ts"
import type { Wire } from "./Wire.ts"

/** A call as it arrives. */
export interface Incoming {
  readonly headers: Headers
  readonly onCancel: (f: () => void) => void
  /** The caller of a call that did not come over gRPC and is not signed. */
  readonly caller?: { readonly name: string; readonly role: Role }
}

export interface DispatchOptions {
  readonly wire: Wire
  readonly log: Calls
  readonly accounts: Accounts
  readonly state: ReturnType<typeof makeState>
  readonly watches: ReturnType<typeof makeWatches>
  readonly management: ReturnType<typeof makeManagement>
  readonly kubeconfigs: ReturnType<typeof makeKubeconfigs>
  /** Waits for the latency of a call. */
  readonly delay: () => Promise<void>
  readonly eulaAccepted: () => boolean
  readonly endpoint: () => string
  /** No account has a higher role. */
  readonly highestRole: () => Role
}

type Unary = (request: never, call: Call) => Message | Promise<Message>
type Streamed = (request: never, sink: Sink<Message>, call: Call) => void

export const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`

/** The status of a thrown value. */
export const statusOf = (error: unknown): { readonly code: number; readonly details: string } =>
  error instanceof Refusal
    ? { code: error.code, details: error.message }
    : { code: code.internal, details: `the fake failed: ${error instanceof Error ? error.stack : String(error)}` }

export const makeDispatch = (options: DispatchOptions) => {
  const { accounts, kubeconfigs, log, management, state, watches, wire } = options
  const { method: states } = wire.cosi.State
  const { method: managements } = wire.management.ManagementService

  const unaryHandlers = new Map<string, Unary>([
    [pathOf(states.get), state.get],
    [pathOf(states.create), state.create],
    [pathOf(states.update), state.update],
    [pathOf(states.destroy), state.destroy],
    [pathOf(states.teardown), state.teardown],
    [pathOf(states.teardownAndDestroy), state.teardownAndDestroy],
    [pathOf(managements.kubeconfig), kubeconfigs.kubeconfig],
    [pathOf(managements.talosconfig), kubeconfigs.talosconfig],
    [pathOf(managements.omniconfig), (_, call) => kubeconfigs.omniconfig(call)],
    [pathOf(managements.validateConfig), management.validateConfig],
    [pathOf(managements.kubernetesUpgradePreChecks), management.preChecks],
    [pathOf(managements.machinePowerOff), management.powerOff],
    [pathOf(managements.machinePowerOn), management.powerOn],
    [pathOf(managements.createServiceAccount), management.createServiceAccount],
    [pathOf(managements.renewServiceAccount), management.renewServiceAccount],
    [pathOf(managements.listServiceAccounts), (_, call) => management.listServiceAccounts(call)],
    [pathOf(managements.destroyServiceAccount), management.destroyServiceAccount]
  ])

  const streamHandlers = new Map<string, Streamed>([
    [pathOf(states.list), (request, sink, call) => {
      for (const item of state.list(request, call)) sink.send(item)
      sink.end()
    }],
    [pathOf(states.watch), (request, sink, { role }) => watches.watch(request, sink as Sink<WatchResponse>, role)],
    [
      pathOf(managements.machineLogs),
      (request, sink, call) => management.machineLogs(request, sink as Sink<LogLine>, call)
    ]
  ])

  /** The checks of every call before its handler. */
  const enter = async (method: DescMethod, request: Message, incoming: Incoming) => {
    const entry = callOf(method.name, request)
    log.record(entry, request)
    await options.delay()
    const failure = log.failureOf(entry, false)
    if (failure !== undefined) throw failure
    // The EULA comes before the signature.
    if (!options.eulaAccepted()) {
      throw new Refusal(
        code.failedPrecondition,
        `EULA has not been accepted; please accept the End User License Agreement before using Omni: ${options.endpoint()}/eula`
      )
    }
    const { name, role } = incoming.caller ?? await accounts.verify(pathOf(method), incoming.headers)
    const call: Call = {
      headers: incoming.headers,
      onCancel: incoming.onCancel,
      identity: name,
      role: lower(role, options.highestRole())
    }
    return { call, entry }
  }

  const leave = (entry: OmniCall) => {
    const failure = log.failureOf(entry, true)
    if (failure !== undefined) throw failure
  }

  const missing = ({ name, parent }: DescMethod) =>
    new Refusal(code.unimplemented, `unknown method ${name} for service ${parent.typeName}`)

  return {
    unary: async (method: DescMethod, request: Message, incoming: Incoming): Promise<Message> => {
      const { call, entry } = await enter(method, request, incoming)
      const handler = unaryHandlers.get(pathOf(method))
      if (handler === undefined) throw missing(method)
      const answer = await handler(request as never, call)
      leave(entry)
      return answer
    },
    /** Sends what the call gives to the sink; a refusal goes there, too. */
    stream: async (
      method: DescMethod,
      request: Message,
      incoming: Incoming,
      sink: Sink<Message>,
      isCancelled: () => boolean
    ): Promise<void> => {
      try {
        const { call } = await enter(method, request, incoming)
        const handler = streamHandlers.get(pathOf(method))
        if (handler === undefined) throw missing(method)
        // A caller that has gone in the meantime never sends its cancellation again.
        if (!isCancelled()) handler(request as never, sink, call)
      } catch (error) {
        const { code: status, details } = statusOf(error)
        sink.fail(new Refusal(status, details))
      }
    }
  }
}

export type Dispatch = ReturnType<typeof makeDispatch>
