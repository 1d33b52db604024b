/** Replays a recording on a fake Omni: the same calls in the same order, and how the replies differ. */
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import type { Event, Resource } from "../../../src/omni/proto/cosi_pb.ts"
import type { OmniFakeService } from "../../../src/testing/OmniFake.ts"
import { connect, type Connection, makeKey, methodOf, type Reply, type Streamed } from "./client.ts"
import {
  differences,
  type Json,
  type RecordedCall,
  type Recording,
  resourceOf,
  specBytes,
  textDifferences
} from "./recordings.ts"
import { gone, listDifferences, mapped, unaryDifferences, watchDifferences } from "./replies.ts"
import { timelineDifferences } from "./timelines.ts"

export interface Hooks {
  /** Before a call, or instead of a note. */
  readonly before?: Readonly<Record<string, Effect.Effect<unknown>>>
  readonly after?: Readonly<Record<string, Effect.Effect<unknown>>>
  /** Calls before which the controllers do not go on. */
  readonly atOnceAfter?: ReadonlyArray<string>
  /** Fields of a reply that are not compared, by call. */
  readonly except?: Readonly<Record<string, ReadonlyArray<string>>>
}

const live = <A>(effect: Effect.Effect<A>) => TestClock.withLive(effect)

/** A call that this client has cancelled. */
const cancelledCode = 1

const random = "x".repeat(900)

const filled = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value ?? {}).replaceAll("<900 random characters>", random)) as unknown

const durations = (value: unknown) => {
  const seconds = Number(String(value).replace(/s$/, ""))
  return { seconds: BigInt(Math.trunc(seconds)), nanos: Math.round((seconds - Math.trunc(seconds)) * 1e9) }
}

/** Waits in real time until a promise has settled, while the Clock of the fake goes on. */
const awaiting = <A>(promise: Promise<A>, limitMillis: number) =>
  Effect.gen(function*() {
    const settled: Array<A> = []
    void promise.then((value) => settled.push(value))
    let passed = 0
    for (let turn = 0; settled.length === 0 && passed < limitMillis; turn++) {
      yield* live(Effect.sleep("2 millis"))
      if (turn < 12 || settled.length > 0) continue
      yield* TestClock.adjust("100 millis")
      passed += 100
    }
    return settled[0]
  })

/** The message of a call, from its recorded request. */
const messageOf = (
  call: RecordedCall,
  read: Resource | undefined,
  bookmarks: ReadonlyMap<string, Uint8Array>,
  keys: string
) => {
  const { request } = call
  const key = {
    namespace: String(request["namespace"] ?? "default"),
    type: String(request["type"] ?? ""),
    id: String(request["id"] ?? "")
  }
  const options = request["options"] === "not sent" ? {} : { options: (request["options"] ?? {}) as Json }
  const spec = request["spec"] === "not sent"
    ? {}
    : {
      spec: {
        protoSpec: typeof request["specBytes"] === "string"
          ? Buffer.from(request["specBytes"], "base64")
          : specBytes(key.type, filled(request["spec"]))
      }
    }
  const version = String(request["version"] ?? "undefined")
  const metadata = {
    ...key,
    version: version === "<as read>" ? read?.metadata?.version ?? "1" : version,
    owner: String(request["owner"] ?? ""),
    phase: String(request["phase"] ?? read?.metadata?.phase ?? "running"),
    labels: { ...(request["labels"] as Record<string, string> | undefined) },
    annotations: { ...(request["annotations"] as Record<string, string> | undefined) },
    finalizers: Array.isArray(request["finalizers"])
      ? request["finalizers"] as Array<string>
      : [...read?.metadata?.finalizers ?? []],
    ...(request["updated"] === "not sent" ? {} : { updated: { seconds: 1_700_000_000n, nanos: 0 } })
  }
  switch (call.call) {
    case "cosi.resource.State/Create":
      return { resource: { metadata, ...spec }, ...options }
    case "cosi.resource.State/Update":
      return { newResource: { metadata, ...spec }, ...options }
    case "cosi.resource.State/List":
      return { namespace: key.namespace, type: key.type, ...options }
    case "cosi.resource.State/Watch": {
      const how = { ...(request["options"] as Json) }
      const bookmark = how["startFromBookmark"]
      if (typeof bookmark === "string") {
        how["startFromBookmark"] = bookmark.startsWith("<")
          ? bookmarks.get(key.type) ?? new Uint8Array()
          : Buffer.from(bookmark, "hex")
      }
      return {
        namespace: key.namespace,
        type: key.type,
        apiVersion: Number(request["apiVersion"]),
        ...(request["id"] === undefined ? {} : { id: key.id }),
        options: how
      }
    }
    default: {
      if (call.call.startsWith("cosi.")) return { ...key, ...options }
      const { serviceAccountTtl, ...rest } = request
      return {
        ...rest,
        ...(serviceAccountTtl === undefined ? {} : { serviceAccountTtl: durations(serviceAccountTtl) }),
        ...(rest["armoredPgpPublicKey"] === undefined ? {} : { armoredPgpPublicKey: keys })
      }
    }
  }
}

