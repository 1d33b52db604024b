/** The recordings of omnictl 1.9.3 on the fake: it stores what the server stored, and refuses what the server refused. */
import { create, toBinary } from "@bufbuild/protobuf"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { parseAllDocuments } from "yaml"
import { MachineSetSpecSchema } from "../../../src/omni/proto/specs_pb.ts"
import { refusal, resource, stage } from "../fake/wire.ts"
import { differences, type Json, type RecordedCall, recording, specBytes, specOf } from "./recordings.ts"

interface StoredResource {
  readonly kind: string
  readonly id: string
  readonly labels: Record<string, string>
  readonly annotations: Record<string, string>
  readonly spec?: Json
  /** Of config patches, in place of the spec. */
  readonly data?: string
  readonly yaml?: string
}

const o = "omni.sidero.dev/"

const options = {
  talosVersions: ["1.11.5", "1.12.1"].map((version) => ({ version, kubernetes: ["1.33.0", "1.34.1", "1.35.0"] })),
  machineClasses: { small: ["site = a"], large: ["site = a"] },
  pace: "1 hour"
} as const

/** The order in which omnictl writes. */
const order = [
  "Clusters",
  "ExtensionsConfigurations",
  "ConfigPatches",
  "KubernetesManifestGroups",
  "KubernetesHealthChecks",
  "MachineSets",
  "MachineSetNodes",
  "KernelArgs"
]

const storedBy = ({ reply }: RecordedCall): ReadonlyArray<StoredResource> =>
  [...(reply["resources"] ?? []) as ReadonlyArray<StoredResource>]
    .sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind))

const syncs = ["07-templates-as-stored", "09-template-changes"].flatMap((scenario) =>
  recording(scenario).calls.filter(({ call, reply }) =>
    call === "omnictl cluster template sync" && reply["exitCode"] === 0 && Array.isArray(reply["resources"])
  )
)

describe("the fake stores what omnictl stores", () => {
  for (const call of syncs) {
    it.live(`${call.id}: ${call.title}`, () =>
      Effect.gen(function*() {
        const omni = yield* stage(options)
        const found: Array<string> = []
        for (const each of storedBy(call)) {
          const type = `${each.kind}.omni.sidero.dev`
          const recorded = each.spec ?? { data: each.data }
          const sent = resource(each.kind, each.id, { labels: each.labels, spec: specBytes(type, recorded) })
          const made = yield* omni.call("create", {
            resource: { ...sent, metadata: { ...sent.metadata, annotations: each.annotations } },
            options: {}
          })
          const { metadata, spec } = made.resource ?? {}
          const documents = (text: string) => parseAllDocuments(text).map((document) => document.toJS() as unknown)
          found.push(
            ...[
              ...differences(each.labels, metadata?.labels, "labels"),
              ...differences(each.annotations, metadata?.annotations, "annotations"),
              ...differences(recorded, made.resource === undefined ? {} : specOf(made.resource), "spec"),
              ...(each.yaml === undefined
                ? []
                : differences(documents(each.yaml), documents(spec?.yamlSpec ?? ""), "yaml"))
            ].map((line) => `${each.kind} ${each.id}: ${line}`)
          )
        }
        assert.deepStrictEqual(found, [])
      }))
  }
})

describe("templates that omnictl 1.9.3 or the server refuses", () => {
  const { calls } = recording("08-templates-refused")

  it("are refused by the server in the middle of a sync only for what this file and the replay test", () => {
    const byServer = calls.filter(({ reply }) => String(reply["message"]).includes("rpc error"))
    assert.deepStrictEqual(byServer.map(({ title }) => title), [
      "a backup interval of 10 s (refused by the server)",
      "an unknown extension (refused by the server)",
      "a machine class that does not exist (refused by the server)",
      "a bootstrap spec with an unknown cluster UUID (refused by the server)"
    ])
  })

  it.live("with a bootstrap spec of a cluster that does not exist are refused by the fake, too", () =>
    Effect.gen(function*() {
      const { fake, make } = yield* stage(options)
      yield* fake.put("Clusters", { id: "tr", spec: { talosVersion: "1.11.5", kubernetesVersion: "1.34.1" } })
      const recorded = calls.find(({ title }) => title.includes("bootstrap spec"))
      const said = /invalid cluster UUID/.exec(String(recorded?.reply["message"]))?.[0] ?? "none"
      const spec = toBinary(
        MachineSetSpecSchema,
        create(MachineSetSpecSchema, { updateStrategy: 1, bootstrapSpec: { clusterUuid: "nope", snapshot: "x" } })
      )
      const labels = { [`${o}cluster`]: "tr", [`${o}role-controlplane`]: "" }
      assert.include(yield* refusal(make("MachineSets", "tr-control-planes", { labels, spec })), said)
    }))
})
