/**
 * Replays the recordings of real engines against the fake, and reports where its replies differ.
 *
 * A placeholder of a recording matches every valid value, and the id of a thing only that id.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { DockerFake } from "kubelayer/testing"
import { type Recording, recordings, type Sent } from "../recordings.ts"

type Recorded = Recording & { readonly reply: NonNullable<Recording["reply"]> }

export const engines = {
  "docker-20.10.24": { flavor: "docker", version: "20.10.24" },
  "docker-29": { flavor: "docker", version: "29.0.0" },
  "podman-4.3.1": { flavor: "podman", version: "4.3.1" },
  "podman-5.8.2": { flavor: "podman", version: "5.8.2" }
} as const

export type EngineName = keyof typeof engines

const recordsOf = (engine: EngineName): ReadonlyArray<Recorded> =>
  recordings.filter((record): record is Recorded => record.engine === engine && record.reply !== undefined)

export const topics = (engine: EngineName): ReadonlyArray<string> => [
  ...new Set(recordsOf(engine).map(({ topic }) => topic))
]

// -----------------------------------------------------------------------------
// The engine of the recordings
// -----------------------------------------------------------------------------

const nodeImage = {
  entrypoint: ["/sbin/kubelayer-init"],
  env: ["PATH=/bin:/sbin:/usr/bin"],
  missing: ["/nosuch"],
  logs: [
    "k3s is up and running",
    "Successfully registered node",
    "start worker processes",
    "Reached target Multi-User System."
  ]
}

const images = {
  "kubelayer-node:obedient": nodeImage,
  "kubelayer-node:slow": { ...nodeImage, onTerm: { afterMillis: 1000 } },
  "kubelayer-node:deaf": { ...nodeImage, onTerm: "ignore" },
  "kubelayer-node:exits": { ...nodeImage, exits: { code: 3, afterMillis: 5 } }
} as const

/** Runs the commands of the recordings. */
const exec = ({ command, env, workingDirectory }: DockerFake.ExecCommand): DockerFake.ExecResult => {
  const script = command.at(-1) ?? ""
  const exitCode = Number(/exit (\d+)$/.exec(script)?.[1] ?? 0)
  if (script.startsWith("echo out")) {
    return {
      output: [{ text: "out\n" }, { stream: "stderr", text: "err\n", afterMillis: 300 }],
      exitCode
    }
  }
  if (script.startsWith("echo $A")) {
    return { output: [{ text: `${env[0]?.slice("A=".length)}\n${workingDirectory}\n` }] }
  }
  return { exitCode }
}

// -----------------------------------------------------------------------------
// Comparison
// -----------------------------------------------------------------------------

/** The ids of the things by `kind:name`, the present one last, also of those that are gone. */
type Ids = Map<string, ReadonlyArray<string>>

const latest = (ids: Ids, name: string): string => ids.get(name)?.at(-1) ?? ""

