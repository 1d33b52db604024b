/** A port of this host that nothing holds at present. */
import * as Effect from "effect/Effect"
import * as net from "node:net"

export const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const bound = server.address()
    const port = typeof bound === "object" && bound !== null ? bound.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})
