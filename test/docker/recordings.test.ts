/** The error table and the wire schemas over every reply in the recordings of real engines. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import type { ReasonTag } from "kubelayer/Reason"
import { pullReasonOf, reasonOf } from "../../src/docker/Errors.ts"
import * as Wire from "../../src/docker/Wire.ts"
import { bodyText, engines, pathOf, type Recording, recordings } from "./recordings.ts"

const refusals = recordings.filter(({ reply }) => reply !== undefined && reply.status >= 400)

const reasonFor = (record: Recording): ReasonTag => {
  const refusal = { status: record.reply?.status ?? 0, text: bodyText(record), method: record.method }
  return (pathOf(record).startsWith("/images/create?from") ? pullReasonOf(refusal) : reasonOf(refusal))._tag
}

/** The reason of each refused request, by its id. */
const expected: Readonly<Record<string, ReasonTag>> = {
  "prefix-1.23": "InvalidInput",
  "prefix-1.24": "InvalidInput",
  "prefix-1.44": "InvalidInput",
  "prefix-1.47": "InvalidInput",
  "prefix-1.56": "InvalidInput",
  "prefix-1.60": "InvalidInput",
  "prefix-1.99": "InvalidInput",
  "path-unknown": "UnsupportedError",
  "method-wrong": "UnsupportedError",
  "image-inspect-a": "NotFoundError",
  "image-inspect-missing": "NotFoundError",
  "image-pull-unreachable": "ServerFault",
  "image-pull-bad-name": "InvalidInput",
  "image-remove-missing": "NotFoundError",
  "network-create-duplicate": "NameTaken",
  "network-create-overlap": "Conflict",
  "network-create-overlap-part": "Conflict",
  "network-create-host-bits": "InvalidInput",
  "network-inspect-host-bits": "NotFoundError",
  "network-create-bad-subnet": "InvalidInput",
  "network-create-driver": "InvalidInput",
  "network-create-name-empty": "InvalidInput",
  "network-inspect-missing": "NotFoundError",
  "network-connect-again": "InUse",
  "network-connect-stopped-again": "InUse",
  "network-connect-missing-container": "NotFoundError",
  "network-connect-missing-network": "NotFoundError",
  "network-disconnect-again": "NotFoundError",
  "network-disconnect-stopped-again": "NotFoundError",
  "network-disconnect-missing-container": "NotFoundError",
  "network-remove-in-use": "InUse",
  "network-remove-used-by-stopped": "InUse",
  "network-start-after-remove": "NotFoundError",
  "network-start-after-create-again": "NotFoundError",
  "network-remove-missing": "NotFoundError",
  "network-remove-predefined": "UnsupportedError",
  "volume-create-driver": "InvalidInput",
  "volume-create-bad-name": "InvalidInput",
  "volume-inspect-missing": "NotFoundError",
  "volume-remove-in-use": "InUse",
  "volume-remove-missing": "NotFoundError",
  "create-name-taken": "NameTaken",
  "create-image-missing": "NotFoundError",
  "create-network-missing": "NotFoundError",
  "create-network-missing-start": "NotFoundError",
  "create-address-outside": "InvalidInput",
  "create-address-outside-start": "InvalidInput",
  "create-name-one-letter": "InvalidInput",
  "create-name-invalid": "InvalidInput",
  "create-memory-low": "InvalidInput",
  "create-wrong-type": "InvalidInput",
  "create-port-invalid": "InvalidInput",
  "create-mount-missing": "InvalidInput",
  "create-two-endpoints": "InvalidInput",
  "create-restart-unknown": "InvalidInput",
  "start-missing": "NotFoundError",
  "start-address-taken": "InUse",
  "start-port-taken-by-process": "InUse",
  "start-port-taken-by-container": "InUse",
  "start-command-missing": "InvalidInput",
  "start-auto-remove": "NotFoundError",
  "inspect-missing": "NotFoundError",
  "list-status-restarting": "InvalidInput",
  "filter-status-dead": "InvalidInput",
  "filter-status-unknown": "InvalidInput",
  "filter-unknown": "InvalidInput",
  "filter-malformed": "InvalidInput",
  "stop-missing": "NotFoundError",
  "stop-paused": "Conflict",
  "kill-stopped": "Conflict",
  "kill-signal-invalid": "InvalidInput",
  "pause-created": "Conflict",
  "pause-again": "Conflict",
  "pause-stopped": "Conflict",
  "pause-missing": "NotFoundError",
  "unpause-running": "Conflict",
  "unpause-stopped": "Conflict",
  "start-paused": "Conflict",
  "restart-paused": "Conflict",
  "exec-paused": "Conflict",
  "remove-paused": "Conflict",
  "remove-running": "Conflict",
  "remove-twice": "NotFoundError",
  "remove-missing": "NotFoundError",
  "wait-missing": "NotFoundError",
  "logs-no-stream": "InvalidInput",
  "logs-missing": "NotFoundError",
  "exec-created": "Conflict",
  "exec-stopped": "Conflict",
  "exec-empty": "InvalidInput",
  "exec-user-missing-create": "InvalidInput",
  "exec-user-missing-start": "InvalidInput",
  "exec-start-again": "Conflict",
  "exec-missing-container": "NotFoundError",
  "exec-start-missing": "NotFoundError",
  "exec-inspect-missing": "NotFoundError",
  "events-filter-malformed": "InvalidInput",
  "events-filter-unknown": "InvalidInput"
}

