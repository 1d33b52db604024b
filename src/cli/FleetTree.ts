/**
 * The commands of a fleet: `kubelayer fleet ...`.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import { body, clusterArgument, count, duration, files, many, on, optional } from "./Flags.ts"

const store = {
  store: Flag.String("store").pipe(
    Flag.withDescription("sqlite:PATH, or postgres://USER@HOST/DATABASE"),
    Flag.withFallbackConfig(Config.NonEmptyString("KUBELAYER_STORE")),
    Flag.withDefault("sqlite:fleet.db")
  )
}

const load = () => import("./commands/fleet.ts")

const serve = Command.make(
  "serve",
  {
    ...store,
    listen: optional(
      Flag.String("listen").pipe(
        Flag.withDescription("HOST:PORT for other runners; a free port of 127.0.0.1 by default")
      )
    ),
    http: Flag.String("http").pipe(
      Flag.withDescription("HOST:PORT of /metrics and /healthz, or off"),
      Flag.withDefault("127.0.0.1:9464")
    ),
    secrets: optional(Flag.String("secrets").pipe(Flag.withDescription("The folder of files that documents refer to"))),
    concurrency: count("concurrency", "How many clusters are worked on at once", 1).pipe(Flag.withDefault(16)),
    lease: duration("lease", "When a cluster of a runner that is gone is handed over", "15 seconds"),
    lockExpiration: duration("lock-expiration", "When a runner that does not answer loses its share", "15 seconds"),
    resync: duration("resync", "How often backends are read for drift", "1 minute")
  },
  body(load, ({ serve }) => serve)
).pipe(
  Command.withDescription("Keep clusters as the documents of a store say, until it is stopped"),
  Command.withExamples([
    { command: "kubelayer fleet serve", description: "One host: an SQLite file in this folder" },
    {
      command: "kubelayer fleet serve --store postgres://fleet@db/fleet --listen 10.0.0.5:34431",
      description: "One of several hosts"
    }
  ])
)

const apply = Command.make("apply", { ...store, files }, body(load, ({ apply }) => apply)).pipe(
  Command.withDescription("Add or change documents; runners carry them out")
)

const remove = Command.make(
  "remove",
  {
    ...store,
    clusters: Argument.String("cluster").pipe(
      Argument.withDescription("Names of clusters"),
      Argument.variadic({ min: 1 })
    ),
    keepNodes: on("keep-nodes", "Remove the document alone, and leave the nodes as they are")
  },
  body(load, ({ remove }) => remove)
).pipe(Command.withAlias("rm"), Command.withDescription("Delete clusters and their documents; asks before it deletes"))

const list = Command.make("list", store, body(load, ({ list }) => list)).pipe(
  Command.withAlias("ls"),
  Command.withDescription("List the clusters of a fleet")
)

const status = Command.make(
  "status",
  {
    ...store,
    cluster: clusterArgument,
    exitCode: on("exit-code", "Exit with 8 where the cluster is not as requested")
  },
  body(load, ({ status }) => status)
).pipe(Command.withDescription("Show the conditions of a cluster"))

const watch = Command.make("watch", store, body(load, ({ watch }) => watch)).pipe(
  Command.withDescription("Show all clusters and each change")
)

const pause = Command.make("pause", { ...store, cluster: clusterArgument }, body(load, ({ pause }) => pause)).pipe(
  Command.withDescription("Leave a cluster as it is until it is resumed")
)

const resume = Command.make("resume", { ...store, cluster: clusterArgument }, body(load, ({ resume }) => resume)).pipe(
  Command.withDescription("Reconcile a paused cluster again")
)

const events = Command.make(
  "events",
  {
    ...store,
    clusters: many("cluster", "Only events of this cluster"),
    limit: count("limit", "How many of the latest events", 1).pipe(Flag.withDefault(100))
  },
  body(load, ({ events }) => events)
).pipe(Command.withDescription("Show what has happened in a fleet, the oldest first"))

export const fleet = Command.make("fleet").pipe(
  Command.withDescription("Many clusters, kept as their documents say"),
  Command.withSubcommands([serve, apply, remove, list, status, watch, pause, resume, events])
)
