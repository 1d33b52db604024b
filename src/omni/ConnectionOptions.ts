/**
 * The options of a connection to Omni. They name no type of `@grpc/grpc-js`, so that the layer compiles without the types
 * of Node.
 */
import type * as Redacted from "effect/Redacted"

/**
 * @category models
 * @since 0.1.0
 */
export interface ConnectionOptions {
  /** `https://account.omni.siderolabs.io`; the port is 443 where none is given. OMNI_ENDPOINT in `layerConfig`. */
  readonly endpoint: string
  /** The value that Omni showed when the service account was created. OMNI_SERVICE_ACCOUNT_KEY in `layerConfig`. */
  readonly serviceAccountKey: Redacted.Redacted<string> | string
  /** Take an `http://` endpoint also where it is not on loopback. */
  readonly allowHttp?: boolean
  /** Certificates of the authorities to trust, PEM, instead of the system's. */
  readonly ca?: string
}

/**
 * A `Channel` of `@grpc/grpc-js`.
 *
 * @category models
 * @since 0.2.0
 */
export interface GrpcChannel {
  close(): void
  getTarget(): string
}
