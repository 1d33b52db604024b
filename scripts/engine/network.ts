/**
 * The network of a private engine beside others.
 *
 * An engine that manages iptables itself empties the chains of every other engine when it starts. The private engine
 * therefore does not manage iptables. It gets its own bridge and address block, its proxy processes publish ports, and
 * three marked rules let its containers out.
 */
import * as Effect from "effect/Effect"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run, runOrFail } from "../lib/exec.ts"
import { type Home, livingOwners, readOwner, updateOwner } from "./home.ts"
import { isRunning } from "./process.ts"

const FORWARDING = "/proc/sys/net/ipv4/ip_forward"

interface Ipv4Range {
  readonly first: number
  readonly last: number
}

const rangeOf = (cidr: string): Ipv4Range | undefined => {
  const parts = /^(\d+)\.(\d+)\.(\d+)\.(\d+)(?:\/(\d+))?$/.exec(cidr)
  if (parts === null) return undefined
  const [a = 0, b = 0, c = 0, d = 0, length = 32] = parts.slice(1).map((part) => part === undefined ? 32 : Number(part))
  const size = 2 ** (32 - length)
  const address = ((a * 256 + b) * 256 + c) * 256 + d
  const first = Math.floor(address / size) * size
  return { first, last: first + size - 1 }
}

/** The blocks 10.200.0.0/16 to 10.254.0.0/16: seldom used by networks that people have. */
const BLOCKS = Array.from({ length: 55 }, (_, index) => 200 + index)

const chooseBlock = (usedCidrs: ReadonlyArray<string>): number | undefined => {
  const used = usedCidrs.flatMap((cidr) => rangeOf(cidr) ?? [])
  return BLOCKS.find((block) => {
    const range = rangeOf(`10.${block}.0.0/16`)
    return range !== undefined && used.every(({ first, last }) => last < range.first || first > range.last)
  })
}

/** Everything that the kernel has an address in or a route to, also through links that are down. */
const usedCidrs = Effect.gen(function*() {
  const addresses = yield* runOrFail("ip", ["-json", "-4", "address", "show"])
  const routes = yield* runOrFail("ip", ["-json", "-4", "route", "show", "table", "all"])
  const interfaces = JSON.parse(addresses.stdout || "[]") as ReadonlyArray<{
    readonly addr_info?: ReadonlyArray<{ readonly local?: string; readonly prefixlen?: number }>
  }>
  const destinations = JSON.parse(routes.stdout || "[]") as ReadonlyArray<{ readonly dst?: string }>
  return [
    ...interfaces.flatMap((link) => (link.addr_info ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`)),
    ...destinations.flatMap(({ dst }) => dst ?? [])
  ]
})

const rules = (block: number, mark: string): ReadonlyArray<{ table: string; chain: string; match: Array<string> }> => {
  const all = `10.${block}.0.0/16`
  const comment = ["-m", "comment", "--comment", mark]
  return [
    { table: "nat", chain: "POSTROUTING", match: ["-s", all, "!", "-d", all, ...comment, "-j", "MASQUERADE"] },
    { table: "filter", chain: "FORWARD", match: ["-s", all, ...comment, "-j", "ACCEPT"] },
    {
      table: "filter",
      chain: "FORWARD",
      match: ["-d", all, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", ...comment, "-j", "ACCEPT"]
    }
  ]
}

const iptables = (action: "-I" | "-D", block: number, mark: string) =>
  Effect.forEach(
    rules(block, mark),
    ({ chain, match, table }) => run("iptables", ["-w", "10", "-t", table, action, chain, ...match])
  )

/** Packets larger than the way out takes would be lost, not cut, on the way back in. */
const mtuOfDefaultRoute = (): number | undefined => {
  const route = readFileSync("/proc/net/route", "utf8").split("\n").map((line) => line.split("\t"))
    .find(([, destination, , , , , , mask]) => destination === "00000000" && mask === "00000000")
  try {
    return Number(readFileSync(join("/sys/class/net", route?.[0] ?? "", "mtu"), "utf8")) || undefined
  } catch {
    return undefined
  }
}

export interface Network {
  readonly block: number
  readonly mtu?: number
  /** A line for the log where containers cannot reach the outside. */
  readonly warning?: string
}

/** To be called under the lock: what it finds free must still be free when it takes it. */
export const takeNetwork = Effect.fnUntraced(function*(home: Home) {
  const block = chooseBlock(yield* usedCidrs)
  if (block === undefined) return undefined
  yield* runOrFail("ip", ["link", "add", "name", home.bridge, "type", "bridge"])
  yield* runOrFail("ip", ["address", "add", `10.${block}.0.1/17`, "dev", home.bridge])
  yield* runOrFail("ip", ["link", "set", "dev", home.bridge, "up"])

  const current = readFileSync(FORWARDING, "utf8").trim()
  const forwardingBefore = livingOwners(home).find((owner) => owner.forwardingBefore)?.forwardingBefore ?? current
  updateOwner(home, { block, forwardingBefore })
  if (current === "0") writeFileSync(FORWARDING, "1")
  const added = yield* iptables("-I", block, home.mark)
  const refused = added.find(({ code }) => code !== 0)
  const mtu = mtuOfDefaultRoute()
  const network: Network = {
    block,
    ...(mtu === undefined ? {} : { mtu }),
    ...(refused && { warning: `its containers cannot reach the outside: ${refused.output.trim()}` })
  }
  return network
})

/** Bridges of the engine's own networks outlive it; its database has their names. */
const bridgesOf = (home: Home): ReadonlyArray<string> => {
  const names = new Set([home.bridge])
  try {
    const database = readFileSync(join(home.directory, "data/network/files/local-kv.db"), "latin1")
    for (const match of database.matchAll(/"BridgeName":"([\w.-]{1,15})"/g)) if (match[1]) names.add(match[1])
  } catch {
    // It never came that far.
  }
  return [...names].filter((name) => existsSync(join("/sys/class/net", name, "bridge")))
}

const portsOf = (bridge: string): number => {
  try {
    return readdirSync(join("/sys/class/net", bridge, "brif")).length
  } catch {
    return 0
  }
}

/** To be called under the lock, when no process of the engine lives. */
export const returnNetwork = Effect.fnUntraced(function*(home: Home) {
  const owner = readOwner(home)
  if (owner?.block !== undefined) yield* iptables("-D", owner.block, home.mark)

  for (const bridge of bridgesOf(home)) {
    // The kernel removes the network namespace of an exited container, and its link here, a little later.
    for (let waited = 0; waited < 5000 && portsOf(bridge) > 0; waited += 100) yield* Effect.sleep("100 millis")
    yield* runOrFail("ip", ["link", "delete", "dev", bridge])
  }

  // The last engine switches forwarding off again, unless another engine relies on it by now.
  if (owner?.forwardingBefore === "0" && livingOwners(home).length === 0 && !isRunning("dockerd")) {
    writeFileSync(FORWARDING, "0")
  }
})
