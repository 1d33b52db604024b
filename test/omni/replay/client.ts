/** Sends recorded calls to a fake Omni over gRPC, as they were sent to the real server. */
import { create, type DescMethod, fromBinary, type Message, toBinary } from "@bufbuild/protobuf"
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js"
import { generateKey } from "openpgp"
import { State } from "../../../src/omni/proto/cosi_pb.ts"
import { ManagementService } from "../../../src/omni/proto/management_pb.ts"
import { type Account, accountOf, pathOf, signedHeaders } from "../fake/wire.ts"
import type { Json } from "./recordings.ts"

export interface Reply {
  readonly code: number
  readonly message: string
  readonly answer?: Message
}

export interface Streamed {
  readonly messages: Array<Message>
  /** Undefined while it is open. */
  end: Reply | undefined
  readonly close: () => void
}

/** Key pairs by their lifetime in seconds; `0` does not expire. */
export const makeKey = async (name: string, seconds: number) => {
  const { privateKey, publicKey } = await generateKey({
    type: "ecc",
    curve: "ed25519Legacy",
    userIDs: [{ name, email: `${name.replace(/\s/g, "-")}@serviceaccount.omni.sidero.dev` }],
    keyExpirationTime: seconds,
    date: new Date(Date.now() - 1000),
    format: "object"
  })
  return { publicKey: publicKey.armor(), account: { name, key: privateKey } satisfies Account }
}

const methods = new Map<string, DescMethod>(
  [...State.methods, ...ManagementService.methods].map((method) => [
    `${method.parent.typeName}/${method.name}`,
    method
  ])
)

export const methodOf = (call: string): DescMethod => {
  const found = methods.get(call)
  if (found === undefined) throw new Error(`no such method: ${call}`)
  return found
}

const minutes = 60_000

/** The recorded properties of a signature, as headers. */
const headersOf = async (
  method: DescMethod,
  request: Json,
  account: Account,
  stranger: Account
): Promise<Metadata> => {
  if (request["unsigned"] === true) return new Metadata()
  const path = pathOf(method)
  const sent = { sent: (request["headers"] ?? {}) as Record<string, string> }
  switch (request["signature"]) {
    case undefined:
      return signedHeaders(account, path, sent)
    case "no OpenPGP signature": {
      const metadata = await signedHeaders(account, path, sent)
      metadata.set("x-sidero-signature", `siderov1 ${account.name} ${account.key.getFingerprint()} bm8=`)
      return metadata
    }
    case "over another method":
      return signedHeaders(account, path, { ...sent, method: "/cosi.resource.State/List" })
    case "10 minutes old":
      return signedHeaders(account, path, { ...sent, at: Date.now() - 10 * minutes })
    case "10 minutes ahead":
      return signedHeaders(account, path, { ...sent, at: Date.now() + 10 * minutes })
    case "4 minutes old":
      return signedHeaders(account, path, { ...sent, at: Date.now() - 4 * minutes })
    case "with an unknown key":
      return signedHeaders(stranger, path, sent)
    case "fingerprint in capitals":
      return signedHeaders(account, path, { ...sent, fingerprint: (right) => right.toUpperCase() })
    default:
      throw new Error(`unknown signature: ${String(request["signature"])}`)
  }
}

const ok: Reply = { code: 0, message: "" }

export const connect = async (endpoint: string, serviceAccountKey: string) => {
  const client = new Client(endpoint.replace(/^\w+:\/\//, ""), credentials.createInsecure(), {
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 100
  })
  const accounts = new Map<string, Account>([["Admin", await accountOf(serviceAccountKey)]])
  const stranger = (await makeKey("automation", 3600)).account
  const identity = (bytes: Buffer) => bytes

  const accountFor = (request: Json): Account => {
    const found = accounts.get(String(request["as"] ?? "Admin"))
    if (found === undefined) throw new Error(`no account for ${String(request["as"])}`)
    return found
  }

  return {
    accounts,
    close: () => client.close(),
    unary: async (call: string, request: Json, message: object, cancelled: Promise<void>): Promise<Reply> => {
      const method = methodOf(call)
      const metadata = await headersOf(method, request, accountFor(request), stranger)
      return new Promise((resolve) => {
        const sent = client.makeUnaryRequest(
          pathOf(method),
          identity,
          (bytes: Buffer) => fromBinary(method.output, bytes),
          Buffer.from(toBinary(method.input, create(method.input, message as never))),
          metadata,
          (error: ServiceError | null, answer?: Message) =>
            resolve(
              error === null
                ? answer === undefined ? ok : { ...ok, answer }
                : { code: error.code, message: error.details }
            )
        )
        void cancelled.then(() => sent.cancel())
      })
    },
    stream: async (call: string, request: Json, message: object): Promise<Streamed> => {
      const method = methodOf(call)
      const metadata = await headersOf(method, request, accountFor(request), stranger)
      const sent = client.makeServerStreamRequest(
        pathOf(method),
        identity,
        (bytes: Buffer) => fromBinary(method.output, bytes),
        Buffer.from(toBinary(method.input, create(method.input, message as never))),
        metadata
      )
      const streamed: Streamed = { messages: [], end: undefined, close: () => sent.cancel() }
      sent.on("data", (each: Message) => streamed.messages.push(each))
      sent.on("error", (error: ServiceError) => {
        streamed.end ??= { code: error.code, message: error.details }
      })
      sent.on("end", () => {
        streamed.end ??= ok
      })
      return streamed
    }
  }
}

export type Connection = Awaited<ReturnType<typeof connect>>