/** Calls that were sent together: the recorded codes may come in any number, at least one call is done. */
const groupDifferences = (calls: ReadonlyArray<RecordedCall>, replies: ReadonlyArray<Reply | undefined>) => {
  const allowed = new Set(calls.map(({ reply }) => Number(reply["code"])))
  const codes = replies.map((reply) => reply?.code ?? 4)
  // The timing decides which calls are refused: all three can wait, or two can be refused.
  for (const code of calls[0]?.call.endsWith("/TeardownAndDestroy") === true ? [...gone, 2] : []) allowed.add(code)
  const strange = codes.filter((code) => !allowed.has(code))
  const expectsRefusal = calls.some(({ reply }) => String(reply["message"]).includes("throttled"))
  return [
    ...strange.map((code) => `code: ${code} was not recorded`),
    ...(expectsRefusal && !(codes.includes(0) && codes.some((code) => code !== 0))
      ? [`codes: ${codes.join()} are all alike`]
      : [])
  ]
}

/** One call inside the process. */
const inProcess = (fake: OmniFakeService, call: string, message: object): Effect.Effect<Reply> =>
  fake.transport.unary(methodOf(call) as never, message as never, {}).pipe(
    Effect.match({
      onSuccess: (): Reply => ({ code: 0, message: "" }),
      onFailure: (failure): Reply =>
        "code" in failure ? { code: failure.code, message: failure.details } : { code: 14, message: "not sent" }
    })
  )

