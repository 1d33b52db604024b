/**
 * The engine's framing of standard output and standard error in one stream.
 *
 * Each frame has a head of eight bytes: the stream (1 output, 2 error), three zeros, the length as a big-endian number. A
 * container with a terminal has no frames, all of it is output. Source: Docker Engine API reference, `ContainerAttach`,
 * "Stream format".
 */
import * as Stream from "effect/Stream"

/** The source of bytes. */
export interface Piece {
  readonly source: "stdout" | "stderr"
  readonly bytes: Uint8Array
}

const headLength = 8

/** Takes whole frames off the front of what has come so far. */
const takeFrames = (
  buffer: Uint8Array
): { readonly rest: Uint8Array; readonly pieces: ReadonlyArray<Piece> } => {
  const pieces: Array<Piece> = []
  let at = 0
  while (buffer.length - at >= headLength) {
    const view = new DataView(buffer.buffer, buffer.byteOffset + at, headLength)
    const length = view.getUint32(4)
    if (buffer.length - at - headLength < length) break
    const begin = at + headLength
    pieces.push({ source: view.getUint8(0) === 2 ? "stderr" : "stdout", bytes: buffer.slice(begin, begin + length) })
    at = begin + length
  }
  return { rest: buffer.slice(at), pieces }
}

const joined = (a: Uint8Array, b: Uint8Array): Uint8Array => {
  if (a.length === 0) return b
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

/** The frames of a stream, or, of a terminal, all of it as output. */
export const frames =
  (terminal: boolean) => <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Piece, E, R> =>
    terminal
      ? Stream.map(bytes, (each): Piece => ({ source: "stdout", bytes: each }))
      : Stream.mapAccum(bytes, (): Uint8Array => new Uint8Array(0), (kept, each) => {
        const { pieces, rest } = takeFrames(joined(kept, each))
        return [rest, pieces] as const
      })

/** Cuts text into lines; what has no end yet is kept for the next time. */
export class LineCutter {
  private readonly decoder = new TextDecoder()
  private rest = ""

  /** The lines that are whole by now. */
  push(bytes: Uint8Array): ReadonlyArray<string> {
    const parts = (this.rest + this.decoder.decode(bytes, { stream: true })).split("\n")
    this.rest = parts.pop() ?? ""
    return parts.map((line) => line.endsWith("\r") ? line.slice(0, -1) : line)
  }

  /** The bytes after the last line end. */
  end(): ReadonlyArray<string> {
    const last = this.rest + this.decoder.decode()
    this.rest = ""
    return last === "" ? [] : [last]
  }
}
