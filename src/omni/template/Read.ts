/**
 * Reads the resources of a server that a template manages.
 *
 * Resources of controllers, and nodes that Omni creates for a machine class, are left out. An id that the template needs
 * and that something else uses is an issue; the resource is never changed.
 */
import * as Effect from "effect/Effect"
import type * as Yaml from "yaml"
import * as Labels from "../Labels.ts"
import {
  type CallFailure,
  type Kind,
  Kinds,
  type Metadata,
  type Resource,
  type StateReader as State
} from "../State.ts"
import type { Actual } from "./Diff.ts"
import { type Issue, visible } from "./Issue.ts"
import { lookUp } from "./Lookup.ts"
import { actualOf, kindOf } from "./Specs.ts"
import type { Expected, KindName } from "./Translate.ts"

/** Kinds whose resources say in a label which cluster they are of. */
const labelled = [
  "ExtensionsConfiguration",
  "ConfigPatch",
  "KubernetesManifestGroup",
  "KubernetesHealthCheck",
  "MachineSet",
  "MachineSetNode"
] as const

/** Kinds whose resources are a machine's, and have no label. */
const ofMachines = ["KernelArgs", "MachineInstallDiskConfig"] as const

export interface Found {
  readonly actual: ReadonlyArray<Actual>
  /** The resources that use ids of the template and do not belong to the cluster. */
  readonly issues: ReadonlyArray<Issue>
  /** How many nodes each machine set has, those that Omni created included. */
  readonly nodesIn: ReadonlyMap<string, number>
}

const isTemplates = ({ labels, owner }: Metadata): boolean =>
  owner === "" && !Object.hasOwn(labels, Labels.managedByNodeController)

/** The user of an id, for people; undefined if it is the cluster itself. */
export const holderOf = (kind: KindName, { labels, owner }: Metadata, cluster: string): string | undefined => {
  const of = labels[Labels.cluster]
  if (kind !== "Cluster" && of !== undefined && of !== cluster) return `cluster ${visible(of)}`
  if (owner !== "") return `Omni's own ${owner}`
  if ((labelled as ReadonlyArray<KindName>).includes(kind) && of === undefined) return "no cluster that is named"
  return undefined
}

const idInUse = ({ id, kind, path }: Expected, holder: string): Issue => ({
  path,
  message: kind === "MachineSetNode"
    ? `machine ${id} is taken by ${holder}`
    : `there is a ${kind} ${id} already, and it is of ${holder}; nothing of it was touched`
})

/** Reads the resources of a cluster, and those with an id of the template. */
export const read = Effect.fnUntraced(function*(
  state: State,
  yaml: typeof Yaml,
  cluster: string,
  expected: ReadonlyArray<Expected>
): Effect.fn.Return<Found, CallFailure> {
  const issues: Array<Issue> = []
  const actual = new Map<string, Actual>()
  const keep = <K extends KindName>(name: K, resource: Resource<never>) =>
    void actual.set(`${name}/${resource.metadata.id}`, actualOf(name, resource, yaml))
  const wanted = new Map(expected.map((each) => [`${each.kind}/${each.id}`, each]))

  // Kinds differ in their specs only, which `actualOf` reads.
  const list = (name: KindName, labels?: Labels.Labels) =>
    Effect.map(
      state.list(kindOf(name) as unknown as Kind<never>, labels),
      (resources) => resources.map((resource) => ({ name, resource }))
    )

  const [clusterResource, ...lists] = yield* Effect.all([
    state.get(Kinds.Cluster, cluster),
    ...labelled.map((name) => list(name, { [Labels.cluster]: cluster })),
    ...ofMachines.map((name) => list(name))
  ], { concurrency: "unbounded" })

  if (clusterResource !== undefined) {
    const expectedThere = wanted.get(`Cluster/${cluster}`)
    if (clusterResource.metadata.owner === "") keep("Cluster", clusterResource as Resource<never>)
    else if (expectedThere !== undefined) {
      issues.push(idInUse(expectedThere, `Omni's own ${clusterResource.metadata.owner}`))
    }
  }
  const all = lists.flat()
  const nodesIn = new Map<string, number>()
  for (const { name, resource } of all) {
    if (name !== "MachineSetNode") continue
    const set = resource.metadata.labels[Labels.machineSet] ?? ""
    nodesIn.set(set, (nodesIn.get(set) ?? 0) + 1)
  }
  const machines = new Set([
    ...all.flatMap(({ name, resource }) => name === "MachineSetNode" ? [resource.metadata.id] : []),
    ...expected.flatMap(({ id, kind }) => kind === "MachineSetNode" || kind === "MachineInstallDiskConfig" ? [id] : [])
  ])
  for (const { name, resource } of all) {
    const isOfMachine = (ofMachines as ReadonlyArray<KindName>).includes(name)
    if (isOfMachine && !machines.has(resource.metadata.id)) continue
    if (isTemplates(resource.metadata)) {
      keep(name, resource)
      continue
    }
    const expectedThere = wanted.get(`${name}/${resource.metadata.id}`)
    if (expectedThere !== undefined) {
      issues.push(
        idInUse(
          expectedThere,
          resource.metadata.owner === "" ? "a machine class" : `Omni's own ${resource.metadata.owner}`
        )
      )
    }
  }

  // An id that the cluster does not have may be in use by something else.
  const reported = new Set(issues.map(({ path }) => path))
  const absent = expected.filter((each) =>
    (labelled as ReadonlyArray<KindName>).includes(each.kind) && !actual.has(`${each.kind}/${each.id}`) &&
    !reported.has(each.path)
  )
  for (const name of labelled) {
    const wantedOfKind = absent.filter(({ kind }) => kind === name)
    const there = yield* lookUp(state, kindOf(name) as unknown as Kind<never>, wantedOfKind.map(({ id }) => id))
    for (const each of wantedOfKind) {
      const resource = there.get(each.id)
      if (resource === undefined) continue
      const holder = holderOf(name, resource.metadata, cluster)
      if (holder !== undefined) issues.push(idInUse(each, holder))
      // It was created in this moment.
      else keep(name, resource)
    }
  }
  return { actual: [...actual.values()], issues, nodesIn }
})
