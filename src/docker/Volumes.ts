/**
 * The named volumes of a cluster.
 *
 * An engine answers a create call for an existing name with the volume that exists, so its labels are read back.
 * Source: Docker Engine API reference, `VolumeCreate`, `VolumeDelete`.
 */
import { retrying } from "../Backend.ts"
import type { Listed, Resource } from "../Resource.ts"
import type { Reading, Writing } from "./Client.ts"
import type { Container } from "./ClusterNodes.ts"
import type { WantedVolume } from "./Desired.ts"
import * as Labels from "./Labels.ts"
import { ownerOf } from "./Owners.ts"
import type { Scheme } from "./Scheme.ts"
import { makeKeep, removeUnused, usersOfVolume } from "./Users.ts"
import { labelsOf, type Volume } from "./Wire.ts"

export type VolumeKind = Resource<WantedVolume, Volume, Reading, Writing>

export const makeVolumes = (schemes: ReadonlyArray<Scheme>, nodes: Listed<Container>): VolumeKind => ({
  kind: "volume",
  order: 0,
  list: ({ client }) => client.listVolumes,
  identity: ({ Name }) => ({ name: Name }),
  nameOf: ({ name }) => name,
  owner: (volume, world) =>
    ownerOf(schemes, nodes, "ownsVolume", { name: volume.Name, labels: labelsOf(volume) }, world),
  holder: (volume) => Labels.holder(labelsOf(volume)),
  diff: () => [],
  isCreatedAgain: true,
  create: (write, { design, labels, name }, task) =>
    // Each try counts for itself: one without reply may be carried out after the volume of a later one was removed.
    retrying(
      task.send(
        "create",
        write.client.createVolume({
          Name: name,
          Labels: { ...labels, ...Labels.ownership(design.scheme.name, task.cluster, task.mark) }
        })
      )
    ),
  keep: makeKeep(nodes)(usersOfVolume, false),
  remove: (write, volume, task) =>
    removeUnused(write, task, nodes, (containers) => usersOfVolume(containers, volume), {
      remove: write.client.removeVolume(volume.Name)
    }),
  createdAt: ({ CreatedAt }) => Date.parse(CreatedAt ?? "")
})
