/** Where the quickstart's cluster lives, and why there. */
import type * as Layer from "effect/Layer"
import type { NodeCreator, Provider } from "../../src/Provider.ts"

export interface Backend {
  readonly layer: Layer.Layer<Provider | NodeCreator, { readonly message: string }>
  /** One line for who looks on. */
  readonly why: string
}
