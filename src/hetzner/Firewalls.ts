/**
 * The firewall of a cluster. It is applied by the cluster's label selector, so that nodes that come later are covered.
 *
 * Source: Hetzner Cloud API reference, `/firewalls`, `apply_to_resources`, `remove_from_resources`, `set_rules`.
 */
import * as Effect from "effect/Effect"
import { retrying } from "../Backend.ts"
import { isReason } from "../internal/CallFailures.ts"
import type { ClusterName } from "../Model.ts"
import { Difference } from "../Reason.ts"
import type { CallFailure, Resource, Task } from "../Resource.ts"
import { isAppliedBySelector } from "./Attachments.ts"
import { cidrSet } from "./Cidr.ts"
import type { Client, Reading } from "./Client.ts"
import { type Context, isOwnedBy, labelsOfNew, notOwned } from "./Context.ts"
import type { WantedFirewall } from "./Desired.ts"
import { labelledKind, once } from "./LabelledKind.ts"
import { namesOf } from "./Names.ts"
import * as Replies from "./Replies.ts"
import type { FirewallRule } from "./Spec.ts"
import { usedByServers } from "./Users.ts"
import * as Wire from "./Wire.ts"

/** A rule of the API in the words of a spec. */
const ruleOf = (rule: Wire.FirewallRule): FirewallRule => ({
  direction: rule.direction as FirewallRule["direction"],
  protocol: rule.protocol as FirewallRule["protocol"],
  ...(rule.port === undefined || rule.port === null ? {} : { port: rule.port }),
  ...(rule.direction === "in" ? { sourceIps: rule.source_ips ?? [] } : { destinationIps: rule.destination_ips ?? [] })
})

/** One line a rule, equal for rules that let the same through. */
const linesOf = (rules: ReadonlyArray<FirewallRule>): ReadonlyArray<string> =>
  rules.map(({ destinationIps, direction, port, protocol, sourceIps }) =>
    [direction, protocol, port, cidrSet([...sourceIps ?? [], ...destinationIps ?? []]).join(",")]
      .filter((part) => part !== undefined).join(" ")
  ).sort()

const ruleBody = (rule: FirewallRule) => ({
  direction: rule.direction,
  protocol: rule.protocol,
  ...(rule.port === undefined ? {} : { port: rule.port }),
  ...(rule.direction === "in"
    ? { source_ips: rule.sourceIps ?? [] }
    : { destination_ips: rule.destinationIps ?? [] }),
  ...(rule.description === undefined ? {} : { description: rule.description })
})

/** The servers that a firewall names itself; those that it selects by label do not keep it in place. */
const serversBehind = ({ applied_to }: Wire.Firewall): ReadonlyArray<number> =>
  applied_to.flatMap(({ server }) => server === undefined || server === null ? [] : [server.id])

const bySelector = (selector: string) => ({ type: "label_selector", label_selector: { selector } })

export const makeFirewalls = (context: Context): Resource<WantedFirewall, Wire.Firewall, Reading, Client> => {
  const { actions, ownership } = context
  const common = labelledKind(context, "firewall", Wire.firewalls)
  const awaiting = (task: Task, reply: Effect.Effect<typeof Replies.Started.Type, CallFailure>, why: string) =>
    Effect.flatMap(reply, (started) => task.waiting(why, actions.await(Replies.actionsIn(started), {})))
  const act = (write: Client, task: Task, firewall: Wire.Firewall, what: string, body: unknown) =>
    retrying(
      task.send(
        what.replaceAll("_", " "),
        write.post(`${common.pathOf(firewall)}/actions/${what}`, body, Replies.Started, once)
      )
    )
  const selectorOf = (cluster: string) => ownership.selectorFor(cluster as ClusterName)
  return {
    ...common,
    order: 0,
    removal: 1,
    nameOf: ({ name }) => name,
    diff: (wanted, actual) => {
      const [now, then] = [linesOf(actual.rules.map(ruleOf)), linesOf(wanted.rules)]
      const selector = selectorOf(wanted.cluster)
      return [
        ...(now.join("\n") === then.join("\n")
          ? []
          : [new Difference({ field: "rules", actual: now, requested: then, remedy: "update" })]),
        ...(isAppliedBySelector(actual, selector)
          ? []
          : [new Difference({ field: "appliedTo", actual: null, requested: selector, remedy: "repair" })])
      ]
    },
    create: (write, { cluster, name, rules }, task) =>
      Effect.gen(function*() {
        const labels = yield* labelsOfNew(context, task, { isShared: true })
        const body = { name, labels, rules: rules.map(ruleBody), apply_to: [bySelector(selectorOf(cluster))] }
        const reply = yield* task.send("create", write.post("/firewalls", body, Replies.Firewall, once))
        // Servers that do not exist yet get it when they are created.
        const hasServers = task.world.of(context.kinds().servers).some(({ owner }) => owner?.cluster === cluster)
        if (hasServers) yield* task.waiting("it is being applied", actions.await(Replies.actionsIn(reply), {}))
        return reply.firewall
      }),
    repair: (write, { cluster }, actual, _, task) =>
      awaiting(
        task,
        act(write, task, actual, "apply_to_resources", { apply_to: [bySelector(selectorOf(cluster))] }),
        "it is being applied"
      ),
    update: (write, { rules }, actual, _, task) =>
      awaiting(
        task,
        act(write, task, actual, "set_rules", { rules: rules.map(ruleBody) }),
        "its rules are being changed"
      ),
    remove: (write, actual, task) => {
      // A firewall that selects servers by label is in use as long as it does so.
      const selectors = actual.applied_to.flatMap(({ label_selector, type }) =>
        type === "label_selector" ? [bySelector(label_selector?.selector ?? "")] : []
      )
      const release = selectors.length === 0
        ? Effect.void
        : awaiting(
          task,
          act(write, task, actual, "remove_from_resources", { remove_from: selectors }),
          "it is being removed from its servers"
        ).pipe(Effect.catchIf((error) => isReason(error, "NotFoundError"), () => Effect.void))
      return Effect.andThen(release, common.remove(write, actual, task))
    },
    keep: (read, firewalls, world) => usedByServers(context, read, firewalls, serversBehind, world),
    mention: (_, cluster, world) =>
      Effect.succeed(
        new Map(
          world.of(context.kinds().firewalls).flatMap((firewall) =>
            firewall.name === namesOf(cluster).firewall && !isOwnedBy(context, firewall.labels, cluster)
              ? [[firewall, notOwned(firewall.labels)] as const]
              : []
          )
        )
      )
  }
}
