/** A home of the docker CLI in a temporary folder: its config.json, its contexts with their TLS material. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { temporaryFolder } from "./Conversation.ts"

export interface Material {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

export interface Home {
  /** The folder that HOME names. */
  readonly path: string
  /** The folder that DOCKER_CONFIG would name. */
  readonly docker: string
  readonly writeConfig: (text: string) => void
  readonly use: (context: string) => void
  readonly addContext: (
    name: string,
    host: string | undefined,
    more?: { readonly tls?: Material; readonly skipVerify?: boolean }
  ) => void
  readonly writePems: (folder: string, material: Material) => void
}

const writePems = (folder: string, material: Material): void => {
  fs.mkdirSync(folder, { recursive: true })
  for (const [name, pem] of Object.entries(material)) fs.writeFileSync(path.join(folder, `${name}.pem`), pem)
}

/** A context's folder is called after the SHA-256 of its name. */
const contextId = (name: string): string => createHash("sha256").update(name).digest("hex")

export const makeHome: Effect.Effect<Home, never, Scope.Scope> = Effect.map(temporaryFolder, (home): Home => {
  const docker = path.join(home, ".docker")
  fs.mkdirSync(docker)
  const writeConfig = (text: string) => fs.writeFileSync(path.join(docker, "config.json"), text)
  return {
    path: home,
    docker,
    writeConfig,
    use: (context) => writeConfig(JSON.stringify({ auths: {}, currentContext: context })),
    addContext: (name, host, { skipVerify = false, tls } = {}) => {
      const meta = path.join(docker, "contexts", "meta", contextId(name))
      fs.mkdirSync(meta, { recursive: true })
      const endpoint = host === undefined ? {} : { docker: { Host: host, SkipTLSVerify: skipVerify } }
      fs.writeFileSync(path.join(meta, "meta.json"), JSON.stringify({ Name: name, Metadata: {}, Endpoints: endpoint }))
      if (tls !== undefined) writePems(path.join(docker, "contexts", "tls", contextId(name), "docker"), tls)
    },
    writePems
  }
})
