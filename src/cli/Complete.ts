/**
 * Completes a command line: commands, flags, their values, and the names of clusters and nodes as they are now.
 *
 * The scripts of the shells call `kubelayer __complete` with the words up to the cursor, and offer its lines. So every
 * shell completes the same, and names are live. A backend gets two seconds, and its errors are not shown.
 */
import * as Effect from "effect/Effect"
import type { ClusterStatus } from "../Model.ts"
import { type Address, Backends } from "./Backends.ts"
import { type BackendName, backendNames } from "./Settings.ts"
import { type CommandNode, commands, type FlagNode, globals } from "./Tree.ts"

/** One offer: the word, and what it means. */
interface Candidate {
  readonly value: string
  readonly description?: string | undefined
}

/** The completions at the cursor. Names are read from the backend. */
type Offer =
  | { readonly _tag: "Words"; readonly words: ReadonlyArray<Candidate> }
  | { readonly _tag: "Files" }
  | { readonly _tag: "Clusters"; readonly except: ReadonlyArray<string> }
  | { readonly _tag: "Nodes"; readonly cluster: string | undefined }

const nothing: Offer = { _tag: "Words", words: [] }
const words = (values: ReadonlyArray<string>): Offer => ({ _tag: "Words", words: values.map((value) => ({ value })) })

const fileFlags: ReadonlySet<string> = new Set(["file", "user-data"])
const schemes = ["kubelayer", "kind", "k3d", "talos", "vcluster", "kwok", "auto"]

/** A boolean flag has a negation by default. */
const negationOf = ({ name, negation, type }: FlagNode): ReadonlyArray<string> =>
  type._tag !== "Boolean" || negation === false ? [] : [`--${negation ?? `no-${name}`}`]

const spellings = (flag: FlagNode): ReadonlyArray<string> => [
  `--${flag.name}`,
  ...flag.aliases.map((alias) => `-${alias}`),
  ...negationOf(flag)
]

const takesValue = (flag: FlagNode): boolean => flag.type._tag !== "Boolean"

/** The meaning of the words before the cursor. */
interface Line {
  readonly command: CommandNode | undefined
  /** Words that are no flags, after the command. */
  readonly operands: ReadonlyArray<string>
  /** The flag whose value is at the cursor. */
  readonly flag: FlagNode | undefined
  readonly isAfterDashes: boolean
  readonly values: ReadonlyMap<string, string>
}

const flagsOf = (command: CommandNode | undefined): ReadonlyArray<FlagNode> => [...command?.flags ?? [], ...globals]

const read = (before: ReadonlyArray<string>): Line => {
  let command: CommandNode | undefined
  let waiting: FlagNode | undefined
  let isAfterDashes = false
  const operands: Array<string> = []
  const values = new Map<string, string>()
  for (const word of before) {
    if (waiting !== undefined) {
      values.set(waiting.name, word)
      waiting = undefined
    } else if (isAfterDashes || !word.startsWith("-") || word === "-") {
      if (command === undefined && !isAfterDashes) command = commands.find(({ name }) => name === word)
      else operands.push(word)
    } else if (word === "--") isAfterDashes = true
    else {
      const [spelled = "", value] = word.split(/=(.*)/s)
      const flag = flagsOf(command).find((each) => spellings(each).includes(spelled))
      if (flag !== undefined && value !== undefined) values.set(flag.name, value)
      else if (flag !== undefined && takesValue(flag)) waiting = flag
    }
  }
  return { command, operands, flag: waiting, isAfterDashes, values }
}

const valuesOf = (flag: FlagNode, line: Line): Offer =>
  flag.type._tag === "Choice"
    ? words(flag.type.values)
    : fileFlags.has(flag.name)
    ? { _tag: "Files" }
    : flag.name === "scheme"
    ? words(schemes)
    : flag.name === "node"
    ? { _tag: "Nodes", cluster: line.operands[0] }
    : nothing

const flagWords = (line: Line): Offer => ({
  _tag: "Words",
  words: flagsOf(line.command)
    .filter((flag) => !line.values.has(flag.name) || flag.name === "file")
    .flatMap((flag) =>
      spellings(flag).filter((word) => word.startsWith("--")).map((value) => ({ value, description: flag.description }))
    )
})

