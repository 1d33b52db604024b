/**
 * Carries requests to an engine through the system's `ssh`, as the docker CLI does.
 *
 * Each connection is one `ssh HOST docker system dial-stdio`. Keys, configuration and known hosts are the user's own.
 * Connections are kept for the next request, because a new one costs a handshake. Source: docker CLI,
 * `cli/connhelper`.
 */
import type { Duplex } from "node:stream"
import type { SshTarget } from "./Connection.ts"

/** The arguments of `ssh`. `--` keeps a host name from being read as an option. */
export const sshArguments = ({ host, port, socketPath, user }: SshTarget): ReadonlyArray<string> => [
  ...(user === undefined ? [] : ["-l", user]),
  ...(port === undefined ? [] : ["-p", String(port)]),
  "--",
  host,
  "docker",
  ...(socketPath === undefined ? [] : ["--host", `unix://${socketPath}`]),
  "system",
  "dial-stdio"
]

/** The code of the error of a connection whose `ssh` failed. */
export const sshFailed = "SSH_FAILED"

const failure = (message: string): Error => Object.assign(new Error(message), { code: sshFailed })

/** A server refuses connections at random when more than 10 wait for their login (`MaxStartups` of sshd). */
const loginsAtOnce = 8
/** A login that takes longer no longer delays the next one. */
const loginMillis = 2000

/** An agent whose connections are `ssh` processes. */
export const sshAgent = async (target: SshTarget): Promise<object> => {
  const [{ spawn }, http, { Duplex }] = await Promise.all([
    import("node:child_process"),
    import("node:http"),
    import("node:stream")
  ])

  /** `settled` is called when the login is over: the server sent a byte, or `ssh` ended. */
  const dial = (settled: () => void): Duplex => {
    // In a session of its own, as with the docker CLI: a Ctrl-C does not end it before a clean-up has used it.
    const child = spawn("ssh", sshArguments(target), {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      windowsHide: true
    })
    let errors = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-1000)))
    const channel = new Duplex({
      read: () => void child.stdout.resume(),
      // A write that fails means that `ssh` has ended; its exit says why.
      write: (chunk, encoding, callback) => void child.stdin.write(chunk, encoding, () => callback()),
      final: (callback) => void child.stdin.end(callback),
      destroy: (error, callback) => {
        settled()
        child.stdin.destroy()
        child.kill()
        callback(error)
      }
    })
    child.stdin.on("error", () => {})
    child.stdout.on("data", (chunk: Buffer) => {
      settled()
      if (!channel.push(chunk)) child.stdout.pause()
    })
    child.on("error", (error: NodeJS.ErrnoException) =>
      channel.destroy(
        failure(error.code === "ENOENT" ? "the program `ssh` is not installed" : `ssh did not start: ${error.message}`)
      ))
    child.on("close", (code, signal) => {
      settled()
      if (channel.destroyed) return
      if (code === 0) return void channel.push(null)
      const words = errors.trim().split("\n").at(-1)?.trim() ?? ""
      channel.destroy(
        failure(`ssh ended with ${code === null ? signal : `exit code ${code}`}${words === "" ? "" : `: ${words}`}`)
      )
    })
    const parts = [child.stdin, child.stdout, child.stderr] as ReadonlyArray<{ ref?: () => void; unref?: () => void }>
    const self = () => channel
    // The part of a socket's interface that Node's HTTP client uses.
    return Object.assign(channel, {
      setTimeout: self,
      setNoDelay: self,
      setKeepAlive: self,
      ref: () => {
        for (const part of [child, ...parts]) part.ref?.()
        return channel
      },
      unref: () => {
        for (const part of [child, ...parts]) part.unref?.()
        return channel
      }
    })
  }

  let logins = 0
  const waiting: Array<() => void> = []
  const agent = new http.Agent({ keepAlive: true })
  return Object.assign(agent, {
    createConnection: (_options: unknown, callback: (error: Error | null, connection: Duplex) => void) => {
      const begin = () => {
        logins++
        let settled = false
        const settle = () => {
          if (settled) return
          settled = true
          logins--
          waiting.shift()?.()
        }
        setTimeout(settle, loginMillis).unref()
        callback(null, dial(settle))
      }
      if (logins < loginsAtOnce) begin()
      else waiting.push(begin)
      return undefined
    }
  })
}
