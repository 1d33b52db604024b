/** Invalid specs and names: one error has all issues, each with its path, before any request. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { DockerClusterSpec, Options, SchemeName } from "kubelayer/layers/Docker"
import * as Docker from "kubelayer/layers/Docker"
import { NodeCreator } from "kubelayer/Provider"
import { converse } from "./support/Conversation.ts"
import { failureOf, methods, serviceAt } from "./support/service.ts"

/** The service before an engine that must not be asked anything: a request fails the test. */
const unasked = (options: Options = {}) =>
  Effect.flatMap(converse(() => undefined), (engine) => serviceAt(engine, options))

const base: DockerClusterSpec = { cluster: "dev", controlPlanes: 1, workers: 1, nodes: { image: "node" } }

/** The issues of a spec, as `path: message`. */
const issuesOf = (spec: DockerClusterSpec, options: Options = {}) =>
  Effect.gen(function*() {
    const error = yield* failureOf((yield* unasked(options)).createNodes(spec))
    assert.strictEqual(error._tag, "InvalidSpec")
    return error._tag === "InvalidSpec" ? error.issues.map(({ message, path }) => `${path}: ${message}`) : []
  })

interface Case {
  readonly more: Partial<DockerClusterSpec>
  readonly scheme?: SchemeName
  /** Paths, each with a part of its message. */
  readonly faults: Readonly<Record<string, RegExp>>
}

const aNode = (node: DockerClusterSpec["nodes"]): Partial<DockerClusterSpec> => ({
  nodes: {},
  controlPlane: { image: "node", ...node },
  worker: { image: "node" }
})

const long = (length: number): string => "a".repeat(length)

