/** The laws over the backend of `examples/own_backend.ts`, whose cloud is a JSON file that the harness edits. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Harness, HarnessError, makeHarness, type TrueNode } from "kubelayer/testing"
import { describeLaws } from "kubelayer/testing/vitest"
import { mkdtempSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { type Content, layer, make, type Thing } from "../../examples/own_backend.ts"

const path = join(mkdtempSync(join(tmpdir(), "own-backend-")), "cloud.json")
let count = 0

const read = (): Content => JSON.parse(readFileSync(path, "utf8")) as Content
const write = (things: ReadonlyArray<Thing>) => writeFileSync(path, JSON.stringify({ ...read(), things }))
const add = (...things: ReadonlyArray<Omit<Thing, "id" | "createdAt">>) =>
  write([...read().things, ...things.map((thing) => ({ ...thing, id: `h${++count}`, createdAt: 0 }))])
const drop = (isDropped: (thing: Thing) => boolean) => write(read().things.filter((thing) => !isDropped(thing)))

const roles = ["control-plane", "worker", "load-balancer", "helper"]
const nodesOf = (cluster: string): ReadonlyArray<TrueNode> =>
  read().things
    .filter((thing) => thing.kind === "node" && thing.cluster === cluster)
    .map(({ id, name, role = "worker", state = "stopped" }) => ({ cluster, id, name, role, state }))
    .sort((a, b) =>
      roles.indexOf(a.role) - roles.indexOf(b.role) || a.name.localeCompare(b.name, "en", { numeric: true })
    )

const change = (node: TrueNode, state: Thing["state"]) =>
  write(read().things.map((thing) => thing.id === node.id && state !== undefined ? { ...thing, state } : thing))

const own = (cluster: string) =>
  [
    { kind: "network", name: `${cluster}-network`, cluster },
    { kind: "volume", name: `${cluster}-volume`, cluster }
  ] as const

const unowned = () =>
  read().things.filter(({ cluster }) => cluster === undefined).map(({ kind, name }) => `${kind} ${name}`).sort()

const added = (...things: ReadonlyArray<Omit<Thing, "id" | "createdAt">>) =>
  Effect.acquireRelease(
    Effect.sync(() => add(...things)),
    () => Effect.sync(() => drop(({ name }) => things.some((thing) => thing.name === name)))
  )

const harness = Layer.succeed(
  Harness,
  makeHarness({
    patience: Duration.seconds(5),
    uniqueName: Effect.acquireRelease(
      Effect.sync(() => `law-${String.fromCharCode(97 + Math.trunc(count++ / 26) % 26, 97 + count % 26)}`),
      (name) => Effect.sync(() => drop(({ cluster }) => cluster?.startsWith(name) === true))
    ),
    nodes: (cluster) => Effect.sync(() => nodesOf(cluster)),
    seed: (cluster, { controlPlanes, helpers = 0, loadBalancers = 0, state, workers }) =>
      Effect.sync(() => {
        if (!read().things.some(({ name }) => name === `${cluster}-network`)) add(...own(cluster))
        const counts = {
          "control-plane": controlPlanes,
          worker: workers,
          "load-balancer": loadBalancers,
          helper: helpers
        }
        for (const role of ["control-plane", "worker", "load-balancer", "helper"] as const) {
          for (let n = 1; n <= counts[role]; n++) {
            add({ kind: "node", name: `${cluster}-${role}${n}`, cluster, role, state, network: `${cluster}-network` })
          }
        }
        return nodesOf(cluster)
      })
  }, {
    setState: (node, state) => Effect.sync(() => change(node, state)),
    vanish: (node) => Effect.sync(() => drop(({ id }) => id === node.id)),
    outage: Effect.acquireRelease(
      Effect.sync(() => renameSync(path, `${path}.away`)),
      () => Effect.sync(() => renameSync(`${path}.away`, path))
    ),
    addBystanders: (cluster) =>
      added({ kind: "node", name: `${cluster}-worker9` }, { kind: "network", name: `${cluster}-network2` }),
    bystanders: Effect.sync(unowned),
    holdName: (cluster) => added({ kind: "node", name: `${cluster}-worker1` }),
    addLeftovers: (cluster) => Effect.sync(() => add(...own(cluster))),
    leftovers: (cluster) =>
      Effect.try({
        try: () =>
          read().things.filter((thing) => thing.kind !== "node" && thing.cluster === cluster)
            .map(({ kind, name }) => `${kind} ${name}`).sort(),
        catch: (error) => new HarnessError({ action: "read the file", detail: String(error) })
      }),
    detach: (node) =>
      Effect.sync(() =>
        write(
          read().things.map((thing) => {
            const { network: _detached, ...rest } = thing
            return thing.id === node.id ? rest : thing
          })
        )
      ),
    attachments: (cluster) =>
      Effect.sync(() =>
        read().things.flatMap((thing) =>
          thing.cluster === cluster && thing.network !== undefined ? [`${thing.name} ${thing.network}`] : []
        ).sort()
      ),
    second: Effect.sync(() => make(path)),
    secrets: Effect.succeed(["a-credential-that-nobody-shows"])
  })
)

writeFileSync(path, JSON.stringify({ things: [], fates: {} }))

describeLaws({ describe, it }, {
  name: "the backend of the examples",
  layer: layer(path),
  harness,
  capabilities: [
    "change",
    "vanish",
    "outage",
    "bystanders",
    "strict-names",
    "name-held",
    "leftovers",
    "helpers",
    "secrets",
    "create",
    "node-by-node",
    "plan",
    "scale",
    "replace",
    "restart",
    "select",
    "detach",
    "control-planes",
    "second"
  ],
  time: "simulated"
})

it("the backend of the examples is written from public exports alone, in 250 lines (U12)", () => {
  const source = readFileSync(new URL("../../examples/own_backend.ts", import.meta.url), "utf8")
  const imports = [...source.matchAll(/from "([^"]+)"/g)].map(([, specifier = ""]) => specifier)
  const { exports } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    readonly exports: Readonly<Record<string, string>>
  }
  assert.isAbove(imports.length, 10)
  for (const specifier of imports) {
    const isOwn = specifier.startsWith("kubelayer/")
    assert.match(specifier, /^(?:kubelayer|effect)\/|^node:/)
    if (isOwn) assert.property(exports, specifier.replace("kubelayer", "."))
  }
  assert.isAtMost(source.trimEnd().split("\n").length, 250)
})
