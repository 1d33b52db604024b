/** How a reply of the fake differs from the recorded one: of a unary call, a list, and a watch. */
import type { Message } from "@bufbuild/protobuf"
import { parse } from "yaml"
import { type Event, EventType } from "../../../src/omni/proto/cosi_pb.ts"
import type { Reply, Streamed } from "./client.ts"
import {
  differences,
  type Json,
  type RecordedCall,
  resourceDifferences,
  resourceOf,
  textDifferences
} from "./recordings.ts"

/** Names of machines in the recordings, as ids of the fake. */
const machineIds = (text: string): string =>
  text.replaceAll(/<machine-(\d+)>/g, (_, number: string) => `00000000-0000-4000-8000-${number.padStart(12, "0")}`)

export const mapped = <A>(value: A): A => JSON.parse(machineIds(JSON.stringify(value))) as A

/** A configuration of the fake with its account and server replaced by the recorded ones. */
const normalised = (text: string, endpoint: string): string =>
  text
    .replaceAll(/server: \S+/g, "server: https://kubernetes.omni.example.org")
    .replaceAll(endpoint, "https://demo.omni.example.org")
    .replaceAll("fake", "demo")
    .replaceAll(/token: .*/g, "token: <jwt>")

const bodyDifferences = (call: RecordedCall, answer: Message | undefined, endpoint: string): ReadonlyArray<string> => {
  const body = call.reply["body"] as Json | undefined
  if (body === undefined) return []
  const found = answer as unknown as Record<string, unknown>
  const bytes = found["kubeconfig"] ?? found["talosconfig"] ?? found["omniconfig"]
  if (bytes instanceof Uint8Array) {
    const text = new TextDecoder().decode(bytes)
    const recorded = String(body["text"])
    const token = /token: (\S+)/.exec(text)?.[1]
    const claims = token === undefined
      ? undefined
      : JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>
    return [
      ...(recorded === "<kubeconfig>"
        ? []
        : differences(parse(recorded), parse(normalised(text, endpoint)), "body")),
      ...(claims === undefined || body["jwtClaims"] === undefined ? [] : differences(body["jwtClaims"], {
        ...claims,
        iss: String(claims["iss"]).replace("fake", "demo"),
        "exp minus iat": Number(claims["exp"]) - Number(claims["iat"])
      }, "claims"))
    ]
  }
  const accounts = found["serviceAccounts"] as
    | ReadonlyArray<{ name: string; role: string; pgpPublicKeys: ReadonlyArray<{ expiration?: unknown }> }>
    | undefined
  return differences(
    body,
    accounts === undefined ? found : {
      serviceAccounts: accounts.map(({ name, pgpPublicKeys, role }) => ({
        name,
        role,
        keys: pgpPublicKeys.length,
        hasExpiration: pgpPublicKeys.every(({ expiration }) => expiration !== undefined)
      }))
    },
    "body"
  )
}

const eventNames = Object.fromEntries(Object.entries(EventType).map(([name, value]) => [value, name]))

/** How the first messages of a watch differ from the recorded ones. */
export const watchDifferences = (call: RecordedCall, { end, messages }: Streamed): ReadonlyArray<string> => {
  const { code, message } = call.reply
  if (code !== null) {
    return [
      ...differences(code, end?.code, "code"),
      ...textDifferences(String(message), end?.message ?? "")
    ]
  }
  const recorded = call.reply["messages"] as ReadonlyArray<{ readonly events: ReadonlyArray<Json> }>
  return recorded.flatMap(({ events }, index) => {
    const found = (messages[index] as unknown as { readonly event?: ReadonlyArray<Event> } | undefined)?.event
    if (found === undefined || found.length !== events.length) {
      return [`message ${index}: ${found?.length ?? "no"} events instead of ${events.length}`]
    }
    return events.flatMap((event, place) => {
      const actual = found[place]
      const at = `message ${index}.${place}`
      const { resource } = event as { readonly resource: Json }
      return [
        ...differences(event["eventType"], eventNames[actual?.eventType ?? -1], `${at}.type`),
        ...differences(event["bookmarkBytes"], actual?.bookmark?.length ?? 0, `${at}.bookmark`),
        ...differences(event["old"] === undefined, actual?.old === undefined, `${at}.old`),
        ...resourceDifferences(mapped(resource), actual?.resource).map((line) => `${at}: ${line}`)
      ]
    })
  })
}

export const listDifferences = (call: RecordedCall, { messages }: Streamed): ReadonlyArray<string> => {
  const found = messages.flatMap((message) => resourceOf(message) ?? [])
  const ids = call.reply["ids"] as ReadonlyArray<string> | undefined
  const resources = call.reply["resources"] as ReadonlyArray<Json> | undefined
  return [
    ...(ids === undefined ? [] : differences(mapped(ids), found.map(({ metadata }) => metadata?.id), "ids")),
    ...(resources === undefined ? [] : [
      ...differences(resources.length, found.length, "count"),
      ...mapped(resources).flatMap((each) => {
        const { id } = each["metadata"] as { readonly id: string }
        return resourceDifferences(each, found.find(({ metadata }) => metadata?.id === id))
      })
    ])
  ]
}

/** OK and NOT_FOUND of TeardownAndDestroy both say that the resource is gone. */
export const gone: ReadonlySet<number> = new Set([0, 5])

export const unaryDifferences = (
  call: RecordedCall,
  reply: Reply | undefined,
  endpoint: string
): ReadonlyArray<string> => {
  const code = Number(call.reply["code"])
  const found = reply?.code ?? 4
  if (call.call.endsWith("/TeardownAndDestroy") && gone.has(code) && gone.has(found)) return []
  if (code !== found) return [`code: ${found} (${reply?.message ?? "the deadline"}) instead of ${code}`]
  if (code === 4) return []
  if (code !== 0) return textDifferences(String(call.reply["message"]), reply?.message ?? "")
  const resource = call.reply["resource"] as Json | undefined
  const ready = call.reply["destroyReady"]
  return [
    ...(resource === undefined ? [] : resourceDifferences(mapped(resource), resourceOf(reply?.answer))),
    ...(ready === undefined
      ? []
      : differences(ready, (reply?.answer as { readonly destroyReady?: boolean } | undefined)?.destroyReady, "ready")),
    ...bodyDifferences(call, reply?.answer, endpoint)
  ]
}
