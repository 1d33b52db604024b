/**
 * Images by a label selector: the newest snapshot of the Project that fits the architecture.
 *
 * Talos and other systems are no images of Hetzner's. People upload them as snapshots with labels, such as
 * `os=talos,version=v1.12`, and name the labels in place of an id.
 * Source: Hetzner Cloud API reference, `GET /images`.
 */
import type * as Effect from "effect/Effect"
import type { CallFailure, Reading } from "./Client.ts"
import * as Wire from "./Wire.ts"

/** The snapshots that a label selector selects, of every architecture and status. */
export const readSnapshots = (
  client: Reading,
  selector: string
): Effect.Effect<ReadonlyArray<Wire.Image>, CallFailure> =>
  client.list(Wire.images, { type: "snapshot", label_selector: selector })

const createdAt = ({ created, id }: Wire.Image): readonly [time: number, id: number] => {
  const time = Date.parse(created ?? "")
  return [Number.isNaN(time) ? 0 : time, id]
}

/** The newest first; of two of one second the one with the higher id. */
const newestFirst = (a: Wire.Image, b: Wire.Image): number => {
  const [[timeA, idA], [timeB, idB]] = [createdAt(a), createdAt(b)]
  return timeB - timeA || idB - idA
}

/** The requirements of an image. */
export interface ImageNeeds {
  readonly selector: string
  readonly architecture: string
  /** The disk of the server type, in GB; undefined where it is not known. */
  readonly diskGb?: number | undefined
}

/** The newest available image that fits, or one sentence that says why none does. */
export const newestImage = (found: ReadonlyArray<Wire.Image>, needs: ImageNeeds): Wire.Image | string => {
  const { architecture, diskGb, selector } = needs
  const which = `the label selector "${selector}"`
  if (found.length === 0) return `${which} selects no snapshot`
  const fitting = found.filter((image) => image.architecture === architecture)
  if (fitting.length === 0) {
    const others = [...new Set(found.map((image) => image.architecture))].sort().join(", ")
    return `${which} selects snapshots for ${others} only, and the server type is ${architecture}`
  }
  const available = fitting.filter(({ status }) => status === undefined || status === "available")
  if (available.length === 0) {
    const statuses = [...new Set(fitting.map(({ status }) => status))].sort().join(", ")
    return `${which} selects no available snapshot for ${architecture}: ${statuses}`
  }
  const [newest] = available.filter(({ disk_size }) => diskGb === undefined || disk_size <= diskGb).sort(newestFirst)
  if (newest !== undefined) return newest
  const smallest = Math.min(...available.map(({ disk_size }) => disk_size))
  return `${which} selects snapshots that need a disk of ${smallest} GB or more, and the server type has ${diskGb} GB`
}

/** The images to delete so that the newest `count` of them stay. Those that are protected or not yet available stay too. */
export const olderThanNewest = (found: ReadonlyArray<Wire.Image>, count: number): ReadonlyArray<Wire.Image> =>
  found.filter(({ status }) => status === undefined || status === "available").sort(newestFirst)
    .slice(Math.max(0, count)).filter(({ protection }) => protection?.delete !== true)
