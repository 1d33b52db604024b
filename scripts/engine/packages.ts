/**
 * The packages of a private engine on Debian and its relatives, and their installation.
 */
import * as Effect from "effect/Effect"
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { type CommandFailed, type CommandNotStarted, run, runOrFail } from "../lib/exec.ts"
import { hasCapability } from "./process.ts"

/** Administration tools are not on every root's PATH. */
export const PATH = [
  ...new Set([...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
]
  .join(delimiter)

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

export const hasCommand = (name: string): boolean =>
  PATH.split(delimiter).some((folder) => isExecutable(join(folder, name)))

export const BUSYBOX = "/bin/busybox"

/** A package, and how it is known that it is there. */
export interface Need {
  readonly package: string
  readonly present: () => boolean
}

/** The engines that can be started privately. */
export type EngineKind = "docker" | "podman"

const COMMON: ReadonlyArray<Need> = [
  { package: "iptables", present: () => hasCommand("iptables") },
  { package: "iproute2", present: () => hasCommand("ip") },
  { package: "busybox-static", present: () => existsSync(BUSYBOX) }
]

const isHelper = (name: string): boolean =>
  ["/usr/libexec/podman", "/usr/lib/podman"].some((folder) => isExecutable(join(folder, name)))

const NEEDS: Readonly<Record<EngineKind, ReadonlyArray<Need>>> = {
  docker: [
    { package: "docker.io", present: () => hasCommand("dockerd") && hasCommand("runc") && hasCommand("containerd") },
    ...COMMON
  ],
  podman: [
    { package: "podman", present: () => hasCommand("podman") && hasCommand("conmon") },
    { package: "crun", present: () => hasCommand("crun") },
    { package: "netavark", present: () => isHelper("netavark") },
    { package: "aardvark-dns", present: () => isHelper("aardvark-dns") },
    // The init of nodes; the package of Podman only recommends it.
    { package: "catatonit", present: () => hasCommand("catatonit") || isHelper("catatonit") },
    ...COMMON
  ]
}

export const missingOf = (needs: ReadonlyArray<Need>): ReadonlyArray<string> =>
  needs.filter((need) => !need.present()).map((need) => need.package)

export const missingPackages = (kind: EngineKind) => missingOf(NEEDS[kind])

const CAP_NET_ADMIN = 12
const CAP_SYS_ADMIN = 21

/** Why no private engine can be started here; undefined where it can. */
export const whyNotHere = (kind: EngineKind = "docker"): string | undefined => {
  if (process.platform !== "linux") return "it needs Linux"
  if (process.getuid?.() !== 0) return "it needs root"
  if (!hasCapability(CAP_SYS_ADMIN) || !hasCapability(CAP_NET_ADMIN)) {
    return "root may not mount and make bridges here (an unprivileged container?)"
  }
  return whyNotInstalled(missingPackages(kind))
}

/** Why these packages cannot be installed here; undefined where they can, or where there are none. */
export const whyNotInstalled = (missing: ReadonlyArray<string>): string | undefined => {
  if (missing.length === 0) return undefined
  if (process.getuid?.() !== 0) return `root has to install ${missing.join(", ")}`
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : ""
  const kin = /^ID(?:_LIKE)?=.*\b(?:debian|ubuntu)\b/m.test(release)
  return kin && hasCommand("apt-get")
    ? undefined
    : `it can install ${missing.join(", ")} on Debian and Ubuntu only`
}

const POLICY_FILE = "/usr/sbin/policy-rc.d"
const POLICY = "#!/bin/sh\n# kubelayer: start no service while its packages are installed\nexit 101\n"

/** The package would start a system-wide engine. An existing policy is kept. */
const withoutServices = <A, E, R>(install: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      // Ours can be there from an install that was killed.
      if (existsSync(POLICY_FILE) && readFileSync(POLICY_FILE, "utf8") !== POLICY) return false
      writeFileSync(POLICY_FILE, POLICY, { mode: 0o755 })
      return true
    }),
    () => install,
    (written) => Effect.sync(() => written && rmSync(POLICY_FILE, { force: true }))
  )

const apt = (...args: ReadonlyArray<string>) =>
  ["apt-get", ["-y", "-o", "DPkg::Lock::Timeout=120", ...args], {
    env: { DEBIAN_FRONTEND: "noninteractive", PATH }
  }] as const

export const installMissing = (kind: EngineKind, say: (line: string) => void) => install(missingPackages(kind), say)

/** Cannot be interrupted: a package manager that is stopped half-way leaves a broken system. */
export const install = (
  missing: ReadonlyArray<string>,
  say: (line: string) => void
): Effect.Effect<void, CommandNotStarted | CommandFailed> => {
  if (missing.length === 0) return Effect.void
  const command = apt("install", "--no-install-recommends", "--no-remove", ...missing)
  return Effect.gen(function*() {
    say(`Installing ${missing.join(", ")}`)
    const first = yield* run(...command)
    if (first.code === 0) return
    // A fresh machine has no package lists, or has old ones.
    yield* runOrFail(...apt("update"))
    yield* runOrFail(...command)
  }).pipe(withoutServices, Effect.uninterruptible)
}
