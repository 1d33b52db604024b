/**
 * The service of the Docker layer: the methods that the engine gives to every backend, and those that only Docker has.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Backend from "../Backend.ts"
import { checkClusterName } from "../internal/ClusterNames.ts"
import { load } from "../internal/Loading.ts"
import { failWith, method, streamMethod } from "../internal/Method.ts"
import type { ClusterName } from "../Model.ts"
import * as Policy from "../Policy.ts"
import { type BackendFailure, UnknownLabelScheme } from "../ProviderError.ts"
import { AmbiguousCluster, NotFoundError } from "../Reason.ts"
import { makeBackend } from "./Backend.ts"
import * as Client from "./Client.ts"
import { isNode, listContainers } from "./ClusterNodes.ts"
import { environment } from "./Connection.ts"
import type { DockerService, Options } from "./Options.ts"
import { schemeChoices } from "./Scheme.ts"
import { chosenSchemes } from "./Schemes.ts"
import { portMappingsOf } from "./Translate.ts"

// A program that only lists, starts and stops does not load logs and exec.
const loadLogs = load(() => import("./Logs.ts"))
const loadExec = load(() => import("./Exec.ts"))

/** Makes the service from the options of the layer. */
export const makeService = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<DockerService, UnknownLabelScheme> {
  const scheme = options.scheme ?? "kubelayer"
  const schemes = chosenSchemes(scheme)
  if (schemes === undefined) return yield* new UnknownLabelScheme({ scheme: String(scheme), known: schemeChoices })
  const policy = Effect.map(Policy.Current, (context) => Policy.make(options.policy, context))
  const client = yield* Client.make({
    connection: options,
    registry: options,
    environment: yield* environment,
    policy
  })
  const { backend } = makeBackend({
    client,
    schemes,
    defaults: options,
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.policy === undefined ? {} : { policy: options.policy })
  })
  const { creator, provider } = Backend.make(backend)

  /** The nodes of a cluster; a name in two schemes is refused. */
  const nodes = (cluster: ClusterName) =>
    Effect.gen(function*() {
      const containers = (yield* listContainers(client, schemes, cluster)).filter(isNode)
        .filter(({ member }) => member.membership.cluster === cluster)
      const candidates = [...new Set(containers.map(({ member }) => `${member.scheme.name}/${cluster}`))]
      if (candidates.length < 2) return containers
      return yield* failWith(
        new AmbiguousCluster({
          detail: `${cluster} is a cluster in several schemes: ${candidates.join(", ")}`,
          candidates
        })
      )
    })

  const inNode = <A, E>(
    operation: string,
    cluster: string,
    node: string,
    f: (id: string) => Stream.Stream<A, E>
  ): Stream.Stream<A, E | BackendFailure> =>
    Stream.unwrap(Effect.gen(function*() {
      const found = yield* nodes(yield* checkClusterName(cluster))
      const member = found.find(({ container, name }) => name === node || container.Id === node)
      return member === undefined
        ? yield* failWith(new NotFoundError({ detail: `cluster ${cluster} has no node ${node}` }))
        : f(member.container.Id)
    })).pipe(streamMethod("docker", operation, cluster))

  return {
    provider,
    creator,
    scheme,
    plan: creator.plan,
    createNodes: creator.createNodes,
    createNodesScoped: creator.createNodesScoped,
    apply: creator.apply,
    addNodes: creator.addNodes,
    removeNodes: creator.removeNodes,
    sweep: creator.sweep,
    portMappings: (cluster) =>
      Effect.flatMap(
        checkClusterName(cluster),
        (name) =>
          Effect.map(nodes(name), (found) => found.flatMap(({ container, name }) => portMappingsOf(name, container)))
      ).pipe(
        method("docker", "portMappings", cluster)
      ),
    resources: (cluster) =>
      Effect.map(
        provider.planDelete(cluster),
        ({ steps }) =>
          steps.flatMap(({ id, kind, name }) =>
            kind === "node" ? [] : [{ kind, name, ...(id === undefined ? {} : { id }) }]
          )
      ),
    logs: (cluster, node, logging = {}) =>
      inNode(
        "logs",
        cluster,
        node,
        (id) => Stream.unwrap(Effect.map(loadLogs, ({ logs }) => logs(client, id, logging)))
      ),
    exec: (cluster, node, execution) =>
      inNode(
        "exec",
        cluster,
        node,
        (id) => Stream.unwrap(Effect.map(loadExec, ({ exec }) => exec(client, id, execution)))
      ),
    client: (f) => client.use(f).pipe(method("docker", "client"))
  }
})
