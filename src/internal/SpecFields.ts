/**
 * The parts of a spec's Schema that all backends share: counts, labels, pools and references to secrets.
 *
 * A field is annotated with `description` for editors, and with `expected` for the sentence of an `InvalidSpec`.
 */
import * as Schema from "effect/Schema"

/** An optional field with the text that an editor shows. */
export const field = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema.annotate({ description }))

export const wholeNumber = (minimum: number, maximum: number) =>
  Schema.Int.check(
    Schema.isBetween({ minimum, maximum }, { expected: `an integer from ${minimum} to ${maximum}` })
  ).annotate({ expected: `an integer from ${minimum} to ${maximum}` })

/** Text that is not empty. */
export const Word = Schema.String.check(Schema.isMinLength(1, { expected: "text that is not empty" }))

/** Labels of the caller's own. */
export const Labels = Schema.Record(Schema.String, Schema.String)

/** Stops a typing error from creating a million nodes. */
export const maxNodes = 1000

/**
 * A value that the document only refers to: a variable of the environment, or a file in the folder of the document.
 */
export const SecretReference = Schema.Union([
  Schema.Struct({ env: Word.annotate({ description: "The name of an environment variable." }) }),
  Schema.Struct({ file: Word.annotate({ description: "A file in the folder of the document." }) })
]).annotate({
  description: "A secret by reference: `{ env: NAME }` or `{ file: path }`.",
  expected: "a reference `{ env: NAME }` or `{ file: path }`",
  secret: true
})

export type SecretReference = typeof SecretReference.Type

/** Text as it is, or by reference. */
export const TextOrReference = Schema.Union([Schema.String, SecretReference]).annotate({
  description: "Text, or a reference `{ env: NAME }` or `{ file: path }`.",
  expected: "text, `{ env: NAME }` or `{ file: path }`",
  secret: true
})

/** The fields of a `ClusterSpec`, without its name. */
export const clusterFields = {
  controlPlanes: field(wholeNumber(1, maxNodes), "Number of control planes."),
  workers: field(wholeNumber(0, maxNodes), "Number of workers; 0 where it is not given."),
  labels: field(Labels, "Labels for every node. Keys of the scheme and of kubelayer are refused."),
  allowFewerControlPlanes: field(
    Schema.Boolean,
    "Let `apply` delete surplus control planes; refused where it is not set."
  ),
  onFailure: field(
    Schema.Literals(["remove", "keep"]),
    "`remove` deletes what a failed create has created; `keep` leaves it."
  )
}

const poolName = /^(?!(?:control-plane|worker)$)[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/

/** The fields of a pool; a backend adds those of a node. */
export const poolFields = {
  name: Schema.String.check(
    Schema.isPattern(poolName, {
      expected:
        "a pool name of at most 32 lower-case letters, digits and `-`, with a letter or digit at both ends; not control-plane or worker"
    })
  ).annotate({ description: "Nodes are called `<cluster>-<pool>-<n>`." }),
  role: Schema.Literals(["control-plane", "worker"]).annotate({ description: "The role of the nodes of the pool." }),
  count: wholeNumber(0, maxNodes).annotate({ description: "Number of nodes in the pool." }),
  labels: field(Labels, "Labels for every node of the pool.")
}
