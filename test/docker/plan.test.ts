/** Plans a spec: the create call of each node, the names, the differences. */
import { assert, describe, it } from "@effect/vitest"
import type { DockerClusterSpec, NodeDefaults } from "kubelayer/layers/Docker"
import { createBody, type Desired, desiredOf, differences } from "../../src/docker/Desired.ts"
import type { MadeScheme } from "../../src/docker/Scheme.ts"
import { k3d } from "../../src/docker/schemes/K3d.ts"
import { kind } from "../../src/docker/schemes/Kind.ts"
import { kubelayer } from "../../src/docker/schemes/Kubelayer.ts"
import { talos } from "../../src/docker/schemes/Talos.ts"
import { clusterName } from "./support/service.ts"

const planned = (scheme: MadeScheme, more: Partial<DockerClusterSpec> = {}, defaults: NodeDefaults = {}): Desired =>
  desiredOf(
    scheme,
    defaults,
    { cluster: "dev", controlPlanes: 1, workers: 1, nodes: { image: "node:v1" }, ...more },
    clusterName("dev")
  )

/** The label on everything that one call creates. */
const ownership = { "kubelayer.operation": "this-call" }

/** The create call of a node, on ports that are chosen already. Its labels of ownership are left out. */
const bodyOf = (plan: Desired, name: string, address?: string): Record<string, unknown> => {
  const node = plan.nodes.find((each) => each.name === name)
  if (node === undefined) throw new Error(`${name} is none of ${plan.nodes.map((each) => each.name).join(", ")}`)
  const hostPorts = node.ports.map((port) => ({ host: 30_000 + (port.container % 1000), ...port }))
  const body: Record<string, unknown> = createBody(
    { ...node, hostPorts, ...(address === undefined ? {} : { address }) },
    ownership
  )
  const { "kubelayer.operation": operation, "kubelayer.spec": _digest, ...labels } = body["Labels"] as Record<
    string,
    string
  >
  assert.strictEqual(operation, "this-call")
  return { ...body, Labels: labels }
}

const hostConfigOf = (plan: Desired, name: string): Record<string, unknown> =>
  bodyOf(plan, name)["HostConfig"] as Record<string, unknown>

