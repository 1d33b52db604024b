/** The fault proxy in front of servers that these tests start: real sockets, no engine. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as FaultProxy from "kubelayer/testing/FaultProxy"
import * as fs from "node:fs"
import * as http from "node:http"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"

interface Upstream {
  readonly target: string
  /** The requests that reached it, as `METHOD path body`. */
  readonly seen: ReadonlyArray<string>
}

/** A server in the engine's place. */
const upstream = (
  answer: http.RequestListener = (_request, response) => response.end("{\"Id\":\"abc\"}\n"),
  onUpgrade?: (socket: net.Socket, head: Buffer) => void
): Effect.Effect<Upstream, never, Scope.Scope> =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    const server = http.createServer((request, response) => {
      let body = ""
      request.on("data", (chunk) => (body += chunk))
      request.on("end", () => {
        seen.push(`${request.method} ${request.url}${body === "" ? "" : ` ${body}`}`)
        answer(request, response)
      })
    })
    server.on("upgrade", (_request, socket, head) => onUpgrade?.(socket as net.Socket, head))
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "up-"))
    const file = path.join(directory, "s")
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(file, () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
          fs.rmSync(directory, { recursive: true, force: true })
        })
    )
    return { target: `unix://${file}`, seen }
  })

interface Reply {
  readonly status?: number
  readonly headers?: http.IncomingHttpHeaders
  readonly text: string
  /** The code of the error that ended it. */
  readonly cut?: string
}

const call = (
  proxy: FaultProxy.FaultProxy,
  method: string,
  url: string,
  body?: string
): Effect.Effect<Reply> =>
  Effect.callback<Reply>((resume) => {
    const codeOf = (error: NodeJS.ErrnoException) => error.code ?? error.message
    const request = http.request({ socketPath: proxy.socketPath, method, path: url, agent: false }, (response) => {
      let text = ""
      const { headers, statusCode: status = 0 } = response
      response.on("data", (chunk) => (text += chunk))
      response.on("end", () => resume(Effect.succeed({ status, headers, text })))
      response.on("error", (error) => resume(Effect.succeed({ status, headers, text, cut: codeOf(error) })))
    })
    request.on("error", (error) => resume(Effect.succeed({ text: "", cut: codeOf(error) })))
    request.end(body)
    return Effect.sync(() => {
      request.destroy()
    })
  })

const always = (fault: FaultProxy.Fault): FaultProxy.Plan => () => fault

const proxied = Effect.fnUntraced(function*(plan?: FaultProxy.Plan, answer?: http.RequestListener) {
  const engine = yield* upstream(answer)
  const proxy = yield* FaultProxy.make({ target: engine.target, ...(plan === undefined ? {} : { plan }) })
  return { engine, proxy }
})