const operandOffer = (line: Line): Offer => {
  const { command, operands } = line
  if (command === undefined) {
    return { _tag: "Words", words: commands.map(({ description, name }) => ({ value: name, description })) }
  }
  const argument = command.arguments[operands.length] ?? command.arguments.find(({ variadic }) => variadic)
  if (argument === undefined) return nothing
  if (argument.type._tag === "Choice") return words(argument.type.values)
  if (argument.name === "plan") return { _tag: "Files" }
  if (argument.name === "node") return { _tag: "Nodes", cluster: operands[0] }
  return argument.name === "cluster" ? { _tag: "Clusters", except: operands } : nothing
}

/** The completions of the last word, which may be empty. Pure. */
export const offerFor = (
  line: ReadonlyArray<string>
): { readonly offer: Offer; readonly prefix: string; readonly line: Line } => {
  const before = line.slice(0, -1)
  const current = line.at(-1) ?? ""
  const known = read(before)
  if (known.flag !== undefined) return { offer: valuesOf(known.flag, known), prefix: "", line: known }
  if (!known.isAfterDashes && current.startsWith("-")) {
    const equals = current.indexOf("=")
    if (equals < 0) return { offer: flagWords(known), prefix: "", line: known }
    const spelled = current.slice(0, equals)
    const flag = flagsOf(known.command).find((each) => spellings(each).includes(spelled))
    return { offer: flag === undefined ? nothing : valuesOf(flag, known), prefix: `${spelled}=`, line: known }
  }
  return { offer: operandOffer(known), prefix: "", line: known }
}

const addressOf = (values: ReadonlyMap<string, string>, environment: ReadonlyMap<string, string>): Address => {
  const value = (name: string) => values.get(name) ?? environment.get(name)
  const backend = backendNames.find((name) => name === value("backend")) ?? "docker" satisfies BackendName
  const optional = (name: "instance" | "scheme" | "host" | "context") => {
    const given = value(name)
    return given === undefined ? {} : { [name]: given }
  }
  return { backend, ...optional("instance"), ...optional("scheme"), ...optional("host"), ...optional("context") }
}

const deadline = "2 seconds"

const statuses = (address: Address): Effect.Effect<ReadonlyArray<ClusterStatus>, never, Backends> =>
  Effect.flatMap(
    Backends,
    (backends) =>
      Effect.scoped(Effect.flatMap(backends.open(address), ({ provider }) => provider.listAllStatuses)).pipe(
        Effect.timeoutOrElse({ duration: deadline, orElse: () => Effect.succeed([]) }),
        // A completion that reports an error would spoil the line that a person is writing.
        Effect.catchCause(() => Effect.succeed([]))
      )
  )

/** The lines that a shell reads: `word<TAB>description`, or `:files`. */
export const complete = Effect.fnUntraced(function*(
  line: ReadonlyArray<string>,
  environment: ReadonlyMap<string, string>
): Effect.fn.Return<ReadonlyArray<string>, never, Backends> {
  const { line: known, offer, prefix } = offerFor(line)
  if (offer._tag === "Files") return [":files"]
  const current = (line.at(-1) ?? "").slice(prefix.length)
  const found: ReadonlyArray<Candidate> = offer._tag === "Words"
    ? offer.words
    : namesOf(offer, yield* statuses(addressOf(known.values, environment)))
  return found.filter(({ value }) => value.startsWith(current)).map(({ description, value }) =>
    prefix + value + (description === undefined ? "" : `\t${description}`)
  )
})

const namesOf = (
  offer: Extract<Offer, { readonly _tag: "Clusters" | "Nodes" }>,
  found: ReadonlyArray<ClusterStatus>
): ReadonlyArray<Candidate> => {
  if (offer._tag === "Clusters") {
    return found
      .filter(({ clusterName }) => !offer.except.includes(clusterName))
      .map(({ clusterName, nodesReady, nodesTotal, phase }) => ({
        value: clusterName,
        description: `${phase} ${nodesReady}/${nodesTotal}`
      }))
  }
  const nodes = found
    .filter(({ clusterName }) => offer.cluster === undefined || clusterName === offer.cluster)
    .flatMap((status) =>
      status.nodes.map(({ name, role, state }) => ({ value: name, description: `${role} ${state}` }))
    )
  // The first operand of `logs` may be a cluster, too.
  return offer.cluster === undefined ? [...namesOf({ _tag: "Clusters", except: [] }, found), ...nodes] : nodes
}