const add = (ids: Ids, name: string, id: string): void => {
  if (latest(ids, name) !== id) ids.set(name, [...ids.get(name) ?? [], id])
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

const times = /2000\\?-01\\?-01T00:00:00(?:\\\.0+)?(?:Z|\\\+00:00)/g

/** A pattern for a recorded text. */
const patternOf = (recorded: string, ids: Ids): RegExp =>
  new RegExp(
    `^${
      escaped(recorded)
        .replace(/<(short-)?(container|network|exec|image):([^>]+)>/g, (_, short, kind, name) => {
          const known = ids.get(`${kind}:${name}`)
          return known === undefined
            ? "[0-9a-f]+"
            : `(?:${known.map((id) => short === undefined ? id : id.slice(0, 12)).join("|")})`
        })
        .replace(/<registry>/g, "docker\\.io")
        .replace(/<address>|<address6>|<mac>|<id>|<short-id>|<path>|<veth>|<bridge>|<host>|<kernel>|<runtime>/g, ".+")
        .replace(times, "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z")
        .replace(/Up 2 seconds/g, "Up \\d+ \\w+")
        .replace(/2 seconds ago/g, "\\d+ \\w+ ago")
        .replace(/49999/g, "\\d+")
    }$`,
    "s"
  )

/** Keys whose lists have no order. */
const unordered = new Set(["Mounts", "Ports", "Env", "Binds", "Containers", "Volumes", "NetworksDeleted", "8080/tcp"])

const anyNumber = new Set([1_700_000_000, 1_700_000_000_000_000_000, 4242, 1_000_000, 49_999, 5])

interface Comparison {
  readonly ids: Ids
  readonly trimmed: boolean
  readonly rootUnordered: boolean
  /** Podman 4 gives a new address at each restart, and how often it restarted by then is chance. */
  readonly anyAddress: boolean
}

const show = (value: unknown): string => JSON.stringify(value)?.slice(0, 160) ?? "nothing"

const differences = (recorded: unknown, given: unknown, at: string, how: Comparison): ReadonlyArray<string> => {
  const differs = () => [`${at}: the engine has ${show(recorded)}, the fake ${show(given)}`]
  if (how.anyAddress && at.endsWith("/IPAddress") && String(recorded).startsWith("10.61.")) {
    return String(given).startsWith("10.61.") ? [] : differs()
  }
  // How long a process ran is a text.
  if (at.endsWith("/execDuration")) return typeof given === "string" && /^\d+$/.test(given) ? [] : differs()
  if (typeof recorded === "string") {
    return typeof given === "string" && patternOf(recorded, how.ids).test(given) ? [] : differs()
  }
  if (typeof recorded === "number" && typeof given === "number") {
    return recorded === given || (anyNumber.has(recorded) && given > 0) ? [] : differs()
  }
  if (Array.isArray(recorded) && Array.isArray(given)) {
    if (recorded.length !== given.length) return differs()
    const key = at.split("/").at(-1) ?? ""
    if (!unordered.has(key) && !(at === "" && how.rootUnordered)) {
      return recorded.flatMap((each, index) => differences(each, given[index], `${at}/${index}`, how))
    }
    const left = [...given]
    // One whose name is a placeholder would match another one.
    const isVague = (value: unknown) => JSON.stringify(value).includes("\"Name\":\"<id>\"") ? 1 : 0
    const specificFirst = [...recorded].sort((a, b) => isVague(a) - isVague(b))
    return specificFirst.flatMap((each, index) => {
      const found = left.findIndex((other) => differences(each, other, "", how).length === 0)
      if (found >= 0) {
        left.splice(found, 1)
        return []
      }
      return [`${at}/${index}: the engine has ${show(each)}, the fake none such of ${show(given)}`]
    })
  }
  const isRecord = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value)
  if (isRecord(recorded) && isRecord(given)) {
    const expected = Object.fromEntries(
      Object.entries(recorded).map(([key, value]) => [
        key.replace(/<container:([^>]+)>/, (_, name) => latest(how.ids, `container:${name}`)),
        value
      ])
    )
    const keys = Object.keys(expected).flatMap((key) =>
      key in given
        ? differences(expected[key], given[key], `${at}/${key}`, how)
        : [`${at}/${key}: the engine has it, the fake does not`]
    )
    const more = how.trimmed ? [] : Object.keys(given).filter((key) => !(key in expected))
    return [...keys, ...more.map((key) => `${at}/${key}: the fake has it, the engine does not`)]
  }
  return recorded === given ? [] : differs()
}

// -----------------------------------------------------------------------------
// Replies
// -----------------------------------------------------------------------------

interface Given {
  readonly status: number
  readonly contentType: string | null
  readonly bytes: Uint8Array
}

const joined = (chunks: ReadonlyArray<Uint8Array | string>): Uint8Array => {
  const encoder = new TextEncoder()
  return Uint8Array.from(chunks.flatMap((chunk) => [...(typeof chunk === "string" ? encoder.encode(chunk) : chunk)]))
}

/** The frames of the multiplexed form, without their order across the two streams. */
const framesOf = (bytes: Uint8Array): ReadonlyArray<unknown> => {
  const frames: Array<{ stream: string; text: string }> = []
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4)
    const text = new TextDecoder().decode(bytes.subarray(at + 8, at + 8 + length))
    frames.push({ stream: bytes[at] === 2 ? "stderr" : "stdout", text })
    at += 8 + length
  }
  return frames
}

const bodyOf = (recorded: unknown, bytes: Uint8Array): unknown => {
  const text = new TextDecoder().decode(bytes)
  if (typeof recorded === "string") return text
  const [first] = Array.isArray(recorded) ? recorded : []
  if (typeof first === "object" && first !== null && "stream" in first && "text" in first) return framesOf(bytes)
  try {
    const parsed: unknown = JSON.parse(text)
    return Array.isArray(recorded) && !Array.isArray(parsed) ? [parsed] : parsed
  } catch {
    return text.split("\n").flatMap((line) => line.trim() === "" ? [] : [JSON.parse(line) as unknown])
  }
}

interface Replayed {
  readonly fake: DockerFake.DockerFakeService
  readonly ids: Ids
}

