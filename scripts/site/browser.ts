/**
 * Opens every page of the site in a headless Chromium: it loads without an error of the console, and fits into 360 pixels.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { extname, join } from "node:path"
import { temporaryDirectory } from "../lib/temporary.ts"

class SiteFailed extends Error {
  override readonly name = "SiteFailed"
}

const fail = (message: string) => Effect.fail(new SiteFailed(message))

const chromiums = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]

/** The Chromium of this machine, if it has one. */
export const chromium = (): string | undefined => chromiums.find((path) => existsSync(path))

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".woff2": "font/woff2"
}

/** Serves a folder on the loopback interface. */
const serve = (folder: string) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly origin: string; readonly close: () => void }>((resume) => {
      const server = createServer((request, response) => {
        const path = join(folder, decodeURIComponent((request.url ?? "/").split("?")[0] ?? "/"))
        const isFile = existsSync(path) && extname(path) !== ""
        response.writeHead(isFile ? 200 : 404, { "content-type": types[extname(path)] ?? "application/octet-stream" })
        response.end(isFile ? readFileSync(path) : "")
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({ origin: `http://127.0.0.1:${port}`, close: () => server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
}

/** Starts a browser and returns the address of its debugger. */
const browser = Effect.fnUntraced(function*(binary: string) {
  const profile = yield* temporaryDirectory("chromium")
  const flags = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--remote-debugging-port=0",
    `--user-data-dir=${profile}`
  ]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(binary, [...flags, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] })),
    (running) =>
      Effect.callback<void>((resume) => {
        running.once("exit", () => resume(Effect.void))
        if (running.exitCode !== null || !running.kill("SIGTERM")) resume(Effect.void)
      })
  )
  return yield* Effect.callback<string, SiteFailed>((resume) => {
    let text = ""
    child.stderr.setEncoding("utf8").on("data", (piece: string) => {
      text += piece
      const [, address] = /DevTools listening on (ws:\S+)/.exec(text) ?? []
      if (address !== undefined) resume(Effect.succeed(address))
    })
    child.once("exit", () => resume(fail(`Chromium ended before it was ready:\n${text.trim()}`)))
  })
})

/** One page of the browser as functions over the DevTools protocol. */
const openPage = Effect.fnUntraced(function*(address: string) {
  const { host } = new URL(address)
  const target = yield* Effect.promise(async () => {
    const response = await fetch(`http://${host}/json/new?about:blank`, { method: "PUT" })
    return await response.json() as { readonly webSocketDebuggerUrl: string }
  })
  const socket = yield* Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<WebSocket>((open, refuse) => {
        const opening = new WebSocket(target.webSocketDebuggerUrl)
        opening.addEventListener("open", () => open(opening))
        opening.addEventListener("error", () => refuse(new SiteFailed("the debugger of Chromium does not answer")))
      })
    ),
    (open) => Effect.sync(() => open.close())
  )
  let last = 0
  const waiting = new Map<number, (message: Message) => void>()
  const problems: Array<string> = []
  let loaded: () => void = () => {}
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(String(data)) as Message
    if (message.id !== undefined) waiting.get(message.id)?.(message)
    if (message.method === "Page.loadEventFired") loaded()
    const { params = {} } = message
    if (message.method === "Runtime.exceptionThrown") {
      problems.push(`exception: ${JSON.stringify(params).slice(0, 300)}`)
    }
    if (message.method === "Runtime.consoleAPICalled" && params["type"] === "error") {
      problems.push(`console: ${JSON.stringify(params["args"]).slice(0, 300)}`)
    }
    if (message.method === "Log.entryAdded" && JSON.stringify(params).includes("\"level\":\"error\"")) {
      problems.push(`log: ${JSON.stringify(params).slice(0, 300)}`)
    }
  })
  const send = (method: string, params: Record<string, unknown> = {}) =>
    Effect.callback<Message>((resume) => {
      const id = ++last
      waiting.set(id, (message) => resume(Effect.succeed(message)))
      socket.send(JSON.stringify({ id, method, params }))
    })
  for (const domain of ["Page", "Runtime", "Log"]) yield* send(`${domain}.enable`)
  yield* send("Emulation.setDeviceMetricsOverride", { width: 360, height: 800, deviceScaleFactor: 1, mobile: true })

  const visit = Effect.fnUntraced(function*(url: string) {
    problems.length = 0
    const isLoaded = new Promise<void>((resolve) => {
      loaded = resolve
    })
    yield* send("Page.navigate", { url })
    yield* Effect.promise(() => isLoaded)
    const expression = "JSON.stringify([document.title, document.documentElement.scrollWidth, innerWidth])"
    const { result } = yield* send("Runtime.evaluate", { expression })
    const { value = "[]" } = (result?.["result"] ?? {}) as { readonly value?: string }
    const [title = "", width = 0, available = 0] = JSON.parse(value) as [string?, number?, number?]
    return [
      ...problems,
      ...title === "" || title.startsWith("404") ? ["it has no title, or is not found"] : [],
      ...width > available ? [`it is ${width} pixels wide on a screen of ${available}`] : []
    ]
  })
  return visit
})

/** Opens each page. Returns a sentence for people, and fails with all problems. */
export const checkPages = Effect.fnUntraced(function*(folder: string, paths: ReadonlyArray<string>) {
  const binary = chromium()
  if (binary === undefined) return yield* fail("Chromium is not installed")
  const { origin } = yield* serve(folder)
  const visit = yield* openPage(yield* browser(binary))
  const problems: Array<string> = []
  for (const path of paths) {
    const found = yield* visit(`${origin}/${path}`).pipe(
      Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.succeed(["it did not load within 20 s"]) })
    )
    problems.push(...found.map((problem) => `${path}: ${problem}`))
  }
  if (problems.length > 0) return yield* fail(problems.join("\n"))
  return `${paths.length} pages load in Chromium without an error and fit into 360 pixels`
})
