/**
 * Bundles the command into a folder: `kubelayer.mjs` and its chunks, with effect inside.
 *
 * The clients of single backends (grpc-js, openpgp, yaml) stay dependencies of the package and are loaded when they are
 * used. The bundle contains dockerode without its parts for ssh and BuildKit, which kubelayer does not use.
 */
import { build, type Metafile, type Plugin } from "esbuild"
import { chmodSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { ROOT } from "./pack.ts"

const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { readonly version: string }

/** Modules of dockerode that nothing reaches here; each fails with a plain sentence if something does. */
const unused: ReadonlyArray<readonly [path: RegExp, importer: RegExp]> = [
  [/^\.\/ssh$/, /docker-modem\/lib/],
  [/^\.\/(?:session|buildkit)$/, /dockerode\/lib/],
  [/^(?:tar-fs|@balena\/dockerignore)$/, /dockerode\/lib/]
]

const withoutUnused: Plugin = {
  name: "without-unused",
  setup: ({ onLoad, onResolve }) => {
    onResolve(
      { filter: /^(?:\.\/|tar-fs$|@balena\/)/ },
      ({ importer, path }) =>
        unused.some(([what, from]) => what.test(path) && from.test(importer.replaceAll("\\", "/")))
          ? { path, namespace: "unused" }
          : undefined
    )
    onLoad({ filter: /.*/, namespace: "unused" }, ({ path }) => ({
      contents: `module.exports = new Proxy(function() {}, { apply() { throw new Error(${
        JSON.stringify(`${path} of dockerode is not part of the kubelayer command`)
      }) } })`
    }))
  }
}

/** The command loads what a bundle of a user leaves out: dockerode is inside of it. */
const withDockerode: Plugin = {
  name: "with-dockerode",
  setup: ({ onLoad }) => {
    onLoad({ filter: /[/\\]internal[/\\]LoadPackage\.ts$/ }, () => ({
      resolveDir: ROOT,
      contents: `export const loadPackage = (name) => name === "dockerode"
        ? import("dockerode")
        : name === "docker-modem" ? import("docker-modem")
        : name === "@effect/sql-pg" ? import("@effect/sql-pg")
        : name === "@effect/platform-node/NodeClusterSocket" ? import("@effect/platform-node/NodeClusterSocket")
        : import(name)`
    }))
  }
}

/** The fleet opens sockets of Node. The platform package reaches undici for health checks by Kubernetes only. */
const withoutUndici: Plugin = {
  name: "without-undici",
  setup: ({ onLoad }) =>
    onLoad({ filter: /platform-node[/\\]dist[/\\]Undici\.js$/ }, () => ({
      contents: `export const Agent = class {
        constructor() { throw new Error("undici is not part of the kubelayer command") }
      }
      export const getGlobalDispatcher = () => new Agent()`
    }))
}

/** Parts of effect/cli that the command does not use: its prompts, its wizard and its own completion scripts. */
const unusedOfCli =
  /effect[/\\]dist[/\\]cli[/\\](?:Prompt|internal[/\\](?:wizard|completions[/\\](?:bash|zsh|fish|powershell)))\.js$/

const withoutUnusedCli: Plugin = {
  name: "without-unused-cli",
  setup: ({ onLoad }) => onLoad({ filter: unusedOfCli }, () => ({ contents: "export {}" }))
}

const lazyModules: { readonly [name in string]?: string } = {
  "node:crypto": `
    export const createHash = (...args) => require("node:crypto").createHash(...args)
    export const randomBytes = (...args) => require("node:crypto").randomBytes(...args)
    export const X509Certificate = class {
      constructor(...args) { return new (require("node:crypto").X509Certificate)(...args) }
    }
  `,
  "node:https": `
    export const Agent = class { constructor(...args) { return new (require("node:https").Agent)(...args) } }
  `,
  // Of docker-modem and dockerode, which are CommonJS.
  https: `module.exports = new Proxy({}, { get: (_, key) => require("node:https")[key] })`,
  zlib: `module.exports = new Proxy({}, { get: (_, key) => require("node:zlib")[key] })`
}

const importsLazily = /[/\\](?:src|dockerode[/\\]lib|docker-modem[/\\]lib)[/\\]/

/** Loading one of these takes a fifth to a half of bare Node's start, and most commands use none of them. */
const lazyNode: Plugin = {
  name: "lazy-node",
  setup: ({ onLoad, onResolve }) => {
    onResolve(
      { filter: /^(?:node:crypto|node:https|https|zlib)$/ },
      ({ importer, path }) => importsLazily.test(importer) ? { path, namespace: "lazy" } : undefined
    )
    onLoad({ filter: /.*/, namespace: "lazy" }, ({ path }) => ({ contents: lazyModules[path] ?? "" }))
  }
}

/**
 * Puts everything that a start needs into one chunk, for each file that is loaded costs time.
 *
 * esbuild makes a chunk of the modules that the same entries reach. So every module that is loaded on its own reaches
 * the start, too.
 */
const oneCore: Plugin = {
  name: "one-core",
  setup: ({ onLoad, onResolve, resolve }) => {
    const entries = new Set<string>()
    const core = join(ROOT, "src/cli/process.ts")
    onResolve({ filter: /^kubelayer:core$/ }, () => ({ path: core, sideEffects: true }))
    onResolve({ filter: /.*/ }, async ({ importer, kind, path, pluginData, resolveDir }) => {
      if (kind !== "dynamic-import" || pluginData === "inner") return undefined
      const found = await resolve(path, { importer, kind, resolveDir, pluginData: "inner" })
      if (found.path === core) return { ...found, sideEffects: true }
      if (!found.external && found.namespace === "file") entries.add(found.path)
      return found
    })
    onLoad({ filter: /[/\\](?:src|effect[/\\]dist)[/\\].*\.[jt]s$/ }, ({ path }) =>
      entries.has(path)
        ? {
          contents: `import "kubelayer:core"\n${readFileSync(path, "utf8")}`,
          loader: path.endsWith(".ts") ? "ts" : "js",
          resolveDir: dirname(path)
        }
        : undefined)
  }
}

/** Bundles into a folder, which is emptied first. */
export const bundle = async (outdir: string): Promise<Metafile> => {
  rmSync(outdir, { recursive: true, force: true })
  mkdirSync(outdir, { recursive: true })
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: { kubelayer: "src/cli/main.ts" },
    outdir,
    outExtension: { ".js": ".mjs" },
    chunkNames: "chunks/[name]-[hash]",
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    platform: "node",
    target: "node20",
    metafile: true,
    legalComments: "linked",
    // The same code as Node's own, for other platforms.
    alias: { "readable-stream": "node:stream" },
    external: ["@grpc/grpc-js", "@bufbuild/protobuf", "openpgp", "yaml"],
    plugins: [withoutUnused, withoutUndici, withoutUnusedCli, withDockerode, lazyNode, oneCore],
    logOverride: { "import-is-undefined": "silent" },
    define: { KUBELAYER_VERSION: JSON.stringify(version) },
    // CommonJS inside the bundle loads Node's modules by `require`.
    banner: {
      js: "#!/usr/bin/env node\nimport{createRequire as __r}from\"node:module\";const require=__r(import.meta.url);"
    },
    logLevel: "warning"
  })
  chmodSync(join(outdir, "kubelayer.mjs"), 0o755)
  return metafile
}