/** Requests that one engine answers for another cause than the others. */
const exceptions: Readonly<Record<string, ReasonTag>> = {
  // Docker 20.10 searches for a network without a name before it checks the name.
  "docker-20.10.24 network-create-name-empty": "NameTaken",
  // Docker 29 refused the create, so there is no container to start.
  "docker-29 create-address-outside-start": "NotFoundError"
}

describe("the error table over the recordings", () => {
  for (const engine of engines) {
    it(`every refusal of ${engine} has the reason of its cause (P6)`, () => {
      const found = refusals.filter((record) => record.engine === engine)
      assert.isAbove(found.length, 60)
      assert.deepStrictEqual(
        Object.fromEntries(found.map((record) => [record.id, reasonFor(record)])),
        Object.fromEntries(
          found.map(({ id }) => [id, exceptions[`${engine} ${id}`] ?? expected[id]])
        )
      )
    })
  }

  it("no refusal is shown as JSON or as more than one line", () => {
    for (const record of refusals) {
      const { detail } = reasonOf({ status: record.reply?.status ?? 0, text: bodyText(record) })
      assert.notMatch(detail, /^\{|\n/, `${record.engine} ${record.id}`)
    }
  })

  it("a pull that fails as a line of a reply has the same reason as a refused one (D17)", () => {
    const line = recordings.find(({ engine, id }) => engine === "podman-4.3.1" && id === "image-pull-unreachable")
    const lines = (line?.reply?.body ?? []) as ReadonlyArray<{ readonly error?: string }>
    const error = lines.find((each) => each.error !== undefined)?.error
    assert.strictEqual(pullReasonOf({ status: 200, text: error ?? "" })._tag, "ServerFault")
  })
})

describe("the wire schemas over the recordings", () => {
  const schemas: ReadonlyArray<readonly [method: string, path: RegExp, schema: Schema.Codec<unknown, unknown>]> = [
    ["GET", /^\/containers\/json/, Wire.ContainerList],
    ["GET", /^\/containers\/[^/]+\/json/, Wire.ContainerInspect],
    ["POST", /^\/containers\/create/, Wire.Created],
    ["POST", /^\/containers\/[^/]+\/exec$/, Wire.Created],
    ["GET", /^\/exec\/[^/]+\/json/, Wire.ExecInspect],
    ["GET", /^\/networks(?:\?|$)/, Wire.NetworkList],
    ["POST", /^\/networks\/create/, Wire.Created],
    ["GET", /^\/volumes(?:\?|$)/, Wire.VolumeList],
    ["POST", /^\/volumes\/create/, Wire.Volume],
    ["GET", /^\/version$/, Wire.Version]
  ]
  for (const engine of engines) {
    it(`every whole reply of ${engine} decodes`, () => {
      let decoded = 0
      for (const record of recordings.filter((each) => each.engine === engine && each.trimmed !== true)) {
        const { reply } = record
        if (reply === undefined || reply.status >= 300) continue
        const found = schemas.find(([method, path]) => method === record.method && path.test(pathOf(record)))
        if (found !== undefined) {
          Schema.decodeUnknownSync(found[2])(reply.body)
          decoded++
        } else if (pathOf(record).startsWith("/events")) {
          for (const event of reply.body as ReadonlyArray<unknown>) {
            Schema.decodeUnknownSync(Wire.Event)(event)
            decoded++
          }
        }
      }
      assert.isAbove(decoded, 100)
    })
  }
})