const cases: Readonly<Record<string, Case>> = {
  "no control plane": {
    more: { controlPlanes: 0 },
    faults: { controlPlanes: /must be an integer from 1 to 1000, got 0/ }
  },
  "half a control plane": {
    more: { controlPlanes: 1.5 },
    faults: { controlPlanes: /must be an integer .*, got 1\.5/ }
  },
  "less than no worker": { more: { workers: -1 }, faults: { workers: /must be an integer from 0 to 1000, got -1/ } },
  "workers that are no number": {
    more: { workers: Number.NaN },
    faults: { workers: /must be an integer .*, got NaN/ }
  },
  "a million of workers": { more: { workers: 1e6 }, faults: { workers: /to 1000/ } },
  "a name that is too long for k3d": {
    more: { cluster: long(33) },
    scheme: "k3d",
    faults: { cluster: /33 characters is too long for k3d \(32\)/ }
  },
  "a name that makes node names too long": {
    more: { cluster: long(55) },
    scheme: "kind",
    faults: { cluster: new RegExp(`the node name ${long(55)}-control-plane has 69 characters`) }
  },
  "a load balancer where there are none": {
    more: { loadBalancer: { image: "node" } },
    scheme: "talos",
    faults: { loadBalancer: /talos has no load balancers/ }
  },
  "no image for any role": {
    more: { nodes: {} },
    faults: { "controlPlane.image": /is required/, "worker.image": /is required/ }
  },
  "no image for a load balancer that kind needs": {
    more: { controlPlanes: 2 },
    scheme: "kind",
    faults: { "loadBalancer.image": /is required/ }
  },
  "an image with blanks": {
    more: aNode({ image: "no de" }),
    faults: { "controlPlane.image": /must be an image reference/ }
  },
  "an image that is a URL": {
    more: aNode({ image: "https://registry.example/node" }),
    faults: { "controlPlane.image": /must be an image reference/ }
  },
  "an image with an upper-case name": {
    more: aNode({ image: "registry.example/Node" }),
    faults: { "controlPlane.image": /must be an image reference/ }
  },
  "a command that is one text, and an entrypoint with NUL": {
    more: aNode({ command: "sleep" as unknown as ReadonlyArray<string>, entrypoint: ["a\0b"] }),
    faults: { "controlPlane.command": /must be a list of texts/, "controlPlane.entrypoint": /must be a list of texts/ }
  },
  "another way to pull": {
    more: aNode({ pull: "sometimes" as "always" }),
    faults: { "controlPlane.pull": /must be missing, always or never, got "sometimes"/ }
  },
  "ports out of range": {
    more: aNode({ ports: [{ container: 0 }, { container: 80, host: 65_536 }, { container: 1.5 }] }),
    faults: {
      "controlPlane.ports[0].container": /must be a port from 1 to 65535, got 0/,
      "controlPlane.ports[1].host": /must be a port from 1 to 65535, got 65536/,
      "controlPlane.ports[2].container": /must be a port from 1 to 65535, got 1\.5/
    }
  },
  "a port of another protocol, at no address": {
    more: aNode({ ports: [{ container: 80, protocol: "icmp" as "tcp", address: "localhost" }] }),
    faults: {
      "controlPlane.ports[0].protocol": /must be tcp, udp or sctp, got "icmp"/,
      "controlPlane.ports[0].address": /must be an IP address, got "localhost"/
    }
  },
  "one host port for two roles": {
    more: {
      controlPlane: { ports: [{ container: 80, host: 8080, address: "127.0.0.1" }] },
      worker: { ports: [{ container: 80, host: 8080 }] }
    },
    faults: { "worker.ports[0].host": /host port 8080 is already used by controlPlane\.ports\[0\]\.host/ }
  },
  "one host port for two nodes of a role": {
    more: { workers: 2, worker: { ports: [{ container: 80, host: 8080 }] } },
    faults: { "worker.ports[0].host": /2 nodes of this role cannot all use host port 8080/ }
  },
  "mounts that are no absolute paths": {
    more: aNode({
      volumes: [{ target: "data" }],
      binds: [{ source: "./here", target: "/there" }, { source: "/a:b", target: "/c:ro" }],
      tmpfs: ["run"]
    }),
    faults: {
      "controlPlane.volumes[0].target": /must be an absolute path, got "data"/,
      "controlPlane.binds[0].source": /must be an absolute path, got "\.\/here"/,
      "controlPlane.binds[1].source": /must be an absolute path/,
      "controlPlane.binds[1].target": /must be an absolute path/,
      "controlPlane.tmpfs[0]": /must be an absolute path, got "run"/
    }
  },
  "two mounts at one place": {
    more: aNode({ volumes: [{ target: "/data" }], tmpfs: ["/data"] }),
    faults: { "controlPlane.tmpfs[0]": /\/data is already the target of controlPlane\.volumes\[0\]\.target/ }
  },
  "a volume and a network that are not declared": {
    more: aNode({ volumes: [{ name: "data", target: "/data" }], networks: ["storage"] }),
    faults: {
      "controlPlane.volumes[0].name": /"data" is not one of the cluster's volumes/,
      "controlPlane.networks[0]": /"storage" is not one of the cluster's networks/
    }
  },
  "names of volumes and networks": {
    more: {
      volumes: [{ name: "a/b" }, { name: "ok" }, { name: "ok" }],
      networks: [{ name: "-x" }, { name: "" }]
    },
    faults: {
      "volumes[0].name": /must consist of letters.*, got "a\/b"/,
      "volumes[2].name": /duplicate name "ok"/,
      "networks[0].name": /must consist of letters.*, got "-x"/,
      "networks[1].name": /must consist of letters.*, got ""/
    }
  },
  "variables": {
    more: aNode({ env: { "": "x", "A=B": "x", C: "a\0b", D: 7 as unknown as string } }),
    faults: {
      "controlPlane.env": /must be the name of a variable/,
      "controlPlane.env.C": /must be text without NUL/,
      "controlPlane.env.D": /must be text/
    }
  },
  "labels that say whose a node is": {
    more: aNode({
      labels: {
        "": "x",
        "kubelayer.owned": "me",
        "io.x-k8s.kind.cluster": "other",
        "k3d.role": "server",
        "talos.type": "worker",
        app: "k3d"
      }
    }),
    faults: {
      "controlPlane.labels": /must not be empty/,
      "controlPlane.labels.kubelayer.owned": /kubelayer\.\* is reserved/,
      "controlPlane.labels.io.x-k8s.kind.cluster": /is reserved/,
      "controlPlane.labels.k3d.role": /is reserved/,
      "controlPlane.labels.talos.type": /is reserved/,
      "controlPlane.labels.app": /app is reserved/
    }
  },
  "labels of every node": {
    more: { labels: { "kubelayer.cluster": "other" } },
    faults: { "labels.kubelayer.cluster": /is reserved/ }
  },
  "processors, memory, restart": {
    more: aNode({ cpus: 0, memoryBytes: 1024, restart: "never" as "no" }),
    faults: {
      "controlPlane.cpus": /must be 0\.01 processors or more, got 0/,
      "controlPlane.memoryBytes": /must be an integer of \d+ bytes or more, got 1024/,
      "controlPlane.restart": /must be no, always, unless-stopped or on-failure, got "never"/
    }
  },
  "subnets": {
    more: {
      workers: 7,
      network: { subnet: "10.0.0.0/29" },
      networks: [{ name: "a", subnet: "10.0.0.0" }, { name: "b", subnet: "fd00::/64" }]
    },
    faults: {
      "network.subnet": /10\.0\.0\.0\/29 has room for 5 nodes, 8 are requested/,
      "networks[0].subnet": /must be an IPv4 network such as .*, got "10\.0\.0\.0"/,
      "networks[1].subnet": /must be an IPv4 network such as .*, got "fd00::\/64"/
    }
  }
}

