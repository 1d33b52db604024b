/**
 * The configurations that a fake Omni gives out: kubeconfigs, talosconfigs and omniconfigs. Their tokens open nothing.
 *
 * The metadata `cluster` names the cluster, or else `context`.
 * Source: Omni 1.9.3 as recorded.
 */
import type { KubeconfigRequest, TalosconfigRequest } from "../../omni/proto/management_pb.ts"
import { checkRole, typeOf } from "./Access.ts"
import { identityOf } from "./Accounts.ts"
import { code, missingText, Refusal } from "./Refusal.ts"
import type { Call } from "./Service.ts"
import type { Store } from "./Store.ts"
import type { Wire } from "./Wire.ts"

const accountName = "fake"

const longestSeconds = 87_600 * 3600

const grantTypes: ReadonlySet<string> = new Set(["", "auto", "authcode", "authcode-keyboard"])

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

const invalid = (message: string) => new Refusal(code.invalidArgument, message)

/** The cluster that a call of the management service is about. */
export const clusterOf = ({ headers }: Call): string | undefined => headers("cluster")[0] ?? headers("context")[0]

export const makeKubeconfigs = ({ endpoint, now, store, wire }: {
  readonly wire: Wire
  readonly store: Store
  readonly endpoint: () => string
  readonly now: () => number
}) => {
  const { management, protobuf, specs, yaml } = wire

  const kubeconfigOf = (config: unknown) =>
    protobuf.create(management.KubeconfigResponseSchema, { kubeconfig: Buffer.from(yaml.stringify(config)) })

  const oidc = ({ grantType }: KubeconfigRequest, name: string, identity: string, cluster: string) => {
    if (!grantTypes.has(grantType)) throw invalid(`invalid grant type ${JSON.stringify(grantType)}`)
    const user = `${name}-${identity}`
    return kubeconfigOf({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ cluster: { server: endpoint() }, name }],
      contexts: [{ context: { cluster: name, namespace: "default", user }, name }],
      "current-context": name,
      users: [{
        name: user,
        user: {
          exec: {
            apiVersion: "client.authentication.k8s.io/v1",
            args: [
              "oidc-login",
              "get-token",
              `--oidc-issuer-url=${endpoint()}/oidc`,
              "--oidc-client-id=native",
              `--oidc-extra-scope=cluster:${cluster}`,
              ...(grantType === ""
                ? []
                : [`--grant-type=${grantType}`, "--oidc-redirect-url=urn:ietf:wg:oauth:2.0:oob"])
            ],
            command: "kubectl",
            env: null,
            interactiveMode: "IfAvailable",
            provideClusterInfo: false
          }
        }
      }]
    })
  }

  const uuidOf = (cluster: string): string => {
    const key = { namespace: "default", type: typeOf("ClusterUUIDs"), id: cluster }
    const found = store.get(key)
    // The UUID is written a moment after the Cluster.
    if (found === undefined && store.get({ ...key, type: typeOf("Clusters") }) === undefined) {
      throw new Refusal(code.unknown, `failed to get cluster UUID: failed to get: ${missingText(key)}`)
    }
    return found === undefined ? "" : protobuf.fromBinary(specs.ClusterUUIDSpecSchema, found.spec).uuid
  }

  const kubeconfig = (request: KubeconfigRequest, call: Call) => {
    checkRole(call.role, request.serviceAccount ? "Operator" : "Reader")
    if (request.breakGlass) throw new Refusal(code.permissionDenied, "not allowed")
    const cluster = clusterOf(call)
    const name = `${accountName}-${cluster ?? ""}`
    if (!request.serviceAccount) return oidc(request, name, identityOf(call.identity), cluster ?? "")
    const { serviceAccountGroups: groups, serviceAccountTtl: ttl, serviceAccountUser: user } = request
    if (cluster === undefined) throw invalid("cluster name is not in context")
    if (user === "") throw invalid("service account user name is not set")
    if (ttl === undefined) throw invalid("service account ttl is not set")
    const seconds = Number(ttl.seconds) + ttl.nanos / 1e9
    if (seconds <= 0) throw invalid("service account ttl is must be positive")
    if (seconds > longestSeconds) throw invalid("service account ttl is too long (max allowed: 87600h0m0s)")
    const uuid = uuidOf(cluster)
    const issued = Math.floor(now() / 1000)
    const token = [
      base64url({ alg: "RS256", kid: "fake", typ: "JWT" }),
      base64url({
        cluster,
        cluster_uuid: uuid,
        exp: Math.ceil(issued + seconds),
        groups: groups.length === 0 ? null : groups,
        iat: issued,
        iss: `omni-${accountName}-service-account-issuer`,
        sub: user
      }),
      "no-signature"
    ].join(".")
    const context = `${name}-${user}`
    return kubeconfigOf({
      apiVersion: "v1",
      clusters: [{ cluster: { server: endpoint() }, name: context }],
      contexts: [{ context: { cluster: context, namespace: "default", user: context }, name: context }],
      "current-context": context,
      kind: "Config",
      users: [{ name: context, user: { token } }]
    })
  }

  const talosconfig = (request: TalosconfigRequest, call: Call) => {
    checkRole(call.role, "Reader")
    if (request.raw || request.breakGlass) throw new Refusal(code.permissionDenied, "not allowed")
    const cluster = clusterOf(call)
    const name = cluster === undefined ? accountName : `${accountName}-${cluster}`
    const config = {
      context: name,
      contexts: {
        [name]: {
          endpoints: [endpoint()],
          auth: { siderov1: { identity: identityOf(call.identity) } },
          ...(cluster === undefined ? {} : { cluster })
        }
      }
    }
    return protobuf.create(management.TalosconfigResponseSchema, { talosconfig: Buffer.from(yaml.stringify(config)) })
  }

  const omniconfig = (call: Call) => {
    checkRole(call.role, "Reader")
    const config = {
      contexts: { default: { url: endpoint(), auth: { siderov1: { identity: identityOf(call.identity) } } } },
      context: "default"
    }
    return protobuf.create(management.OmniconfigResponseSchema, { omniconfig: Buffer.from(yaml.stringify(config)) })
  }

  return { kubeconfig, talosconfig, omniconfig }
}
