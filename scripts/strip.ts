/**
 * Removes the comments from the built JavaScript. The declarations keep theirs: an editor shows those.
 *
 * Annotations for bundlers stay, such as `@vite-ignore` and `#__PURE__`.
 */
import { transformSync } from "esbuild"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ROOT } from "./lib/pack.ts"

const dist = join(ROOT, "dist")
for (const name of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".js")) continue
  const file = join(dist, name)
  const { code } = transformSync(readFileSync(file, "utf8"), { format: "esm", target: "es2022", legalComments: "none" })
  writeFileSync(file, code)
}
