/**
 * The way into the other scripts from a fresh checkout:
 *
 *   node scripts/start.mjs quickstart|verify|simulate|planted|soak|bench|runtimes [arguments]
 *
 * Needs nothing but Node 20 and npm. Installs the development dependencies when
 * they are not what the lockfile says, then runs scripts/<verb>.ts with the Node
 * among them, which runs TypeScript as it is.
 */
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { constants } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { asksForHelp, usages } from "./usage.mjs"

const VERBS = Object.keys(usages)
const OLDEST_NODE = 20

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** @param {string} line */
const say = (line) => process.stderr.write(`${line}\n`)

/** @param {NodeJS.Signals} signal */
const codeOfSignal = (signal) => 128 + constants.signals[signal]

/** @param {string} path */
const packagesIn = (path) => {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages ?? {}
  } catch {
    return undefined
  }
}

/**
 * npm writes down what it installed when it is done, so an install that was cut
 * short counts as none. Versions are compared rather than times: a checkout
 * gives every file a new time.
 */
const isInstalled = () => {
  const wanted = packagesIn(join(root, "package-lock.json"))
  const present = packagesIn(join(root, "node_modules/.package-lock.json"))
  if (wanted === undefined || present === undefined) return false
  return Object.entries(wanted).every(([path, { integrity, optional, version }]) =>
    // Optional packages are those of other systems, too.
    path === "" || (present[path] === undefined && optional) ||
    (present[path]?.version === version && present[path]?.integrity === integrity)
  )
}

/**
 * Shows that something goes on: the seconds so far, on one line of a terminal, elsewhere a line now and then.
 *
 * @param {string} what
 */
const signOfLife = (what) => {
  const begun = Date.now()
  const seconds = () => Math.round((Date.now() - begun) / 1000)
  const terminal = process.stderr.isTTY
  if (terminal) process.stderr.write(`${what} ...`)
  else say(`${what} ...`)
  const timer = setInterval(
    () => terminal ? process.stderr.write(`\r${what} ... ${seconds()} s`) : say(`  still installing, ${seconds()} s`),
    terminal ? 1000 : 15_000
  )
  return () => {
    clearInterval(timer)
    if (terminal) process.stderr.write(`\r${what}: ${seconds()} s\n`)
  }
}

/** @returns {Promise<number>} */
const install = () => {
  const done = signOfLife("Installing the development dependencies with npm ci (a minute or two, 500 MB)")
  // The npm that runs this script, where one does; else the one on the PATH.
  const runner = process.env.npm_execpath ?? ""
  const [command, first] = runner.endsWith("npm-cli.js") ? [process.execPath, [runner]] : ["npm", []]
  const child = spawn(command, [...first, "ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32" && command === "npm"
  })
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data))

  /** @type {NodeJS.Signals | undefined} */
  let stopped
  const stop = (/** @type {NodeJS.Signals} */ signal) => {
    if (stopped === undefined) say("\nStopping; npm removes what it has begun ...")
    stopped = signal
    child.kill(signal)
  }
  process.on("SIGINT", stop).on("SIGTERM", stop)

  return new Promise((resolve) => {
    const settle = (/** @type {number} */ code, line = "") => {
      done()
      process.off("SIGINT", stop).off("SIGTERM", stop)
      if (line !== "") say(line)
      resolve(code)
    }
    child.on("error", (error) => settle(1, `npm could not be started: ${error.message}`))
    child.on("exit", (code, signal) => {
      if (code === 0) return settle(0)
      const ended = stopped ?? signal
      if (ended) return settle(codeOfSignal(ended))
      // Where npm ci refuses a lockfile it goes on to list all its options.
      const reported = output.split("npm error Clean install a project")[0] ?? ""
      settle(1, `${reported.trim()}\nnpm ci failed with exit code ${code}. Its output is above.`)
    })
  })
}

/** The Node among the dependencies; this one where it is missing but can do the same. */
const findNode = () => {
  const installed = join(root, "node_modules/node/bin", process.platform === "win32" ? "node.exe" : "node")
  if (existsSync(installed)) return installed
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  return major >= 24 || (major === 22 && minor >= 18) ? process.execPath : undefined
}

/** @param {string} node @param {string} verb @param {string[]} args @returns {Promise<number>} */
const run = (node, verb, args) => {
  const bin = join(root, "node_modules/.bin")
  const child = spawn(node, [join(root, "scripts", `${verb}.ts`), ...args], {
    stdio: "inherit",
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` }
  })
  // A Ctrl-C reaches the child by itself, as both are in the terminal's foreground
  // group. Here it only must not end this process while the child clears up.
  process.on("SIGINT", () => void (process.stdin.isTTY || child.kill("SIGINT")))
  process.on("SIGTERM", () => void child.kill("SIGTERM"))
  return new Promise((resolve) => {
    child.on("error", (error) => {
      say(`${node} could not be started: ${error.message}`)
      resolve(1)
    })
    child.on("exit", (code, signal) => resolve(signal === null ? code ?? 1 : codeOfSignal(signal)))
  })
}

const start = async () => {
  const [verb = "", ...args] = process.argv.slice(2)
  if (!VERBS.includes(verb)) {
    say(`Usage: node scripts/start.mjs ${VERBS.join("|")} [arguments]`)
    return 2
  }
  if (asksForHelp(args)) {
    process.stdout.write(`${usages[verb]}\n`)
    return 0
  }
  if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE) {
    say(`This needs Node ${OLDEST_NODE} or newer; this is Node ${process.versions.node} (${process.execPath}).`)
    return 1
  }
  if (!isInstalled()) {
    const code = await install()
    if (code !== 0) return code
  }
  const node = findNode()
  if (node === undefined) {
    say(
      "npm ci did not install Node 24 (the package \"node\"): are install scripts switched off? Node 22.18 or newer does as well."
    )
    return 1
  }
  return run(node, verb, args)
}

process.exitCode = await start()
