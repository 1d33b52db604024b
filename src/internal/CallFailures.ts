/**
 * Questions about the error of one call, whatever the backend.
 */
import type { ReasonTag } from "../Reason.ts"
import type { CallFailure } from "../Resource.ts"

/** Whether an error is a backend's, for one of these reasons. */
export const isReason = (error: CallFailure, ...tags: ReadonlyArray<ReasonTag>): boolean =>
  error._tag === "BackendError" && tags.includes(error.reason._tag)

/** The sentence of the error, without the name of the method. */
export const detailOf = (error: CallFailure): string =>
  error._tag === "BackendError" ? error.reason.detail : error.detail
