/**
 * Checks calls of the fake against Hetzner's OpenAPI document: that what was taken and what was answered is of its schemas.
 *
 * The document is not part of the project: the environment variable HCLOUD_OPENAPI names it, from the project's root.
 * `overlay` adds later changes of the API; it names their change log entries.
 */
import formats from "ajv-formats"
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js"
import type { HetznerFake } from "kubelayer/testing"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

// oxlint-disable-next-line typescript/no-explicit-any
type Loose = any

type Json = { [key: string]: Loose }

const root = new URL("../../../", import.meta.url)

const named = process.env["HCLOUD_OPENAPI"] ?? ""

/** The path of the document, if HCLOUD_OPENAPI is set. */
export const documentPath: string | undefined = named === "" ? undefined : fileURLToPath(new URL(named, root))

/** OpenAPI 3.0 has `nullable`; JSON Schema has a type for it. Objects are closed, so that nothing unknown passes. */
const modern = (schema: Loose): Loose => {
  if (Array.isArray(schema)) return schema.map(modern)
  if (typeof schema !== "object" || schema === null) return schema
  const { nullable, ...rest } = schema as Json
  const inner: Json = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, modern(value)]))
  if (inner["properties"] !== undefined && inner["additionalProperties"] === undefined) {
    inner["additionalProperties"] = false
  }
  if (nullable !== true) return inner
  if (typeof inner["type"] === "string" && inner["enum"] === undefined) {
    return { ...inner, type: [inner["type"], "null"] }
  }
  return { anyOf: [inner, { type: "null" }] }
}

const drop = (schema: Json, name: string) => {
  schema["required"] = (schema["required"] as ReadonlyArray<string>).filter((one) => one !== name)
}

/** Adds changes since the document's release, and fields that clients send although the document lacks them. */
const overlay = (document: Json): void => {
  const { paths, components: { schemas } } = document as { paths: Json; components: { schemas: Json } }
  const idOrName = { anyOf: [{ type: "string" }, { type: "integer" }] }

  // 2026-07-01: no datacenters any more.
  drop(schemas["server"], "datacenter")
  const primaryIps = [
    schemas["get_primary_ip_response"].properties.primary_ip,
    schemas["create_primary_ip_response"].properties.primary_ip,
    schemas["replace_primary_ip_response"].properties.primary_ip,
    schemas["list_primary_ips_response"].properties.primary_ips.items
  ]
  for (const schema of primaryIps) {
    drop(schema, "datacenter")
    // 2026-08-01 and 2026-10-05.
    schema.properties.assignee_type = { enum: ["server", "unassigned", "load_balancer"] }
  }
  schemas["server_type_location"].properties.available = { type: "boolean" }
  schemas["server_type_location"].properties.recommended = { type: "boolean" }
  schemas["rule"].properties.description ??= { type: "string", nullable: true }
  schemas["firewall"].properties.rules.items.properties.description ??= { type: "string", nullable: true }

  // 2026-10-05: deleting a load balancer is an action, and its addresses are Primary IPs.
  paths["/load_balancers/{id}"].delete.responses["201"] = {
    content: { "application/json": { schema: { $ref: "#/components/schemas/delete_server_response" } } }
  }
  for (const version of ["ipv4", "ipv6"]) {
    const { properties } = schemas["load_balancer_public_net"].properties[version]
    properties.id = { type: "integer", nullable: true }
    properties.blocked = { type: "boolean" }
  }
  const health = schemas["load_balancer_target_health_status"].properties
  health.detail = { type: "string", nullable: true }
  health.http_status_code = { type: "integer", nullable: true }
  paths["/networks/{id}/members"] = {
    get: {
      parameters: ["type", "status", "subnet", "sort", "page", "per_page"].map((name) => ({ in: "query", name })),
      responses: {
        "200": {
          content: {
            "application/json": {
              schema: { type: "object", required: ["members", "meta"], properties: { members: {}, meta: {} } }
            }
          }
        }
      }
    }
  }

  // Numbers where the document has names, and what else the stock clients send.
  for (const name of ["server_type", "image", "location"]) {
    schemas["create_server_request"].properties[name] = idOrName
  }
  schemas["create_server_request"].properties.ssh_keys.items = idOrName
  schemas["attach_iso_to_server_request"].properties.iso = idOrName
  schemas["rebuild_server_from_image_request"].properties.image = idOrName
  schemas["rebuild_server_from_image_request"].properties.user_data ??= { type: "string" }
  schemas["change_type_of_server_request"].properties.server_type = idOrName
  schemas["enable_rescue_mode_for_server_request"].properties.type.nullable = true
  drop(schemas["create_primary_ip_request"], "assignee_type")
  for (const name of ["load_balancer_type", "location"]) {
    schemas["create_load_balancer_request"].properties[name] = idOrName
  }
  schemas["change_type_of_load_balancer_request"].properties.load_balancer_type = idOrName
  // A requested service may leave out fields that have a default; a returned service has all fields.
  const { health_check: check, ...service } = schemas["load_balancer_service"].properties
  const asked = {
    ...schemas["load_balancer_service"],
    required: ["protocol"],
    properties: {
      ...service,
      health_check: {
        ...check,
        required: [],
        properties: { ...check.properties, http: { ...check.properties.http, required: [] } }
      }
    }
  }
  schemas["asked_load_balancer_service"] = asked
  const reference = { $ref: "#/components/schemas/asked_load_balancer_service" }
  schemas["create_load_balancer_request"].properties.services.items = reference
  paths["/load_balancers/{id}/actions/add_service"].post.requestBody.content["application/json"].schema = reference
  // One client sends null where no description was chosen.
  schemas["create_image_from_server_request"].properties.description.nullable = true
  // Null when nothing was assigned: Debian's Python client requires the key.
  for (const name of ["create_primary_ip_response", "create_floating_ip_response"]) {
    const { properties } = schemas[name]
    properties.action = { ...properties.action, nullable: true }
  }
  paths["/networks/{id}/actions/add_subnet"].post.requestBody.content["application/json"].schema = {
    allOf: [{ $ref: "#/components/schemas/subnet_with_gateway" }]
  }
  drop(schemas["subnet_with_gateway"], "gateway")
  for (
    const [path, names] of [["/actions", ["page", "per_page", "sort"]], ["/server_types", ["sort"]], ["/isos", [
      "sort"
    ]], ["/load_balancer_types", ["sort"]]] as const
  ) {
    for (const name of names) paths[path].get.parameters.push({ in: "query", name })
  }
}