describe("the create call, as the scheme's own tool would make the container", () => {
  const lb = { loadBalancer: { image: "envoy:v1" } }

  it("kind: control planes run in the user namespace of the host, as engines with userns-remap need it (D14)", () => {
    assert.deepStrictEqual(bodyOf(planned(kind), "dev-control-plane"), {
      Image: "node:v1",
      Hostname: "dev-control-plane",
      Tty: true,
      Env: ["KUBECONFIG=/etc/kubernetes/admin.conf"],
      Labels: { "io.x-k8s.kind.cluster": "dev", "io.x-k8s.kind.role": "control-plane" },
      Volumes: { "/var": {} },
      ExposedPorts: { "6443/tcp": {} },
      HostConfig: {
        Privileged: true,
        UsernsMode: "host",
        SecurityOpt: ["seccomp=unconfined", "apparmor=unconfined"],
        Tmpfs: { "/tmp": "", "/run": "" },
        Binds: ["/lib/modules:/lib/modules:ro"],
        Mounts: [],
        RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 },
        Init: false,
        CgroupnsMode: "private",
        NetworkMode: "kind",
        PortBindings: { "6443/tcp": [{ HostIp: "127.0.0.1", HostPort: "30443" }] }
      },
      NetworkingConfig: { EndpointsConfig: { kind: {} } }
    })
  })

  it("kind: workers have no API port and no kubeconfig", () => {
    const body = bodyOf(planned(kind), "dev-worker")
    assert.deepStrictEqual(body["Labels"], { "io.x-k8s.kind.cluster": "dev", "io.x-k8s.kind.role": "worker" })
    assert.deepStrictEqual([body["Env"], body["ExposedPorts"]], [[], {}])
    const { PortBindings: _none, ...rest } = hostConfigOf(planned(kind), "dev-worker")
    const { PortBindings: _api, ...ofControlPlane } = hostConfigOf(planned(kind), "dev-control-plane")
    assert.deepStrictEqual(rest, ofControlPlane)
  })

  it("kind: the load balancer of several control planes is not privileged and mounts nothing", () => {
    const plan = planned(kind, { controlPlanes: 2, ...lb })
    assert.deepStrictEqual(bodyOf(plan, "dev-external-load-balancer"), {
      Image: "envoy:v1",
      Hostname: "dev-external-load-balancer",
      Tty: true,
      Env: [],
      Labels: { "io.x-k8s.kind.cluster": "dev", "io.x-k8s.kind.role": "external-load-balancer" },
      ExposedPorts: { "6443/tcp": {} },
      HostConfig: {
        Tmpfs: {},
        Binds: [],
        Mounts: [],
        RestartPolicy: { Name: "on-failure", MaximumRetryCount: 1 },
        Init: false,
        CgroupnsMode: "private",
        NetworkMode: "kind",
        PortBindings: { "6443/tcp": [{ HostIp: "127.0.0.1", HostPort: "30443" }] }
      },
      NetworkingConfig: { EndpointsConfig: { kind: {} } }
    })
    assert.isDefined(plan.nodes.find(({ name }) => name === "dev-control-plane2"))
  })

  it("kind: one control plane has no load balancer, whatever the layer says", () => {
    assert.deepStrictEqual(planned(kind, {}, lb).nodes.map(({ name }) => name), ["dev-control-plane", "dev-worker"])
  })

  const k3dLabels = (role: string) => ({
    app: "k3d",
    "k3d.cluster": "dev",
    "k3d.role": role,
    "k3d.cluster.network": "k3d-dev",
    "k3d.cluster.network.external": "false",
    "k3d.cluster.imageVolume": "k3d-dev-images",
    "k3d.cluster.url": "https://k3d-dev-server-0:6443"
  })

  const k3dHost = {
    Privileged: true,
    Init: true,
    UsernsMode: "host",
    RestartPolicy: { Name: "unless-stopped" },
    Tmpfs: { "/run": "", "/var/run": "" },
    Binds: [],
    Mounts: [{
      Type: "volume",
      Source: "k3d-dev-images",
      Target: "/k3d/images",
      VolumeOptions: { Labels: { app: "k3d", "k3d.cluster": "dev", ...ownership } }
    }],
    NetworkMode: "k3d-dev"
  }

  it("k3d: a server", () => {
    assert.deepStrictEqual(bodyOf(planned(k3d), "k3d-dev-server-0"), {
      Image: "node:v1",
      Hostname: "k3d-dev-server-0",
      Cmd: ["server"],
      Env: ["K3S_KUBECONFIG_OUTPUT=/output/kubeconfig.yaml"],
      Labels: k3dLabels("server"),
      ExposedPorts: { "6443/tcp": {} },
      HostConfig: { ...k3dHost, PortBindings: { "6443/tcp": [{ HostIp: "0.0.0.0", HostPort: "30443" }] } },
      NetworkingConfig: { EndpointsConfig: { "k3d-dev": {} } }
    })
  })

  it("k3d: an agent, and a load balancer that has the API port instead of the server", () => {
    const plan = planned(k3d, lb)
    const agent = bodyOf(plan, "k3d-dev-agent-0")
    assert.deepStrictEqual([agent["Labels"], agent["Cmd"]], [k3dLabels("agent"), ["agent"]])
    assert.deepStrictEqual(agent["HostConfig"], { ...k3dHost, PortBindings: {} })
    assert.deepStrictEqual(hostConfigOf(plan, "k3d-dev-server-0")["PortBindings"], {})
    assert.deepStrictEqual(bodyOf(plan, "k3d-dev-serverlb"), {
      Image: "envoy:v1",
      Hostname: "k3d-dev-serverlb",
      Env: ["K3S_KUBECONFIG_OUTPUT=/output/kubeconfig.yaml"],
      Labels: k3dLabels("loadbalancer"),
      ExposedPorts: { "6443/tcp": {} },
      HostConfig: { ...k3dHost, PortBindings: { "6443/tcp": [{ HostIp: "0.0.0.0", HostPort: "30443" }] } },
      NetworkingConfig: { EndpointsConfig: { "k3d-dev": {} } }
    })
  })

  it("k3d: with several servers, the first is marked as the one that begins, and has the argument that k3d expects of it (D15)", () => {
    const plan = planned(k3d, { controlPlanes: 3 })
    const marks = plan.nodes.filter(({ place }) => place.role === "control-plane").map(({ name }) =>
      (bodyOf(plan, name)["Labels"] as Record<string, string>)["k3d.server.init"]
    )
    assert.deepStrictEqual(marks, ["true", "false", "false"])
    // k3d compares the mark with the arguments, and prints an error where they do not fit.
    const commands = plan.nodes.slice(0, 3).map(({ name }) => bodyOf(plan, name)["Cmd"])
    assert.deepStrictEqual(commands, [["server", "--cluster-init"], ["server"], ["server"]])
  })

  it("k3d: the volume has the labels by which k3d removes it, and the network the label by which k3d finds it", () => {
    const plan = planned(k3d)
    assert.deepStrictEqual(plan.volumes.map(({ labels, name }) => ({ name, labels })), [
      { name: "k3d-dev-images", labels: { app: "k3d", "k3d.cluster": "dev" } }
    ])
    assert.deepStrictEqual(
      plan.networks.map(({ labels, name, options, shared }) => ({ labels, name, options, shared })),
      [{
        name: "k3d-dev",
        shared: false,
        labels: { app: "k3d" },
        options: { "com.docker.network.bridge.enable_ip_masquerade": "true" }
      }]
    )
  })

  it("talos: a control plane with its fixed address", () => {
    assert.deepStrictEqual(bodyOf(planned(talos), "dev-controlplane-1", "10.5.0.2"), {
      Image: "node:v1",
      Hostname: "dev-controlplane-1",
      Env: ["PLATFORM=container"],
      Labels: {
        "talos.owned": "true",
        "talos.cluster.name": "dev",
        "talos.type": "controlplane",
        "kubelayer.address": "10.5.0.2"
      },
      ExposedPorts: { "6443/tcp": {}, "50000/tcp": {} },
      HostConfig: {
        Privileged: true,
        SecurityOpt: ["seccomp:unconfined"],
        ReadonlyRootfs: true,
        Sysctls: { "net.ipv6.conf.all.disable_ipv6": "0" },
        Mounts: [
          { Type: "tmpfs", Target: "/run" },
          { Type: "tmpfs", Target: "/system" },
          { Type: "tmpfs", Target: "/tmp" },
          { Type: "volume", Target: "/var" },
          { Type: "volume", Target: "/system/state" },
          { Type: "volume", Target: "/opt" }
        ],
        Binds: [],
        Tmpfs: {},
        NetworkMode: "dev",
        PortBindings: {
          "6443/tcp": [{ HostIp: "127.0.0.1", HostPort: "30443" }],
          "50000/tcp": [{ HostIp: "127.0.0.1", HostPort: "30000" }]
        }
      },
      NetworkingConfig: { EndpointsConfig: { dev: { IPAMConfig: { IPv4Address: "10.5.0.2" } } } }
    })
  })

  it("talos: only the first control plane publishes, and the network has an MTU that talosctl reads", () => {
    const plan = planned(talos, { controlPlanes: 2 })
    assert.deepStrictEqual(hostConfigOf(plan, "dev-controlplane-2")["PortBindings"], {})
    assert.deepStrictEqual(hostConfigOf(plan, "dev-worker-1")["PortBindings"], {})
    const [network] = plan.networks
    assert.deepStrictEqual([network?.name, network?.labels, network?.options, network?.subnet], [
      "dev",
      { "talos.owned": "true", "talos.cluster.name": "dev" },
      { "com.docker.network.driver.mtu": "1500" },
      "10.5.0.0/24"
    ])
  })

  it("kubelayer: nothing but the labels, a network of its own and the fixed address", () => {
    assert.deepStrictEqual(bodyOf(planned(kubelayer), "dev-worker", "10.89.0.3"), {
      Image: "node:v1",
      Hostname: "dev-worker",
      Env: [],
      Labels: { "kubelayer.cluster": "dev", "kubelayer.role": "worker", "kubelayer.address": "10.89.0.3" },
      ExposedPorts: {},
      HostConfig: { NetworkMode: "kubelayer-dev", PortBindings: {}, Binds: [], Mounts: [], Tmpfs: {} },
      NetworkingConfig: { EndpointsConfig: { "kubelayer-dev": { IPAMConfig: { IPv4Address: "10.89.0.3" } } } }
    })
  })

  it("names count as the tool counts", () => {
    const names = (scheme: MadeScheme) =>
      planned(scheme, { controlPlanes: 2, workers: 2 }).nodes.map(({ name }) => name)
    assert.deepStrictEqual(names(kind), [
      "dev-control-plane",
      "dev-control-plane2",
      "dev-worker",
      "dev-worker2",
      "dev-external-load-balancer"
    ])
    assert.deepStrictEqual(names(k3d), ["k3d-dev-server-0", "k3d-dev-server-1", "k3d-dev-agent-0", "k3d-dev-agent-1"])
    assert.deepStrictEqual(names(talos), ["dev-controlplane-1", "dev-controlplane-2", "dev-worker-1", "dev-worker-2"])
  })
})

