import { assert, describe, it } from "@effect/vitest"
import { Ajv2020 } from "ajv/dist/2020.js"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Document from "kubelayer/Document"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const head = (backend: string, name = "dev") =>
  `apiVersion: kubelayer/v1\nkind: Cluster\nbackend: ${backend}\nname: ${name}\n`

const issuesOf = (text: string) =>
  Document.parse(text).pipe(
    Effect.flip,
    Effect.map(({ issues }) => issues.map(({ message, path }) => `${path}: ${message}`))
  )

const clusterOf = (text: string) =>
  Effect.map(Document.parse(text), ([first]) => {
    assert(first?.kind === "Cluster")
    return first.document
  })

describe("parse", () => {
  it.effect("reads clusters of several backends from one text", () =>
    Effect.gen(function*() {
      const documents = yield* Document.parse(
        `${head("docker")}scheme: kind\nworkers: 2\n---\n${head("hetzner", "prod")}instance: eu\n---\n${head("memory")}`
      )
      assert.deepStrictEqual(
        documents.map(({ backend, instance, kind, name }) => ({ backend, instance, kind, name })),
        [
          { backend: "docker", instance: undefined, kind: "Cluster", name: "dev" },
          { backend: "hetzner", instance: "eu", kind: "Cluster", name: "prod" },
          { backend: "memory", instance: undefined, kind: "Cluster", name: "dev" }
        ]
      )
    }))

  it.effect("gives one control plane and no workers where no count is given", () =>
    Effect.gen(function*() {
      const { controlPlanes, workers } = yield* clusterOf(head("memory"))
      assert.deepStrictEqual({ controlPlanes, workers }, { controlPlanes: 1, workers: 0 })
    }))

  it.effect("reports every issue at once, with line, column and the nearest known word", () =>
    Effect.gen(function*() {
      const issues = yield* issuesOf(
        `${
          head("docker")
        }wrkers: 1\ncontrolPlanes: 0\nnodes:\n  imge: a\n  pull: alway\n  ports: [{ container: 99999 }]\n`
      )
      assert.deepStrictEqual(issues, [
        "5:1 wrkers: unknown field; did you mean workers?",
        "6:1 controlPlanes: must be an integer from 1 to 1000, got 0",
        "8:3 nodes.imge: unknown field; did you mean image?",
        "9:3 nodes.pull: must be \"missing\", \"always\" or \"never\", got \"alway\"; did you mean always?",
        "10:13 nodes.ports[0].container: must be an integer from 1 to 65535, got 99999"
      ])
    }))

  it.effect("names the field of a header that is wrong, and reads no other field of that document", () =>
    Effect.gen(function*() {
      const issues = yield* issuesOf("apiVersion: kubelayer/v2\nkind: Cluster\nbackend: dokcer\nname: dev\nx: 1\n")
      assert.deepStrictEqual(issues, [
        "1:1 apiVersion: must be kubelayer/v1, got \"kubelayer/v2\"; did you mean kubelayer/v1?",
        "3:1 backend: must be docker, hetzner, omni, memory, got \"dokcer\"; did you mean docker?"
      ])
    }))

  it.effect("reports two documents of one cluster, and allows one name on two backends", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* issuesOf(`${head("memory")}---\n${head("memory")}`), [
        "9:1 name: cluster \"dev\" has a document at 4:1 already"
      ])
      assert.lengthOf(yield* Document.parse(`${head("memory")}---\n${head("docker")}`), 2)
    }))

  it.effect("reports pools of one name and pools without a control plane", () =>
    Effect.gen(function*() {
      const pools = "pools:\n- { name: a, role: worker, count: 1 }\n- { name: a, role: worker, count: 2 }\n"
      assert.deepStrictEqual(yield* issuesOf(head("hetzner") + pools), [
        "5:1 pools: no pool has the role control-plane; add one, or set `controlPlanes`",
        "7:5 pools[1].name: \"a\" is the name of pools[0] too"
      ])
    }))

  it.effect("keeps a secret out of its messages", () =>
    Effect.gen(function*() {
      const secret = "hunter2-token"
      const issues = yield* issuesOf(
        `${head("hetzner")}nodes: { userData: ${secret} }\nsshKeys: [[${secret}]]\n---\n${
          head("docker")
        }nodes: { env: { A: [${secret}] } }\n`
      )
      assert.lengthOf(issues, 3)
      assert.notInclude(issues.join("\n"), secret)
    }))

  const refused: ReadonlyArray<readonly [what: string, text: string, says: RegExp]> = [
    ["tabs", `${head("memory")}labels:\n\ta: b\n`, /6:1: Tabs are not allowed/],
    ["duplicate keys", `${head("memory")}name: other\n`, /5:1: Map keys must be unique/],
    ["a text of more than a mebibyte", `# ${"x".repeat(1024 * 1024)}`, /has 1048578 bytes, at most 1048576/],
    ["a text that is nested too deeply", `${head("memory")}x: ${"[".repeat(100_000)}`, /nested too deeply/],
    ["an empty text", "# nothing\n", /the text has no document/],
    ["a document that is a list", "- a\n", /must be a mapping/],
    ["a name that is a flag", head("memory", "--all"), /4:1 name: must be a cluster name/]
  ]
  for (const [what, text, says] of refused) {
    it.effect(`refuses ${what}`, () => Effect.map(issuesOf(text), (issues) => assert.match(issues.join("\n"), says)))
  }

  it.effect("refuses aliases that multiply without end", () =>
    Effect.gen(function*() {
      const lines = [..."bcdefghij"].map((name, index) =>
        `${name}: &${name} [${Array(9).fill(`*${"abcdefghi"[index]}`)}]`
      )
      const issues = yield* issuesOf(`a: &a [x,x,x,x,x,x,x,x,x]\n${lines.join("\n")}\n`)
      assert.match(issues.join("\n"), /Excessive alias count/)
    }))

  it.effect("takes a cluster template of Omni as it is, with the lines that it has in the file", () =>
    Effect.gen(function*() {
      const template = "kind: Cluster\nname: edge\n---\nkind: ControlPlane\n"
      const documents = yield* Document.parse(`${head("memory")}---\n${template}---\n${head("memory", "b")}`)
      assert.deepStrictEqual(documents.map(({ kind, name }) => `${kind} ${name}`), [
        "Cluster dev",
        "Template edge",
        "Cluster b"
      ])
      const [, found] = documents
      assert(found?.kind === "Template")
      assert.strictEqual(found.template.split("\n").findIndex((line) => line === "kind: Cluster"), 5)
      assert.include(found.template, "kind: ControlPlane")
      assert.notInclude(found.template, "kubelayer/v1")
    }))
})

