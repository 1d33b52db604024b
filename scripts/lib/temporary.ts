/** A directory for as long as a scope lives. */
import * as Effect from "effect/Effect"
import { mkdtempSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const temporaryDirectory = (purpose: string) =>
  Effect.acquireRelease(
    // The real path, as tools compare paths and the system's may be a link.
    Effect.sync(() => mkdtempSync(join(realpathSync(tmpdir()), `kubelayer-${purpose}-`))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  )