describe("the spec", () => {
  it("every field of a node is in the create call", () => {
    const body = bodyOf(
      planned(kind, {
        labels: { team: "a" },
        volumes: [{ name: "shared" }, { name: "own", perNode: true }],
        worker: {
          entrypoint: ["/init"],
          command: ["--debug"],
          env: { TZ: "UTC", EMPTY: "" },
          labels: { tier: "b" },
          ports: [{ container: 53, host: 5353, protocol: "udp" }, { container: 80, host: 8080, address: "127.0.0.1" }],
          volumes: [
            { name: "shared", target: "/s", readOnly: true },
            { name: "own", target: "/o" },
            { target: "/anonymous" }
          ],
          binds: [{ source: "/etc/ssl", target: "/ssl", readOnly: true }, { source: "/a", target: "/b" }],
          tmpfs: ["/scratch"],
          privileged: false,
          cpus: 0.5,
          memoryBytes: 64 * 1024 * 1024,
          restart: "always"
        }
      }),
      "dev-worker"
    )
    const host = body["HostConfig"] as Record<string, unknown>
    assert.deepStrictEqual([body["Entrypoint"], body["Cmd"], body["Env"]], [["/init"], ["--debug"], [
      "TZ=UTC",
      "EMPTY="
    ]])
    assert.deepStrictEqual(body["Labels"], {
      team: "a",
      tier: "b",
      "io.x-k8s.kind.cluster": "dev",
      "io.x-k8s.kind.role": "worker"
    })
    assert.deepStrictEqual(body["ExposedPorts"], { "53/udp": {}, "80/tcp": {} })
    assert.deepStrictEqual(host["PortBindings"], {
      "53/udp": [{ HostIp: "", HostPort: "5353" }],
      "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080" }]
    })
    assert.deepStrictEqual(host["Mounts"], [
      // The engine creates a missing volume with these labels. Without them it would be unlabelled.
      { Type: "volume", Source: "dev-shared", Target: "/s", ReadOnly: true, VolumeOptions: { Labels: ownership } },
      { Type: "volume", Source: "dev-worker-own", Target: "/o", ReadOnly: false, VolumeOptions: { Labels: ownership } },
      { Type: "volume", Target: "/anonymous", ReadOnly: false }
    ])
    assert.deepStrictEqual(host["Binds"], ["/lib/modules:/lib/modules:ro", "/etc/ssl:/ssl:ro", "/a:/b"])
    assert.deepStrictEqual(host["Tmpfs"], { "/tmp": "", "/run": "", "/scratch": "" })
    assert.deepStrictEqual(
      [host["Privileged"], host["NanoCpus"], host["Memory"], host["RestartPolicy"]],
      [false, 500_000_000, 67_108_864, { Name: "always" }]
    )
  })

  it("a port that the caller maps is not mapped a second time for the scheme", () => {
    const plan = planned(kind, { controlPlane: { ports: [{ container: 6443, host: 6443, address: "0.0.0.0" }] } })
    assert.deepStrictEqual(hostConfigOf(plan, "dev-control-plane")["PortBindings"], {
      "6443/tcp": [{ HostIp: "0.0.0.0", HostPort: "6443" }]
    })
  })

  it("the nearest wins: the role over all nodes, the call over the layer; records are merged", () => {
    const plan = planned(
      kubelayer,
      { nodes: { env: { A: "call" } }, worker: { env: { B: "call-worker" } } },
      {
        nodes: { image: "layer:v1", cpus: 1, env: { A: "layer", C: "layer" } },
        worker: { image: "layer-worker:v1", cpus: 2 }
      }
    )
    const worker = bodyOf(plan, "dev-worker")
    assert.strictEqual(worker["Image"], "layer-worker:v1")
    assert.sameMembers(worker["Env"] as Array<string>, ["A=call", "B=call-worker", "C=layer"])
    assert.strictEqual((worker["HostConfig"] as Record<string, unknown>)["NanoCpus"], 2e9)
    assert.strictEqual(bodyOf(plan, "dev-control-plane")["Image"], "layer:v1")
  })

  it("networks and volumes have the cluster's or the node's name; external ones their own", () => {
    const plan = planned(kubelayer, {
      workers: 2,
      networks: [{ name: "storage", subnet: "10.1.0.0/24" }, { name: "corp", external: true }],
      volumes: [{ name: "data" }, { name: "cache", perNode: true }],
      worker: { networks: ["storage", "corp"], volumes: [{ name: "cache", target: "/c" }] }
    })
    assert.deepStrictEqual(
      plan.networks.map(({ external, name, requestedSubnet }) => [name, external, requestedSubnet]),
      [
        ["kubelayer-dev", false, undefined],
        ["dev-storage", false, "10.1.0.0/24"],
        ["corp", true, undefined]
      ]
    )
    assert.deepStrictEqual(plan.volumes.map(({ name }) => name), [
      "dev-data",
      "dev-worker-cache",
      "dev-worker2-cache"
    ])
  })
})

