/**
 * Specs as JSON, for plans: user data as a digest, everything else as it is. Pure.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type HetznerClusterSpec, type ServerSpec, userDataOf } from "./Spec.ts"
import { SpecSchema } from "./SpecSchema.ts"

type Digest = (secret: string) => string

const withDigest = <A extends ServerSpec>(server: A, digest: Digest): Schema.Json => {
  const userData = userDataOf(server)
  return withoutUndefined({ ...server, ...(userData === undefined ? {} : { userData: digest(userData) }) })
}

const withoutUndefined = (value: unknown): Schema.Json =>
  Array.isArray(value)
    ? value.map(withoutUndefined)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(
      Object.entries(value).filter(([, field]) => field !== undefined).map((
        [key, field]
      ) => [key, withoutUndefined(field)])
    )
    : value as Schema.Json

export const encodeSpec = (spec: HetznerClusterSpec, digest: Digest): Schema.Json => {
  const { controlPlane, nodes, pools, worker, ...rest } = spec
  return withoutUndefined({
    ...rest,
    ...(nodes === undefined ? {} : { nodes: withDigest(nodes, digest) }),
    ...(controlPlane === undefined ? {} : { controlPlane: withDigest(controlPlane, digest) }),
    ...(worker === undefined ? {} : { worker: withDigest(worker, digest) }),
    ...(pools === undefined ? {} : { pools: pools.map((pool) => withDigest(pool, digest)) })
  })
}

const decode = Schema.decodeUnknownResult(SpecSchema)

/** Reads an encoded spec; undefined for anything that is none. */
export const decodeSpec = (encoded: Schema.Json): HetznerClusterSpec | undefined => {
  const decoded = decode(encoded)
  return Result.isSuccess(decoded)
    ? { controlPlanes: 1, workers: 0, ...decoded.success } as HetznerClusterSpec
    : undefined
}
