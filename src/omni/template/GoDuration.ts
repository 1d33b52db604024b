/**
 * Durations as Go writes them (`1h30m`, `90s`, `1.5h`), which is how a template writes them.
 */

const nanosPerSecond = 1_000_000_000n

const nanosPer: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: nanosPerSecond,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n
}

/** Seconds, and what is left in nanoseconds: as protobuf has it. */
export interface Seconds {
  readonly seconds: bigint
  readonly nanos: bigint
}

/** Reads a duration; undefined where it is none or does not fit. */
export const parseGoDuration = (text: string): Seconds | undefined => {
  const match = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/u.exec(text)
  if (match === null) return text === "0" ? { seconds: 0n, nanos: 0n } : undefined
  let total = 0n
  for (const [, whole = "", fraction = "", unit = ""] of text.matchAll(/(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)/gu)) {
    const scale = nanosPer[unit] ?? 0n
    total += BigInt(whole === "" ? "0" : whole) * scale
    if (fraction !== "") total += BigInt(fraction) * scale / 10n ** BigInt(fraction.length)
  }
  if (total >= 2n ** 63n) return undefined
  const signed = match[1] === "-" ? -total : total
  return { seconds: signed / nanosPerSecond, nanos: signed % nanosPerSecond }
}
