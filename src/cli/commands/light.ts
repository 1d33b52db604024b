/**
 * The commands that need no document.
 *
 * They are one module, because each module that is loaded on its own costs time at the start.
 */
export { clusters } from "./clusters.ts"
export { exec } from "./exec.ts"
export { logs } from "./logs.ts"
export { nodes } from "./nodes.ts"
export { restart, start, stop } from "./power.ts"
export { status } from "./status.ts"
export { sweep } from "./sweep.ts"
export { watch } from "./watch.ts"
