import * as Effect from "effect/Effect"
import { ProviderUnavailable } from "kubelayer/ProviderError"
import { Buffer } from "node:buffer"
import { type Right, secret, type Wrong } from "./Wrong.ts"

const failing = ({ provider }: Right, detail: string) => ({
  listNodes: (cluster: string) =>
    Effect.catchTag(
      provider.listNodes(cluster),
      "ProviderUnavailable",
      (error) => Effect.fail(new ProviderUnavailable({ ...error, detail }))
    )
})

export const secrecy: ReadonlyArray<Wrong> = [
  {
    does: "prints the credential in an error",
    breaks: "secrecy.errors",
    make: (right) => ({ provider: failing(right, `no answer to ${secret}`) })
  },
  {
    does: "prints the credential in an error, in base 64",
    breaks: ["secrecy.errors"],
    make: (right) => ({ provider: failing(right, `Basic ${Buffer.from(secret).toString("base64")}`) })
  },
  {
    does: "keeps the request, with the credential, as the cause of an error",
    breaks: ["secrecy.errors"],
    make: ({ provider }) => ({
      provider: {
        checkAvailable: Effect.mapError(
          provider.checkAvailable,
          (error) =>
            Object.defineProperty(new ProviderUnavailable(error), "cause", {
              value: { headers: { authorization: secret } }
            })
        )
      }
    })
  },
  {
    does: "keeps the credential where the service shows it",
    breaks: "secrecy.values",
    make: ({ provider }) => {
      const shown = { options: { token: secret } }
      return { provider: { ...provider, ...shown } }
    }
  },
  {
    does: "logs the credential",
    breaks: "secrecy.logs",
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) =>
          Effect.andThen(Effect.logTrace("asking", { authorization: secret }), provider.listNodes(cluster))
      }
    })
  },
  {
    does: "has the credential in a span",
    breaks: "secrecy.spans",
    make: ({ provider }) => ({
      provider: {
        listNodes: (cluster) =>
          Effect.withSpan(provider.listNodes(cluster), "request", {
            attributes: { url: `https://host/?token=${encodeURIComponent(secret)}` }
          })
      }
    })
  }
]
