/**
 * Running a command in a node, with its output as a stream and its exit code at the end.
 *
 * Interruption closes the stream; the engine does not end a command for that, so a command that must not outlive its
 * caller has to watch its own output. Source: Docker Engine API reference, `ContainerExec`, `ExecStart`, `ExecInspect`.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Client } from "./Client.ts"
import { frames, type Piece } from "./Frames.ts"
import type { CallFailure } from "./Transport.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface ExecOptions {
  readonly command: readonly [string, ...ReadonlyArray<string>]
  readonly env?: Readonly<Record<string, string>>
  /** A user name or id, with `:group` if wanted; the container's own where it is left out. */
  readonly user?: string
  readonly workingDirectory?: string
  readonly privileged?: boolean
}

/**
 * Bytes of the output, and last the exit code.
 *
 * @category models
 * @since 0.1.0
 */
export type ExecEvent = Piece | { readonly source: "exit"; readonly code: number }

export const exec = (client: Client, id: string, options: ExecOptions): Stream.Stream<ExecEvent, CallFailure> =>
  Stream.unwrap(Effect.map(
    client.createExec(id, {
      AttachStdout: true,
      AttachStderr: true,
      Tty: false,
      Cmd: options.command,
      ...(options.env === undefined
        ? {}
        : { Env: Object.entries(options.env).map(([name, value]) => `${name}=${value}`) }),
      ...(options.user === undefined ? {} : { User: options.user }),
      ...(options.workingDirectory === undefined ? {} : { WorkingDir: options.workingDirectory }),
      ...(options.privileged === undefined ? {} : { Privileged: options.privileged })
    }),
    (execId) =>
      Stream.concat(
        frames(false)(client.startExec(execId)),
        Stream.fromEffect(Effect.map(
          client.inspectExec(execId),
          ({ ExitCode }): ExecEvent => ({ source: "exit", code: ExitCode ?? -1 })
        ))
      )
  ))
