/** The services of Omni over resources that a test holds, without a server. */
import * as Effect from "effect/Effect"
import * as Backend from "../../../src/Backend.ts"
import { makeBackend } from "../../../src/omni/Backend.ts"
import { blockersOf } from "../../../src/omni/Blockers.ts"
import { makeLiveStatuses } from "../../../src/omni/LiveStatuses.ts"
import { makeChoices } from "../../../src/omni/Machines.ts"
import type { Management } from "../../../src/omni/Management.ts"
import { makeSharedStatuses } from "../../../src/omni/SharedWatch.ts"
import type { State } from "../../../src/omni/State.ts"
import type { Overrides } from "../../../src/Policy.ts"

export const endpoint = "https://omni.example"

export const servicesOf = (
  state: State,
  options: { readonly management?: Partial<Management>; readonly policy?: Overrides } = {}
) =>
  Effect.map(makeSharedStatuses(state), (statuses) =>
    Backend.make(makeBackend({
      state,
      management: (options.management ?? {}) as Management,
      waits: { state, statuses, blockers: blockersOf(state) },
      live: makeLiveStatuses(state, endpoint),
      endpoint,
      defaults: { machineClass: "any" },
      validate: () => Effect.succeed(undefined),
      names: new Map(),
      choices: makeChoices(),
      powerOff: "reversible",
      destroyDisconnectedMachines: false
    }, { policy: options.policy ?? {}, ping: Effect.void })))
