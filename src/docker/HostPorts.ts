/**
 * Chooses free ports of this host before a container is created, so that they stay the same over stop and start. A port
 * that the engine chooses changes with each start.
 *
 * The engine may run elsewhere, and another program may be faster; then the start says that the port is taken, and
 * `Create.ts` chooses again.
 */
import * as Effect from "effect/Effect"
import { load } from "../internal/Loading.ts"
import type { PortMapping } from "./Scheme.ts"

const closing = (close: (done: () => void) => void) =>
  Effect.callback<void>((resume) => close(() => resume(Effect.void)))

/** Asks the system for a free port by listening on none in particular. None where it gives none. */
const freePort = (protocol: PortMapping["protocol"], address: string): Effect.Effect<number | undefined> =>
  Effect.gen(function*() {
    const host = address === "" ? "0.0.0.0" : address
    if (protocol === "udp") {
      const { createSocket } = yield* load(() => import("node:dgram"))
      const socket = createSocket(host.includes(":") ? "udp6" : "udp4")
      return yield* Effect.callback<number | undefined>((resume) => {
        socket.once("error", () => resume(Effect.undefined))
        socket.bind(0, host, () => resume(Effect.succeed(socket.address().port)))
      }).pipe(Effect.ensuring(closing((done) => socket.close(done))))
    }
    const { createServer } = yield* load(() => import("node:net"))
    const server = createServer()
    return yield* Effect.callback<number | undefined>((resume) => {
      server.once("error", () => resume(Effect.undefined))
      server.listen(0, host, () => {
        const bound = server.address()
        resume(Effect.succeed(typeof bound === "object" && bound !== null ? bound.port : undefined))
      })
    }).pipe(Effect.ensuring(closing((done) => server.close(() => done()))))
  })

/** Gives every port without a host port one that is free and not in `held`; `held` grows by what was chosen. */
export const chooseHostPorts = (
  ports: ReadonlyArray<PortMapping>,
  held: Set<string>
): Effect.Effect<ReadonlyArray<PortMapping>> =>
  Effect.forEach(ports, (port) =>
    Effect.gen(function*() {
      if (port.host !== undefined) return port
      for (let attempt = 0; attempt < 20; attempt++) {
        const chosen = yield* freePort(port.protocol, port.address ?? "")
        const key = `${port.protocol ?? "tcp"}/${chosen}`
        if (chosen === undefined || held.has(key)) continue
        held.add(key)
        return { ...port, host: chosen }
      }
      // The engine then chooses one, which is better than none.
      return port
    }))