const send = Effect.fnUntraced(function*(
  { fake, ids }: Replayed,
  { body, method, path }: { readonly method: string; readonly path: string; readonly body?: unknown },
  streamMillis = 2000,
  isSoon = false,
  sinceSeconds = 3
): Effect.fn.Return<Given> {
  const now = Math.trunc((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) / 1000)
  const target = path
    .replace("<id>", latest(ids, "id"))
    .replace(/<(short-)?(container|network|exec):([^>]+)>/g, (_, short, kind, name) => {
      const id = latest(ids, `${kind}:${name}`)
      return short === undefined ? id : id.slice(0, 12)
    })
    .replace("since=1700000000", `since=${now - sinceSeconds}`)
    .replace("until=1700000002", `until=${now + (isSoon ? 1 : -1)}`)
  const answer = yield* fake.answer({
    method,
    target,
    contentType: body === "<tar>" ? "application/x-tar" : body === undefined ? undefined : "application/json",
    body: body === undefined ? "" : body === "<tar>" ? new Uint8Array() : JSON.stringify(body)
  })
  if (answer._tag !== "Reply") return { status: 0, contentType: null, bytes: new Uint8Array() }
  const chunks: Array<Uint8Array | string> = [answer.body]
  if (answer.stream !== undefined) {
    const seen = { end: false }
    const close = answer.stream({ write: (chunk) => void chunks.push(chunk), end: () => void (seen.end = true) })
    for (let waited = 0; !seen.end && waited < streamMillis; waited += 20) yield* Effect.sleep(20)
    close()
  }
  yield* remember({ fake, ids })
  return { status: answer.status, contentType: answer.headers["Content-Type"] ?? null, bytes: joined(chunks) }
})

const remember = ({ fake, ids }: Replayed): Effect.Effect<void> =>
  Effect.map(fake.state, ({ containers, networks }) => {
    for (const { id, name } of containers) add(ids, `container:${name}`, id)
    for (const { id, isPredefined, name } of networks) if (!isPredefined) add(ids, `network:${name}`, id)
  })

const prepare = Effect.fnUntraced(function*(
  replayed: Replayed,
  steps: ReadonlyArray<Sent | { readonly wait: string }>
): Effect.fn.Return<ReadonlyArray<string>> {
  const problems: Array<string> = []
  for (const step of steps) {
    if ("wait" in step) {
      const name = step.wait.split(" ")[0]
      for (let waited = 0; waited < 100; waited++) {
        const { containers } = yield* replayed.fake.state
        if (containers.find((each) => each.name === name)?.state === "exited") break
        yield* Effect.sleep(50)
      }
    } else {
      const { status } = yield* send(replayed, step)
      yield* Effect.sleep(20)
      if (status !== step.status) {
        problems.push(`before, ${step.method} ${step.path}: the engine has ${step.status}, the fake ${status}`)
      }
    }
  }
  return problems
})

/** Waits until a container whose process exits at once is in this state. */
const untilState = Effect.fnUntraced(function*({ fake }: Replayed, state: string) {
  for (let waited = 0; waited < 10_000; waited++) {
    const { containers } = yield* fake.state
    if (containers.some((each) => each.image === "kubelayer-node:exits" && each.state === state)) return
    yield* Effect.sleep(1)
  }
})

/** The ids that a reply brings, such as that of an exec. */
const learn = (ids: Ids, recorded: unknown, given: unknown): void => {
  const id = (recorded as { Id?: string } | null)?.Id ?? ""
  const [, name] = /^<(exec:[^>]+|id)>$/.exec(id) ?? []
  if (name !== undefined) add(ids, name, (given as { Id: string }).Id)
}

// -----------------------------------------------------------------------------
// Events
// -----------------------------------------------------------------------------

interface Event {
  readonly Type: string
  readonly Action: string
}

/** Podman writes `stop` only at times, and `cleanup` twice at times. */
const comparable = (engine: EngineName, events: ReadonlyArray<Event>): ReadonlyArray<Event> =>
  engine.startsWith("podman")
    ? events.filter(({ Action }) => !["stop", "cleanup"].includes(Action))
    : events

const replayEvents = Effect.fnUntraced(function*(engine: EngineName, replayed: Replayed, record: Recorded) {
  const stream = yield* Effect.forkChild(send(replayed, record, record.id === "events-health" ? 5000 : 3000))
  yield* Effect.sleep(100)
  for (const each of record.during ?? []) {
    const given = yield* send(replayed, each)
    if (each.path.endsWith("/exec")) {
      learn(replayed.ids, { Id: "<exec:events>" }, JSON.parse(new TextDecoder().decode(given.bytes)))
    }
    yield* Effect.sleep(5)
  }
  const { bytes, status } = yield* Fiber.join(stream)
  const recorded = comparable(engine, record.reply.body as ReadonlyArray<Event>)
  // A crash loop and a healthcheck go on; the recording has the first events of them.
  const goesOn = ["events-crash-loop", "events-health"].includes(record.id)
  const given = comparable(engine, bodyOf([], bytes) as ReadonlyArray<Event>)
  const how = { ids: replayed.ids, trimmed: record.trimmed === true, rootUnordered: false, anyAddress: false }
  return [
    ...(status === record.reply.status ? [] : [`status: the engine has ${record.reply.status}, the fake ${status}`]),
    ...differences(recorded, goesOn ? given.slice(0, recorded.length) : given, "", how)
  ]
})

