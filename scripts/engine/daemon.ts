/**
 * Runs the program of a private engine, shut into mount and pid namespaces; Podman has its own network too.
 *
 * The kernel then does the hard part of the clean-up: when the first process in
 * there ends, all others end with it, containers included, and every mount goes.
 * That also holds when this script is killed, by way of the parent death signal.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { request } from "./api.ts"
import { type Home, updateOwner } from "./home.ts"
import type { Network } from "./network.ts"
import { PATH } from "./packages.ts"
import { childrenOf, hasCapability, identify, isAlive, kill, type ProcessId } from "./process.ts"

const CAP_SYS_RESOURCE = 24
const READY_MILLIS = 60_000
const KILL_MILLIS = 10_000

export class DaemonNotReady extends Data.TaggedError("DaemonNotReady")<{
  readonly why: string
  readonly log: string
}> {
  override get message(): string {
    return `The private engine ${this.why}. The end of its log:\n${this.log}`
  }
}

/** How the program of an engine is started. */
export interface Program {
  /** Files in the engine's directory, by name. Those that end in `.sh` are scripts. */
  readonly files: Readonly<Record<string, string>>
  /** The script that is the first process in the namespaces; its argument is the engine's directory. */
  readonly main: string
  /** Namespaces beside those of mounts and processes. */
  readonly unshare: ReadonlyArray<string>
}

/** A script of this folder. */
const script = (name: string): string => readFileSync(join(import.meta.dirname, name), "utf8")

export const dockerProgram = (home: Home, network: Network): Program => {
  const files = (name: string) => join(home.directory, name)
  const config = {
    "hosts": [`unix://${home.socketPath}`],
    "data-root": files("data"),
    "exec-root": files("exec"),
    "pidfile": files("dockerd.pid"),
    "bridge": home.bridge,
    "default-address-pools": [{ base: `10.${network.block}.128.0/17`, size: 24 }],
    ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
    "iptables": false,
    "ip6tables": false,
    "ip-forward": false,
    "ip-masq": false,
    // A service manager outside the namespaces could not follow the pids in them.
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    "cgroup-parent": `/${home.cgroup}`,
    "log-opts": { "max-size": "10m" },
    ...(hasCapability(CAP_SYS_RESOURCE)
      ? {}
      : { "runtimes": { "kubelayer": { path: files("oci-runtime.sh") } }, "default-runtime": "kubelayer" })
  }
  return {
    files: {
      "daemon.json": JSON.stringify(config, null, 2),
      "namespace.sh": script("namespace.sh"),
      "oci-runtime.sh": script("oci-runtime.sh")
    },
    main: "namespace.sh",
    unshare: []
  }
}

/**
 * Podman sets up firewall rules and bridges that outlive it, so it gets a network of its own. That has no way out: its
 * images are imported. Its socket is reached all the same.
 */
export const podmanProgram = (home: Home): Program => {
  const files = (name: string) => join(home.directory, name)
  const wrapped = !hasCapability(CAP_SYS_RESOURCE)
  return {
    files: {
      "containers.conf": [
        "[containers]",
        "log_size_max = 10485760",
        "[engine]",
        "cgroup_manager = \"cgroupfs\"",
        "events_logger = \"file\"",
        `network_config_dir = "${files("networks")}"`,
        `runtime = "${wrapped ? "kubelayer" : "crun"}"`,
        "[engine.runtimes]",
        `kubelayer = ["${files("oci-runtime.sh")}"]`,
        "[network]",
        "network_backend = \"netavark\"",
        ""
      ].join("\n"),
      "storage.conf": [
        "[storage]",
        "driver = \"overlay\"",
        `graphroot = "${files("data")}"`,
        "runroot = \"/run/containers/storage\"",
        ""
      ].join("\n"),
      "namespace.sh": script("podman.sh"),
      "oci-runtime.sh": script("oci-runtime.sh").replace("exec runc", "exec crun")
    },
    main: "namespace.sh",
    unshare: ["--net"]
  }
}

const environment = (): NodeJS.ProcessEnv => {
  const own = Object.entries(process.env).filter(([name]) => !/^(?:DOCKER|CONTAINER|CONTAINERS)_/.test(name))
  return { ...Object.fromEntries(own), PATH }
}

const launch = (home: Home, program: Program): ChildProcess => {
  const log = openSync(home.logFile, "a", 0o600)
  try {
    return spawn(
      "setpriv",
      ["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        .concat(program.unshare, "sh", join(home.directory, program.main), home.directory),
      // Detached: a Ctrl-C in the terminal must not reach dockerd before our clean-up does.
      { cwd: "/", env: environment(), stdio: ["ignore", log, log], detached: true }
    )
  } finally {
    closeSync(log)
  }
}

/** The lines of the engine's log that say why; its last lines where none does. */
const logTail = (home: Home): string => {
  try {
    const lines = readFileSync(home.logFile, "utf8").trimEnd().split("\n")
    const telling = lines.filter((line) => !/level=(?:debug|info|warning)\b/.test(line))
    return (telling.length > 0 ? telling : lines).slice(-12).map((line) => `  ${line}`).join("\n")
  } catch {
    return "  (it wrote none)"
  }
}

export interface Daemon {
  /** Completes when the engine has ended, for whatever reason. */
  readonly ended: Promise<string>
}

export const startDaemon = Effect.fnUntraced(function*(home: Home, program: Program) {
  for (const [name, text] of Object.entries(program.files)) {
    writeFileSync(join(home.directory, name), text, { mode: name.endsWith(".sh") ? 0o755 : 0o644 })
  }

  const child = launch(home, program)
  let end: string | undefined
  const ended = new Promise<string>((resolve) => {
    child.on("error", (error) => resolve(end = `could not be started: ${error.message}`))
    child.on("exit", (code, signal) => resolve(end = signal === null ? `ended with ${code}` : `was ended by ${signal}`))
  })
  const supervisor = child.pid === undefined ? undefined : identify(child.pid)
  if (supervisor !== undefined) updateOwner(home, { supervisor })

  const ping = request({ socketPath: home.socketPath }, { method: "GET", path: "/_ping", deadlineMillis: 5000 })
  const giveUp = Date.now() + READY_MILLIS
  while (true) {
    if (end !== undefined) return yield* new DaemonNotReady({ why: end, log: logTail(home) })
    if (yield* Effect.isSuccess(ping)) break
    if (Date.now() > giveUp) {
      return yield* new DaemonNotReady({ why: `did not answer within ${READY_MILLIS / 1000} s`, log: logTail(home) })
    }
    yield* Effect.sleep("100 millis")
  }
  const daemon: Daemon = { ended }
  return daemon
})

/**
 * Ends every process of an engine at once; false if they do not end. Nothing
 * that it holds is kept, so there is nothing to shut down in order; and a start
 * after a crash, which can only clear up, takes the same way.
 */
export const killDaemon = Effect.fnUntraced(function*(supervisor: ProcessId) {
  for (let waited = 0; waited < KILL_MILLIS && isAlive(supervisor); waited += 50) {
    // The namespace's first process goes; unshare, its parent, ends when the namespace is empty.
    const inside = childrenOf(supervisor.pid)
    for (const target of inside.length > 0 ? inside : [supervisor]) kill(target, "SIGKILL")
    yield* Effect.sleep("50 millis")
  }
  return !isAlive(supervisor)
})
