/** The backend of the quickstart's cluster, and the reason for it. */
import type * as Layer from "effect/Layer"
import type { NodeCreator, Provider } from "../../src/Provider.ts"

export interface Backend {
  readonly layer: Layer.Layer<Provider | NodeCreator, { readonly message: string }>
  /** One line for people. */
  readonly why: string
}
