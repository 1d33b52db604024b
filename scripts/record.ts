/**
 * Records the command at a real terminal, on a fake of the Hetzner Cloud, and writes docs/cli.svg.
 *
 *   node scripts/record.ts
 *
 * The picture is an animation without scripts, so that it plays inside of a README. It needs tmux.
 */
import * as Effect from "effect/Effect"
import { writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as HetznerFake from "../src/testing/HetznerFake.ts"
import { buildBin } from "../test/cli/support/bin.ts"
import { openTerminal } from "../test/cli/support/terminal.ts"
import { main } from "./lib/main.ts"
import { ROOT } from "./lib/pack.ts"
import { type Frame, toSvg } from "./record/svg.ts"

const columns = 92
const rows = 20
/** The time between two pictures of the terminal. */
const frameMillis = 200

const commands = [
  "create dev -y --workers 2 --image debian-13 --server-type cx23 --location fsn1",
  "status dev",
  "stop dev",
  "clusters",
  "delete dev -y"
]

const script = (bin: string): string =>
  [
    `kubelayer() { '${process.execPath}' '${bin}' "$@"; }`,
    ...commands.flatMap((
      command
    ) => [
      `printf '\\033[1m$ kubelayer ${command}\\033[0m\\n'`,
      "sleep 0.6",
      `kubelayer ${command}`,
      "echo",
      "sleep 1.4"
    ])
  ].join("; ")

const record = Effect.scoped(Effect.gen(function*() {
  const { bin } = yield* Effect.acquireRelease(
    Effect.promise(buildBin),
    ({ remove }) => Effect.sync(remove)
  )
  const fake = yield* HetznerFake.make({
    duration: "400 millis",
    durations: { create_server: "1500 millis" },
    guest: { shutdown: 900 }
  })
  const file = join(dirname(bin), "record.sh")
  writeFileSync(file, script(bin))
  const terminal = yield* openTerminal({
    columns,
    rows,
    command: `bash '${file}'`,
    env: {
      KUBELAYER_BACKEND: "hetzner",
      HCLOUD_TOKEN: fake.token,
      HCLOUD_ENDPOINT: fake.endpoint
    }
  })
  const frames: Array<Frame> = []
  const began = Date.now()
  while (!/exit=\d+/.test(terminal.lines().join("\n"))) {
    const text = terminal.colored()
    if (frames.at(-1)?.text !== text) frames.push({ text, millis: Date.now() - began })
    yield* Effect.sleep(frameMillis)
  }
  writeFileSync(join(ROOT, "docs/cli.svg"), toSvg(frames, { columns, rows }))
  process.stdout.write(`docs/cli.svg: ${frames.length} frames\n`)
  return 0
}))

main(record)