describe("validation of a spec", () => {
  for (const [name, { faults, more, scheme = "kubelayer" }] of Object.entries(cases)) {
    it.live(name, () =>
      Effect.gen(function*() {
        const issues = yield* issuesOf({ ...base, ...more }, { scheme })
        const paths = [...new Set(issues.map((issue) => issue.slice(0, issue.indexOf(": "))))]
        assert.sameMembers(paths, Object.keys(faults))
        for (const [path, message] of Object.entries(faults)) {
          assert.match(issues.find((issue) => issue.startsWith(`${path}: `)) ?? "", message)
        }
      }))
  }

  it.live("all at once, in one error, whose message has each of them", () =>
    Effect.gen(function*() {
      const docker = yield* unasked()
      const all = Object.values(cases).filter(({ scheme }) => scheme === undefined)
      const one = all.reduce<DockerClusterSpec>((spec, { more }) => ({ ...spec, ...more }), base)
      const mixed: DockerClusterSpec = {
        ...one,
        controlPlanes: 0,
        workers: 1.5,
        network: { subnet: "10.0.0.0/30" },
        nodes: {},
        controlPlane: Object.assign({}, ...all.map(({ more }) => more.controlPlane ?? {}), {
          image: "no de",
          ports: [{ container: 0 }]
        })
      }
      const error = yield* failureOf(docker.createNodes(mixed))
      const paths = error._tag === "InvalidSpec" ? error.issues.map(({ path }) => path) : []
      for (
        const path of [
          "controlPlanes",
          "workers",
          "volumes[0].name",
          "networks[0].subnet",
          "network.subnet",
          "labels",
          ...["image", "pull", "ports", "volumes", "tmpfs", "networks", "env", "labels", "cpus", "restart"].map(
            (field) => `controlPlane.${field}`
          )
        ]
      ) {
        const found = paths.find((each) => each.startsWith(path))
        assert.isDefined(found, path)
        assert.include(error.message, `\n  - ${found}: `)
      }
    }))

  it.live("a spec of another shape than its type is an error too, never a defect", () =>
    Effect.gen(function*() {
      const docker = yield* unasked()
      const shapes: ReadonlyArray<unknown> = [
        { ...base, nodes: "node" },
        { ...base, volumes: "data" },
        { ...base, volumes: [null] },
        { ...base, nodes: { image: 7 } },
        { ...base, nodes: { image: "node", ports: {} } },
        { ...base, nodes: { image: "node", command: "sleep" } },
        { ...base, nodes: { image: "node", entrypoint: [7] } },
        { ...base, network: { subnet: 7 } },
        { cluster: "dev" }
      ]
      for (const shape of shapes) {
        const error = yield* failureOf(docker.createNodes(shape as DockerClusterSpec))
        assert.strictEqual(error._tag, "InvalidSpec", JSON.stringify(shape))
      }
    }))

  it.live("references of images as they are used are none", () =>
    Effect.gen(function*() {
      const digest = `sha256:${"4f".repeat(32)}`
      for (
        const image of [
          "node",
          "kindest/node:v1.31.2",
          `kindest/node:v1.31.2@${digest}`,
          `node@${digest}`,
          digest,
          "4fe2a0",
          "ghcr.io/siderolabs/talos:v1.9",
          "localhost:5000/a/b-c/d_e__f.g:Tag_1.2-x",
          "127.0.0.1:5000/node",
          "[::1]:5000/node",
          "Registry.Example/node"
        ]
      ) {
        // The one fault that is left proves that the image is none.
        const issues = yield* issuesOf({ ...base, workers: -1, nodes: { image } })
        assert.deepStrictEqual(issues.map((issue) => issue.split(":")[0]), ["workers"], image)
      }
    }))

  it.live("a wildcard address uses a port in its own family only (D16)", () =>
    Effect.gen(function*() {
      const both = (first: string | undefined, second: string | undefined) =>
        issuesOf({
          ...base,
          workers: -1,
          controlPlane: {
            ports: [first, second].map((address, index) => ({
              container: 80 + index,
              host: 18_080,
              ...(address === undefined ? {} : { address })
            }))
          }
        }).pipe(Effect.map((issues) => issues.map((issue) => issue.split(":")[0])))
      for (const [first, second] of [["0.0.0.0", "::"], ["0.0.0.0", "::1"], ["127.0.0.1", "::"]] as const) {
        assert.deepStrictEqual(yield* both(first, second), ["workers"], `${first} ${second}`)
      }
      for (
        const [first, second] of [["0.0.0.0", "127.0.0.1"], ["::", "::1"], [undefined, "::1"], ["0.0.0.0", undefined]]
      ) {
        assert.includeMembers(yield* both(first, second), ["controlPlane.ports[1].host"], `${first} ${second}`)
      }
    }))

  it.live("an unknown field is refused, and the near one is named (U7)", () =>
    Effect.gen(function*() {
      const spec = {
        ...base,
        workers: undefined,
        wokers: 3,
        nodes: { image: "node", commands: ["sleep"] },
        networks: [{ name: "data", subnets: "10.1.0.0/24" }]
      }
      const issues = yield* issuesOf(spec as unknown as DockerClusterSpec)
      assert.includeMembers(issues, [
        "wokers: unknown field; did you mean workers?",
        "nodes.commands: unknown field; did you mean command?",
        "networks[0].subnets: unknown field; did you mean subnet?"
      ])
    }))

  it.live("the spec is validated together with the layer's options", () =>
    Effect.gen(function*() {
      const spec = { cluster: "dev", controlPlanes: 1, workers: 1 }
      const issues = yield* issuesOf(spec, { nodes: { cpus: -1 }, worker: { image: "node" } })
      assert.deepStrictEqual(issues.map((issue) => issue.split(":")[0]), [
        "controlPlane.image",
        "controlPlane.cpus",
        "worker.cpus"
      ])
      const creator = Effect.flatMap(NodeCreator, ({ createNodes }) => createNodes(spec))
      const { host } = yield* converse(() => undefined)
      const error = yield* failureOf(Effect.provide(creator, Docker.layer({ host })))
      assert.strictEqual(error._tag, "InvalidSpec")
    }))

  for (const scheme of ["vcluster", "kwok"] as const) {
    it.live(`${scheme} nodes are unsupported, and the error names the command that creates them`, () =>
      Effect.gen(function*() {
        const error = yield* failureOf((yield* unasked({ scheme })).createNodes(base))
        assert.match(error.message, /UnsupportedError: .*create it with `(vcluster|kwokctl) create/)
      }))
  }
})

describe("names", () => {
  /** Each could mean something to a selector, a filter, a URL, a shell or a path. */
  const hostile = [
    "",
    " ",
    ".",
    "..",
    "-dev",
    "dev-",
    ".dev",
    "a,b",
    "a=b",
    "a!=b",
    "a b",
    "a/b",
    "../a",
    "a%2Fb",
    "a?b",
    "a#b",
    "a&b",
    "a*",
    "a|b",
    "^a$",
    "a\nb",
    "a\0b",
    "a\tb",
    "$(id)",
    "`id`",
    "a;b",
    "a'b",
    "a\"b",
    "a\\b",
    "{\"label\":[]}",
    "dév",
    "d\u0435v",
    "dev\u200b",
    "\u202edev",
    "a".repeat(64)
  ]

  for (const [name, call] of Object.entries(methods)) {
    it.live(`${name} refuses hostile ones before any request`, () =>
      Effect.gen(function*() {
        const docker = yield* unasked({ nodes: { image: "node" } })
        for (const cluster of hostile) {
          const error = yield* failureOf(call(docker, cluster))
          assert.strictEqual(error._tag, "InvalidClusterName", JSON.stringify(cluster))
          assert.notMatch(error.message, /[\0\n\t\u200b\u202e]/)
        }
      }))
  }

  it.live("a new cluster's name is narrower: no upper case, no underscore", () =>
    Effect.gen(function*() {
      const docker = yield* unasked({ nodes: { image: "node" } })
      for (const cluster of ["Dev", "DEV", "a_b"]) {
        for (const create of [methods["createNodes"], methods["NodeCreator.createNodes"]]) {
          const error = yield* failureOf(create?.(docker, cluster) ?? Effect.void)
          assert.strictEqual(error._tag, "InvalidClusterName")
        }
      }
    }))

  it.live("a scheme that nobody knows fails the layer, and says which are known", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(Docker.make({ scheme: "minikube" as SchemeName }))
      assert.strictEqual(error._tag, "UnknownLabelScheme")
      assert.include(error.message, "\"minikube\"; known: kubelayer, kind, k3d, talos, vcluster, kwok, auto")
    }))
})
