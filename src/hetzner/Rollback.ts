/**
 * What one create call made at Hetzner: everything that carries the call's own label.
 */
import * as Effect from "effect/Effect"
import type { Operation } from "../internal/Operation.ts"
import type { Made, MadeBy } from "../internal/Rollback.ts"
import * as Labels from "./Labels.ts"
import { asDelete } from "./Quota.ts"
import { type Removable, removeOne, type Removing } from "./Removal.ts"
import * as Wire from "./Wire.ts"

/** Servers; then what they used; then networks; then what was given to something that was there. */
export const madeBy = (context: Removing, operation: Operation, id: string, given: Iterable<Made>): MadeBy => {
  const { client } = context
  const labelled = <A extends Labels.Labelled>(kind: Removable["kind"], collection: Wire.Collection<A>) =>
    Effect.map(
      client.list(collection, { label_selector: Labels.selector({ [Labels.operation]: id }) }),
      (found) =>
        found.filter(({ labels }) => labels[Labels.operation] === id).map((held): Made => {
          const subject: Removable = { kind, name: held.name, id: String(held.id) }
          return { subject, remove: removeOne(context, operation, subject) }
        })
    )
  return Effect.map(
    Effect.all([
      labelled("node", Wire.servers),
      labelled("network", Wire.networks),
      labelled("volume", Wire.volumes),
      labelled("floating-ip", Wire.floatingIps),
      labelled("firewall", Wire.firewalls),
      labelled("placement-group", Wire.placementGroups),
      labelled("ssh-key", Wire.sshKeys)
    ], { concurrency: 7 }),
    ([servers, networks, ...others]) => [servers, others.flat(), networks, [...given]]
  ).pipe(asDelete)
}
