/**
 * Every route of the fake API.
 */
import * as Effect from "effect/Effect"
import { load } from "../../internal/Loading.ts"
import { firewalls } from "./Firewalls.ts"
import { loadBalancers } from "./LoadBalancers.ts"
import { networks } from "./Networks.ts"
import { floatingIps, placementGroups, sshKeyRoutes, volumes } from "./Others.ts"
import { primaryIps } from "./PrimaryIps.ts"
import { actions, type Route } from "./Route.ts"
import { serverActions } from "./ServerActions.ts"
import { servers } from "./Servers.ts"
import { shelf } from "./Shelf.ts"

/** Fingerprints of SSH keys need Node's digests, which are loaded with the routes. @internal */
export const routes: Effect.Effect<ReadonlyArray<Route>> = Effect.map(
  load(() => import("node:crypto")),
  ({ createHash }) => {
    const digest = (blob: string) =>
      createHash("md5").update(Buffer.from(blob, "base64")).digest("hex").replace(/(..)(?!$)/g, "$1:")
    return [
      ...actions,
      ...servers,
      ...serverActions,
      ...networks,
      ...firewalls,
      ...placementGroups,
      ...floatingIps,
      ...volumes,
      ...primaryIps,
      ...loadBalancers,
      ...sshKeyRoutes(digest),
      ...shelf
    ]
  }
)
