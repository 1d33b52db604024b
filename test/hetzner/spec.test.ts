/** Validation of a spec without the API reports all issues together, each with its path. */
import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import type { FirewallRule, HetznerClusterSpec, NodeDefaults } from "../../src/hetzner/Spec.ts"
import { faults } from "../../src/hetzner/Validation.ts"

const nodes = { image: "debian-13", serverTypes: ["cx23"], locations: ["fsn1"] }
const good: HetznerClusterSpec = { cluster: "dev", controlPlanes: 1, workers: 2, nodes }

const told = (spec: Partial<HetznerClusterSpec>, defaults: NodeDefaults = {}) =>
  faults(defaults, { ...good, ...spec }).map(({ message, path }) => `${path}: ${message}`)
const paths = (spec: Partial<HetznerClusterSpec>, defaults: NodeDefaults = {}) =>
  faults(defaults, { ...good, ...spec }).map(({ path }) => path)
const rule = (given: Partial<FirewallRule>): Partial<HetznerClusterSpec> => ({
  firewall: { rules: [{ direction: "in", protocol: "tcp", port: "22", sourceIps: ["0.0.0.0/0"], ...given }] }
})

describe("a spec", () => {
  it("without faults has none", () => {
    assert.deepStrictEqual(told({}), [])
    assert.deepStrictEqual(
      told({
        network: { ipRange: "192.168.0.0/20", subnet: "192.168.4.0/22", zone: "eu-central" },
        volumes: [{ name: "data", sizeGb: 10, each: "worker" }],
        floatingIp: { type: "ipv4" },
        sshKeys: ["me", 12, { name: "new", publicKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@here" }],
        ...rule({ sourceIps: ["203.0.113.0/24", "2001:db8::/32", "::/0"] })
      }),
      []
    )
  })

  it("takes from the layer what it leaves open, role by role", () => {
    const { nodes: _, ...rest } = good
    assert.deepStrictEqual(faults({ nodes }, rest), [])
    assert.deepStrictEqual(faults({ nodes: { image: "a" }, worker: { serverTypes: ["b"] } }, rest).map((f) => f.path), [
      "controlPlane.serverTypes"
    ])
  })

  it("is refused with all its issues together", () => {
    const all = faults({}, {
      cluster: "x".repeat(60),
      controlPlanes: 0,
      workers: -1,
      labels: { "": "x", "kubelayer.session": "y", ok: "not ok" },
      nodes: { image: "", serverTypes: [] },
      network: { ipRange: "8.8.8.0/25" },
      publicNet: { ipv4: false, ipv6: false },
      volumes: [{ name: "/", sizeGb: 1 }],
      sshKeys: [""]
    }).map(({ path }) => path)
    for (
      const path of [
        "controlPlanes",
        "workers",
        "labels",
        "labels.kubelayer.session",
        "labels.ok",
        "controlPlane.image",
        "controlPlane.serverTypes",
        "worker.image",
        "network.ipRange",
        "volumes[0].name",
        "volumes[0].sizeGb",
        "sshKeys[0]",
        "cluster"
      ]
    ) assert.include(all, path)
  })

  it("has no network that is public, too small, or does not hold its subnet", () => {
    assert.match(told({ network: { ipRange: "8.8.0.0/16" } }).join(), /network.ipRange: 8.8.0.0\/16 is not private/)
    assert.match(told({ network: { ipRange: "172.32.0.0/16" } }).join(), /is not private/)
    assert.match(told({ network: { ipRange: "10.0.0.0/25", subnet: "10.0.0.0/26" } }).join(), /smaller than a \/24/)
    assert.match(
      told({ network: { ipRange: "10.0.0.0/16", subnet: "10.1.0.0/24" } }).join(),
      /network.subnet: 10.1.0.0\/24 is not inside of 10.0.0.0\/16/
    )
    assert.match(told({ network: { ipRange: "10.0.0.1/16" } }).join(), /not an IPv4 network/)
    assert.match(told({ network: { subnet: "10.0.0.0/30" } }).join(), /has room for 1 servers, 3 are requested/)
  })

  it("names every CIDR of a firewall that does not parse, and has no rule that lets nothing through", () => {
    assert.deepStrictEqual(paths(rule({ sourceIps: ["10.0.0.1/8", "0.0.0.0/0", "nonsense", "1.2.3.4", "::1/129"] })), [
      "firewall.rules[0].sourceIps[0]",
      "firewall.rules[0].sourceIps[2]",
      "firewall.rules[0].sourceIps[3]",
      "firewall.rules[0].sourceIps[4]"
    ])
    assert.match(told(rule({ sourceIps: [] })).join(), /would let nothing through/)
    assert.match(told(rule({ direction: "out" })).join(), /destinationIps: is empty/)
  })

  it("has ports where they belong, and only there", () => {
    for (const port of ["0", "65536", "80-", "90-80", "http", "1-2-3", ""]) {
      assert.deepStrictEqual(paths(rule({ port })), ["firewall.rules[0].port"], port)
    }
    for (const port of ["1", "65535", "1024-5000", "any"]) assert.deepStrictEqual(paths(rule({ port })), [], port)
    assert.match(told(rule({ protocol: "icmp" })).join(), /icmp has no ports/)
    assert.match(
      told({ firewall: { rules: [{ direction: "in", protocol: "udp", sourceIps: ["::/0"] }] } }).join(),
      /udp needs a port/
    )
  })

  it("has no user data over 32 KiB, counted in bytes, and never shows it", () => {
    const most = { ...nodes, userData: "é".repeat(16 * 1024) }
    assert.deepStrictEqual(told({ nodes: most }), [])
    const more = told({ nodes: { ...nodes, userData: Redacted.make(`${"é".repeat(16 * 1024)}secret`) } }).join()
    assert.match(more, /controlPlane.userData: has 32774 bytes, at most 32768 are allowed/)
    assert.notInclude(more, "secret")
  })

  it("has no derived name over 63 characters, and none that is no host name", () => {
    assert.match(told({ cluster: "a".repeat(48) }).join(), /cluster: the name a+-control-plane-1 has 64 characters/)
    assert.deepStrictEqual(told({ cluster: "a".repeat(47) }), [])
    for (const cluster of ["a..b", "a.-b", "a-.b"]) assert.deepStrictEqual(paths({ cluster }), ["cluster"], cluster)
  })

  it("has a way to its servers", () => {
    assert.match(told({ network: false, publicNet: { ipv4: false, ipv6: false } }).join(), /needs a public address/)
    assert.deepStrictEqual(told({ publicNet: { ipv4: false, ipv6: false } }), [])
    assert.match(told({ ...rule({}), publicNet: { ipv4: false, ipv6: false } }).join(), /it guards public addresses/)
  })

  it("does not show what was pasted instead of a key's name", () => {
    const pasted = told({ sshKeys: ["-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0"] }).join()
    assert.match(pasted, /sshKeys\[0\]/)
    assert.notInclude(pasted, "c2VjcmV0")
  })
})