/** Says what is wrong with a call, if anything is. */
export type Contract = (call: HetznerFake.CallRecord) => ReadonlyArray<string>

const told = (where: string, errors: ReadonlyArray<ErrorObject> | null | undefined): ReadonlyArray<string> =>
  (errors ?? []).map(({ instancePath, message, params }) =>
    `${where}${instancePath} ${message} ${JSON.stringify(params)}`
  )

let loaded: Contract | undefined

/** The contract of the document; undefined where none is named. */
export const contract = (): Contract | undefined => {
  if (documentPath === undefined) return undefined
  loaded ??= load(documentPath)
  return loaded
}

const load = (path: string): Contract => {
  const document = JSON.parse(readFileSync(path, "utf8")) as Json
  overlay(document)
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  formats.default(ajv)
  ajv.addFormat("decimal", /^\d+(?:\.\d+)?$/)
  ajv.addSchema({ $id: "https://document.invalid/", ...modern({ components: document["components"] }) })
  const compiled = new Map<string, ValidateFunction>()
  const validatorOf = (key: string, schema: Json): ValidateFunction => {
    const known = compiled.get(key)
    if (known !== undefined) return known
    const text = JSON.stringify(modern(schema)).replaceAll("\"#/components", "\"https://document.invalid/#/components")
    const made = ajv.compile(JSON.parse(text))
    compiled.set(key, made)
    return made
  }
  const errorValidator = validatorOf("error", { $ref: "#/components/schemas/error_response" })

  /** A template of the document has names for its numbers. */
  const operations = new Map<string, Json>()
  for (const [template, item] of Object.entries(document["paths"] as Json)) {
    for (const [method, operation] of Object.entries(item as Json)) {
      const parameters = [...item["parameters"] ?? [], ...(operation as Json)["parameters"] ?? []]
      operations.set(`${method.toUpperCase()} ${template.replaceAll(/\{\w+\}/g, "{id}")}`, { ...operation, parameters })
    }
  }

  return (call) => {
    const key = `${call.method} ${call.template}`
    if (call.status === undefined || call.template.startsWith("/datacenters")) return []
    if (call.status >= 400) {
      if (call.reply === undefined || errorValidator(call.reply)) return []
      return told("error", errorValidator.errors)
    }
    const operation = operations.get(key)
    if (operation === undefined) return ["the document has no such operation"]
    const parameters = new Set((operation["parameters"] as ReadonlyArray<Json>).map((one) => one["name"]))
    const faults = [...new URLSearchParams(call.query).keys()].flatMap((name) =>
      parameters.has(name) ? [] : [`query.${name} is not in the document`]
    )
    const asked = operation["requestBody"]?.content["application/json"]?.schema
    if (call.body !== undefined && asked !== undefined) {
      const validate = validatorOf(`${key} request`, asked)
      if (!validate(call.body)) faults.push(...told("body", validate.errors))
    }
    const response = operation["responses"][String(call.status)]
    if (response === undefined) return [...faults, `status ${call.status} is not in the document`]
    const schema = response.content?.["application/json"]?.schema
    if (schema !== undefined && call.reply !== undefined) {
      const validate = validatorOf(`${key} ${call.status}`, schema)
      if (!validate(call.reply)) faults.push(...told("reply", validate.errors))
    }
    return faults
  }
}
