/**
 * The Schema of a simulated cluster's spec: its type, its validation and its JSON Schema.
 */
import * as Schema from "effect/Schema"
import { clusterFields, field, maxNodes, poolFields, wholeNumber } from "../internal/SpecFields.ts"

/** The spec in a document. */
export const DocumentFields = {
  ...clusterFields,
  loadBalancers: field(wholeNumber(0, maxNodes), "Number of load balancers."),
  pools: field(
    Schema.Array(Schema.Struct(poolFields)),
    "Groups of nodes, beside `controlPlanes` and `workers`."
  )
}

/** The spec in a program. */
export const SpecSchema = Schema.Struct({ cluster: Schema.String, ...DocumentFields })
