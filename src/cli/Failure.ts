/**
 * Failures of the command itself. `FailureText.ts` shows every failure.
 */
import * as Data from "effect/Data"

/** The command line cannot be carried out. Nothing was sent. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

/** The answer to a question was no. */
export class Declined extends Data.TaggedError("Declined")<{ readonly message: string }> {}

/** `--timeout` passed. */
export class CommandTimeout extends Data.TaggedError("CommandTimeout")<{ readonly message: string }> {}
