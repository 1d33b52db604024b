/**
 * What one create call made on an engine: everything that carries the call's own label.
 */
import * as Effect from "effect/Effect"
import type { Made, MadeBy } from "../internal/Rollback.ts"
import type { Client } from "./Client.ts"
import * as Labels from "./Labels.ts"
import { labelsOf, nameOf } from "./Wire.ts"

/** Containers, then networks and volumes. */
export const madeBy = (client: Client, call: string): MadeBy =>
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
