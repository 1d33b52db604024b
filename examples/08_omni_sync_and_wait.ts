// runs on: memory
/**
 * A cluster from a template on Sidero Omni: what a sync would change, the sync, and the wait until it is ready.
 *
 * With OMNI_ENDPOINT and OMNI_SERVICE_ACCOUNT_KEY it works on that account, which needs a machine class `small`; else on a
 * fake Omni that is started for it.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Omni from "kubelayer/layers/Omni"
import { Provider } from "kubelayer/Provider"
import { runScript } from "kubelayer/Script"
import { OmniFake } from "kubelayer/testing"

const template: Omni.Template = {
  cluster: {
    name: "example",
    kubernetes: { version: "v1.33.0" },
    talos: { version: "v1.11.2" },
    patches: [{ name: "kubelet", inline: { machine: { kubelet: { extraArgs: { "max-pods": "200" } } } } }]
  },
  controlPlane: { machineClass: { name: "small", size: 1 } },
  workers: [{ machineClass: { name: "small", size: 2 } }]
}

const program = Effect.gen(function*() {
  const omni = yield* Omni.Omni
  const provider = yield* Provider

  const plan = yield* omni.planTemplate(template)
  for (const { action, kind, name } of plan.changes) console.log(`would ${action} ${kind} ${name}`)

  yield* omni.sync(template)
  yield* omni.awaitReady("example", { timeout: "20 minutes" })
  console.log((yield* provider.listNodes("example")).map((node) => `${node.role} ${node.state}`).join(", "))

  const { expiresAt } = yield* omni.kubeconfig("example", { ttl: "1 hour" })
  console.log(`the kubeconfig holds for ${Math.round((expiresAt.epochMilliseconds - Date.now()) / 60_000)} minutes`)

  yield* provider.deleteNodes("example")
})

const onFake = Layer.unwrap(
  Effect.map(OmniFake.OmniFake, ({ endpoint, serviceAccountKey }) => Omni.layer({ endpoint, serviceAccountKey }))
).pipe(Layer.provide(OmniFake.layer({ machines: 3, machineClasses: { small: ["omni.sidero.dev/arch = amd64"] } })))

runScript(
  process.env["OMNI_ENDPOINT"] === undefined
    ? program.pipe(Effect.provide(onFake))
    : program.pipe(Effect.provide(Omni.layerConfig()))
)
