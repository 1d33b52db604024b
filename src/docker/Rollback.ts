/**
 * Removing what one create call made, and nothing else: everything that carries the call's own label.
 *
 * A call whose answer never came may still be carried out by the engine, so it is looked for again after the first round.
 */
import * as Effect from "effect/Effect"
import type { Operation } from "../internal/Operation.ts"
import { RolledBack } from "../Model.ts"
import type { Subject } from "../Progress.ts"
import type { Leftover } from "../ProviderError.ts"
import type { Client } from "./Client.ts"
import * as Labels from "./Labels.ts"
import type { CallFailure } from "./Transport.ts"
import { labelsOf, nameOf } from "./Wire.ts"

interface Made {
  readonly subject: Subject
  readonly remove: Effect.Effect<void, CallFailure>
}

/** What on the engine carries the label of a create call: containers, then networks and volumes. */
const madeBy = (client: Client, call: string): Effect.Effect<ReadonlyArray<ReadonlyArray<Made>>, CallFailure> =>
  Effect.map(
    Effect.all([
      client.listContainers({ label: [`${Labels.operation}=${call}`] }),
      client.listNetworks,
      client.listVolumes
    ], { concurrency: 3 }),
    ([containers, networks, volumes]) => {
      const ours = (labels: Readonly<Record<string, string>>) => labels[Labels.operation] === call
      return [
        containers.filter((container) => ours(labelsOf(container))).map((container): Made => ({
          subject: { kind: "node", name: nameOf(container), id: container.Id },
          remove: client.removeContainer(container.Id)
        })),
        [
          ...networks.filter((network) => ours(labelsOf(network))).map((network): Made => ({
            subject: { kind: "network", name: network.Name, id: network.Id },
            remove: client.removeNetwork(network.Id)
          })),
          ...volumes.filter((volume) => ours(labelsOf(volume))).map((volume): Made => ({
            subject: { kind: "volume", name: volume.Name },
            remove: client.removeVolume(volume.Name)
          }))
        ]
      ]
    }
  )

const gone = (error: CallFailure): boolean => error._tag === "BackendError" && error.reason._tag === "NotFoundError"

/** How often it is looked again for what an engine carried out late. */
const rounds = 3

/** Removes what a create call made. Fails never: what is left, or could not be asked, is given back. */
export const rollBack = Effect.fnUntraced(function*(
  client: Client,
  operation: Operation,
  call: string
): Effect.fn.Return<ReadonlyArray<Leftover>> {
  const left = new Map<string, Leftover>()
  for (let round = 0; round < rounds; round++) {
    const made = yield* Effect.result(madeBy(client, call))
    if (made._tag === "Failure") {
      return [{
        kind: "node",
        name: operation.clusterName,
        why: `what is left could not be asked (${made.failure.message}); delete the cluster when the engine answers`
      }]
    }
    if (made.success.every((wave) => wave.length === 0)) return []
    left.clear()
    for (const wave of made.success) {
      yield* Effect.forEach(wave, ({ remove, subject }) =>
        remove.pipe(
          Effect.catchIf(gone, () => Effect.void),
          // Why a node failed is what the caller needs to know; that it is gone again goes without saying.
          Effect.andThen(
            Effect.suspend(() =>
              operation.outcomeOf(subject)?._tag === "Failed"
                ? Effect.void
                : operation.record(subject, new RolledBack({}))
            )
          ),
          Effect.catch((error) =>
            Effect.sync(() => {
              left.set(`${subject.kind}/${subject.name}`, { ...subject, why: error.message })
            })
          )
        ), { concurrency: operation.policy.concurrency.delete, discard: true })
    }
  }
  return [...left.values()]
})