describe("passing on", () => {
  it.live("a call reaches the engine as it was sent, and its answer comes back as it was", () =>
    Effect.gen(function*() {
      const { engine, proxy } = yield* proxied(undefined, (_request, response) => {
        response.writeHead(201, { "Content-Type": "application/json", "Api-Version": "1.41" })
        response.end("{\"Id\":\"ü\"}")
      })
      const reply = yield* call(proxy, "POST", "/v1.41/containers/create?name=a", "{\"Image\":\"b\"}")
      assert.deepStrictEqual(engine.seen, ["POST /v1.41/containers/create?name=a {\"Image\":\"b\"}"])
      assert.strictEqual(reply.status, 201)
      assert.strictEqual(reply.text, "{\"Id\":\"ü\"}")
      assert.strictEqual(reply.headers?.["api-version"], "1.41")
    }))

  it.live("the lines of a stream come while it is open, and closing it reaches the engine", () =>
    Effect.gen(function*() {
      let closed = () => {}
      const closing = new Promise<void>((resolve) => (closed = resolve))
      const { proxy } = yield* proxied(undefined, (_request, response) => {
        response.writeHead(200, { "Content-Type": "application/json" })
        response.write("one\n")
        response.on("close", closed)
      })
      let requested: http.ClientRequest | undefined
      const first = yield* Effect.callback<string>((resume) => {
        const request = http.get({ socketPath: proxy.socketPath, path: "/events", agent: false }, (response) => {
          response.on("error", () => {})
          response.once("data", (chunk) => resume(Effect.succeed(String(chunk))))
        })
        requested = request
      })
      assert.strictEqual(first, "one\n")
      // A stream that nobody ends does not count as work of the engine.
      yield* proxy.idle
      requested?.destroy()
      yield* Effect.promise(() => closing)
    }))

  it.live("a connection that is taken over carries bytes both ways, also what came with the head", () =>
    Effect.gen(function*() {
      const engine = yield* upstream(undefined, (socket, head) => {
        socket.write("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        socket.write(head)
        socket.pipe(socket)
      })
      const proxy = yield* FaultProxy.make({ target: engine.target })
      const heard = yield* Effect.callback<string>((resume) => {
        const socket = net.connect(proxy.socketPath)
        let text = ""
        socket.on("data", (chunk) => {
          text += chunk
          if (text.endsWith("early")) socket.write("-late")
          if (text.endsWith("late")) resume(Effect.succeed(text))
        })
        socket.write(
          "POST /v1.41/containers/abc/attach?stream=1 HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"
        )
        return Effect.sync(() => socket.destroy())
      })
      assert.match(heard, /^HTTP\/1\.1 101 UPGRADED\r\n[^]*\r\n\r\nearly-late$/)
      const [record] = yield* proxy.calls
      assert.deepInclude(record, { kind: "hijack", template: "/containers/{id}/attach", status: 101 })
    }))

  it.live("an engine that is not there cuts the connection", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make({ target: "unix:///nowhere/docker.sock" })
      const reply = yield* call(proxy, "GET", "/version")
      assert.strictEqual(reply.cut, "ECONNRESET")
      assert.isTrue((yield* proxy.calls)[0]?.settled)
    }))

  it.live("an address that is no engine's is refused", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(FaultProxy.make({ target: "ssh://host" }))
      assert.strictEqual(error._tag, "FaultProxyError")
    }))

  it.live("the socket is gone with the scope, also while a stream is open", () =>
    Effect.gen(function*() {
      const engine = yield* upstream((_request, response) => void response.write("one\n"))
      const { path: file, end } = yield* Effect.scoped(Effect.gen(function*() {
        const proxy = yield* FaultProxy.make({ target: engine.target })
        const end = new Promise<string>((resolve) => {
          http.get({ socketPath: proxy.socketPath, path: "/events", agent: false }, (response) => {
            response.on("error", () => resolve("cut"))
            response.resume()
          })
        })
        while ((yield* proxy.calls)[0]?.status === undefined) yield* Effect.sleep("1 millis")
        return { path: proxy.socketPath, end }
      }))
      assert.isFalse(fs.existsSync(file))
      assert.strictEqual(yield* Effect.promise(() => end), "cut")
    }))
})

