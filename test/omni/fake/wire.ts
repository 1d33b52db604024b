/**
 * A gRPC client for tests of the fake Omni, on grpc-js, the generated messages and openpgp. It shares no code with the
 * product's own client, so that the two cannot be wrong in the same way.
 */
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  toBinary
} from "@bufbuild/protobuf"
import type { Message } from "@bufbuild/protobuf"
import type { GenMessage } from "@bufbuild/protobuf/codegenv2"
import { timestampNow } from "@bufbuild/protobuf/wkt"
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createMessage, type PrivateKey, readPrivateKey, sign } from "openpgp"
import { type Event, EventType, type LabelTerm, type Resource, State } from "../../../src/omni/proto/cosi_pb.ts"
import { ManagementService } from "../../../src/omni/proto/management_pb.ts"
import { ConfigPatchSpecSchema } from "../../../src/omni/proto/specs_pb.ts"
import * as OmniFake from "../../../src/testing/OmniFake.ts"

/** The status of a call that failed. */
export class Refused extends Data.TaggedError("Refused")<{ readonly code: number; readonly details: string }> {}

const refused = (error: ServiceError) => new Refused({ code: error.code, details: error.details })

export interface Account {
  readonly name: string
  readonly key: PrivateKey
}

export const accountOf = (serviceAccountKey: string): Promise<Account> => {
  const { name, pgp_key } = JSON.parse(Buffer.from(serviceAccountKey, "base64").toString()) as {
    name: string
    pgp_key: string
  }
  return readPrivateKey({ armoredKey: pgp_key }).then((key) => ({ name, key }))
}

/** Headers of a call that a test can replace with invalid values. */
export interface Headers {
  /** Milliseconds since the epoch. */
  readonly at?: number
  /** The method that is signed; the one that is called where it is left out. */
  readonly method?: string
  /** Headers that are sent. */
  readonly sent?: Readonly<Record<string, string>>
  /** Headers that are signed; those that are sent where it is left out. */
  readonly signed?: Readonly<Record<string, ReadonlyArray<string> | null>>
  readonly fingerprint?: (right: string) => string
  readonly payload?: (right: string) => string
}

export const signedHeaders = async (account: Account, path: string, how: Headers = {}): Promise<Metadata> => {
  const metadata = new Metadata()
  const timestamp = String(Math.floor((how.at ?? Date.now()) / 1000))
  const sent = how.sent ?? {}
  for (const [name, value] of Object.entries(sent)) metadata.set(name, value)
  const signed = how.signed ?? Object.fromEntries(Object.entries(sent).map(([name, value]) => [name, [value]]))
  const payload = JSON.stringify({
    headers: { context: null, ...signed, "x-sidero-timestamp": [timestamp] },
    method: how.method ?? path
  })
  const signature = await sign({
    message: await createMessage({ binary: new TextEncoder().encode(payload) }),
    signingKeys: account.key,
    detached: true,
    format: "binary"
  })
  const fingerprint = (how.fingerprint ?? ((right) => right))(account.key.getFingerprint())
  metadata.set("x-sidero-timestamp", timestamp)
  metadata.set("x-sidero-payload", how.payload?.(payload) ?? payload)
  metadata.set(
    "x-sidero-signature",
    `siderov1 ${account.name} ${fingerprint} ${Buffer.from(signature as Uint8Array).toString("base64")}`
  )
  return metadata
}

export const pathOf = (method: DescMethod) => `/${method.parent.typeName}/${method.name}`
const encoded = <D extends DescMessage>(schema: D, init: MessageInitShape<D>) =>
  Buffer.from(toBinary(schema, create(schema, init)))

/** A watch that is open; it gives its messages in their order, and at the end how it failed. */
export interface Watching {
  /** The next message's events. */
  readonly next: Effect.Effect<ReadonlyArray<Event>, Refused>
  readonly close: Effect.Effect<void>
}

const methods = { ...State.method, ...ManagementService.method }
type Methods = typeof methods

