/**
 * The baseline of the measurements: the same work as a user would write it with dockerode.
 *
 * Same order (control planes first to start, last to stop) and same width; no types of its own, no deadlines, and the
 * first error ends everything.
 */
import type Docker from "dockerode"

const nodesOf = async (docker: Docker, cluster: string) => {
  const found = await docker.listContainers({ all: true, filters: { label: [`kubelayer.cluster=${cluster}`] } })
  const isControlPlane = (node: Docker.ContainerInfo) => node.Labels["kubelayer.role"] === "control-plane"
  return {
    controlPlanes: found.filter(isControlPlane).map((node) => docker.getContainer(node.Id)),
    rest: found.filter((node) => !isControlPlane(node)).map((node) => docker.getContainer(node.Id))
  }
}

const each = async (
  width: number,
  nodes: Array<Docker.Container>,
  act: (node: Docker.Container) => Promise<unknown>
) => {
  const left = [...nodes]
  const worker = async () => {
    for (let node = left.shift(); node !== undefined; node = left.shift()) await act(node)
  }
  await Promise.all(Array.from({ length: width }, worker))
}

export const startInWaves = async (docker: Docker, cluster: string) => {
  const { controlPlanes, rest } = await nodesOf(docker, cluster)
  await each(10, controlPlanes, (node) => node.start())
  await each(10, rest, (node) => node.start())
}

export const stopInWaves = async (docker: Docker, cluster: string) => {
  const { controlPlanes, rest } = await nodesOf(docker, cluster)
  await each(32, rest, (node) => node.stop())
  await each(32, controlPlanes, (node) => node.stop())
}

export const startOneByOne = async (docker: Docker, cluster: string) => {
  const { controlPlanes, rest } = await nodesOf(docker, cluster)
  for (const node of [...controlPlanes, ...rest]) await node.start()
}

export const stopOneByOne = async (docker: Docker, cluster: string) => {
  const { controlPlanes, rest } = await nodesOf(docker, cluster)
  for (const node of [...rest, ...controlPlanes]) await node.stop()
}

export const deleteAll = async (docker: Docker, cluster: string) => {
  const { controlPlanes, rest } = await nodesOf(docker, cluster)
  await each(16, [...controlPlanes, ...rest], (node) => node.remove({ force: true, v: true }))
  const filters = { label: [`kubelayer.owned=kubelayer/${cluster}`] }
  for (const network of await docker.listNetworks({ filters })) await docker.getNetwork(network.Id).remove()
  for (const volume of (await docker.listVolumes({ filters })).Volumes) await docker.getVolume(volume.Name).remove()
}
