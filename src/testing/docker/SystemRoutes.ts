/**
 * The calls on the engine itself, and on images: ping, version, info, list, inspect, pull, import, remove.
 *
 * A pull succeeds unless its registry is one that does not answer.
 */
import * as Effect from "effect/Effect"
import { attempt, filtersOf, type Handler, handler, json, reply } from "./Call.ts"
import { type Engine, type Image, imageOf, removeFrom, withTag } from "./Engine.ts"
import { imageName, pick } from "./Flavor.ts"
import { imageSummary, imageView } from "./Views.ts"

const ping: Handler = (engine, { method }) => {
  const { flavor } = engine
  const headers = {
    "Api-Version": flavor.apiVersion,
    "Docker-Experimental": flavor.isPodman ? "true" : "false",
    Ostype: "linux",
    Server: flavor.isPodman ? `Libpod/${flavor.version} (linux)` : `Docker/${flavor.version} (linux)`,
    ...pick<object>(flavor, {}, { "Builder-Version": "2", Swarm: "inactive" }, { "Libpod-Api-Version": flavor.version })
  }
  return Effect.succeed(
    reply(
      200,
      method === "HEAD" ? "" : "OK",
      flavor.isPodman && method === "HEAD" ? undefined : "text/plain; charset=utf-8",
      headers
    )
  )
}

const version = handler(({ flavor }) =>
  json({
    Platform: { Name: flavor.isPodman ? "linux/amd64/debian-12" : "" },
    Components: [{
      Name: flavor.isPodman ? "Podman Engine" : "Engine",
      Version: flavor.version,
      Details: { ApiVersion: flavor.apiVersion, MinAPIVersion: flavor.minApiVersion, Os: "linux", Arch: "amd64" }
    }],
    Version: flavor.version,
    ApiVersion: flavor.apiVersion,
    MinAPIVersion: flavor.minApiVersion,
    GitCommit: flavor.isPodman ? "" : "fake",
    GoVersion: "go1.19.8",
    Os: "linux",
    Arch: "amd64",
    KernelVersion: "6.1.0-fake",
    BuildTime: "2000-01-01T00:00:00Z"
  })
)

const info = handler((engine) => {
  const { containers, flavor, images } = engine
  const count = (...states: ReadonlyArray<string>) => containers.filter(({ status }) => states.includes(status)).length
  return json({
    ServerVersion: flavor.version,
    OSType: "linux",
    Architecture: flavor.isPodman ? "amd64" : "x86_64",
    Driver: pick(flavor, "overlay2", "overlayfs", "overlay"),
    CgroupDriver: "cgroupfs",
    CgroupVersion: "1",
    SecurityOptions: [`name=seccomp,profile=${flavor.id === "docker29" ? "builtin" : "default"}`],
    DefaultRuntime: flavor.id === "podman4" ? "crun" : "runc",
    LiveRestoreEnabled: false,
    IPv4Forwarding: true,
    MemoryLimit: true,
    SwapLimit: true,
    NCPU: 2,
    MemTotal: 1_000_000_000,
    KernelVersion: "6.1.0-fake",
    Containers: containers.length,
    ContainersRunning: count("running", "restarting"),
    ContainersPaused: count("paused"),
    ContainersStopped: count("created", "exited", "dead"),
    Images: images.length,
    Warnings: flavor.isPodman ? [] : null
  })
})

// -----------------------------------------------------------------------------
// Images
// -----------------------------------------------------------------------------

const listImages = handler((engine, call) => {
  const filters = filtersOf(engine, call, ["before", "dangling", "label", "reference", "since", "until"])
  const references = filters["reference"]
  const repository = (tag: string) => tag.replace(/:[^:/]+$/, "")
  const shown = engine.images.filter(({ tags }) =>
    references === undefined || tags.some((tag) => references.some((each) => each === tag || each === repository(tag)))
  )
  return json(shown.map((each) => imageSummary(engine, each)))
})

const found = (engine: Engine, reference: string): Image => {
  const image = imageOf(engine, reference)
  if (image === undefined) throw engine.refuse.image(reference)
  return image
}

const inspectImage = handler((engine, { part }) => json(imageView(engine, found(engine, part))))

/** Adds an image, and takes its name from the one that had it. @internal */
export const addImage = (engine: Engine, reference: string, seed: Partial<Image> = {}): Image => {
  const tag = withTag(reference)
  for (const each of engine.images) each.tags = each.tags.filter((name) => name !== tag)
  const image: Image = { comment: "", ...seed, id: `sha256:${engine.newId()}`, tags: [tag], created: engine.now() }
  engine.images.unshift(image)
  return image
}