const connect = (fake: OmniFake.OmniFakeService) =>
  Effect.gen(function*() {
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new Client(fake.endpoint.replace(/^\w+:\/\//, ""), credentials.createInsecure())),
      (open) => Effect.sync(() => open.close())
    )
    const account = yield* Effect.promise(() => accountOf(fake.serviceAccountKey))

    const call = <N extends keyof Methods>(
      name: N,
      request: MessageInitShape<Methods[N]["input"]>,
      how: Headers = {},
      as: Account = account
    ): Effect.Effect<MessageOf<Methods[N]["output"]>, Refused> =>
      Effect.flatMap(Effect.promise(() => signedHeaders(as, pathOf(methods[name]), how)), (metadata) =>
        Effect.callback((resume) => {
          const method: DescMethod = methods[name]
          const sent = client.makeUnaryRequest(
            pathOf(method),
            (bytes: Buffer) =>
              bytes,
            (bytes: Buffer) => fromBinary(method.output, bytes),
            encoded(method.input, request as never),
            metadata,
            (error, answer) => resume(error === null ? Effect.succeed(answer as never) : Effect.fail(refused(error)))
          )
          return Effect.sync(() => sent.cancel())
        }))

    /** The messages of a stream, one by one. */
    const stream = (name: "list" | "watch", request: object) =>
      Effect.gen(function*() {
        const method: DescMethod = methods[name]
        const metadata = yield* Effect.promise(() =>
          signedHeaders(account, pathOf(method))
        )
        const waiting: Array<() => void> = []
        const messages: Array<Message> = []
        let end: Refused | "end" | undefined
        const sent = client.makeServerStreamRequest(
          pathOf(method),
          (bytes: Buffer) => bytes,
          (bytes: Buffer) => fromBinary(method.output, bytes),
          encoded(method.input, request as never),
          metadata
        )
        const wake = () => waiting.splice(0).forEach((resume) => resume())
        const ended = (how: Refused | "end") => {
          end ??= how
          wake()
        }
        sent.on("data", (message: Message) => {
          messages.push(message)
          wake()
        })
        sent.on("error", (error: ServiceError) => ended(refused(error)))
        sent.on("end", () => ended("end"))
        const close = Effect.sync(() => sent.cancel())
        yield* Effect.addFinalizer(() => close)
        const next: Effect.Effect<Message | undefined, Refused> = Effect.suspend(() => {
          const message = messages.shift()
          if (message !== undefined) return Effect.succeed(message)
          if (end === "end") return Effect.succeed(undefined)
          if (end !== undefined) return Effect.fail(end)
          return Effect.andThen(Effect.callback<void>((resume) => void waiting.push(() => resume(Effect.void))), next)
        })
        return { next, close }
      })

    const list = (
      kind: string,
      options?: MessageInitShape<typeof import("../../../src/omni/proto/cosi_pb.ts").ListOptionsSchema>
    ): Effect.Effect<ReadonlyArray<Resource>, Refused> =>
      Effect.scoped(Effect.gen(function*() {
        const { next } = yield* stream("list", { namespace: "default", type: typeOf(kind), options: options ?? {} })
        const found: Array<Resource> = []
        for (let message = yield* next; message !== undefined; message = yield* next) {
          const { resource } = message as unknown as { readonly resource?: Resource }
          if (resource !== undefined) found.push(resource)
        }
        return found
      }))

    const watch = (
      kind: string,
      request: { readonly id?: string; readonly apiVersion?: number; readonly options?: object } = {}
    ): Effect.Effect<Watching, never, Scope.Scope> =>
      Effect.map(
        stream("watch", { namespace: "default", type: typeOf(kind), apiVersion: 1, options: {}, ...request }),
        ({ close, next }) => ({
          close,
          next: Effect.map(next, (message) => (message as unknown as { event?: ReadonlyArray<Event> })?.event ?? [])
        })
      )

    /** Makes a resource, as a well-behaved client does. */
    const make = (kind: string, id: string, given: { labels?: Record<string, string>; spec?: Uint8Array } = {}) =>
      call("create", { resource: resource(kind, id, given), options: {} })

    return { account, call, list, watch, make }
  })

type MessageOf<D> = D extends GenMessage<infer M> ? M : never

const typeOf = (kind: string): string => `${kind}.omni.sidero.dev`
export const at = (kind: string, id: string) => ({ namespace: "default", type: typeOf(kind), id })

/** A patch that Omni takes: it refuses empty ones. */
export const patch = toBinary(
  ConfigPatchSpecSchema,
  create(ConfigPatchSpecSchema, { data: "machine:\n  sysctls:\n    a: \"1\"\n" })
)

export const resource = (
  kind: string,
  id: string,
  given: { readonly labels?: Record<string, string>; readonly spec?: Uint8Array } = {}
) => ({
  metadata: {
    ...at(kind, id),
    version: "undefined",
    owner: "",
    phase: "running",
    updated: timestampNow(),
    labels: given.labels ?? {}
  },
  spec: { protoSpec: given.spec ?? (kind === "ConfigPatches" ? patch : new Uint8Array()) }
})

/** A term of a label query; an operation is a number. */
export const term = (key: string, op: LabelTerm["op"], ...value: ReadonlyArray<string>) => ({
  key,
  op,
  value: [...value],
  invert: false
})

const eventNames = Object.fromEntries(Object.entries(EventType).map(([name, value]) => [value, name]))

/** An event as `CREATED id@version`. */
export const told = ({ eventType, resource }: Event): string =>
  `${eventNames[eventType] ?? "?"} ${resource?.metadata?.id ?? ""}@${resource?.metadata?.version ?? ""}`

/** A fake for one test, and a client of it. */
export const stage = (options: OmniFake.Options = {}) =>
  Effect.gen(function*() {
    const fake = yield* OmniFake.make(options)
    return { fake, ...(yield* connect(fake)) }
  })

export const status = {
  unknown: 2,
  invalidArgument: 3,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16
} as const

/** How a call is refused, as `code words`. */
export const refusal = <A>(self: Effect.Effect<A, Refused>): Effect.Effect<string, A> =>
  Effect.map(Effect.flip(self), ({ code, details }) => `${code} ${details}`)
