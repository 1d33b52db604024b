/**
 * Everything of kubelayer, as namespaces. A program that starts fast imports the modules by path instead, such as
 * `kubelayer/layers/Docker`: this file loads all of them.
 *
 * @since 0.1.0
 */
export * as Backend from "./Backend.ts"
export * as Cluster from "./Cluster.ts"
export * as Document from "./Document.ts"
export * as Docker from "./layers/Docker.ts"
export * as Hetzner from "./layers/Hetzner.ts"
export * as Memory from "./layers/Memory.ts"
export * as Mock from "./layers/Mock.ts"
export * as Omni from "./layers/Omni.ts"
export * as Model from "./Model.ts"
export * as Plan from "./Plan.ts"
export * as Policy from "./Policy.ts"
export * as Progress from "./Progress.ts"
export * as Provider from "./Provider.ts"
export * as ProviderError from "./ProviderError.ts"
export * as Reason from "./Reason.ts"
export * as Report from "./Report.ts"
export * as Script from "./Script.ts"
