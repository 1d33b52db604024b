/**
 * Whether Omni answers, and takes our key: one read of something that need not be there.
 *
 * Every obstacle (no connection, an invalid key, a role that may not read) makes Omni unavailable, and has its own
 * advice.
 */
import * as Effect from "effect/Effect"
import { ProviderUnavailable } from "../ProviderError.ts"
import type { Client } from "./Client.ts"
import { Kinds, type StateReader as State } from "./State.ts"

export const ping = (client: Client, state: State): Effect.Effect<void, ProviderUnavailable> =>
  // The check ends within the deadline of one request, without retries.
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
              advice: "Read Omni's log, and check any proxy in between."
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