describe("resolve", () => {
  const withFolder = <A, E>(f: (folder: string) => Effect.Effect<A, E>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "document-"))),
      f,
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    )

  it.effect("replaces references by the variable and the file that they name", () =>
    withFolder((folder) =>
      Effect.gen(function*() {
        writeFileSync(join(folder, "user-data"), "#cloud-config\n")
        const docker = yield* clusterOf(`${head("docker")}nodes: { env: { A: { env: SECRET }, B: plain } }\n`)
        const hetzner = yield* clusterOf(`${head("hetzner")}nodes: { userData: { file: user-data } }\n`)
        const spec = yield* Document.resolve(docker, { directory: folder })
        assert.deepStrictEqual(spec["nodes"], { env: { A: "hidden", B: "plain" } })
        assert.strictEqual(spec.cluster, "dev")
        const { nodes } = (yield* Document.resolve(hetzner, { directory: folder })) as unknown as {
          readonly nodes: { readonly userData: Redacted.Redacted<string> }
        }
        assert.strictEqual(Redacted.value(nodes.userData), "#cloud-config\n")
      })
    ).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ SECRET: "hidden" })))))

  it.effect("reads no file outside of the document's folder, also through a link, and reports all issues", () =>
    withFolder((folder) =>
      Effect.gen(function*() {
        const inner = join(folder, "inner")
        mkdirSync(inner)
        writeFileSync(join(folder, "outside"), "secret")
        symlinkSync(join(folder, "outside"), join(inner, "link"))
        const text = `${head("docker")}nodes:\n  env:\n    A: { file: ../outside }\n    B: { file: /etc/hostname }\n` +
          "    C: { file: link }\n    D: { file: missing }\n    E: { env: NOT_SET }\n"
        const [found] = yield* Document.parse(text)
        assert(found?.kind === "Cluster")
        const error = yield* Effect.flip(Document.resolve(found.document, { directory: inner }))
        assert.deepStrictEqual(
          found.locate(error).issues.map(({ path }) => path),
          ["7:5 nodes.env.A", "8:5 nodes.env.B", "9:5 nodes.env.C", "10:5 nodes.env.D", "11:5 nodes.env.E"]
        )
        assert.match(error.message, /"\.\.\/outside" is outside/)
        assert.match(error.message, /"\/etc\/hostname" is outside/)
        assert.match(error.message, /"link": it is outside/)
        assert.match(error.message, /NOT_SET is not set/)
        assert.notInclude(error.message, "secret\n")
      })
    ).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({})))))
})

describe("docs/cli.md", () => {
  it.effect("shows documents that are valid", () =>
    Effect.gen(function*() {
      const page = readFileSync(join(import.meta.dirname, "../docs/cli.md"), "utf8")
      const fences = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = ""]) => text)
      assert.isNotEmpty(fences)
      for (const text of fences) assert.isNotEmpty(yield* Document.parse(text))
    }))
})

describe("format", () => {
  it.effect("writes documents that parse reads back, with their comments", () =>
    Effect.gen(function*() {
      const document = yield* clusterOf(
        `${head("docker")}nodes: { env: { A: { env: B }, DATE: "2026-11-27", OCTAL: "010", ON: "on" } }\n`
      )
      const text = yield* Document.format([{ document, comments: ["written by get"] }, {
        document: { ...document, name: "other" }
      }])
      assert.include(text, "# written by get\n")
      assert.match(text, /DATE: "2026-11-27"/)
      assert.match(text, /ON"?: "on"/)
      const [first, second] = yield* Document.parse(text)
      assert(first?.kind === "Cluster")
      assert.deepStrictEqual(first.document, document)
      assert.strictEqual(second?.name, "other")
    }))
})

describe("jsonSchema", () => {
  const validate = new Ajv2020({ strict: false }).compile(Document.jsonSchema())

  it("accepts what parse accepts, and refuses an unknown field", () => {
    const base = { apiVersion: "kubelayer/v1", kind: "Cluster", name: "dev" }
    assert.isTrue(validate({ ...base, backend: "docker", workers: 2, nodes: { image: "a", env: { A: { env: "B" } } } }))
    assert.isTrue(validate({ ...base, backend: "hetzner", pools: [{ name: "a", role: "control-plane", count: 1 }] }))
    assert.isFalse(validate({ ...base, backend: "docker", wrkers: 2 }))
    assert.isFalse(validate({ ...base, backend: "memory", controlPlanes: 0 }))
    assert.isFalse(validate({ ...base, backend: "hetzner", nodes: { userData: "text" } }))
  })

  it("describes fields for an editor", () => {
    assert.include(JSON.stringify(Document.jsonSchema()), "Number of workers")
  })
})