// -----------------------------------------------------------------------------
// Topics
// -----------------------------------------------------------------------------

/** How an engine was started shows in its default network. */
const withoutSetup = (body: unknown): unknown =>
  Array.isArray(body)
    ? body.map((each) =>
      each?.Name === "bridge" && each.IPAM !== undefined ? { ...each, IPAM: undefined, Options: undefined } : each
    )
    : body

/** Differences that the fake has on purpose; its README lists them too. */
const simpler = [
  /^version: \/(?:Components|Version|GitCommit|GoVersion|BuildTime)/,
  /^info: \/(?:ServerVersion|Warnings)/,
  /^image-inspect-c: \/DockerVersion/
]

const isSimpler = (difference: string): boolean => simpler.some((pattern) => pattern.test(difference))

const replayRecord = Effect.fnUntraced(function*(engine: EngineName, replayed: Replayed, record: Recorded) {
  const steps = record.before ?? []
  // Nothing else happens in the requested time.
  if (record.id === "events-past") yield* Effect.sleep(3000)
  // The last step of this one happens while the request waits.
  const isDuring = record.id === "wait-running"
  const problems = [...(yield* prepare(replayed, isDuring ? steps.slice(0, -1) : steps))]
  if (record.when?.startsWith("5 s after") === true) yield* Effect.sleep(engine.startsWith("podman") ? 5000 : 1100)
  if (record.id === "events-past") yield* Effect.sleep(2500)
  if (["list-crash-loop", "stop-between-restarts", "start-on-failure-inspect"].includes(record.id)) {
    yield* Effect.sleep(2000)
    yield* untilState(replayed, record.id === "start-on-failure-inspect" ? "exited" : "restarting")
  }
  if (
    record.id === "stop-crash-loop-running" ||
    (engine.startsWith("podman-4") && record.id === "stop-between-restarts-inspect")
  ) {
    yield* untilState(replayed, "running")
  }
  if (record.during !== undefined) return [...problems, ...(yield* replayEvents(engine, replayed, record))]
  const again = yield* Effect.forkChild(
    send(replayed, record, 2000, record.id.endsWith("until-soon"), record.id === "events-filter-unknown" ? 6 : 3)
  )
  const more = record.id !== "remove-at-once" ?
    [] :
    yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(send(replayed, record)))
  if (isDuring) {
    yield* Effect.sleep(500)
    problems.push(...(yield* prepare(replayed, steps.slice(-1))))
  }
  const first = yield* Fiber.join(again)
  const others = yield* Effect.forEach(more, Fiber.join)
  const given = [first, ...others].find(({ status }) => status < 400) ?? first
  const { body, contentType, status } = record.reply
  const parsed = bodyOf(body, given.bytes)
  learn(replayed.ids, body, parsed)
  const isList = /\/(?:networks|volumes)$|networks\?|images\/json/.test(record.path)
  const how = {
    ids: replayed.ids,
    trimmed: record.trimmed === true,
    // The order on Podman 4 does not follow the time of creation.
    rootUnordered: isList || engine === "podman-4.3.1",
    anyAddress: engine === "podman-4.3.1"
  }
  return [
    ...problems,
    ...(given.status === status ? [] : [`status: the engine has ${status}, the fake ${given.status}`]),
    ...(given.contentType === contentType || given.status !== status
      ? []
      : [`content type: the engine has ${contentType}, the fake ${given.contentType}`]),
    ...differences(withoutSetup(body), withoutSetup(parsed), "", how)
  ].filter((difference) => !isSimpler(`${record.id}: ${difference}`))
})

/** The differences of a topic, as `id: difference`. */
export const replay = Effect.fnUntraced(function*(
  engine: EngineName,
  topic: string
): Effect.fn.Return<ReadonlyArray<string>, never, Scope.Scope> {
  // So that no time is zero.
  yield* Effect.sleep("1000 days")
  const fake = yield* DockerFake.make({
    ...engines[engine],
    listen: "none",
    images,
    exec,
    addressPools: [{ base: "10.99.0.0/16", size: 24 }],
    portsInUse: ["127.0.0.1:34910/tcp"],
    unreachableRegistries: ["127.0.0.1:9"],
    hostFolders: ["/lib/modules"],
    durations: { remove: "10 millis" }
  })
  const replayed: Replayed = { fake, ids: new Map() }
  const found: Array<string> = []
  for (const record of recordsOf(engine).filter((each) => each.topic === topic)) {
    const differing = yield* replayRecord(engine, replayed, record)
    found.push(...differing.map((difference) => `${record.id}: ${difference}`))
    yield* Effect.sleep(20)
  }
  return found
})
