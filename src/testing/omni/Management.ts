/**
 * The service `management.ManagementService` of a fake Omni, but for configurations: power and logs of machines, service
 * accounts, and checks that write nothing.
 *
 * Source: Omni 1.9.3 as recorded. Power of managed machines, shutdowns that succeed, and logs with lines were not recorded.
 */
import type { Message } from "@bufbuild/protobuf"
import type {
  CreateServiceAccountRequest,
  DestroyServiceAccountRequest,
  KubernetesUpgradePreChecksRequest,
  LogLine,
  MachineLogsRequest,
  MachinePowerOffRequest,
  MachinePowerOnRequest,
  RenewServiceAccountRequest,
  ValidateConfigRequest
} from "../../omni/proto/management_pb.ts"
import { checkRole, typeOf } from "./Access.ts"
import type { Accounts } from "./Accounts.ts"
import { patchFaults } from "./ConfigPatchRules.ts"
import { clusterOf } from "./Kubeconfigs.ts"
import { isManaged, type Machine } from "./Machines.ts"
import { code, faultList, missingText, Refusal } from "./Refusal.ts"
import type { Call, Sink } from "./Service.ts"
import type { Store } from "./Store.ts"
import { minorOf, minorSteps } from "./Versions.ts"
import type { Wire } from "./Wire.ts"

const invalid = (message: string) => new Refusal(code.invalidArgument, message)