/** Replays a recording. Gives the differences, each with the id of its call. */
export const replay = (recording: Recording, fake: OmniFakeService, hooks: Hooks = {}) =>
  Effect.gen(function*() {
    const connection: Connection = yield* Effect.acquireRelease(
      Effect.promise(() => connect(fake.endpoint, fake.serviceAccountKey)),
      (open) => Effect.sync(open.close)
    )
    const found: Array<string> = []
    const report = (call: RecordedCall, lines: ReadonlyArray<string>) => {
      const except = hooks.except?.[call.id] ?? []
      for (const line of lines) {
        if (!except.some((part) => line.includes(part))) found.push(`${call.id} ${call.title}: ${line}`)
      }
    }
    const watches: Array<{ readonly call: RecordedCall; readonly streamed: Streamed }> = []
    const bookmarks = new Map<string, Uint8Array>()
    const changes = yield* timelineDifferences(connection, recording)

    const rememberBookmarks = () => {
      for (const { call, streamed } of watches) {
        // The client closed a watch after the recorded messages.
        const recorded = call.reply["messages"] as ReadonlyArray<unknown> | undefined
        for (const message of streamed.messages.slice(0, recorded?.length)) {
          for (const { bookmark } of (message as unknown as { readonly event: ReadonlyArray<Event> }).event) {
            const type = String(call.request["type"])
            if (bookmark === undefined) continue
            if (recording.scenario !== "06-watch" || call.title.startsWith("Live: created")) {
              bookmarks.set(type, bookmark)
            }
          }
        }
      }
    }

    const keyFor = (call: RecordedCall) =>
      Effect.promise(async () => {
        const lifetime = /lifetime (\d+) s/.exec(String(call.request["armoredPgpPublicKey"] ?? ""))?.[1]
        if (call.request["armoredPgpPublicKey"] === "") return ""
        const { account, publicKey } = await makeKey(String(call.request["name"] ?? "x"), Number(lifetime ?? 3600))
        if (call.reply["code"] === 0 && /(?:Create|Renew)ServiceAccount$/.test(call.call)) {
          const role = call.request["role"] ?? (account.name === "rd" ? "Reader" : "")
          if (["rd", "op"].includes(account.name) && !recovered.has(account.name)) {
            connection.accounts.set(String(role), account)
          }
        }
        return publicKey
      })
    const recovered = new Set<string>()

    const send = (call: RecordedCall) =>
      Effect.gen(function*() {
        const { request } = call
        const type = String(request["type"] ?? "")
        let read: Resource | undefined
        if (call.call.endsWith("/Update")) {
          const reply = yield* awaiting(
            connection.unary("cosi.resource.State/Get", {}, {
              namespace: String(request["namespace"] ?? "default"),
              type,
              id: String(request["id"])
            }, new Promise(() => undefined)),
            5000
          )
          read = resourceOf(reply?.answer)
        }
        const keys = request["armoredPgpPublicKey"] === undefined ? "" : yield* keyFor(call)
        return messageOf(call, read, bookmarks, keys)
      })

    /** Waits in real time until a teardown has reached its resource. Before that, no time may pass. */
    const tornDown = ({ call, request }: RecordedCall) =>
      Effect.gen(function*() {
        if (!call.endsWith("/TeardownAndDestroy")) return
        const kind = String(request["type"]).replace(".omni.sidero.dev", "")
        for (let turn = 0; turn < 2500; turn++) {
          const there = (yield* fake.resources(kind)).find(({ id }) => id === request["id"])
          if (there === undefined || there.phase === "tearingDown") return
          yield* live(Effect.sleep("2 millis"))
        }
      })

    const unary = (call: RecordedCall) =>
      Effect.gen(function*() {
        const message = yield* send(call)
        let cancel: () => void = () => undefined
        const cancelled = new Promise<void>((resolve) => {
          cancel = resolve
        })
        const promise = connection.unary(call.call, call.request, message, cancelled)
        if (call.request["deadlineMillis"] !== undefined && call.reply["code"] !== 0) yield* tornDown(call)
        const reply = yield* awaiting(promise, Number(call.request["deadlineMillis"] ?? 60_000))
        if (reply === undefined) {
          cancel()
          yield* Effect.promise(() => promise)
        }
        return reply
      })

    const streamed = (call: RecordedCall) =>
      Effect.gen(function*() {
        const message = yield* send(call)
        const opened = yield* Effect.promise(() => connection.stream(call.call, call.request, message))
        yield* awaiting(
          new Promise<void>((resolve) => {
            const check = () =>
              opened.end !== undefined || opened.messages.length > 0 ? resolve() : void setTimeout(check, 1)
            check()
          }),
          10_000
        )
        if (!call.call.endsWith("/Watch")) {
          yield* awaiting(
            new Promise<void>((resolve) => {
              const check = () => opened.end !== undefined ? resolve() : void setTimeout(check, 1)
              check()
            }),
            10_000
          )
        }
        return opened
      })

    const calls = mapped(recording.calls)
    for (let index = 0; index < calls.length; index++) {
      const call = calls[index]
      const original = recording.calls[index]
      if (call === undefined || original === undefined) continue
      if (!(hooks.atOnceAfter ?? []).includes(call.id)) yield* TestClock.adjust("10 seconds")
      yield* hooks.before?.[call.id] ?? Effect.void
      if (call.note === true) continue
      if (call.call === "Timeline") {
        report(original, yield* changes.compare(call))
        continue
      }
      if (call.call.startsWith("omnictl")) continue
      const size = Number(call.request["atOnce"] ?? 0)
      const title = call.title
      if (size > 0) {
        const group: Array<RecordedCall> = []
        for (let count = 0; count < size; index++) {
          const next = calls[index]
          if (next === undefined) break
          group.push(next)
          count += next.count ?? 1
        }
        index--
        const prepared = yield* Effect.forEach(
          group.flatMap((each) => Array.from({ length: each.count ?? 1 }, () => each)),
          (each) => Effect.map(send(each), (message) => ({ each, message }))
        )
        let cancel: () => void = () => undefined
        const cancelled = new Promise<void>((resolve) => {
          cancel = resolve
        })
        const replies: Array<Reply | undefined> = prepared.map(() => undefined)
        const sent = prepared.map(({ each, message }, place) =>
          (each.call.endsWith("/TeardownAndDestroy")
            ? connection.unary(each.call, each.request, message, cancelled)
            // Inside the process all of them arrive before time goes on.
            : Effect.runPromise(inProcess(fake, each.call, message))).then((reply) => {
              if (reply.code !== cancelledCode) replies[place] = reply
            })
        )
        yield* tornDown(call)
        yield* awaiting(Promise.all(sent), Number(call.request["deadlineMillis"] ?? 10_000))
        cancel()
        yield* Effect.promise(() => Promise.all(sent))
        report(call, groupDifferences(group, replies))
        continue
      }
      if (title.includes("TeardownAndDestroy wait or have failed")) {
        const group = calls.slice(index + 1, index + 3)
        const removing = group.flatMap((each) => Array.from({ length: each.count ?? 1 }, () => each))
        const message = yield* send(group[0] ?? call)
        const sent = removing.map((each) =>
          connection.unary(each.call, each.request, message, new Promise(() => undefined))
        )
        yield* tornDown(group[0] ?? call)
        report(original, unaryDifferences(call, yield* unary(call), fake.endpoint))
        const replies = yield* awaiting(Promise.all(sent), 10_000)
        report(original, groupDifferences(group, replies ?? []))
        index += 2
        continue
      }
      if (methodOf(call.call).methodKind === "server_streaming") {
        const opened = yield* streamed(call)
        if (call.call.endsWith("/Watch")) watches.push({ call: original, streamed: opened })
        else {
          report(original, [
            ...differences(call.reply["code"], opened.end?.code, "code"),
            ...textDifferences(String(call.reply["message"]), opened.end?.message ?? ""),
            ...listDifferences(original, opened)
          ])
        }
        yield* live(Effect.sleep("3 millis"))
        rememberBookmarks()
      } else {
        report(original, unaryDifferences(call, yield* unary(call), fake.endpoint))
      }
      yield* hooks.after?.[call.id] ?? Effect.void
      yield* live(Effect.sleep("1 millis"))
      if (call.call.endsWith("/TeardownAndDestroy") && call.title.includes("class w9")) rememberBookmarks()
    }
    yield* TestClock.adjust("10 seconds")
    yield* live(Effect.sleep("20 millis"))
    for (const { call, streamed: opened } of watches) {
      report(call, watchDifferences(call, opened))
      opened.close()
    }
    return found
  })
