/**
 * Versions of Talos and Kubernetes: reading them, which is the latest, which is near one that does not exist.
 *
 * Omni writes versions without `v`, its templates write Talos' with it. The latest version is never a pre-release and
 * never one that the server calls deprecated or unsupported. The versions of a server are parameters; no call is sent
 * here.
 */
import * as Result from "effect/Result"
import * as SemVer from "effect/SemVer"

/** Without the `v`. */
export const bare = (version: string): string => version.startsWith("v") ? version.slice(1) : version

/** Reads a version, with or without `v`; undefined where it is none. */
export const parseVersion = (version: string): SemVer.SemVer | undefined =>
  Result.getOrUndefined(SemVer.parse(bare(version)))

/** A Talos version as a server knows it. */
export interface KnownTalos {
  /** Without `v`. */
  readonly version: string
  /** Without `v`. */
  readonly kubernetes: ReadonlyArray<string>
  readonly deprecated: boolean
  readonly unsupported?: boolean
}

const newestFirst = (versions: ReadonlyArray<string>): ReadonlyArray<string> =>
  versions
    .flatMap((version) => {
      const parsed = parseVersion(version)
      return parsed === undefined ? [] : [{ version, parsed }]
    })
    .sort((a, b) => SemVer.Order(b.parsed, a.parsed))
    .map(({ version }) => version)

const isRelease = (version: string): boolean => {
  const parsed = parseVersion(version)
  return parsed !== undefined && !SemVer.isPrerelease(parsed)
}

/** The newest version that is no pre-release; undefined where there is none. */
export const latestRelease = (versions: ReadonlyArray<string>): string | undefined =>
  newestFirst(versions.filter(isRelease))[0]

/** The releases of Talos that a new cluster may have, the newest first: supported, not deprecated, not a pre-release. */
export const usableTalos = (known: ReadonlyArray<KnownTalos>): ReadonlyArray<KnownTalos> => {
  const usable = known.filter(({ deprecated, unsupported, version }) =>
    !deprecated && unsupported !== true && isRelease(version)
  )
  return newestFirst(usable.map(({ version }) => version)).flatMap((version) =>
    usable.find((each) => each.version === version) ?? []
  )
}

/** The newest Kubernetes release that a Talos version takes. */
export const latestKubernetes = (talos: KnownTalos): string | undefined => latestRelease(talos.kubernetes)

const position = ({ major, minor, patch }: SemVer.SemVer): number => major * 1e8 + minor * 1e4 + patch

/** A pre-release is the last choice for a requested release. */
const farness = (a: SemVer.SemVer, b: SemVer.SemVer): number =>
  Math.abs(position(a) - position(b)) + (SemVer.isPrerelease(a) === SemVer.isPrerelease(b) ? 0 : 2e4)

/** The known versions that lie nearest to one, the nearest first. */
export const nearestVersions = (
  version: string,
  known: ReadonlyArray<string>,
  most = 3
): ReadonlyArray<string> => {
  const wanted = parseVersion(version)
  if (wanted === undefined) return newestFirst(known).slice(0, most)
  return newestFirst(known)
    .flatMap((candidate) => {
      const parsed = parseVersion(candidate)
      return parsed === undefined ? [] : [{ candidate, far: farness(parsed, wanted) }]
    })
    .sort((a, b) => a.far - b.far)
    .slice(0, most)
    .map(({ candidate }) => candidate)
}

const nearestText = (version: string, known: ReadonlyArray<string>): string => {
  const near = nearestVersions(version, known)
  return near.length === 0 ? "it knows none" : `the nearest that it knows: ${near.join(", ")}`
}

/** The issue of a Talos version for this server; undefined if it can be used. */
export const talosFault = (version: string, known: ReadonlyArray<KnownTalos>): string | undefined => {
  const wanted = bare(version)
  const usable = known.filter((each) => !each.deprecated && each.unsupported !== true).map((each) => each.version)
  if (known.length === 0) {
    return `the server knows no Talos version at all; it may not reach its image factory`
  }
  const found = known.find((each) => each.version === wanted)
  if (found === undefined) return `the server does not know Talos ${wanted}; ${nearestText(wanted, usable)}`
  return found.deprecated || found.unsupported === true
    ? `the server takes no new cluster with Talos ${wanted} (${found.deprecated ? "deprecated" : "unsupported"}); ${
      nearestText(wanted, usable)
    }`
    : undefined
}

/** The issue of a Kubernetes version for a Talos version; undefined if they fit. */
export const kubernetesFault = (
  version: string,
  talos: string,
  known: ReadonlyArray<KnownTalos>
): string | undefined => {
  const wanted = bare(version)
  const takes = known.find((each) => each.version === bare(talos))?.kubernetes
  // An unknown Talos version is already reported as unknown.
  if (takes === undefined || takes.includes(wanted)) return undefined
  return `Talos ${bare(talos)} does not take Kubernetes ${wanted}; ${nearestText(wanted, takes)}`
}

/** Why a cluster's Kubernetes cannot go from one version to another; undefined where it can. */
export const kubernetesStepFault = (from: string, to: string): string | undefined => {
  const [old, next] = [parseVersion(from), parseVersion(to)]
  if (old === undefined || next === undefined) return undefined
  if (next.major !== old.major || next.minor < old.minor) {
    return `Kubernetes cannot go back from ${bare(from)} to ${bare(to)}`
  }
  return next.minor > old.minor + 1
    ? `Kubernetes goes up one minor version at a time; from ${bare(from)}, go to ${old.major}.${old.minor + 1} first`
    : undefined
}
