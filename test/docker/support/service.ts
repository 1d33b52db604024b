/** The Docker service over a fake engine: what the tests ask it with, and what they ask of it. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Docker from "kubelayer/layers/Docker"
import * as DockerClient from "kubelayer/layers/DockerClient"
import { ClusterName } from "kubelayer/Model"
import type * as Policy from "kubelayer/Policy"
import type { BackendFailure, ProviderError } from "kubelayer/ProviderError"
import type { Container, Labels } from "./pretend.ts"

export const clusterName = Schema.decodeUnknownSync(ClusterName)

/** No retries, and little patience: what hangs on a real socket shows soon. */
export const impatient: Policy.Overrides = {
  retry: Schedule.recurs(0),
  poll: Schedule.spaced("5 millis"),
  requestTimeout: "10 seconds",
  cleanupTimeout: "2 seconds"
}

/** The service over something that listens. */
export const serviceAt = (
  at: { readonly host: string },
  options: Docker.Options = {}
): Effect.Effect<Docker.DockerService> =>
  Effect.orDie(Docker.make({ host: at.host, ...options, policy: { ...impatient, ...options.policy } }))

const clusterLabel = "io.x-k8s.kind.cluster"
const roleLabel = "io.x-k8s.kind.role"

const kindLabels = (cluster: string, role = "worker"): Labels => ({
  [clusterLabel]: cluster,
  [roleLabel]: role
})

/** A node of a kind cluster, running. */
export const kindNode = (name: string, cluster = "dev", role = "worker"): Container => ({
  id: `id-of-${name}`,
  name,
  labels: kindLabels(cluster, role),
  state: "running",
  networks: ["kind"]
})

/** Every method that asks an engine, with a cluster's name and otherwise valid arguments. */
export const methods: Readonly<
  Record<string, (docker: Docker.DockerService, cluster: string) => Effect.Effect<unknown, ProviderError>>
> = {
  startNodes: ({ provider }, cluster) => provider.startNodes(cluster),
  stopNodes: ({ provider }, cluster) => provider.stopNodes(cluster),
  listNodes: ({ provider }, cluster) => provider.listNodes(cluster),
  nodesExist: ({ provider }, cluster) => provider.nodesExist(cluster),
  deleteNodes: ({ provider }, cluster) => provider.deleteNodes(cluster),
  getClusterStatus: ({ provider }, cluster) => provider.getClusterStatus(cluster),
  watchCluster: ({ provider }, cluster) => Stream.runDrain(provider.watchCluster(cluster)),
  "NodeCreator.createNodes": ({ creator }, cluster) => creator.createNodes({ cluster, controlPlanes: 1, workers: 0 }),
  "NodeCreator.createNodesScoped": ({ creator }, cluster) =>
    Effect.scoped(creator.createNodesScoped({ cluster, controlPlanes: 1, workers: 0 })),
  createNodes: (docker, cluster) => docker.createNodes({ cluster, controlPlanes: 1, workers: 0 }),
  createNodesScoped: (docker, cluster) =>
    Effect.scoped(docker.createNodesScoped({ cluster, controlPlanes: 1, workers: 0 })),
  addNodes: (docker, cluster) => docker.addNodes(cluster, { workers: 1 }),
  removeNodes: (docker, cluster) => docker.removeNodes(cluster, ["a"]),
  portMappings: (docker, cluster) => docker.portMappings(cluster),
  resources: (docker, cluster) => docker.resources(cluster),
  logs: (docker, cluster) => Stream.runDrain(docker.logs(cluster, "a")),
  exec: (docker, cluster) => Stream.runDrain(docker.exec(cluster, "a", { command: ["true"] }))
}

/** Those that ask an engine without a cluster. */
export const clusterless: Readonly<
  Record<string, (docker: Docker.DockerService) => Effect.Effect<unknown, ProviderError>>
> = {
  listAllClusters: ({ provider }) => provider.listAllClusters,
  checkAvailable: ({ provider }) => provider.checkAvailable,
  sweep: (docker) => docker.sweep({ olderThan: 0 }),
  client: (docker) => DockerClient.use(docker, (dockerode) => dockerode.info())
}

/** The error that an effect fails with. */
export const failureOf = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<E> =>
  Effect.flatMap(Effect.exit(effect), (exit) => {
    const error = Exit.isFailure(exit) ? exit.cause.reasons.find((reason) => reason._tag === "Fail") : undefined
    return error === undefined
      ? Effect.die(new Error(`it did not fail but gave ${JSON.stringify(exit)}`))
      : Effect.succeed(error.error as E)
  })

/** The reason of a backend's error; the tag of any other. */
export const reasonTag = (error: BackendFailure | ProviderError): string =>
  error._tag === "BackendError" ? error.reason._tag : error._tag
