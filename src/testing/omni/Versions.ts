/** Versions of Talos and Kubernetes as a fake Omni compares them. */

interface Version {
  readonly major: number
  readonly minor: number
  readonly patch: number
  readonly pre: string
}

const parse = (text: string): Version | undefined => {
  const [, major, minor, patch, pre = ""] = /^v?(\d+)\.(\d+)\.(\d+)(?:-(.+))?$/.exec(text) ?? []
  return major === undefined
    ? undefined
    : { major: Number(major), minor: Number(minor), patch: Number(patch), pre }
}

/** Minors between two versions of one major: positive if `to` is newer; undefined if one is not a version. */
export const minorSteps = (from: string, to: string): number | undefined => {
  const [a, b] = [parse(from), parse(to)]
  return a === undefined || b === undefined || a.major !== b.major ? undefined : b.minor - a.minor
}

/** `1.34` of `1.34.1`. */
export const minorOf = (text: string): string => text.replace(/^v/, "").split(".").slice(0, 2).join(".")

/** Negative if `a` is older, positive if it is newer. A pre-release is older than its release. */
export const compareVersions = (a: string, b: string): number => {
  const [x, y] = [parse(a), parse(b)]
  if (x === undefined || y === undefined) return a < b ? -1 : a > b ? 1 : 0
  const numbers = x.major - y.major || x.minor - y.minor || x.patch - y.patch
  if (numbers !== 0) return numbers
  if (x.pre === y.pre) return 0
  return x.pre === "" ? 1 : y.pre === "" ? -1 : x.pre < y.pre ? -1 : 1
}

export const withoutV = (text: string): string => text.replace(/^v/, "")

/** A duration as Go prints it, `1m30s`. */
export const goDuration = (seconds: number): string => {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60]
  return `${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${rest}s`
}
