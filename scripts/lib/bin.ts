/**
 * Bundles the command into a folder: `kubelayer.mjs` and its chunks, with effect inside.
 *
 * The clients of single backends (grpc-js, openpgp, yaml) stay dependencies of the package and are loaded when they are
 * used. dockerode is inside, without its parts for ssh and BuildKit, which kubelayer does not use.
 */
import { build, type Metafile, type Plugin } from "esbuild"
import { chmodSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
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
        : name === "docker-modem" ? import("docker-modem") : import(name)`
    }))
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
    plugins: [withoutUnused, withDockerode],
    define: { KUBELAYER_VERSION: JSON.stringify(version) },
    // CommonJS inside the bundle asks for Node's modules by `require`.
    banner: {
      js: "#!/usr/bin/env node\nimport{createRequire as __r}from\"node:module\";const require=__r(import.meta.url);"
    },
    logLevel: "warning"
  })
  chmodSync(join(outdir, "kubelayer.mjs"), 0o755)
  return metafile
}
