/**
 * Loading of modules when they are used first, so that an import of kubelayer loads little.
 */
import * as Effect from "effect/Effect"

let underWay = 0

/** Whether a module is being loaded. Simulated time waits for it: it cannot know when the load ends. */
export const isLoading = (): boolean => underWay > 0

/** Runs an import. */
export const load = <Modules>(imports: () => Promise<Modules>): Effect.Effect<Modules> =>
  Effect.promise(() => {
    underWay++
    return imports().finally(() => {
      underWay--
    })
  })
