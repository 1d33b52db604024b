/**
 * The order of events in a timeline of the recordings, compared with a fake Omni.
 *
 * The times and the number of events depend on the machine that was recorded. Compared is, for each resource, the order
 * of what a client reads of it: phases, stages, versions, readiness. The fake may leave out what flickers.
 */
import type { Message } from "@bufbuild/protobuf"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { Event } from "../../../src/omni/proto/cosi_pb.ts"
import type { Connection, Streamed } from "./client.ts"
import { type Json, type RecordedCall, type Recording, specOf } from "./recordings.ts"

/** The compared part of each kind. */
const watched: Readonly<Record<string, (spec: Json) => unknown>> = {
  Clusters: (spec) => spec["talosVersion"],
  ClusterStatuses: (spec) => spec["phase"] ?? 0,
  ClusterDestroyStatuses: (spec) => spec["phase"],
  ClusterMachineStatuses: (spec) => spec["stage"],
  ControlPlaneStatuses: (spec) => (spec["conditions"] as ReadonlyArray<unknown> | undefined)?.length,
  KubernetesUpgradeStatuses: (spec) => `${String(spec["phase"])} ${String(spec["lastUpgradeVersion"] ?? "")}`,
  LoadBalancerStatuses: (spec) => `${spec["healthy"] === true} ${spec["stopped"] === true}`,
  MachineSetStatuses: (spec) => spec["phase"],
  MachineStatuses: (spec) => spec["talosVersion"],
  MachineSetNodes: () => "",
  TalosUpgradeStatuses: (spec) => `${String(spec["phase"])} ${String(spec["lastUpgradeVersion"] ?? "")}`
}

/** Values that the server shows for a moment, and not in every run. */
const flickers: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  // A set shows RUNNING between two machines, and before its configuration is seen to be pending.
  MachineSetStatuses: [3, 6],
  ClusterStatuses: [],
  LoadBalancerStatuses: ["false false"],
  ClusterMachineStatuses: [2, 9],
  ClusterDestroyStatuses: []
}

const withoutRepeats = (values: ReadonlyArray<string>): ReadonlyArray<string> =>
  values.filter((value, index) => value !== values[index - 1])

const line = (kind: string, event: string, phase: unknown, spec: Json): string | undefined => {
  if (event === "DESTROYED") return "gone"
  if (phase === "tearingDown") return "tearing down"
  const value = watched[kind]?.(spec)
  return (flickers[kind] ?? []).includes(value) ? undefined : String(value)
}

const orderOf = (events: ReadonlyArray<readonly [kind: string, id: string, line: string | undefined]>) => {
  const order = new Map<string, Array<string>>()
  for (const [kind, id, text] of events) {
    if (text === undefined) continue
    const key = `${kind} ${id}`
    order.set(key, [...order.get(key) ?? [], text])
  }
  return order
}

const eventName: Readonly<Record<number, string>> = { 0: "CREATED", 1: "UPDATED", 2: "DESTROYED" }

export const timelineDifferences = (connection: Connection, recording: Recording) =>
  Effect.gen(function*() {
    const streams = new Map<string, Streamed>()
    const seen = new Map<string, number>()
    /** The state of each resource at the end of the previous timeline. */
    const last = new Map<string, string>()
    if (recording.calls.some(({ call }) => call === "Timeline")) {
      for (const kind of Object.keys(watched)) {
        const message = { namespace: "default", type: `${kind}.omni.sidero.dev`, apiVersion: 1, options: {} }
        streams.set(kind, yield* Effect.promise(() => connection.stream("cosi.resource.State/Watch", {}, message)))
      }
      yield* TestClock.withLive(Effect.sleep("100 millis"))
    }

    /** The events of the fake since the last comparison. */
    const fresh = (): Array<readonly [string, string, string | undefined]> => {
      const all: Array<readonly [string, string, string | undefined]> = []
      for (const [kind, { messages }] of streams) {
        const from = seen.get(kind) ?? 0
        seen.set(kind, messages.length)
        for (const message of messages.slice(from)) {
          for (const { eventType, resource } of (message as Message & { readonly event: ReadonlyArray<Event> }).event) {
            const spec = resource === undefined ? {} : specOf(resource) as Json
            all.push([
              kind,
              resource?.metadata?.id ?? "",
              line(kind, eventName[eventType] ?? "", resource?.metadata?.phase, spec)
            ])
          }
        }
      }
      return all
    }

    return {
      compare: (call: RecordedCall) =>
        Effect.gen(function*() {
          yield* TestClock.adjust("60 seconds")
          yield* TestClock.withLive(Effect.sleep("50 millis"))
          const events = call.reply["events"] as ReadonlyArray<Json>
          const recorded = orderOf(events.map((event) => [
            String(event["kind"]),
            String(event["id"]),
            line(String(event["kind"]), String(event["event"]), event["phase"], (event["spec"] ?? {}) as Json)
          ]))
          const found = orderOf(fresh())
          return [...recorded].flatMap(([key, values]) => {
            const [kind = ""] = key.split(" ")
            const order = (all: ReadonlyArray<string>): string => {
              // Machines are watched by the label of their cluster, so they appear and disappear with that label.
              const kept = kind === "MachineStatuses" ? all.filter((text) => text !== "gone") : all
              // RUNNING before the first machine shows for some milliseconds, if at all.
              const first = kind === "ClusterStatuses" ? kept.indexOf("1") : -1
              const steady = first < 0 ? kept : kept.filter((text, index) => index >= first || text !== "3")
              return withoutRepeats([last.get(key) ?? "", ...steady]).slice(1).join(", ")
            }
            const [expected, actual] = [order(values), order(found.get(key) ?? [])]
            last.set(key, values.at(-1) ?? "")
            return expected === actual ? [] : [`${key}: ${actual} instead of ${expected}`]
          })
        })
    }
  })