describe("faults", () => {
  it.live("Refuse: the engine sees nothing", () =>
    Effect.gen(function*() {
      const { engine, proxy } = yield* proxied(always({ _tag: "Refuse" }))
      assert.strictEqual((yield* call(proxy, "POST", "/containers/a/start")).cut, "ECONNRESET")
      assert.deepStrictEqual(engine.seen, [])
    }))

  it.live("DropAnswer: the engine does the work, the client gets no answer", () =>
    Effect.gen(function*() {
      const { engine, proxy } = yield* proxied(always({ _tag: "DropAnswer" }))
      assert.strictEqual((yield* call(proxy, "POST", "/containers/a/start")).cut, "ECONNRESET")
      assert.deepStrictEqual(engine.seen, ["POST /containers/a/start"])
      const [record] = yield* proxy.calls
      assert.strictEqual(record?.engineStatus, 200)
      assert.isUndefined(record?.status)
    }))

  for (const part of [0, 0.5, 0.999]) {
    it.live(`CutBody: the head comes, and ${part} of the body`, () =>
      Effect.gen(function*() {
        const { proxy } = yield* proxied(always({ _tag: "CutBody", part }), (_request, response) => {
          // In chunks, as an engine sends a long list.
          response.write("01234")
          response.end("56789")
        })
        const reply = yield* call(proxy, "GET", "/containers/json")
        assert.strictEqual(reply.status, 200)
        assert.strictEqual(reply.text, "0123456789".slice(0, Math.floor(10 * part)))
        assert.strictEqual(reply.cut, "ECONNRESET")
      }))
  }

  it.live("CutBody: an answer without a body is dropped", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied(always({ _tag: "CutBody", part: 0.5 }), (_request, response) => {
        response.writeHead(204).end()
      })
      assert.strictEqual((yield* call(proxy, "DELETE", "/containers/a")).cut, "ECONNRESET")
    }))

  it.live("CutStream: what has come by then came, then the stream is cut", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied(
        always({ _tag: "CutStream", millis: 30 }),
        (_request, response) => void response.write("one\n")
      )
      const reply = yield* call(proxy, "GET", "/events")
      assert.strictEqual(reply.text, "one\n")
      assert.strictEqual(reply.cut, "ECONNRESET")
    }))

  it.live("Answer: 500, 429 with Retry-After or a page replaces the engine's response", () =>
    Effect.gen(function*() {
      const faults = [FaultProxy.serverFault, FaultProxy.rateLimited(3), FaultProxy.page(200)]
      const { engine, proxy } = yield* proxied(({ index }) => faults[index - 1]?.(() => 0))
      const failed = yield* call(proxy, "POST", "/containers/create", "{}")
      const limited = yield* call(proxy, "POST", "/containers/create", "{}")
      const page = yield* call(proxy, "POST", "/containers/create", "{}")
      assert.strictEqual(failed.status, 500)
      assert.property(JSON.parse(failed.text), "message")
      assert.strictEqual(limited.status, 429)
      assert.strictEqual(limited.headers?.["retry-after"], "3")
      assert.strictEqual(page.status, 200)
      assert.match(page.headers?.["content-type"] ?? "", /^text\/html/)
      assert.deepStrictEqual(engine.seen, [])
    }))

  it.live("Delay: a call reaches the engine also when its client has left by then, and idle waits for it", () =>
    Effect.gen(function*() {
      const { engine, proxy } = yield* proxied(always({ _tag: "Delay", millis: 60 }))
      yield* Effect.timeoutOption(call(proxy, "POST", "/containers/create", "{}"), "20 millis")
      assert.deepStrictEqual(engine.seen, [])
      yield* proxy.idle
      assert.deepStrictEqual(engine.seen, ["POST /containers/create {}"])
    }))

  it.live("a client that leaves does not take its call back from the engine", () =>
    Effect.gen(function*() {
      let finish = () => {}
      let left = false
      const { engine, proxy } = yield* proxied(undefined, (_request, response) => {
        response.on("close", () => (left = !response.writableFinished))
        finish = () => response.end()
      })
      yield* Effect.timeoutOption(call(proxy, "POST", "/containers/a/stop"), "40 millis")
      assert.strictEqual(engine.seen.length, 1)
      assert.isFalse((yield* proxy.calls)[0]?.settled)
      finish()
      yield* proxy.idle
      assert.isFalse(left)
      assert.isTrue((yield* proxy.calls)[0]?.settled)
    }))
})