describe("differences", () => {
  const digestOf = (node: DockerClusterSpec["nodes"]): string =>
    planned(kubelayer, { nodes: { image: "node:v1", ...node } }).nodes[0]?.digest ?? ""

  it("the same spec has no differences, in any order and with any pull policy", () => {
    const made = digestOf({ env: { A: "1", B: "2" }, ports: [{ container: 80, host: 8080 }] })
    const asked = digestOf({ ports: [{ host: 8080, container: 80 }], env: { B: "2", A: "1" }, pull: "always" })
    assert.deepStrictEqual(differences(made, asked), [])
    assert.deepStrictEqual(differences(digestOf({ env: {}, labels: {} }), digestOf({})), [])
  })

  it("each field that differs, is new or is gone is named; of an image both values", () => {
    const made = digestOf({ cpus: 1, env: { A: "1" }, tmpfs: ["/a"] })
    const asked = digestOf({ image: "node:v2", env: { A: "2" }, tmpfs: ["/a"], restart: "no" })
    const hidden = {
      actual: "the value at its creation",
      requested: "the value of the spec",
      remedy: "replace" as const
    }
    assert.deepStrictEqual(differences(made, asked).map((difference) => ({ ...difference })), [
      { ...hidden, field: "cpus", requested: null },
      { ...hidden, field: "env" },
      { field: "image", actual: "node:v1", requested: "node:v2", remedy: "replace" },
      { ...hidden, field: "restart", actual: null }
    ])
  })

  it("the digest label has no value of the spec except the image", () => {
    const label = digestOf({ env: { TOKEN: "hunter2" }, command: ["--password=hunter2"], labels: { note: "hunter2" } })
    assert.notInclude(label, "hunter2")
    assert.include(label, "node:v1")
    assert.notStrictEqual(label, digestOf({ env: { TOKEN: "hunter3" } }))
  })

  it("a label that says nothing that can be read is a difference, never a defect", () => {
    for (const label of [undefined, "", "null", "7", "\"x\"", "{", "true"]) {
      assert.deepStrictEqual(differences(label, digestOf({})).map(({ field }) => field), ["spec"], label)
    }
    for (const label of ["[]", "{}", "{\"image\":null}", "{\"image\":{\"toString\":7}}"]) {
      assert.isNotEmpty(differences(label, digestOf({})), label)
    }
  })
})
