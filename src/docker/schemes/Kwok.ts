/**
 * The scheme of kwokctl's docker runtime: the compose project of the cluster, and the exact names of its components.
 *
 * Source: kwokctl's compose runtime. Its containers are components of a control plane, not nodes: the nodes are
 * simulated in the API. They are managed, not created: kwokctl knows a cluster by its files, not by containers.
 */
import { saysOwned } from "../Labels.ts"
import type { ContainerFacts, Membership, Scheme } from "../Scheme.ts"

const projectLabel = "com.docker.compose.project"
const prefix = "kwok-"

/** In which wave a component starts. */
const first = ["etcd"]
const second = ["kube-apiserver"]
const controlPlane = [
  ...first,
  ...second,
  "kube-apiserver-insecure-proxy",
  "kube-controller-manager",
  "kube-scheduler",
  "kwok-controller"
]
const helpers = [
  "prometheus",
  "jaeger",
  "metrics-server",
  "dashboard",
  "kubernetes-dashboard",
  "dashboard-metrics-scraper",
  "scheduler-plugins",
  "kueue",
  "kueueviz-backend",
  "kueueviz-frontend",
  "jobset",
  "lws",
  "descheduler",
  "node-readiness-controller"
]

const recognise = ({ labels, name }: ContainerFacts): Membership | undefined => {
  const project = labels[projectLabel]
  if (project === undefined || !project.startsWith(prefix) || !name.startsWith(`${project}-`)) return undefined
  const cluster = project.slice(prefix.length)
  const component = name.slice(project.length + 1)
  if (controlPlane.includes(component)) return { cluster, role: "control-plane", rawRole: component }
  return helpers.includes(component) ? { cluster, role: "helper", rawRole: component } : undefined
}

export const kwok: Scheme = {
  name: "kwok",
  filter: (cluster) => ({ label: [cluster === undefined ? projectLabel : `${projectLabel}=${prefix}${cluster}`] }),
  recognise,
  controlPlaneWaves: (components) => {
    const component = (node: ContainerFacts) => recognise(node)?.rawRole ?? ""
    const early = [...first, ...second]
    return [
      components.filter((node) => first.includes(component(node))),
      components.filter((node) => second.includes(component(node))),
      components.filter((node) => !early.includes(component(node)))
    ].filter((wave) => wave.length > 0)
  },
  graceSeconds: () => undefined,
  ownsNetwork: (cluster, { labels, name }) =>
    saysOwned("kwok", cluster, labels) === undefined && name === `${prefix}${cluster}` &&
    labels[projectLabel] === `${prefix}${cluster}`,
  ownsVolume: () => false,
  mentions: ({ name }) => [name.startsWith(prefix) ? name.slice(prefix.length) : undefined],
  template: {
    unsupported: "kwokctl knows a cluster by the files in its own folder, not by containers; " +
      "create it with `kwokctl create cluster --runtime docker`"
  }
}
