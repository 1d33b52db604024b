/**
 * The validation errors that the Schema of a spec finds: types, unknown fields, numbers out of bounds.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { dotted, specIssues } from "../internal/SpecIssues.ts"
import type { Issue } from "../Resource.ts"
import { SpecSchema } from "./SpecSchema.ts"

const decode = Schema.decodeUnknownResult(Schema.toType(SpecSchema), { errors: "all", onExcessProperty: "error" })

export const issuesOfShape = (spec: unknown): ReadonlyArray<Issue> => {
  const decoded = decode(spec)
  return Result.isSuccess(decoded)
    ? []
    : specIssues(decoded.failure.issue, spec).map(({ message, path }) => ({ path: dotted(path), message }))
}
