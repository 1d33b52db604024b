/**
 * The command tree: every command, argument and flag. The body of a command is loaded when it runs.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Option from "effect/Option"
import {
  body,
  clusterArgument,
  clusterArguments,
  count,
  duration,
  files,
  many,
  on,
  optional,
  pairs,
  watchFlag
} from "./Flags.ts"
import { fleet } from "./FleetTree.ts"
import { globalFlags } from "./Settings.ts"

// -----------------------------------------------------------------------------
// Commands
// -----------------------------------------------------------------------------

const clusters = Command.make(
  "clusters",
  { watch: watchFlag },
  body(() => import("./commands/light.ts"), ({ clusters }) => clusters)
).pipe(
  Command.withAlias("ls"),
  Command.withDescription("List all clusters"),
  Command.withExamples([
    { command: "kubelayer clusters", description: "Clusters of every tool on the Docker engine" },
    { command: "kubelayer -b hetzner clusters -o json", description: "Clusters of a Hetzner project, as JSON" }
  ])
)

const nodes = Command.make(
  "nodes",
  { clusters: clusterArguments("Names of clusters; all clusters where none is given", 0) },
  body(() => import("./commands/light.ts"), ({ nodes }) => nodes)
).pipe(Command.withDescription("List the nodes of clusters"))

const status = Command.make(
  "status",
  {
    cluster: clusterArgument,
    exitCode: on("exit-code", "Exit with 8 where the cluster is not ready"),
    watch: watchFlag
  },
  body(() => import("./commands/light.ts"), ({ status }) => status)
).pipe(
  Command.withDescription("Show a cluster and its nodes"),
  Command.withExamples([{ command: "kubelayer status dev --exit-code", description: "For scripts" }])
)

const watch = Command.make(
  "watch",
  { cluster: Argument.optional(clusterArgument) },
  body(
    () => import("./commands/light.ts"),
    ({ watch }) => ({ cluster }: { readonly cluster: Option.Option<string> }) =>
      watch({ cluster: Option.getOrUndefined(cluster) })
  )
).pipe(Command.withDescription("Show all clusters, or one, and each change; one line a change in a pipe"))

const get = Command.make(
  "get",
  {
    target: Argument.String("cluster").pipe(
      Argument.withDescription("Name of the cluster; or `clusters`, or `nodes` and the names of clusters"),
      Argument.variadic({ min: 1 })
    )
  },
  body(() => import("./commands/documents.ts"), ({ get }) => get)
).pipe(
  Command.withDescription("Write an existing cluster as a document"),
  Command.withExamples([{
    command: "kubelayer get dev -o yaml > dev.yaml",
    description: "A document that plans empty"
  }])
)

const create = Command.make(
  "create",
  {
    cluster: clusterArgument,
    controlPlanes: count("control-planes", "Number of control planes", 1).pipe(Flag.withDefault(1)),
    workers: count("workers", "Number of workers", 0).pipe(Flag.withDefault(0)),
    image: optional(
      Flag.String("image").pipe(
        Flag.withDescription("Docker: an image of nodes. Hetzner: a system image or snapshot id")
      )
    ),
    labels: pairs("label", "A label for every node, key=value; can be repeated"),
    keep: on("keep", "Leave what was created where the create fails"),
    serverTypes: many("server-type", "Hetzner: a server type, the best first; can be repeated"),
    locations: many("location", "Hetzner: a location, the best first; can be repeated"),
    userData: optional(Flag.String("user-data").pipe(Flag.withDescription("Hetzner: a file with user data, or -"))),
    sshKeys: many("ssh-key", "Hetzner: a key that may log in, by name; can be repeated"),
    machineClass: optional(Flag.String("machine-class").pipe(Flag.withDescription("Omni: the machine class"))),
    talosVersion: optional(Flag.String("talos-version").pipe(Flag.withDescription("Omni: the Talos version"))),
    kubernetesVersion: optional(
      Flag.String("kubernetes-version").pipe(Flag.withDescription("Omni: the Kubernetes version"))
    )
  },
  body(() => import("./commands/documents.ts"), ({ create }) => create)
).pipe(
  Command.withDescription("Create a cluster from flags; `apply` creates it from a document"),
  Command.withExamples([
    { command: "kubelayer create dev --workers 2 --image kindest/node:v1.34.0", description: "Docker" },
    {
      command: "kubelayer -b hetzner create dev --image debian-13 --server-type cx33 --location fsn1",
      description: "Hetzner; asks before it buys"
    }
  ])
)

const powerFlags = {
  clusters: clusterArguments("Names of clusters", 1),
  nodes: many("node", "Only this node; can be repeated"),
  pool: optional(Flag.String("pool").pipe(Flag.withDescription("Only the nodes of this pool")))
}

const start = Command.make("start", powerFlags, body(() => import("./commands/light.ts"), ({ start }) => start)).pipe(
  Command.withDescription("Start the nodes of clusters, control planes first")
)

const stop = Command.make("stop", powerFlags, body(() => import("./commands/light.ts"), ({ stop }) => stop)).pipe(
  Command.withDescription("Stop the nodes of clusters, control planes last")
)

const restart = Command.make(
  "restart",
  {
    ...powerFlags,
    maxUnavailable: optional(count("max-unavailable", "How many nodes at once; 1 by default", 1))
  },
  body(() => import("./commands/light.ts"), ({ restart }) => restart)
).pipe(Command.withDescription("Restart nodes, one wave at a time"))

const remove = Command.make(
  "delete",
  {
    clusters: clusterArguments("Names of clusters", 0),
    files,
    mustExist: on("must-exist", "Exit with 4 where a cluster does not exist")
  },
  body(() => import("./commands/documents.ts"), ({ remove }) => remove)
).pipe(
  Command.withAlias("rm"),
  Command.withDescription("Delete clusters and what they own; asks before it deletes")
)

const plan = Command.make(
  "plan",
  { files, exitCode: on("exit-code", "Exit with 8 where something is to be done") },
  body(() => import("./commands/documents.ts"), ({ plan }) => plan)
).pipe(
  Command.withAlias("diff"),
  Command.withDescription("Show what `apply` would do"),
  Command.withExamples([
    { command: "kubelayer plan -f cluster.yaml", description: "Steps, refusals and prices" },
    { command: "kubelayer plan -f cluster.yaml -o json > plan.json", description: "A plan to apply later" }
  ])
)

const apply = Command.make(
  "apply",
  {
    plans: Argument.String("plan").pipe(
      Argument.withDescription("A file that `plan -o json` has written, or - for stdin"),
      Argument.variadic({ min: 0 })
    ),
    files
  },
  body(() => import("./commands/documents.ts"), ({ apply }) => apply)
).pipe(
  Command.withDescription("Make clusters what their documents say; asks before it deletes or buys"),
  Command.withExamples([
    { command: "kubelayer apply -f cluster.yaml", description: "Plan, ask, apply" },
    { command: "kubelayer apply plan.json", description: "Carry out exactly this plan" }
  ])
)

const sweep = Command.make(
  "sweep",
  {
    olderThan: duration("older-than", "Only what was created longer ago than this", "1 hour"),
    remove: on("remove", "Remove what is listed")
  },
  body(() => import("./commands/light.ts"), ({ sweep }) => sweep)
).pipe(Command.withDescription("List what processes that are gone have left behind"))

const logs = Command.make(
  "logs",
  {
    target: Argument.String("node").pipe(
      Argument.withDescription("A cluster and a node, or a node"),
      Argument.variadic({ min: 1, max: 2 })
    ),
    follow: on("follow", "Go on with new lines").pipe(Flag.withAlias("f")),
    tail: optional(Flag.Int("tail").pipe(Flag.withDescription("Only the last lines"))),
    timestamps: on("timestamps", "The time before each line")
  },
  body(() => import("./commands/light.ts"), ({ logs }) => logs)
).pipe(Command.withDescription("Show the log of a node (Docker)"))

const exec = Command.make(
  "exec",
  {
    cluster: clusterArgument,
    node: Argument.String("node").pipe(Argument.withDescription("Name of the node")),
    command: Argument.String("command").pipe(
      Argument.withDescription("The command and its arguments, after --"),
      Argument.variadic({ min: 0 })
    ),
    user: optional(Flag.String("user").pipe(Flag.withAlias("u"), Flag.withDescription("User name or id"))),
    workingDirectory: optional(Flag.String("workdir").pipe(Flag.withDescription("Working directory"))),
    env: pairs("env", "A variable, NAME=value; can be repeated")
  },
  body(() => import("./commands/light.ts"), ({ exec }) => exec)
).pipe(
  Command.withDescription("Run a command in a node; the exit code is the command's (Docker)"),
  Command.withExamples([{
    command: "kubelayer exec dev dev-worker -- uname -a",
    description: "After --, flags are the command's"
  }])
)

const doctor = Command.make("doctor", {}, body(() => import("./commands/doctor.ts"), ({ doctor }) => () => doctor))
  .pipe(
    Command.withDescription("Check the backend: connection, versions, credentials, quota, disk, clock, leftovers")
  )

const schema = Command.make("schema", {}, body(() => import("./commands/documents.ts"), ({ schema }) => () => schema))
  .pipe(
    Command.withDescription("Write the JSON Schema of documents, for editors")
  )

const completion = Command.make(
  "completion",
  { shell: Argument.Literals("shell", ["bash", "zsh", "fish"]).pipe(Argument.withDescription("The shell")) },
  body(() => import("./commands/completion.ts"), ({ completion }) => completion)
).pipe(
  Command.withDescription("Write the completion script of a shell"),
  Command.withExamples([
    { command: "source <(kubelayer completion bash)", description: "bash, for this shell" },
    { command: "kubelayer completion fish > ~/.config/fish/completions/kubelayer.fish", description: "fish" }
  ])
)

export const root = Command.make("kubelayer").pipe(
  Command.withDescription("The machines under Kubernetes clusters: Docker, Hetzner, Omni"),
  Command.withSubcommands([
    { group: "Read", commands: [clusters, nodes, status, watch, get] },
    { group: "Change", commands: [create, start, stop, restart, remove] },
    { group: "Desired state", commands: [plan, apply, schema, fleet] },
    { group: "Nodes", commands: [logs, exec] },
    { group: "Care", commands: [doctor, sweep, completion] }
  ]),
  Command.withGlobalFlags(globalFlags)
)
