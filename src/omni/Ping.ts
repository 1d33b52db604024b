/**
 * Whether Omni answers, and takes our key: one read of something that need not be there.
 *
 * Whatever stands in the way (no connection, a key that is not valid, a role that may not read) makes Omni unavailable,
 * and is told with its own advice.
 */
import * as Effect from "effect/Effect"
import { ProviderUnavailable } from "../ProviderError.ts"
import type { Client } from "./Client.ts"
import { Kinds, type StateReader as State } from "./State.ts"

export const ping = (client: Client, state: State): Effect.Effect<void, ProviderUnavailable> =>
  // A question once asked is answered within one request's deadline; its retries are nobody's here.
  Effect.flatMap(client.policy, ({ requestTimeout }) =>
    state.getOnce(Kinds.TalosVersion, "0.0.0").pipe(
      Effect.timeoutOrElse({
        duration: requestTimeout,
        orElse: () =>
          Effect.fail(
            new ProviderUnavailable({
              provider: "omni",
              address: client.address,
              detail: "it did not answer in time",
              advice: "Look at Omni's log, and at what stands between."
            })
          )
      }),
      Effect.catchTag("BackendError", ({ reason }) =>
        Effect.fail(
          new ProviderUnavailable({
            provider: "omni",
            address: client.address,
            detail: reason.detail,
            advice: reason.advice
          })
        )),
      Effect.asVoid
    ))
