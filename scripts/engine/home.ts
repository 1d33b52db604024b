/**
 * The home of one private engine: a directory with all its files. The names of everything that it creates elsewhere are
 * derived from the directory, so a later run can clean up after an engine that died.
 */
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { identify, isAlive, type ProcessId, whereabouts } from "./process.ts"

/** Short, because the path of a Unix socket has at most 107 bytes and containerd adds some 40. */
const PARENT = "/tmp"
const PREFIX = "kubelayer-engine-"

export interface Home {
  readonly directory: string
  readonly socketPath: string
  readonly logFile: string
  /** A device name has at most 15 bytes. */
  readonly bridge: string
  readonly cgroup: string
  /** The comment on each firewall rule of this engine. */
  readonly mark: string
}

/** The facts that a clean-up needs beside the names. */
export interface Owner {
  readonly whereabouts: string
  readonly starter: ProcessId
  readonly supervisor?: ProcessId
  /** The second byte of its address block, 10.x.0.0/16. */
  readonly block?: number
  /** The kernel's IP forwarding before the first private engine switched it on. */
  readonly forwardingBefore?: string
}

const homeAt = (directory: string): Home => {
  const id = directory.slice(directory.lastIndexOf("-") + 1)
  return {
    directory,
    socketPath: join(directory, "docker.sock"),
    logFile: join(directory, "engine.log"),
    bridge: `kl-${id}`,
    cgroup: `kubelayer-${id}`,
    mark: `kubelayer-${id}`
  }
}

const ownerFile = (home: Home): string => join(home.directory, "owner.json")

const writeOwner = (home: Home, owner: Owner): void => {
  // Renamed into place: a reader never sees half a file.
  writeFileSync(`${ownerFile(home)}.new`, JSON.stringify(owner))
  renameSync(`${ownerFile(home)}.new`, ownerFile(home))
}

export const readOwner = (home: Home): Owner | undefined => {
  try {
    return JSON.parse(readFileSync(ownerFile(home), "utf8")) as Owner
  } catch {
    return undefined
  }
}

export const makeHome = (): Home => {
  const starter = identify(process.pid)
  if (starter === undefined) throw new Error("/proc does not know this process")
  const home = homeAt(mkdtempSync(join(PARENT, PREFIX)))
  writeOwner(home, { whereabouts: whereabouts(), starter })
  return home
}

export const updateOwner = (home: Home, change: Partial<Owner>): void => {
  const owner = readOwner(home)
  if (owner !== undefined) writeOwner(home, { ...owner, ...change })
}

const allHomes = (): ReadonlyArray<Home> =>
  readdirSync(PARENT).filter((name) => name.startsWith(PREFIX)).map((name) => homeAt(join(PARENT, name)))

/** Engines on this machine whose starter lives, other than `self`. */
export const livingOwners = (self?: Home): ReadonlyArray<Owner> =>
  allHomes().flatMap((home) => {
    const owner = readOwner(home)
    if (owner === undefined || home.directory === self?.directory) return []
    return owner.whereabouts === whereabouts() && isAlive(owner.starter) ? [owner] : []
  })

/** A starter that died before it wrote its name has created only the directory. */
const removeUnowned = (home: Home): void => {
  try {
    if (Date.now() - statSync(home.directory).mtimeMs > 60_000) rmdirSync(home.directory)
  } catch {
    // Not empty or gone: nothing for us to remove.
  }
}

/**
 * Homes whose starter has exited. A directory from another boot is stale too; one from another container that shares
 * /tmp is left alone.
 */
export const staleHomes = (): ReadonlyArray<Home> => {
  const here = whereabouts()
  const boot = here.split(" ")[0]
  return allHomes().filter((home) => {
    const owner = readOwner(home)
    if (owner === undefined) {
      removeUnowned(home)
      return false
    }
    return owner.whereabouts === here ? !isAlive(owner.starter) : owner.whereabouts.split(" ")[0] !== boot
  })
}
