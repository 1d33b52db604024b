// runs on: memory
/**
 * A backend of your own: a "cloud" that is a JSON file, with networks and volumes beside its nodes.
 *
 * The file says what exists. Everything else comes from `Backend.make`: start, stop, create, plan, apply, scale, delete,
 * sweep and watch. `docs/adding-a-backend.md` explains each part.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Backend from "kubelayer/Backend"
import { NodeInfo } from "kubelayer/Model"
import { type ClusterSpec, NodeCreator, Provider } from "kubelayer/Provider"
import { ProviderUnavailable } from "kubelayer/ProviderError"
import { Difference, InUse, NameTaken, NotFoundError } from "kubelayer/Reason"
import { Done } from "kubelayer/Report"
import { runScript } from "kubelayer/Script"
import { randomUUID } from "node:crypto"
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

// -----------------------------------------------------------------------------
// The cloud: an API that knows nothing of kubelayer
// -----------------------------------------------------------------------------

type Kind = "node" | "network" | "volume"

/** One machine, network or volume. Without a cluster it belongs to no cluster that kubelayer knows. */
export interface Thing {
  readonly id: string
  readonly kind: Kind
  readonly name: string
  readonly createdAt: number
  readonly cluster?: string
  readonly role?: NodeInfo["role"]
  readonly state?: "running" | "stopped"
  readonly network?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly mark?: Partial<Backend.Mark>
}

export interface Content {
  readonly things: ReadonlyArray<Thing>
  readonly fates: Readonly<Record<string, Backend.Fate>>
}

export const openCloud = (path: string) => {
  const call = <A>(f: (content: Content) => A): Effect.Effect<A, ProviderUnavailable> =>
    Effect.suspend(() =>
      existsSync(path)
        ? Effect.sync(() => f(JSON.parse(readFileSync(path, "utf8")) as Content))
        : Effect.fail(
          new ProviderUnavailable({ provider: "file", address: path, detail: "no such file", advice: "Create it." })
        )
    )
  const save = (content: Content) => {
    writeFileSync(`${path}.new`, JSON.stringify(content))
    renameSync(`${path}.new`, path)
  }
  const edit = (id: string, change: (thing: Thing) => ReadonlyArray<Thing>) =>
    Effect.flatMap(
      call((content) => {
        const known = content.things.some((thing) => thing.id === id)
        if (known) save({ ...content, things: content.things.flatMap((one) => one.id === id ? change(one) : [one]) })
        return known
      }),
      (known) => known ? Effect.void : Backend.fail(new NotFoundError({ detail: `there is nothing with the id ${id}` }))
    )
  return {
    list: (kind: Kind) => call(({ things }) => things.filter((thing) => thing.kind === kind)),
    create: (thing: Omit<Thing, "id" | "createdAt">) =>
      Effect.flatMap(Effect.clockWith((clock) => clock.currentTimeMillis), (createdAt) =>
        Effect.flatMap(
          call((content) => {
            const taken = content.things.some(({ kind, name }) => kind === thing.kind && name === thing.name)
            const created = { ...thing, id: randomUUID(), createdAt }
            if (!taken) save({ ...content, things: [...content.things, created] })
            return taken ? undefined : created
          }),
          (created) =>
            created === undefined
              ? Backend.fail(new NameTaken({ detail: `the name ${thing.name} is used`, by: thing.name }))
              : Effect.succeed(created)
        )),
    update: (id: string, change: Partial<Thing>) => edit(id, (thing) => [{ ...thing, ...change }]),
    remove: (id: string) =>
      Effect.gen(function*() {
        const { things } = yield* call((content) => content)
        const name = things.find((thing) => thing.id === id)?.name
        const user = things.find(({ network }) => network !== undefined && network === name)
        if (user !== undefined) return yield* Backend.fail(new InUse({ detail: `it is used by node ${user.name}` }))
        return yield* edit(id, () => [])
      }),
    /** The first decision about an operation stays. */
    decide: (operation: string, fate: Backend.Fate) =>
      call((content) => {
        const decided = content.fates[operation] ?? fate
        save({ ...content, fates: { ...content.fates, [operation]: decided } })
        return decided
      }),
    forget: (operation: string) =>
      call(({ fates: { [operation]: _forgotten, ...fates }, things }) => save({ things, fates }))
  }
}

type Cloud = ReturnType<typeof openCloud>
type CanRead = Pick<Cloud, "list">

// -----------------------------------------------------------------------------
// The kinds of things
// -----------------------------------------------------------------------------

type Wanted = Omit<Thing, "id" | "kind" | "createdAt">

/** The members that are the same for all kinds. */
const makeKind = (kind: Kind, order: number) => ({
  kind,
  order,
  list: (read: CanRead) => Backend.retrying(read.list(kind)),
  identity: ({ id, name }: Thing) => ({ id, name }),
  nameOf: ({ name }: Wanted) => name,
  owner: ({ cluster, mark }: Thing) => cluster === undefined ? undefined : { cluster, ...mark },
  createdAt: ({ createdAt }: Thing) => createdAt,
  create: (write: Cloud, wanted: Wanted, task: Backend.Task) =>
    task.send("create", write.create({ ...wanted, kind, cluster: task.cluster, mark: task.mark })),
  remove: (write: Cloud, { id }: Thing, task: Backend.Task) => Backend.retrying(task.send("delete", write.remove(id)))
})

