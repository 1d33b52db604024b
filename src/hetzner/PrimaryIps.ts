/**
 * Primary IPs that stay when their server is deleted. They are billed, so a delete names them.
 *
 * Source: Hetzner Cloud API reference, `/primary_ips`, `auto_delete`.
 */
import * as Effect from "effect/Effect"
import type { Resource } from "../Resource.ts"
import type { Client, Reading } from "./Client.ts"
import type { Context } from "./Context.ts"
import { labelledKind } from "./LabelledKind.ts"
import * as Wire from "./Wire.ts"

export const makePrimaryIps = (context: Context): Resource<unknown, Wire.PrimaryIp, Reading, Client> => {
  const common = labelledKind(context, "primary-ip", Wire.primaryIps)
  return {
    ...common,
    order: 2,
    removal: 1,
    nameOf: () => "",
    diff: () => [],
    owner: () => undefined,
    concerns: (cluster, world) =>
      world.earlier.of(context.kinds().servers).some(({ owner, public_net }) =>
        owner?.cluster === cluster && (public_net?.ipv4 ?? public_net?.ipv6 ?? undefined) !== undefined
      ),
    mention: (_, cluster, world) =>
      Effect.gen(function*() {
        const { primaryIps, servers } = context.kinds()
        const used = new Set(
          [...world.earlier.of(servers), ...world.of(servers)]
            .filter(({ owner }) => owner?.cluster === cluster)
            .flatMap(({ public_net }) => [public_net?.ipv4?.id, public_net?.ipv6?.id])
        )
        const mentioned = new Map<Wire.PrimaryIp, string>()
        for (const ip of world.of(primaryIps)) {
          if (!used.has(ip.id) || ip.auto_delete) continue
          const cost = yield* context.biller({ kind: "primary-ip", type: ip.type, location: ip.location?.name })
          mentioned.set(ip, `it is kept when its server is deleted; ${cost}`)
        }
        return mentioned
      })
  }
}
