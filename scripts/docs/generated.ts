/**
 * Checks that the code in `src/omni/proto` was generated from the present files in `proto`, without the generator. Both
 * are compared with the digests that `scripts/proto.ts` wrote.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { ROOT } from "../lib/pack.ts"
import { filesAt } from "./files.ts"

/** The folder of generated code, from the project's folder. */
export const GENERATED = "src/omni/proto"
export const SOURCES = "proto"
export const DIGESTS = `${SOURCES}/generated.json`

export const isGenerated = (path: string): boolean => path.startsWith(`${GENERATED}/`)

const digestOf = (...patterns: ReadonlyArray<string>): string => {
  const hash = createHash("sha256")
  for (const { path, text } of filesAt(...patterns)) hash.update(`${path}\0${text}\0`)
  return hash.digest("hex")
}

export const digests = () => ({
  sources: digestOf(`${SOURCES}/*.proto`, `${SOURCES}/*.yaml`, `${SOURCES}/package*.json`),
  generated: digestOf(`${GENERATED}/*.ts`)
})

export const checkGenerated = (): ReadonlyArray<string> => {
  const written = JSON.parse(readFileSync(join(ROOT, DIGESTS), "utf8")) as ReturnType<typeof digests>
  const now = digests()
  return [
    ...now.sources === written.sources ? [] : [`${SOURCES}: changed since ${GENERATED} was generated`],
    ...now.generated === written.generated ? [] : [`${GENERATED}: is not what was generated`]
  ].map((fault) => `${fault}; run "node scripts/proto.ts"`)
}
