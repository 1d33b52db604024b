/**
 * Secrets of documents. The store has references only; a runner resolves them, and nothing else:
 * variables that begin with `KUBELAYER_SECRET_`, and files inside the folder of `--secrets`.
 */
import * as Effect from "effect/Effect"
import * as Document from "../Document.ts"
import { InvalidSpec, type SpecIssue } from "../ProviderError.ts"

const prefix = "KUBELAYER_SECRET_"

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** References to variables that a runner does not read. */
const forbidden = (value: unknown, path: string): ReadonlyArray<SpecIssue> => {
  if (Array.isArray(value)) return value.flatMap((each, index) => forbidden(each, `${path}[${index}]`))
  if (!isRecord(value)) return []
  const keys = Object.keys(value)
  const { env } = value
  if (keys.length === 1 && typeof env === "string") {
    return env.startsWith(prefix)
      ? []
      : [{ path, message: `environment variable ${env} is not read by a fleet; its name must begin with ${prefix}` }]
  }
  return keys.flatMap((key) => forbidden(value[key], path === "" ? key : `${path}.${key}`))
}

/** Fails with every reference that no runner would resolve. */
export const checkReferences = (document: Document.ClusterDocument): Effect.Effect<void, InvalidSpec> => {
  const issues = forbidden(document, "")
  return issues.length === 0 ? Effect.void : Effect.fail(new InvalidSpec({ issues }))
}

/** The spec of a document with its secrets. `directory` is the folder of `--secrets`. */
export const resolveSecrets = (
  document: Document.ClusterDocument,
  directory: string | undefined
): Effect.Effect<Document.ResolvedSpec, InvalidSpec> =>
  Effect.andThen(
    checkReferences(document),
    Document.resolve(document, directory === undefined ? {} : { directory })
  )
