/** Bundles the command into `dist/bin`, or into the folder that is given. `--analyze` shows what is inside. */
import { analyzeMetafile } from "esbuild"
import { join } from "node:path"
import { bundle } from "./lib/bin.ts"
import { ROOT } from "./lib/pack.ts"

const outdir = process.argv.slice(2).find((argument) => !argument.startsWith("-")) ?? join(ROOT, "dist/bin")
const metafile = await bundle(outdir)
const outputs = Object.values(metafile.outputs)
console.log(
  `${outdir}: ${outputs.length} files, ${Math.round(outputs.reduce((sum, { bytes }) => sum + bytes, 0) / 1000)} kB`
)
if (process.argv.includes("--analyze")) console.log(await analyzeMetafile(metafile))