describe("plans", () => {
  const rules: ReadonlyArray<FaultProxy.Rule> = [
    { calls: /^POST .*\/start$/, probability: 0.5, faults: [FaultProxy.delay(1, 1000), FaultProxy.cutBody] },
    { calls: "read", probability: 0.5, faults: [FaultProxy.refuse, FaultProxy.dropAnswer, FaultProxy.serverFault] }
  ]
  const calls = (order: (a: FaultProxy.Call, b: FaultProxy.Call) => number): ReadonlyArray<FaultProxy.Call> =>
    Array.from({ length: 40 }, (_, at) => {
      const [method, url] = at % 2 === 0 ? ["GET", "/containers/json"] : ["POST", `/v1.41/containers/c${at}/start`]
      const template = FaultProxy.templateOf(url ?? "")
      const kind = FaultProxy.kindOf(method ?? "", template, false)
      return {
        index: at + 1,
        method: method ?? "",
        template,
        kind,
        occurrence: Math.floor(at / 2) + 1,
        path: url ?? ""
      }
    }).sort(order)
  const decisions = (plan: FaultProxy.Plan, list: ReadonlyArray<FaultProxy.Call>) =>
    Object.fromEntries(list.map((each) => [each.index, plan(each)]))

  it("a seed decides the same for the same calls, in whatever order they come", () => {
    const forth = decisions(FaultProxy.seeded({ seed: 5, rules }), calls((a, b) => a.index - b.index))
    const back = decisions(FaultProxy.seeded({ seed: 5, rules }), calls((a, b) => b.index - a.index))
    assert.deepStrictEqual(forth, back)
  })

  it("another seed decides otherwise, and about as often", () => {
    const five = decisions(FaultProxy.seeded({ seed: 5, rules }), calls(() => 0))
    const six = decisions(FaultProxy.seeded({ seed: 6, rules }), calls(() => 0))
    assert.notDeepEqual(five, six)
    const many = Array.from({ length: 50 }, (_, seed) => decisions(FaultProxy.seeded({ seed, rules }), calls(() => 0)))
    const met = many.flatMap((each) => Object.values(each)).filter((fault) => fault !== undefined).length
    assert.isTrue(met > 850 && met < 1150, `${met} of 2000`)
  })

  it("after the last of its faults there are no more", () => {
    const all = decisions(FaultProxy.seeded({ seed: 5, most: 3, rules }), calls(() => 0))
    assert.strictEqual(Object.values(all).filter((fault) => fault !== undefined).length, 3)
  })

  it("a call that no rule is for meets nothing", () => {
    const plan = FaultProxy.seeded({
      seed: 1,
      rules: [{ calls: "stream", probability: 1, faults: [FaultProxy.refuse] }]
    })
    assert.deepStrictEqual(Object.values(decisions(plan, calls(() => 0))).filter((fault) => fault !== undefined), [])
  })

  it.live("the log of a run, replayed, does the same to the same calls", () =>
    Effect.gen(function*() {
      const run = (plan: FaultProxy.Plan) =>
        Effect.scoped(Effect.gen(function*() {
          const { proxy } = yield* proxied(plan)
          const replies = yield* Effect.forEach(
            Array.from({ length: 12 }, (_, at) => at),
            (at) => Effect.map(call(proxy, "GET", `/containers/${at}/json`), ({ cut, status }) => cut ?? status)
          )
          return { replies, faults: yield* proxy.faults, counts: yield* proxy.counts }
        }))
      const first = yield* run(FaultProxy.seeded({ seed: 9, rules }))
      const second = yield* run(FaultProxy.replay(first.faults))
      assert.isAbove(first.faults.length, 2)
      assert.deepStrictEqual(second, first)
    }))

  it.live("a lifted proxy only passes calls on, and counts are separate for each status", () =>
    Effect.gen(function*() {
      const { proxy } = yield* proxied(always({ _tag: "Refuse" }))
      yield* call(proxy, "GET", "/containers/a/json")
      yield* proxy.lift
      yield* call(proxy, "GET", "/containers/b/json")
      yield* call(proxy, "GET", "/v1.41/containers/c/json?size=1")
      assert.deepStrictEqual(yield* proxy.counts, [
        { method: "GET", template: "/containers/{id}/json", status: 200, count: 2 },
        { method: "GET", template: "/containers/{id}/json", status: "none", count: 1 }
      ])
      assert.deepStrictEqual((yield* proxy.faults).map(FaultProxy.line), [
        "GET /containers/{id}/json #1: connection closed before the engine saw it"
      ])
    }))
})

describe("templates", () => {
  for (
    const [method, url, template, kind] of [
      ["GET", "/v1.41/containers/json?all=1", "/containers/json", "read"],
      ["GET", "/version", "/version", "read"],
      ["GET", "/_ping", "/_ping", "read"],
      ["POST", "/v1.47/containers/json/start", "/containers/json/start", "change"],
      ["POST", "/containers/4f/start", "/containers/{id}/start", "change"],
      ["POST", "/containers/create?name=create", "/containers/create", "create"],
      ["DELETE", "/v1.41/containers/create2?force=1", "/containers/{id}", "change"],
      ["POST", "/networks/n/connect", "/networks/{id}/connect", "change"],
      ["DELETE", "/volumes/v", "/volumes/{id}", "change"],
      ["GET", "/images/registry:5000/team/app:1/json", "/images/{id}/json", "read"],
      ["POST", "/images/create?fromImage=a", "/images/create", "stream"],
      ["GET", "/events?since=1", "/events", "stream"],
      ["GET", "/containers/a/logs?follow=1", "/containers/{id}/logs", "stream"],
      ["POST", "/containers/a/exec", "/containers/{id}/exec", "create"]
    ] as const
  ) {
    it(`${method} ${url}`, () => {
      assert.strictEqual(FaultProxy.templateOf(url), template)
      assert.strictEqual(FaultProxy.kindOf(method, template, false), kind)
    })
  }
})
