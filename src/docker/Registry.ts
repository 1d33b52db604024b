/**
 * Finds the login for the registry of an image, as the docker CLI does.
 *
 * The order is: the option of the layer, `credHelpers`, `credsStore`, then `auths` in the config.json of the CLI. A
 * helper is the program `docker-credential-NAME`. An image whose registry has no login is pulled without one.
 * Source: docker CLI reference, "docker login"; docker-credential-helpers.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { load } from "../internal/Loading.ts"
import type { Environment } from "./Connection.ts"
import { oneLine } from "./Errors.ts"

/**
 * A login for a registry.
 *
 * @category models
 * @since 0.2.0
 */
export type RegistryLogin =
  | { readonly username: string; readonly password: Redacted.Redacted<string> }
  | { readonly identityToken: Redacted.Redacted<string> }

/** @category models @since 0.2.0 */
export interface RegistryOptions {
  /**
   * Logins by the host name of the registry, such as `ghcr.io` or `localhost:5000`; Docker Hub is `docker.io`. They are
   * used instead of the logins of the docker CLI.
   */
  readonly registries?: Readonly<Record<string, RegistryLogin>>
}

const hub = "docker.io"
/** The name of Docker Hub in the files of the CLI. */
const hubKey = "https://index.docker.io/v1/"

/** The host name of the registry in an image reference. */
export const registryOf = (image: string): string => {
  const [first = "", ...rest] = image.split("/")
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase())
  return !isHost || first === "index.docker.io" || first === "registry-1.docker.io" ? hub : first
}

const text = Schema.optionalKey(Schema.String)
const ConfigFile = Schema.fromJsonString(Schema.Struct({
  auths: Schema.optionalKey(Schema.Record(
    Schema.String,
    Schema.Struct({ auth: text, username: text, password: text, identitytoken: text })
  )),
  credsStore: text,
  credHelpers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
}))

const HelperReply = Schema.fromJsonString(Schema.Struct({ Username: Schema.String, Secret: Schema.String }))

const login = (username: string, secret: string): RegistryLogin =>
  // Helpers mark a token by this name.
  username === "<token>"
    ? { identityToken: Redacted.make(secret) }
    : { username, password: Redacted.make(secret) }

/** The host name in a key of `auths`, which may be a URL. */
const hostIn = (key: string): string => key.replace(/^https?:\/\//, "").split("/")[0] ?? ""

const fromAuths = (
  auths: NonNullable<typeof ConfigFile.Type["auths"]>,
  key: string
): RegistryLogin | undefined => {
  const entry = auths[key] ?? Object.entries(auths).find(([each]) => hostIn(each) === hostIn(key))?.[1]
  if (entry === undefined) return undefined
  if (entry.identitytoken !== undefined && entry.identitytoken !== "") {
    return { identityToken: Redacted.make(entry.identitytoken) }
  }
  const pair = entry.auth === undefined || entry.auth === ""
    ? undefined
    : /^([^:]*):(.*)$/s.exec(new TextDecoder().decode(Uint8Array.from(atob(entry.auth), (c) => c.charCodeAt(0))))
  const [username, password] = pair === undefined || pair === null
    ? [entry.username, entry.password]
    // The CLI pads the pair with zero bytes at times.
    : [pair[1], pair[2]?.replace(/\0+$/, "")]
  return username === undefined || username === "" || password === undefined ? undefined : login(username, password)
}

/** Longer than a helper that unlocks a key ring takes. */
const helperTimeout = "30 seconds"

/** The answer of a helper program; none if it knows no login. It fails with one sentence. */
const fromHelper = (helper: string, key: string): Effect.Effect<RegistryLogin | undefined, string> =>
  load(() => import("node:child_process")).pipe(
    Effect.flatMap(({ spawn }) =>
      Effect.callback<RegistryLogin | undefined, string>((resume) => {
        const program = `docker-credential-${helper}`
        if (!/^[\w.-]+$/.test(helper)) return resume(Effect.fail(`${JSON.stringify(helper)} is not a name of a helper`))
        const child = spawn(program, ["get"], { stdio: ["pipe", "pipe", "ignore"], windowsHide: true })
        let output = ""
        child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk))
        child.stdin.on("error", () => {})
        child.on("error", (error) => resume(Effect.fail(`${program} did not start: ${error.message}`)))
        child.on("close", (code) => {
          // The output of a failed helper is a sentence; that of a successful one has the secret, and is never shown.
          if (code !== 0) {
            return resume(
              /credentials not found/i.test(output)
                ? Effect.undefined
                : Effect.fail(`${program} ended with exit code ${code}: ${oneLine(output).slice(0, 100)}`)
            )
          }
          const reply = Schema.decodeUnknownOption(HelperReply)(output)
          resume(
            Option.isNone(reply)
              ? Effect.fail(`${program} gave no login in JSON`)
              : Effect.succeed(login(reply.value.Username, reply.value.Secret))
          )
        })
        child.stdin.end(`${key}\n`)
        return Effect.sync(() => void child.kill())
      })
    ),
    Effect.timeoutOrElse({
      duration: helperTimeout,
      orElse: () => Effect.fail(`docker-credential-${helper} did not answer within ${helperTimeout}`)
    })
  )

/** The value of `X-Registry-Auth`: base64 for URLs, of JSON. */
const header = (found: RegistryLogin, serveraddress: string): Redacted.Redacted<string> => {
  const bytes = new TextEncoder().encode(JSON.stringify(
    "identityToken" in found
      ? { identitytoken: Redacted.value(found.identityToken), serveraddress }
      : { username: found.username, password: Redacted.value(found.password), serveraddress }
  ))
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
  return Redacted.make(base64.replaceAll("+", "-").replaceAll("/", "_"))
}

/**
 * The login for the registry of an image, as the value of `X-Registry-Auth`. A file or helper that fails is logged as a
 * warning; the pull then goes without a login.
 */
export const registryAuth = Effect.fnUntraced(function*(
  image: string,
  { registries = {} }: RegistryOptions,
  env: Environment
): Effect.fn.Return<Redacted.Redacted<string> | undefined> {
  const host = registryOf(image)
  const key = host === hub ? hubKey : host
  const given = Object.hasOwn(registries, host) ? registries[host] : undefined
  if (given !== undefined) return header(given, key)

  const [fs, path] = yield* load(() => Promise.all([import("node:fs/promises"), import("node:path")]))
  const directory = env.config ?? (env.home === undefined ? undefined : path.join(env.home, ".docker"))
  if (directory === undefined) return undefined
  const file = path.join(directory, "config.json")
  const read = yield* Effect.option(Effect.tryPromise((signal) => fs.readFile(file, { encoding: "utf8", signal })))
  if (Option.isNone(read)) return undefined
  const config = Schema.decodeUnknownOption(ConfigFile)(read.value)
  if (Option.isNone(config)) {
    yield* Effect.logWarning(`${file} has no logins that can be read; ${host} is used without a login`)
    return undefined
  }
  const { auths = {}, credHelpers = {}, credsStore } = config.value
  const helper = Object.hasOwn(credHelpers, key) ? credHelpers[key] : credsStore
  if (helper === undefined || helper === "") {
    const found = yield* Effect.option(Effect.try(() => fromAuths(auths, key)))
    return Option.isNone(found) || found.value === undefined ? undefined : header(found.value, key)
  }
  const answered = yield* Effect.result(fromHelper(helper, key))
  if (answered._tag === "Failure") {
    yield* Effect.logWarning(`no login for the registry ${host}: ${answered.failure}`)
    return undefined
  }
  return answered.success === undefined ? undefined : header(answered.success, key)
})
