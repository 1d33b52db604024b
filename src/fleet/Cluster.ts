/**
 * How the runners of a fleet share their clusters: alone in one process, or over sockets with the shards and locks in the
 * store.
 */
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import { loadPackage } from "../internal/LoadPackage.ts"
import { InvalidSpec } from "../ProviderError.ts"

/** The address at which a runner listens for the others. */
export interface Listen {
  readonly host: string
  readonly port: number
}

export interface ShardSettings {
  /** After this a runner that does not answer has lost its clusters. */
  readonly lockExpiration: Duration.Duration
}

/** All runners of a store must have the same number. */
const shards = 300

/** The settings that all runners of a store share. */
export const settingsOf = ({ lockExpiration }: ShardSettings, listen: Listen | undefined): string =>
  listen === undefined
    ? "one process without `listen`"
    : `protocol 1, ${shards} shards, lock expiration ${Duration.format(lockExpiration)}`

const config = ({ lockExpiration }: ShardSettings, address: RunnerAddress.RunnerAddress, isEmbedded: boolean) =>
  ShardingConfig.layer({
    runnerAddress: Option.some(address),
    runnerListenAddress: Option.some(address),
    shardsPerGroup: isEmbedded ? 1 : shards,
    shardLockExpiration: lockExpiration,
    shardLockRefreshInterval: Duration.millis(Duration.toMillis(lockExpiration) / 3),
    refreshAssignmentsInterval: Duration.seconds(1),
    runnerHealthCheckInterval: Duration.seconds(10),
    maxResidentEntities: "unbounded",
    simulateRemoteSerialization: false
  })

/** One process. Nothing is sent and no lock is taken. */
export const layerEmbedded = (settings: ShardSettings): Layer.Layer<Sharding.Sharding> =>
  Sharding.layer.pipe(
    Layer.provide(Runners.layerNoop),
    Layer.provide([MessageStorage.layerNoop, RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
    Layer.provide(config(settings, RunnerAddress.make("embedded", 1), true))
  )

/** A runner among others. It needs the package `@effect/platform-node`. */
export const layerSockets = (
  settings: ShardSettings,
  listen: Listen,
  sql: SqlClient.SqlClient
): Layer.Layer<Sharding.Sharding, InvalidSpec> =>
  Layer.unwrap(Effect.gen(function*() {
    const missing = () =>
      new InvalidSpec({ issues: [{ path: "listen", message: "needs the package @effect/platform-node" }] })
    const sockets = yield* Effect.tryPromise({
      try: () =>
        loadPackage<typeof import("@effect/platform-node/NodeClusterSocket")>(
          "@effect/platform-node/NodeClusterSocket"
        ),
      catch: missing
    })
    const SocketRunner = yield* Effect.promise(() => import("effect/cluster/SocketRunner"))
    const RpcSerialization = yield* Effect.promise(() => import("effect/rpc/RpcSerialization"))
    return SocketRunner.layer.pipe(
      Layer.provide([sockets.layerSocketServer, sockets.layerClientProtocol]),
      Layer.provide(
        RunnerHealth.layerPing.pipe(Layer.provide(Runners.layerRpc), Layer.provide(sockets.layerClientProtocol))
      ),
      Layer.provide(MessageStorage.layerNoop),
      Layer.provide(Layer.orDie(SqlRunnerStorage.layer).pipe(Layer.provide(Layer.succeed(SqlClient.SqlClient, sql)))),
      Layer.provide(config(settings, RunnerAddress.make(listen.host, listen.port), false)),
      Layer.provide(RpcSerialization.layerSchemaBinary({})),
      Layer.orDie
    )
  }))
