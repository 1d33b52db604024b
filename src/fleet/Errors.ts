/** The errors of a fleet's store. */
import * as Data from "effect/Data"

/**
 * Why a store cannot be used.
 *
 * - `unavailable`: the database does not answer, or has failed in the middle of an operation
 * - `not-a-store`: the file is no SQLite database, or one of another program
 * - `newer`: another version of kubelayer has changed the tables
 * - `settings`: the other runners of the store have other settings
 *
 * @category errors
 * @since 0.2.0
 */
export type StoreProblem = "unavailable" | "not-a-store" | "newer" | "settings"

const advice: { readonly [K in StoreProblem]: string } = {
  unavailable:
    "Check that the database runs and that this host may connect. Nothing is lost: clusters are reconciled once it is back.",
  "not-a-store": "Give a path that does not exist yet, or the store of another `kubelayer fleet serve`.",
  newer: "Use the version of kubelayer that the other runners have, or a newer one.",
  settings: "Start all runners of a store with the same settings."
}

/**
 * The store of the fleet cannot be used.
 *
 * @category errors
 * @since 0.2.0
 */
export class StoreError extends Data.TaggedError("StoreError")<{
  /** The store, without credentials. */
  readonly store: string
  readonly problem: StoreProblem
  readonly detail: string
}> {
  get isRetryable(): boolean {
    return this.problem === "unavailable"
  }

  get advice(): string {
    return advice[this.problem]
  }

  override get message(): string {
    return `fleet store ${this.store}: ${this.detail}. ${this.advice}`
  }
}
