/** Compares the resources of a template with those that omnictl 1.9.3 stored for the same template. */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Yaml from "yaml"
import { load } from "../../../src/omni/template/Load.ts"
import { documentsOf } from "../../../src/omni/template/Patches.ts"
import { kindOf, messageOf } from "../../../src/omni/template/Specs.ts"
import { type Expected, translate } from "../../../src/omni/template/Translate.ts"
import { loadProtos } from "../../../src/omni/Wire.ts"

interface Stored {
  readonly kind: string
  readonly id: string
  readonly labels: Record<string, string>
  readonly annotations: Record<string, string>
  readonly spec?: unknown
  readonly data?: string
}

interface Call {
  readonly id: string
  readonly title: string
  readonly call: string
  readonly request: { readonly template?: string }
  readonly reply: { readonly exitCode?: number; readonly resources?: ReadonlyArray<Stored>; readonly text?: string }
}

const recording = (name: string): { readonly calls: ReadonlyArray<Call>; readonly files?: Record<string, string> } =>
  JSON.parse(fs.readFileSync(new URL(`../../recordings/omni-1.9.3/${name}.json`, import.meta.url), "utf8"))

const table = recording("07-templates-as-stored")

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "kubelayer-templates-"))
afterAll(() => fs.rmSync(folder, { recursive: true }))
for (const [name, text] of Object.entries(table.files ?? {})) {
  fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true })
  fs.writeFileSync(path.join(folder, name), text)
}

/** Every template of a recording with the resources that were there after it, kernel arguments of other runs left out. */
const templates = (name: string) =>
  recording(name).calls.filter(({ call, reply, request }) =>
    call === "omnictl cluster template sync" && reply.exitCode === 0 && reply.resources !== undefined &&
    // A machine id in capitals is refused here: it never matches a machine.
    request.template?.startsWith("kind: ") === true && !request.template.includes("ABCDEF00")
  )

const keyOf = ({ id, kind }: { readonly kind: string; readonly id: string }) => `${kind} ${id}`

const stored = (call: Call) =>
  (call.reply.resources ?? []).map(({ annotations, data, id, kind, labels, spec }) => ({
    key: keyOf({ kind, id }),
    labels,
    annotations,
    // The server's YAML of the spec indents the text after these breaks once more.
    spec: data === undefined ? spec : { data: data.replace(/([\u2028\u2029]) {4}/g, "$1") }
  }))

const protos = await loadProtos()

const made = (expected: ReadonlyArray<Expected>) =>
  expected.map((each) => {
    const kind = kindOf(each.kind)
    const schema = kind.schema(protos.specs) as never
    return {
      key: keyOf({ kind: kind.type.replace(/\.omni\.sidero\.dev$/, ""), id: each.id }),
      labels: each.labels,
      annotations: each.annotations,
      spec: protos.protobuf.toJson(schema, protos.protobuf.create(schema, messageOf(each) as never), {
        enumAsInteger: true
      })
    }
  })

const byKey = <A extends { readonly key: string }>(all: ReadonlyArray<A>) =>
  Object.fromEntries([...all].sort((a, b) => a.key < b.key ? -1 : 1).map((each) => [each.key, each]))

const resourcesOf = (template: string) =>
  Effect.map(load(template, { baseDirectory: folder }), (loaded) => translate(loaded, { knowsInstallDisk: false }))

describe("a template becomes what omnictl stores, byte for byte (O9, O10, O14, O15, O17)", () => {
  for (const call of templates("07-templates-as-stored")) {
    it.effect(`${call.title} (${call.id})`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(
          byKey(made(yield* resourcesOf(call.request.template ?? ""))),
          byKey(stored(call)) as never
        )
      }))
  }
  for (const call of templates("09-template-changes")) {
    it.effect(`${call.title} (${call.id})`, () =>
      Effect.gen(function*() {
        const own = made(yield* resourcesOf(call.request.template ?? ""))
        const there = byKey(stored(call))
        for (const each of own) assert.deepStrictEqual(each, there[each.key] as never)
        // Kernel arguments of machines that left the template stay.
        const rest = Object.keys(there).filter((key) => !own.some((each) => each.key === key))
        assert.deepStrictEqual(rest.filter((key) => !key.startsWith("KernelArgs ")), [])
      }))
  }
})

describe("a text that omnictl stored", () => {
  it("is read as the template's own content", () => {
    for (const call of templates("07-templates-as-stored")) {
      for (const { data, id } of call.reply.resources ?? []) {
        if (data === undefined) continue
        assert.deepStrictEqual(documentsOf(Yaml, data).faults, [], id)
      }
    }
  })
})
