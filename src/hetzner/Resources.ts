/**
 * What is a cluster's own beside its servers, by its labels. It is looked at, and nothing is changed.
 */
import * as Effect from "effect/Effect"
import type { ClusterName } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import type { CallFailure, Client } from "./Client.ts"
import type * as Labels from "./Labels.ts"
import * as Wire from "./Wire.ts"

export const resources = (
  client: Client,
  ownership: Labels.Ownership,
  cluster: ClusterName
): Effect.Effect<ReadonlyArray<Subject>, CallFailure> => {
  const owned = <A extends Labels.Labelled>(kind: Subject["kind"], collection: Wire.Collection<A>) =>
    Effect.map(
      client.list(collection, { label_selector: ownership.selectorFor(cluster) }),
      (found) =>
        found
          .filter(({ labels }) => ownership.classify(labels)?.cluster === cluster)
          .map(({ id, name }): Subject => ({ kind, name, id: String(id) }))
    )
  return Effect.map(
    Effect.all([
      owned("network", Wire.networks),
      owned("firewall", Wire.firewalls),
      owned("placement-group", Wire.placementGroups),
      owned("floating-ip", Wire.floatingIps),
      owned("volume", Wire.volumes),
      owned("ssh-key", Wire.sshKeys)
    ], { concurrency: 6 }),
    (all) => all.flat()
  )
}
