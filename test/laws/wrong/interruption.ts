import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { locked, type Wrong } from "./Wrong.ts"

/** An operation that its caller's interruption does not reach. */
const detached = <A, E>(operation: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(Effect.forkDetach(operation), Fiber.join)

export const interruption: ReadonlyArray<Wrong> = [
  {
    does: "goes on with a start that was interrupted",
    breaks: "interruption.start",
    make: ({ provider }) => ({ provider: { startNodes: (cluster) => detached(provider.startNodes(cluster)) } })
  },
  {
    does: "does not let a start be interrupted",
    breaks: ["interruption.start", "interruption.prompt"],
    make: ({ provider }) => ({
      provider: { startNodes: (cluster) => Effect.uninterruptible(provider.startNodes(cluster)) }
    })
  },
  {
    does: "goes on with a stop that was interrupted",
    breaks: "interruption.stop",
    make: ({ provider }) => ({ provider: { stopNodes: (cluster) => detached(provider.stopNodes(cluster)) } })
  },
  {
    does: "goes on with a delete that was interrupted",
    breaks: "interruption.delete",
    make: ({ provider }) => ({ provider: { deleteNodes: (cluster) => detached(provider.deleteNodes(cluster)) } })
  },
  {
    does: "waits after an interruption for what it has sent",
    breaks: "interruption.prompt",
    make: ({ provider }) => ({
      provider: {
        startNodes: (cluster) => Effect.onInterrupt(provider.startNodes(cluster), () => Effect.sleep("10 seconds"))
      }
    })
  },
  {
    does: "stays locked by a start that was interrupted",
    breaks: "interruption.again",
    make: ({ provider }) => {
      const busy = new Set<string>()
      return {
        provider: {
          startNodes: (cluster) =>
            Effect.suspend(() =>
              busy.has(cluster)
                ? Effect.fail(locked(cluster))
                : Effect.onInterrupt(provider.startNodes(cluster), () => Effect.sync(() => busy.add(cluster)))
            )
        }
      }
    }
  },
  {
    does: "stays locked by a delete that was interrupted",
    breaks: "interruption.delete-again",
    make: ({ provider }) => {
      const busy = new Set<string>()
      return {
        provider: {
          deleteNodes: (cluster) =>
            Effect.suspend(() =>
              busy.has(cluster)
                ? Effect.fail(locked(cluster, "deleteNodes"))
                : provider.deleteNodes(cluster).pipe(
                  Effect.delay("50 millis"),
                  Effect.onInterrupt(() => Effect.sync(() => busy.add(cluster)))
                )
            )
        }
      }
    }
  }
]
