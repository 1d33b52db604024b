/** The tarball itself: its size, the links of its README, and that packing again gives the same bytes. */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { runOrFail } from "../lib/exec.ts"
import { pack } from "../lib/pack.ts"
import { say, SmokeFailed } from "./common.ts"

/** Bytes of the packed library without the command, which is a bundle of its own. */
const LARGEST = 700_000

/** Bytes of the tarball. */
const LARGEST_WITH_COMMAND = 1_200_000

const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex")

/** The relative links of a document, without their fragments. */
const linksOf = (markdown: string): ReadonlyArray<string> =>
  [...markdown.replaceAll(/```.*?```/gs, "").matchAll(/\]\(([^)#\s]+)[^)]*\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))

export const checkTarball = Effect.fnUntraced(function*(directory: string, tarball: string) {
  const unpacked = join(directory, "unpacked")
  mkdirSync(unpacked)
  yield* runOrFail("tar", ["-xzf", tarball, "-C", unpacked])
  const root = join(unpacked, "package")

  const broken = linksOf(readFileSync(join(root, "README.md"), "utf8")).filter((link) => !existsSync(join(root, link)))
  if (broken.length > 0) {
    return yield* new SmokeFailed({ message: `README.md links files that the tarball lacks: ${broken.join(", ")}` })
  }

  const again = join(directory, "again")
  mkdirSync(again)
  if (digestOf(yield* pack(again)) !== digestOf(tarball)) {
    return yield* new SmokeFailed({ message: "packing again gives another tarball" })
  }

  const packed = statSync(tarball).size
  if (packed > LARGEST_WITH_COMMAND) {
    return yield* new SmokeFailed({ message: `the tarball has ${packed} bytes, above ${LARGEST_WITH_COMMAND}` })
  }

  rmSync(join(root, "dist/bin"), { recursive: true, force: true })
  const library = join(directory, "library.tgz")
  yield* runOrFail("tar", ["-czf", library, "-C", unpacked, "package"])
  const { size } = statSync(library)
  if (size > LARGEST) {
    return yield* new SmokeFailed({ message: `the tarball has ${size} bytes without the command, above ${LARGEST}` })
  }
  const kilobytes = (bytes: number) => `${Math.round(bytes / 1000)} kB`
  yield* say(
    `tarball of ${kilobytes(packed)}, ${
      kilobytes(size)
    } without the command, the same when packed again, no broken link`
  )
})