const lines = (engine: Engine, all: ReadonlyArray<object>) =>
  reply(
    200,
    all.map((line) => `${JSON.stringify(line)}\r\n`).join(""),
    engine.flavor.isPodman ? undefined : "application/json"
  )

const unreachable = (engine: Engine, registry: string, name: string, tag: string) => {
  const dial = `dial tcp ${registry}: connect: connection refused`
  const podman =
    `initializing source docker://${registry}/${name}:${tag}: pinging container registry ${registry}: Get "https://${registry}/v2/": ${dial}`
  if (engine.flavor.id === "podman4") {
    return lines(engine, [{ progressDetail: {}, errorDetail: { message: podman }, error: podman }])
  }
  const message = pick(
    engine.flavor,
    `Get "http://${registry}/v2/": ${dial}`,
    `failed to resolve reference "${registry}/${name}:${tag}": failed to do request: Head "https://${registry}/v2/${name}/manifests/${tag}": ${dial}`,
    "connection refused"
  )
  return json({ message }, 500)
}

const importImage = (engine: Engine, query: Readonly<Record<string, string>>) => {
  const { repo = "", tag } = query
  // Podman 4 ignores `tag`.
  const reference = tag === undefined || engine.flavor.id === "podman4" ? repo : `${repo}:${tag}`
  const comment = engine.flavor.isPodman ? "imported from tarball" : "Imported from -"
  const image = addImage(engine, reference, { comment })
  if (engine.flavor.isPodman) {
    return json({ status: image.id, progress: "", progressDetail: {}, id: image.id })
  }
  return lines(engine, [{ status: image.id }])
}

const pull = (engine: Engine, query: Readonly<Record<string, string>>, registries: ReadonlySet<string>) => {
  const { fromImage = "", tag } = query
  const [registry = ""] = fromImage.split("/")
  const name = fromImage.slice(fromImage.includes("/") ? registry.length + 1 : 0)
  const reference = tag === undefined ? fromImage : `${fromImage}:${tag}`
  if (/[A-Z]/.test(name)) throw engine.refuse.imageBadName(reference, name)
  if (registries.has(registry)) return unreachable(engine, registry, name, tag ?? "latest")
  if (imageOf(engine, reference) === undefined) addImage(engine, reference)
  engine.events.publish({ type: "image", action: "pull", name: withTag(reference), id: found(engine, reference).id })
  const layer = { id: "a1b2c3d4e5f6" }
  return lines(engine, [
    { status: `Pulling from ${name}`, id: tag ?? "latest" },
    { status: "Downloading", progressDetail: { current: 1, total: 2 }, ...layer },
    { status: "Pull complete", progressDetail: {}, ...layer },
    { status: `Status: Downloaded newer image for ${imageName(engine.flavor, reference)}` }
  ])
}

const createImage = (registries: ReadonlySet<string>): Handler => (engine, { query }) =>
  query["fromSrc"] === undefined
    ? Effect.andThen(Effect.sleep(engine.durations.pull), attempt(() => pull(engine, query, registries)))
    : attempt(() => importImage(engine, query))

const removeImage = handler((engine, { part, query }) => {
  const { flavor, refuse } = engine
  const image = imageOf(engine, part)
  if (image === undefined) throw refuse.imageToRemove(part)
  const user = engine.containers.find(({ imageId }) => imageId === image.id)
  if (user !== undefined && query["force"] !== "true") throw refuse.imageInUse(part, image.id, user.id)
  const tag = withTag(part)
  image.tags = image.tags.filter((each) => each !== tag)
  const untagged = { Untagged: imageName(flavor, tag) }
  if (image.tags.length > 0) return json([untagged])
  removeFrom(engine.images, image)
  const layers = flavor.id === "docker20" ? [{ Deleted: `sha256:${engine.newId()}` }] : []
  if (flavor.isPodman) return json([{ Deleted: image.id.slice("sha256:".length) }, untagged])
  return json([untagged, { Deleted: image.id }, ...layers])
})

/** `registries` are those that do not answer. @internal */
export const systemRoutes = (registries: ReadonlySet<string>) =>
  [
    { method: "GET", template: "/_ping", query: [], run: ping },
    { method: "HEAD", template: "/_ping", query: [], run: ping },
    { method: "GET", template: "/version", query: [], run: version },
    { method: "GET", template: "/info", query: [], run: info },
    { method: "GET", template: "/images/json", query: ["all", "digests", "filters"], run: listImages },
    {
      method: "POST",
      template: "/images/create",
      query: ["changes", "fromImage", "fromSrc", "message", "platform", "repo", "tag"],
      run: createImage(registries)
    },
    { method: "GET", template: "/images/{name}/json", query: ["manifests"], run: inspectImage },
    { method: "DELETE", template: "/images/{name}", query: ["force", "noprune"], run: removeImage }
  ] as const