export const makeManagement = ({ accounts, changed, isConnected, machines, store, wire }: {
  readonly wire: Wire
  readonly store: Store
  readonly accounts: Accounts
  readonly machines: Map<string, Machine>
  readonly isConnected: (machine: Machine) => boolean
  /** Notifies the controllers that machines have changed. */
  readonly changed: () => void
}) => {
  const { management, protobuf, specs, wkt } = wire
  const empty = () => protobuf.create(wkt.EmptySchema, {})
  /** The followers of the log of a machine. */
  const followers = new Map<string, Set<(line: string) => void>>()

  // ---------------------------------------------------------------------------
  // Machines
  // ---------------------------------------------------------------------------

  const machineOf = (id: string): Machine => {
    if (id === "") throw invalid("machine id is required")
    const machine = machines.get(id)
    if (machine === undefined) throw new Refusal(code.notFound, "machine not found")
    return machine
  }

  const powerOff = async ({ machineId }: MachinePowerOffRequest, call: Call): Promise<Message> => {
    checkRole(call.role, "Operator")
    const machine = machineOf(machineId)
    if (isManaged(machine)) machine.power = "off"
    else {
      // The call goes to the machine, over a connection that is cut.
      if (machine.cutAt !== undefined && isConnected(machine)) {
        return new Promise((_, reject) => call.onCancel(() => reject(new Refusal(code.cancelled, "context canceled"))))
      }
      if (!isConnected(machine)) {
        throw new Refusal(
          code.unavailable,
          "failed to shutdown machine: rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp: i/o timeout\""
        )
      }
      if (machine.emulated) {
        throw new Refusal(
          code.unimplemented,
          "failed to shutdown machine: rpc error: code = Unimplemented desc = method Shutdown not implemented"
        )
      }
      machine.shutDown = true
    }
    changed()
    return empty()
  }

  const powerOn = ({ machineId }: MachinePowerOnRequest, { role }: Call) => {
    checkRole(role, "Operator")
    const machine = machineOf(machineId)
    if (!isManaged(machine)) {
      throw new Refusal(
        code.failedPrecondition,
        "machine is not managed by a static infra provider, power on the machine manually"
      )
    }
    machine.power = "on"
    changed()
    return empty()
  }

  const machineLogs = ({ follow, machineId, tailLines }: MachineLogsRequest, sink: Sink<LogLine>, { role }: Call) => {
    checkRole(role, "Reader")
    const machine = machines.get(machineId)
    if (machine === undefined) {
      throw new Refusal(
        code.notFound,
        `failed to get log store for machine ${JSON.stringify(machineId)}: log store not found: ${machineId}`
      )
    }
    const send = (line: string) => sink.send(protobuf.create(management.LogLineSchema, { bytes: Buffer.from(line) }))
    const lines = tailLines > 0 ? machine.logs.slice(-tailLines) : machine.logs
    for (const line of lines) send(line)
    if (!follow) return sink.end()
    const all = followers.get(machineId) ?? new Set()
    followers.set(machineId, all.add(send))
    sink.onCancel(() => all.delete(send))
  }

  // ---------------------------------------------------------------------------
  // Checks
  // ---------------------------------------------------------------------------

  const validateConfig = ({ config }: ValidateConfigRequest, { role }: Call) => {
    checkRole(role, "Reader")
    const { decoding, faults } = patchFaults(wire, config)
    if (faults.length > 0) throw invalid(decoding ? faults.join("; ") : faultList(faults))
    return empty()
  }

  const preChecks = ({ newVersion }: KubernetesUpgradePreChecksRequest, call: Call) => {
    checkRole(call.role, "Reader")
    const key = { namespace: "default", type: typeOf("KubernetesUpgradeStatuses"), id: clusterOf(call) ?? "" }
    const found = store.get(key)
    if (found === undefined) throw new Refusal(code.unknown, `failed to get: ${missingText(key)}`)
    const { lastUpgradeVersion } = protobuf.fromBinary(specs.KubernetesUpgradeStatusSpecSchema, found.spec)
    const steps = minorSteps(lastUpgradeVersion, newVersion)
    if (steps === undefined) {
      throw invalid(
        `invalid upgrade path: error parsing to version: Invalid character(s) found in major number ${
          JSON.stringify(newVersion)
        }`
      )
    }
    if (steps < 0 || steps > 1) {
      throw invalid(`unsupported upgrade path: ${minorOf(lastUpgradeVersion)}->${minorOf(newVersion)}`)
    }
    return protobuf.create(management.KubernetesUpgradePreChecksResponseSchema, { ok: true, reason: "" })
  }

  // ---------------------------------------------------------------------------
  // Service accounts
  // ---------------------------------------------------------------------------

  const createServiceAccount = async (request: CreateServiceAccountRequest, { role }: Call) => {
    checkRole(role, "Admin")
    const publicKeyId = await accounts.create(
      request.name,
      request.useUserRole ? role : request.role,
      request.armoredPgpPublicKey
    )
    return protobuf.create(management.CreateServiceAccountResponseSchema, { publicKeyId })
  }

  const renewServiceAccount = async (request: RenewServiceAccountRequest, { role }: Call) => {
    checkRole(role, "Admin")
    const publicKeyId = await accounts.renew(request.name, request.armoredPgpPublicKey)
    return protobuf.create(management.RenewServiceAccountResponseSchema, { publicKeyId })
  }

  const listServiceAccounts = ({ role }: Call) => {
    checkRole(role, "Admin")
    return protobuf.create(management.ListServiceAccountsResponseSchema, {
      serviceAccounts: accounts.list().map(({ keys, name, role: held }) => ({
        name,
        role: held,
        pgpPublicKeys: keys.map(({ armored, expires, id }) => ({
          id,
          armored,
          ...(expires === undefined ? {} : { expiration: wkt.timestampFromDate(expires) })
        }))
      }))
    })
  }

  const destroyServiceAccount = ({ name }: DestroyServiceAccountRequest, { role }: Call) => {
    checkRole(role, "Admin")
    accounts.destroy(name)
    return empty()
  }

  return {
    powerOff,
    powerOn,
    machineLogs,
    validateConfig,
    preChecks,
    createServiceAccount,
    renewServiceAccount,
    listServiceAccounts,
    destroyServiceAccount,
    /** Adds a line to the log of a machine. */
    log: (id: string, line: string) => {
      machines.get(id)?.logs.push(line)
      for (const send of Array.from(followers.get(id) ?? [])) send(line)
    }
  }
}
