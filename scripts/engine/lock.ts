/**
 * One private engine at a time may install, take an address block or give it
 * back. The lock is a socket in the abstract namespace: the kernel drops it
 * with its holder, so a killed holder leaves nothing to clear up.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { createServer, type Server } from "node:net"

const ADDRESS = "\0kubelayer-private-engine"

/** Long enough for the holder to install packages. */
const PATIENCE = "5 minutes"

export class LockNotTaken extends Data.TaggedError("LockNotTaken")<{ readonly detail: string }> {
  override get message(): string {
    return `Another start or stop of a private engine is still under way: ${this.detail}`
  }
}

const listen = Effect.callback<Server, LockNotTaken>((resume) => {
  const server = createServer()
  server.once("error", (error) => resume(Effect.fail(new LockNotTaken({ detail: error.message }))))
  server.listen(ADDRESS, () => resume(Effect.succeed(server)))
})

const close = (server: Server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))

const acquire = listen.pipe(
  Effect.retry(Schedule.upTo(Schedule.spaced("100 millis"), { duration: PATIENCE }))
)

export const locked = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | LockNotTaken, R> =>
  Effect.acquireUseRelease(acquire, () => effect, close)