const plain = (kind: "network" | "volume"): Backend.Resource<Wanted, Thing, CanRead, Cloud> => ({
  ...makeKind(kind, 0),
  diff: () => []
})
const networks = plain("network")
const volumes = plain("volume")

const nodes: Backend.NodeResource<Wanted, Thing, CanRead, Cloud> = {
  ...makeKind("node", 1),
  kind: "node",
  placeOf: ({ role = "worker" }) => ({ role }),
  info: ({ id, name, role = "worker", state = "stopped" }, clusterName) => {
    const addresses = { private: [], public: [] }
    return new NodeInfo({ id, name, clusterName, role, state, rawRole: role, rawState: state, addresses })
  },
  // Created and not started: a create that finds it goes on with it.
  isUnfinished: ({ mark, state }) => mark !== undefined && state === undefined,
  diff: (wanted, actual) =>
    ([["role", "replace"], ["labels", "update"], ["network", "repair"]] as const).flatMap(([field, remedy]) =>
      JSON.stringify(actual[field]) === JSON.stringify(wanted[field])
        ? []
        : [new Difference({ field, actual: actual[field] ?? null, requested: wanted[field] ?? null, remedy })]
    ),
  repair: (write, { network }, { id }, _, task) =>
    task.send("connect", write.update(id, network === undefined ? {} : { network })),
  update: (write, { labels = {} }, { id }, _, task) => task.send("update", write.update(id, { labels }))
}

// -----------------------------------------------------------------------------
// The backend
// -----------------------------------------------------------------------------

const node = (cluster: string, role: "control-plane" | "worker", n: number, labels: Wanted["labels"] = {}): Wanted => ({
  name: `${cluster}-${role}${n}`,
  role,
  labels,
  network: `${cluster}-network`
})
const count = (n: number) => Array.from({ length: n }, (_, index) => index + 1)

const setState = (state: "running" | "stopped") => (write: Cloud, { id }: Thing, task: Backend.Task) =>
  Effect.as(
    Backend.retrying(task.send(state === "running" ? "start" : "stop", write.update(id, { state }))),
    new Done({})
  )

/** The services of the cloud in a file. */
export const make = (path: string): Backend.Services<ClusterSpec> => {
  const cloud = openCloud(path)
  return Backend.make<ClusterSpec, Thing, CanRead, Cloud>({
    backend: "file",
    read: cloud,
    write: cloud,
    target: Effect.succeed(path),
    ping: Effect.asVoid(cloud.list("node")),
    validate: ({ controlPlanes, labels, workers }) => [
      ...(controlPlanes >= 1 ? [] : [{ path: "controlPlanes", message: "must be at least 1" }]),
      ...(workers >= 0 ? [] : [{ path: "workers", message: "must be at least 0" }]),
      ...("" in (labels ?? {}) ? [{ path: "labels", message: "must have no empty key" }] : [])
    ],
    encode: (spec) => spec as unknown as Schema.JsonObject,
    decode: (encoded) => encoded as unknown as ClusterSpec,
    node: nodes,
    resources: [networks, volumes],
    desired: (_, { cluster, controlPlanes, labels, workers }) =>
      Effect.succeed([
        Backend.want(networks, { name: `${cluster}-network` }),
        Backend.want(volumes, { name: `${cluster}-volume` }),
        ...count(controlPlanes).map((n) => Backend.want(nodes, node(cluster, "control-plane", n, labels))),
        ...count(workers).map((n) => Backend.want(nodes, node(cluster, "worker", n, labels)))
      ]),
    added: (_, cluster, { controlPlanes = 0, labels, workers = 0 }, world, taken) => {
      const free = (role: "control-plane" | "worker", wanted: number) =>
        count(1000).map((n) => node(cluster, role, n, labels))
          .filter(({ name }) => !taken.has(name) && world.named(nodes, name) === undefined)
          .slice(0, wanted)
      return Effect.succeed(
        [...free("control-plane", controlPlanes), ...free("worker", workers)].map((one) => Backend.want(nodes, one))
      )
    },
    replaced: (_, cluster, replaced) =>
      Effect.succeed(
        replaced.map(({ name, node: old }) =>
          Backend.want(nodes, { ...node(cluster, "worker", 0, old?.labels), name, role: old?.role ?? "worker" })
        )
      ),
    power: { start: setState("running"), stop: setState("stopped") },
    fates: {
      decide: (write, _, operation, fate) => write.decide(operation, fate),
      forget: (write, operation) => write.forget(operation)
    }
  })
}

/** A layer like those of kubelayer. */
export const layer = (path: string): Layer.Layer<Provider | NodeCreator> =>
  Layer.effectContext(Effect.sync(() => {
    const { creator, provider } = make(path)
    return Context.make(Provider, provider).pipe(Context.add(NodeCreator, creator))
  }))

const program = Effect.gen(function*() {
  const creator = yield* NodeCreator
  const plan = yield* creator.plan({ cluster: "dev", controlPlanes: 1, workers: 2 })
  console.log(String(plan))
  yield* creator.apply(plan)
  const provider = yield* Provider
  console.log((yield* provider.listNodes("dev")).map(({ name, state }) => `${name} ${state}`).join(", "))
  yield* provider.deleteNodes("dev")
})

if (process.argv[1] === import.meta.filename) {
  const path = join(tmpdir(), "own-cloud.json")
  writeFileSync(path, JSON.stringify({ things: [], fates: {} }))
  runScript(program.pipe(Effect.provide(layer(path))))
}
