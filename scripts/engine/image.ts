/**
 * A small image for nodes, built from a static busybox without a pull. Its first process only reacts to SIGTERM, in one
 * of four ways.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { type EngineApiError, request } from "./api.ts"
import { BUSYBOX } from "./packages.ts"

/** `obedient` ends at SIGTERM, `slow` a second later, `deaf` never; `exits` ends on its own with code 3. */
export type Init = "obedient" | "slow" | "deaf" | "exits"

export const INITS: ReadonlyArray<Init> = ["obedient", "slow", "deaf", "exits"]

export class NoBusybox extends Data.TaggedError("NoBusybox")<{ readonly detail: string }> {
  override get message(): string {
    return `A node image is built from ${BUSYBOX} (package busybox-static): ${this.detail}`
  }
}

/** k3d and kind watch a node's output for these lines before they call it started. */
const READY_LINES = [
  "k3s is up and running",
  "Successfully registered node",
  "start worker processes",
  "Reached target Multi-User System."
]

// The shell runs a trap only between commands, so it waits on a sleep in the background.
const waitForever = "while :; do sleep 3600 & wait $!; done"

const scripts: Readonly<Record<Init, string>> = {
  obedient: `trap 'exit 0' TERM\n${waitForever}`,
  slow: `trap 'sleep 1; exit 0' TERM\n${waitForever}`,
  deaf: `trap '' TERM\n${waitForever}`,
  exits: "exit 3"
}

const initScript = (init: Init): string =>
  ["#!/bin/sh", ...READY_LINES.map((line) => `echo '${line}'`), scripts[init], ""].join("\n")

const entries = (busybox: Uint8Array, applets: ReadonlyArray<string>, init: Init): ReadonlyArray<Tar.Entry> => [
  ...[
    "bin",
    "dev",
    "etc",
    "lib",
    "lib/modules",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "usr",
    "usr/bin",
    "var",
    "var/log"
  ]
    .map((path) => Tar.directory(path)),
  Tar.directory("tmp", { mode: 0o1777 }),
  Tar.symlink("var/run", "../run"),
  Tar.file("bin/busybox", busybox, { mode: 0o755 }),
  ...applets.filter((name) => name !== "busybox").map((name) => Tar.symlink(`bin/${name}`, "busybox")),
  Tar.symlink("usr/bin/env", "../../bin/busybox"),
  Tar.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
  Tar.file("etc/group", "root:x:0:\n"),
  Tar.file("sbin/kubelayer-init", initScript(init), { mode: 0o755 })
]

const archive = Effect.fnUntraced(function*(init: Init) {
  if (!existsSync(BUSYBOX)) return yield* new NoBusybox({ detail: "it is not installed" })
  const [bytes, applets] = yield* Effect.try({
    try: () =>
      [
        new Uint8Array(readFileSync(BUSYBOX)),
        execFileSync(BUSYBOX, ["--list"], { encoding: "utf8" }).split("\n").filter((name) => name !== "")
      ] as const,
    catch: (error) => new NoBusybox({ detail: String(error) })
  })
  // A dynamic one names its loader, which the image does not have.
  if (Buffer.from(bytes).includes("/ld-linux")) {
    return yield* new NoBusybox({ detail: "the one installed is not static" })
  }
  const chunks = yield* Stream.fromIterable(entries(bytes, applets, init)).pipe(
    Stream.pipeThroughChannel(Tar.encode()),
    Stream.runCollect,
    Effect.orDie
  )
  return Buffer.concat(chunks)
})

export interface ImportOptions {
  readonly socketPath: string
  readonly tag: string
  readonly init: Init
}

/** Makes the image `tag` on the engine; an older one of that name loses it. */
export const importBusybox = Effect.fnUntraced(function*(
  { init, socketPath, tag }: ImportOptions
): Effect.fn.Return<void, NoBusybox | EngineApiError> {
  // Podman 4 ignores the parameter `tag`, and would name every image `latest`.
  const query = new URLSearchParams({ fromSrc: "-", repo: tag })
  // An entry point, not a command: the tools give their nodes commands, which then do no harm.
  query.append("changes", "ENTRYPOINT [\"/sbin/kubelayer-init\"]")
  query.append("changes", "ENV PATH=/bin:/sbin:/usr/bin")
  yield* request({ socketPath }, {
    method: "POST",
    path: `/images/create?${query}`,
    body: yield* archive(init),
    contentType: "application/x-tar"
  })
})

/** `kubelayer-node:obedient` and so on, one for each init. */
export const importNodeImages = (socketPath: string): Effect.Effect<void, NoBusybox | EngineApiError> =>
  Effect.forEach(INITS, (init) => importBusybox({ socketPath, tag: `kubelayer-node:${init}`, init }), { discard: true })

export const removeImage = (socketPath: string, tag: string): Effect.Effect<void, EngineApiError> =>
  request({ socketPath }, { method: "DELETE", path: `/images/${encodeURIComponent(tag)}?force=true` }).pipe(
    Effect.asVoid,
    Effect.catchIf((error) => error.status === 404, () => Effect.void)
  )

/** The node images, for as long as a scope lives; those that were there before stay. */
export const withNodeImages = (socketPath: string) =>
  Effect.forEach(INITS, (init) => {
    const tag = `kubelayer-node:${init}`
    const present = Effect.isSuccess(request({ socketPath }, { method: "GET", path: `/images/${tag}/json` }))
    return Effect.flatMap(present, (there) =>
      there
        ? Effect.void
        : Effect.acquireRelease(
          importBusybox({ socketPath, tag, init }),
          () => Effect.ignore(removeImage(socketPath, tag))
        ))
  }, { discard: true })
