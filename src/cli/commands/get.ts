/**
 * Writes existing clusters as documents.
 *
 * `get clusters` and `get nodes` list, for those who know kubectl or kind.
 */
import * as Effect from "effect/Effect"
import { format as formatDocuments } from "../../Document.ts"
import { ClusterNotFound } from "../../ProviderError.ts"
import { Backends } from "../Backends.ts"
import { exportCluster } from "../Export.ts"
import { renderValue } from "../Render.ts"
import { Screen } from "../Screen.ts"
import { addressFor, connect, withDeadline } from "../Session.ts"
import { Settings } from "../Settings.ts"
import { clusters } from "./clusters.ts"
import { nodes } from "./nodes.ts"

const documents = Effect.fnUntraced(function*(names: ReadonlyArray<string>) {
  const screen = yield* Screen
  const settings = yield* Settings
  const backends = yield* Backends
  const connection = yield* connect
  const { backend, instance } = settings
  const exported = yield* withDeadline(Effect.forEach(names, (cluster) =>
    Effect.gen(function*() {
      const found = yield* connection.provider.listNodes(cluster)
      if (found.length === 0) {
        return yield* new ClusterNotFound({ provider: connection.provider.name, clusterName: cluster })
      }
      return yield* exportCluster(
        connection,
        { backend, ...(instance === undefined ? {} : { instance }) },
        cluster,
        found,
        (scheme) => Effect.flatMap(addressFor({ backend, scheme }), backends.open)
      )
    })))
  if (settings.format === "json") {
    const [only, ...others] = exported.map(({ document }) => document)
    yield* renderValue(others.length === 0 ? only : [only, ...others], undefined)
  } else if (settings.format === "name") yield* screen.out(names.join("\n"))
  else yield* screen.out((yield* formatDocuments(exported)).trimEnd())
  return 0
})

/** `get clusters` and `get nodes` are what users of kind and kubectl type; a cluster of such a name is listed by `nodes`. */
export const get = Effect.fnUntraced(function*({ target }: { readonly target: ReadonlyArray<string> }) {
  const [first, ...others] = target
  if (first === "clusters" && others.length === 0) return yield* clusters({ watch: false })
  if (first === "nodes") return yield* nodes({ clusters: others })
  return yield* documents(target)
})
