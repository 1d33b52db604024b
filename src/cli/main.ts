/**
 * The entry of the `kubelayer` bin. It turns the compile cache on before anything else is loaded.
 */
import * as module from "node:module"

declare const KUBELAYER_VERSION: string | undefined

// From Node 22.8 on.
if (typeof module.enableCompileCache === "function") module.enableCompileCache()

const { start } = await import("./process.ts")
start(typeof KUBELAYER_VERSION === "string" ? KUBELAYER_VERSION : "0.0.0")
