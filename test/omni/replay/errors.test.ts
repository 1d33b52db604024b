/** The error table over every refusal in the recordings of Omni 1.9.3: each becomes exactly one reason. */
import { assert, describe, it } from "@effect/vitest"
import type { ReasonTag } from "kubelayer/Reason"
import { codes, connectionFailure, oneLine, reasonOf, type Role } from "../../../src/omni/Errors.ts"
import { type RecordedCall, recordings } from "./recordings.ts"

const roleOf = ({ call }: RecordedCall): Role =>
  /ServiceAccount/.test(call)
    ? "Admin"
    : /\/(?:Get|List|Watch|MachineLogs|ValidateConfig|Talosconfig|Omniconfig|KubernetesUpgradePreChecks)$/.test(call)
    ? "Reader"
    : "Operator"

/** The message that grpc-js creates itself when the server sends none. */
const ownDeadline = "<the client's own deadline>"

const refusals = recordings.flatMap(({ calls }) =>
  calls.flatMap((call) => {
    const code = call.note === true ? null : call.reply["code"]
    return typeof code !== "number" || code === 0 ? [] : [{ call, code, message: String(call.reply["message"]) }]
  })
)

/** The reason that a refusal must have, by what the server says. */
const expected: ReadonlyArray<readonly [code: keyof typeof codes, text: RegExp, reason: ReasonTag]> = [
  ["UNKNOWN", /is not in phase/, "Conflict"],
  ["UNKNOWN", /doesn't exist/, "NotFoundError"],
  ["UNKNOWN", /key lifetime|key does not contain|unknown role|owner is already set/, "InvalidInput"],
  ["UNKNOWN", /error parsing version|unknown phase|spec is missing|unexpected EOF/, "InvalidInput"],
  ["UNKNOWN", /not supported/, "UnsupportedError"],
  ["UNKNOWN", /^$/, "UnknownError"],
  ["INVALID_ARGUMENT", /is locked/, "Protected"],
  ["INVALID_ARGUMENT", /is not in phase/, "Conflict"],
  ["INVALID_ARGUMENT", /is tearing down/, "Conflict"],
  ["INVALID_ARGUMENT", /still in use/, "InUse"],
  ["INVALID_ARGUMENT", /[^]/, "InvalidInput"],
  ["DEADLINE_EXCEEDED", /throttled/, "RateLimited"],
  ["DEADLINE_EXCEEDED", /[^]/, "RequestTimeout"],
  ["NOT_FOUND", /[^]/, "NotFoundError"],
  ["ALREADY_EXISTS", /[^]/, "NameTaken"],
  ["PERMISSION_DENIED", /no access|only read|only create|not allowed/, "UnsupportedError"],
  ["PERMISSION_DENIED", /is owned by/, "Protected"],
  ["PERMISSION_DENIED", /insufficient role/, "ReadOnlyCredential"],
  ["FAILED_PRECONDITION", /EULA/, "Protected"],
  ["FAILED_PRECONDITION", /pending finalizers/, "InUse"],
  ["FAILED_PRECONDITION", /static infra provider/, "UnsupportedError"],
  ["FAILED_PRECONDITION", /[^]/, "Conflict"],
  ["UNIMPLEMENTED", /[^]/, "UnsupportedError"],
  ["INTERNAL", /RST_STREAM/, "Transport"],
  ["INTERNAL", /[^]/, "ServerFault"],
  ["UNAVAILABLE", /Connection dropped/, "Transport"],
  ["UNAVAILABLE", /[^]/, "ServerFault"],
  ["UNAUTHENTICATED", /[^]/, "Unauthorized"]
]

describe("every refusal of Omni 1.9.3", () => {
  it("was recorded: the test has something to test", () => assert.isAbove(refusals.length, 150))

  for (const { call, code, message } of refusals) {
    it(`${call.id}: ${call.title}`, () => {
      if (message === ownDeadline) return assert.strictEqual(code, codes.DEADLINE_EXCEEDED)
      if (/No connection established/.test(message)) {
        return assert.include(connectionFailure(code, message)?.detail ?? "", "nothing listens there")
      }
      const role = roleOf(call)
      const [, , tag] = expected.find(([name, text]) => codes[name] === code && text.test(message)) ?? []
      const reason = reasonOf({ code, message, role })
      const readsOnly = role === "Reader" && tag === "ReadOnlyCredential"
      assert.strictEqual(reason._tag, readsOnly ? "Unauthorized" : tag, message)
      assert.notMatch(reason.detail, /rpc error|errors? occurred|\n/)
      assert.include(
        reason.detail.replaceAll("…", ""),
        oneLine(message).replaceAll("…", "").slice(0, 40)
      )
    })
  }
})
