/**
 * Runs a command in a node.
 *
 * Its output is written as it comes, and its exit code is the exit code of this command.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { UsageError } from "../Failure.ts"
import { Screen } from "../Screen.ts"
import { connect, withDeadline } from "../Session.ts"
import { dockerOf } from "./logs.ts"

export interface ExecInput {
  readonly cluster: string
  readonly node: string
  readonly command: ReadonlyArray<string>
  readonly user: string | undefined
  readonly workingDirectory: string | undefined
  readonly env: Readonly<Record<string, string>>
}

export const exec = Effect.fnUntraced(function*(input: ExecInput) {
  const screen = yield* Screen
  const [program, ...args] = input.command
  if (program === undefined) {
    return yield* new UsageError({ message: "give the command after --: kubelayer exec dev dev-worker -- uname -a" })
  }
  const docker = yield* dockerOf(yield* connect, "exec")
  let code = 0
  yield* withDeadline(Stream.runForEach(
    docker.exec(input.cluster, input.node, {
      command: [program, ...args],
      ...(input.user === undefined ? {} : { user: input.user }),
      ...(input.workingDirectory === undefined ? {} : { workingDirectory: input.workingDirectory }),
      ...(Object.keys(input.env).length === 0 ? {} : { env: input.env })
    }),
    (event) => {
      if (event.source === "exit") {
        code = event.code
        return Effect.void
      }
      return event.source === "stderr" ? screen.errBytes(event.bytes) : screen.outBytes(event.bytes)
    }
  ))
  return code
})
