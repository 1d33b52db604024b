/**
 * Facts about processes, from /proc. A process is named by its pid and its
 * start time, because pids are used again.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs"

export interface ProcessId {
  readonly pid: number
  /** Clock ticks since boot. */
  readonly startTime: string
}

interface Stat {
  readonly parent: number
  readonly state: string
  readonly startTime: string
}

const statOf = (pid: number): Stat | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The name in brackets may hold anything, so fields are counted from its end.
    const [state = "", parent = "", ...rest] = text.slice(text.lastIndexOf(")") + 2).split(" ")
    return { state, parent: Number(parent), startTime: rest[17] ?? "" }
  } catch {
    return undefined
  }
}

export const identify = (pid: number): ProcessId | undefined => {
  const stat = statOf(pid)
  return stat === undefined || stat.state === "Z" ? undefined : { pid, startTime: stat.startTime }
}

export const isAlive = (id: ProcessId): boolean => identify(id.pid)?.startTime === id.startTime

const allPids = (): ReadonlyArray<number> => readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)

export const childrenOf = (pid: number): ReadonlyArray<ProcessId> =>
  allPids().flatMap((child) => {
    const stat = statOf(child)
    return stat?.parent === pid && stat.state !== "Z" ? [{ pid: child, startTime: stat.startTime }] : []
  })

/** Whether any process of this short name runs on the machine. */
export const isRunning = (name: string): boolean =>
  allPids().some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === name
    } catch {
      return false
    }
  })

export const kill = (id: ProcessId, signal: NodeJS.Signals): void => {
  if (!isAlive(id)) return
  try {
    process.kill(id.pid, signal)
  } catch {
    // It ended in between.
  }
}

/**
 * The scope of a pid: this boot and this pid namespace. The network namespace is part of it because an engine's bridges
 * live in one.
 */
export const whereabouts = (): string =>
  [
    readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    readlinkSync("/proc/self/ns/pid"),
    readlinkSync("/proc/self/ns/net")
  ].join(" ")

/** Names in CapEff and CapBnd are bits; this checks one of them in both. */
export const hasCapability = (bit: number): boolean => {
  const status = readFileSync("/proc/self/status", "utf8")
  return ["CapEff", "CapBnd"].every((set) => {
    const mask = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1]
    return mask !== undefined && (BigInt(`0x${mask}`) >> BigInt(bit) & 1n) === 1n
  })
}
