/**
 * The service `management.ManagementService` of a fake Omni: configurations for a cluster, and the power of machines.
 *
 * The cluster is named by the metadata `cluster`, or else `context`. The tokens are made up and open nothing.
 */
import type { Metadata } from "@grpc/grpc-js"
import type {
  KubeconfigRequest,
  MachinePowerOffRequest,
  MachinePowerOnRequest,
  TalosconfigRequest
} from "../../omni/proto/management_pb.ts"
import type { Role } from "./Access.ts"
import type { Machine } from "./Machines.ts"
import { code, notFound, Refusal } from "./Refusal.ts"
import type { Store } from "./Store.ts"
import type { Wire } from "./Wire.ts"

const account = "fake"
const longestSeconds = 87_600 * 3600

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

const invalid = (message: string) => new Refusal(code.invalidArgument, message)

export const makeManagement = (options: {
  readonly wire: Wire
  readonly store: Store
  readonly machines: Map<string, Machine>
  readonly role: () => Role
  readonly endpoint: () => string
  readonly now: () => number
  /** Machines have changed, and the controllers are to see it. */
  readonly changed: () => void
}) => {
  const { machines, store, wire } = options
  const { management, protobuf, wkt, yaml } = wire

  const clusterOf = (metadata: Metadata): string | undefined =>
    (metadata.get("cluster")[0] ?? metadata.get("context")[0])?.toString()

  const atLeast = (role: "Reader" | "Operator") => {
    const held = options.role()
    if (held === "None" || role === "Operator" && held === "Reader") {
      throw new Refusal(code.permissionDenied, `insufficient role: ${JSON.stringify(held)}`)
    }
  }

  const kubeconfig = (request: KubeconfigRequest, metadata: Metadata) => {
    atLeast(request.serviceAccount ? "Operator" : "Reader")
    if (request.breakGlass) throw new Refusal(code.permissionDenied, "not allowed")
    const cluster = clusterOf(metadata)
    const name = `${account}-${cluster ?? ""}`
    if (!request.serviceAccount) {
      const config = { apiVersion: "v1", kind: "Config", "current-context": name }
      return protobuf.create(management.KubeconfigResponseSchema, { kubeconfig: Buffer.from(yaml.stringify(config)) })
    }
    const ttl = Number(request.serviceAccountTtl?.seconds ?? 0n)
    if (cluster === undefined) throw invalid("cluster name is not in context")
    if (request.serviceAccountUser === "") throw invalid("service account user name is not set")
    if (request.serviceAccountTtl === undefined) throw invalid("service account ttl is not set")
    if (ttl > longestSeconds) throw invalid("service account ttl is too long (max allowed: 87600h0m0s)")
    if (store.get({ namespace: "default", type: "Clusters.omni.sidero.dev", id: cluster }) === undefined) {
      throw new Refusal(
        code.unknown,
        `failed to get cluster UUID: ${
          notFound({ namespace: "default", type: "ClusterUUIDs.omni.sidero.dev", id: cluster }).message
        }`
      )
    }
    const issued = Math.floor(options.now() / 1000)
    const token = [
      base64url({ alg: "RS256", kid: "fake", typ: "JWT" }),
      base64url({
        iat: issued,
        exp: issued + ttl,
        iss: `omni-${account}-service-account-issuer`,
        sub: request.serviceAccountUser,
        groups: request.serviceAccountGroups,
        cluster,
        cluster_uuid: "00000000-0000-4000-8000-000000000000"
      }),
      "no-signature"
    ].join(".")
    const context = `${name}-${request.serviceAccountUser}`
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: context, cluster: { server: options.endpoint() } }],
      contexts: [{ name: context, context: { cluster: context, namespace: "default", user: context } }],
      users: [{ name: context, user: { token } }],
      "current-context": context
    }
    return protobuf.create(management.KubeconfigResponseSchema, { kubeconfig: Buffer.from(yaml.stringify(config)) })
  }

  const talosconfig = (request: TalosconfigRequest, metadata: Metadata, identity: string) => {
    atLeast("Reader")
    if (request.raw || request.breakGlass) throw new Refusal(code.permissionDenied, "not allowed")
    const cluster = clusterOf(metadata)
    const name = cluster === undefined ? account : `${account}-${cluster}`
    const config = {
      context: name,
      contexts: {
        [name]: {
          endpoints: [options.endpoint()],
          auth: { siderov1: { identity: `${identity}@serviceaccount.omni.sidero.dev` } },
          ...(cluster === undefined ? {} : { cluster })
        }
      }
    }
    return protobuf.create(management.TalosconfigResponseSchema, { talosconfig: Buffer.from(yaml.stringify(config)) })
  }

  const power = (request: MachinePowerOffRequest | MachinePowerOnRequest, to: "on" | "off") => {
    atLeast("Operator")
    if (request.machineId === "") throw invalid("machine id is required")
    const machine = machines.get(request.machineId)
    if (machine === undefined) throw new Refusal(code.notFound, "machine not found")
    if (machine.power === "unsupported") {
      throw to === "on"
        ? new Refusal(code.failedPrecondition, "machine is not managed by an infra provider")
        : new Refusal(code.unimplemented, "API is not implemented in the mode")
    }
    machine.power = to
    options.changed()
    return protobuf.create(wkt.EmptySchema, {})
  }

  return { kubeconfig, talosconfig, power }
}
