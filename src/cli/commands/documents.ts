/**
 * The commands that read or write documents.
 *
 * They are one module, because each module that is loaded on its own costs time at the start.
 */
export { apply } from "./apply.ts"
export { create } from "./create.ts"
export { remove } from "./delete.ts"
export { get } from "./get.ts"
export { plan } from "./plan.ts"
export { schema } from "./schema.ts"
