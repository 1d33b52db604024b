/**
 * The advice if no connection could be opened and the environment names a proxy that Node does not use. Source: Node.js
 * documentation, "NODE_USE_ENV_PROXY".
 */

type Environment = Readonly<Record<string, string | undefined>>

const variables = { "https:": ["HTTPS_PROXY", "https_proxy"], "http:": ["HTTP_PROXY", "http_proxy"] } as const

/** The variables of this process; none in a runtime that has no environment. */
export const environment = (): Environment =>
  (globalThis as { readonly process?: { readonly env?: Environment } }).process?.env ?? {}

const isExempt = (host: string, list: string): boolean =>
  list.split(/[,\s]+/).some((entry) => {
    const suffix = entry.toLowerCase().replace(/^\*?\.?/, "").replace(/:\d+$/, "")
    return entry === "*" || suffix !== "" && (host === suffix || host.endsWith(`.${suffix}`))
  })

/** One sentence that names the variable; undefined where the environment names no proxy for the endpoint. */
export const proxyHint = (endpoint: string, env: Environment): string | undefined => {
  if (!URL.canParse(endpoint) || env["NODE_USE_ENV_PROXY"] === "1") return undefined
  const { hostname, protocol } = new URL(endpoint)
  const names = protocol === "https:" ? variables["https:"] : variables["http:"]
  const name = names.find((each) => (env[each] ?? "") !== "")
  if (name === undefined || isExempt(hostname.toLowerCase(), env["NO_PROXY"] ?? env["no_proxy"] ?? "")) return undefined
  return `${name} is set, but Node does not use it. Set NODE_USE_ENV_PROXY=1 to connect through the proxy.`
}
