/** Packs the built library as it would be published. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { runOrFail } from "./exec.ts"

export const ROOT = join(import.meta.dirname, "../..")

class NotPacked extends Data.TaggedError("NotPacked")<{ readonly message: string }> {}

/** The tarball's path. Scripts of the package do not run: what is packed is what was built before. */
export const pack = Effect.fnUntraced(function*(destination: string) {
  if (!existsSync(join(ROOT, "dist/index.js"))) {
    return yield* new NotPacked({ message: "dist/index.js is missing: run \"npm run build\" first." })
  }
  yield* runOrFail("npm", ["pack", "--ignore-scripts", "--pack-destination", destination], { cwd: ROOT })
  const tarball = readdirSync(destination).find((name) => name.endsWith(".tgz"))
  if (tarball === undefined) return yield* new NotPacked({ message: "npm pack created no tarball." })
  return join(destination, tarball)
})
