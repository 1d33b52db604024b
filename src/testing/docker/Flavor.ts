/**
 * The engines that the fake can be, and the words in which each of them refuses.
 *
 * Written from recordings of the engines: Docker 20.10.24 and 29, Podman 4.3.1 and 5.8.2.
 */

/** @internal */
export interface Flavor {
  readonly id: "docker20" | "docker29" | "podman4" | "podman5"
  readonly isPodman: boolean
  readonly version: string
  readonly apiVersion: string
  readonly minApiVersion: string
}

/** @internal */
export const flavors: Readonly<Record<Flavor["id"], Flavor>> = {
  docker20: { id: "docker20", isPodman: false, version: "20.10.24", apiVersion: "1.41", minApiVersion: "1.12" },
  docker29: { id: "docker29", isPodman: false, version: "29.0.0", apiVersion: "1.56", minApiVersion: "1.40" },
  podman4: { id: "podman4", isPodman: true, version: "4.3.1", apiVersion: "1.41", minApiVersion: "1.24" },
  podman5: { id: "podman5", isPodman: true, version: "5.8.2", apiVersion: "1.44", minApiVersion: "1.24" }
}

/** One value for each engine; the third one is for both Podmans where the fourth is left out. @internal */
export const pick = <A>(flavor: Flavor, docker20: A, docker29: A, podman4: A, podman5: A = podman4): A =>
  ({ docker20, docker29, podman4, podman5 })[flavor.id]

/** A request that the engine refuses. @internal */
export class Refusal extends Error {
  readonly status: number
  /** Podman's `cause`; the end of the message where it is left out. */
  readonly reason: string | undefined
  constructor(status: number, message: string, reason?: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

const registry = "docker.io"

/** Podman's full name of an image; Docker keeps the short one. @internal */
export const imageName = (flavor: Flavor, reference: string): string => {
  if (!flavor.isPodman) return reference
  const [first = "", ...rest] = reference.split("/")
  if (rest.length === 0) return `${registry}/library/${reference}`
  return /[.:]/.test(first) || first === "localhost" ? reference : `${registry}/${reference}`
}

/** The refusals of one engine, by what is wrong. @internal */
export const refusalsOf = (flavor: Flavor) => {
  const each = <A>(docker20: A, docker29: A, podman4: A, podman5?: A) =>
    pick(flavor, docker20, docker29, podman4, podman5 ?? podman4)
  const refuse = (status: number, message: string, reason?: string) => new Refusal(status, message, reason)
  const notRunning = (id: string) => each(`Container ${id} is not running`, `container ${id} is not running`, "")
  const missingContainer = (name: string) =>
    each(
      `No such container: ${name}`,
      `No such container: ${name}`,
      `no container with name or ID "${name}" found: no such container`
    )
  const networking = each("", "failed to set up container networking: ", "")
  return {
    container: (name: string) => refuse(404, missingContainer(name)),
    containerToRemove: (name: string) =>
      refuse(
        404,
        each(
          missingContainer(name),
          missingContainer(name),
          missingContainer(name),
          missingContainer(name).replace("name or ID", "ID or name")
        )
      ),
    containerToWait: (name: string) =>
      refuse(404, each(missingContainer(name), missingContainer(name), "no such container")),
    ambiguousId: (prefix: string) => refuse(400, `Multiple IDs found with provided prefix: ${prefix}`),
    network: (name: string) =>
      refuse(
        404,
        each(
          `network ${name} not found`,
          `network ${name} not found`,
          `unable to find network with name or ID ${name}: network not found`
        )
      ),
    networkToRemove: (name: string) =>
      refuse(404, each(`network ${name} not found`, `network ${name} not found`, "network not found")),
    networkOfCreate: (name: string) =>
      refuse(500, `container create: unable to find network with name or ID ${name}: network not found`),
    networkOfStart: (key: string) => refuse(404, `${networking}network ${key} not found`),
    networkIsAmbiguous: (name: string, count: number) =>
      refuse(400, `network ${name} is ambiguous (${count} matches found on name)`),
    networkExists: (name: string) =>
      refuse(
        each(409, 409, 500, 409),
        each(
          `network with name ${name} already exists`,
          `network with name ${name} already exists`,
          `network name ${name} already used: network already exists`
        )
      ),
    networkNameEmpty: () =>
      each(refuse(409, "network with name  already exists"), refuse(400, "invalid name: name is empty"), undefined),
    overlap: (subnet: string) =>
      refuse(
        each(403, 403, 500),
        each(
          "Pool overlaps with other one on this address space",
          "invalid pool request: Pool overlaps with other one on this address space",
          `subnet ${subnet} is already used on the host or by another config`
        ),
        `subnet ${subnet} is already used on the host or by another config`
      ),
    hostBits: (subnet: string, masked: string) =>
      refuse(400, `invalid network config:\ninvalid subnet ${subnet}: it should be ${masked}`),
    badSubnet: (subnet: string) =>
      refuse(
        each(500, 400, 500),
        each(
          `Invalid subnet ${subnet} : invalid CIDR address: ${subnet}`,
          `invalid JSON: netip.ParsePrefix("${subnet}"): no '/'`,
          `failed to parse subnet: invalid CIDR address: ${subnet}`
        ),
        `invalid CIDR address: ${subnet}`
      ),
    noPool: () =>
      refuse(
        each(404, 400, 500),
        each(
          "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
          "all predefined address pools have been fully subnetted",
          "could not find free subnet from subnet pools"
        )
      ),
    networkDriver: (driver: string) =>
      refuse(
        each(404, 404, 500),
        each(
          `plugin "${driver}" not found`,
          `plugin "${driver}" not found`,
          `unsupported driver ${driver}: invalid argument`,
          `failed to find driver or plugin "${driver}"`
        )
      ),
    networkInUse: (network: { readonly name: string; readonly id: string }, user: string, endpoint: string) =>
      refuse(
        each(403, 403, 500),
        each(
          `error while removing network: network ${network.name} id ${network.id} has active endpoints`,
          `error while removing network: network ${network.name} has active endpoints (name:"${user}" id:"${
            endpoint.slice(0, 12)
          }")`,
          `"${network.name}" has associated containers with it. Use -f to forcibly delete containers and pods: network is being used`
        )
      ),
    predefined: (name: string) =>
      refuse(
        each(403, 403, 500),
        each(
          `${name} is a pre-defined network and cannot be removed`,
          `${name} is a pre-defined network and cannot be removed`,
          "default network podman cannot be removed"
        )
      ),
    connected: (container: { readonly id: string; readonly name: string }, network: string) =>
      refuse(
        each(403, 403, 500, 403),
        each(
          `endpoint with name ${container.name} already exists in network ${network}`,
          `endpoint with name ${container.name} already exists in network ${network}`,
          `container ${container.id} is already connected to network "${network}": network is already connected`,
          `container ${container.id} is already connected to network ${network}: network is already connected`
        )
      ),
    notConnected: (container: { readonly id: string; readonly name: string }, network: string, runs: boolean) => {
      const docker = `container ${container.id} is not connected to ${runs ? "" : "the "}network ${network}`
      return refuse(500, each(docker, docker, `container ${container.name} is not connected to network ${network}`))
    },
    endpoint: (name: string) =>
      refuse(404, each(`endpoint ${name} not found`, `endpoint ${name} not found`, missingContainer(name))),
    addressInUse: (address: string, holder: string) =>
      refuse(
        each(403, 403, 500),
        each(
          "Address already in use",
          `${networking}Address already in use`,
          `IPAM error: requested ip address ${address} is already allocated to container ID ${holder}`
        ),
        `IPAM error: requested ip address ${address} is already allocated to container ID ${holder}`
      ),
    addressOutside: (address: string, network: string) =>
      refuse(
        500,
        each(
          `Invalid address ${address}: It does not belong to any of this network's subnets`,
          `${networking}invalid address ${address}: It does not belong to any of this network's subnets`,
          `requested static ip ${address} not in any subnet on network ${network}`
        )
      ),
    addressOutsideAtCreate: (address: string, network: string) =>
      refuse(
        400,
        `invalid config for network ${network}: invalid endpoint settings:\nno configured subnet contains IP address ${address}`
      ),
    addressNeedsSubnet: () =>
      refuse(
        400,
        "user specified IP address is supported only when connecting to networks with user configured subnets"
      ),
    networkFull: () =>
      refuse(
        500,
        each(
          "no available IPv4 addresses on this network's address pools",
          `${networking}no available IPv4 addresses on this network's address pools`,
          "IPAM error: failed to find free IP in range"
        )
      ),
    volume: (name: string, podman: string, podman5 = podman) =>
      refuse(404, each(`get ${name}: no such volume`, `get ${name}: no such volume`, podman, podman5)),
    volumeDriver: (name: string, driver: string) => {
      const docker = `create ${name}: error looking up volume plugin ${driver}: plugin "${driver}" not found`
      const podman =
        `volume ${name} uses volume plugin ${driver} but it could not be retrieved: no volume plugin with name ${driver} available: required plugin missing`
      return refuse(each(404, 404, 500), each(docker, docker, podman))
    },
    volumeName: (name: string) => {
      const docker =
        `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`
      return refuse(
        each(400, 400, 500),
        each(
          docker,
          docker,
          "running volume create option: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument"
        )
      )
    },
    volumeInUse: (name: string, users: ReadonlyArray<string>) => {
      const docker = `remove ${name}: volume is in use - [${users.join(", ")}]`
      const podman = `volume ${name} is being used by the following container(s): ${
        users.join(", ")
      }: volume is being used`
      return refuse(409, each(docker, docker, podman))
    },
    containerName: (name: string) => {
      const docker = `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`
      return refuse(
        each(400, 400, 500),
        each(
          docker,
          docker,
          "container create: running container create option: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument"
        )
      )
    },
    nameTaken: (name: string, holder: string) => {
      const docker =
        `Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`
      return refuse(
        each(409, 409, 500),
        each(
          docker,
          docker,
          `container create: creating container storage: the container name "${name}" is already in use by ${holder}. You have to remove that container to be able to reuse that name: that name is already in use`
        )
      )
    },
    imageOfCreate: (reference: string) =>
      refuse(
        404,
        each(
          `No such image: ${reference}`,
          `No such image: ${reference}`,
          `no such image: ${imageName(flavor, reference)}: image not known`
        )
      ),
    image: (reference: string) => {
      const podman = `failed to find image ${reference}: ${imageName(flavor, reference)}: No such image`
      return refuse(
        404,
        each(`no such image: ${reference}: No such image: ${reference}`, `No such image: ${reference}`, podman),
        podman
      )
    },
    imageToRemove: (reference: string) =>
      refuse(
        404,
        each(
          `No such image: ${reference}`,
          `No such image: ${reference}`,
          `failed to find image ${reference}: ${imageName(flavor, reference)}: image not known`
        )
      ),
    imageInUse: (reference: string, image: string, container: string) =>
      refuse(
        409,
        each(
          `conflict: unable to remove repository reference "${reference}" (must force) - container ${
            container.slice(0, 12)
          } is using its referenced image ${image.slice(7, 19)}`,
          `conflict: unable to remove repository reference "${reference}" (must force) - container ${
            container.slice(0, 12)
          } is using its referenced image ${image.slice(7, 19)}`,
          `image used by ${container}: image is in use by a container: consider listing external containers and force-removing image`
        )
      ),
    imageBadName: (reference: string, repository: string) =>
      refuse(
        each(400, 400, 500),
        each(
          "invalid reference format: repository name must be lowercase",
          `invalid reference format: repository name (${repository}) must be lowercase`,
          "normalizing image: normalizing name for compat API: repository name must be lowercase",
          `normalizing image: normalizing name for compat API: parsing reference "${reference}": repository name must be lowercase`
        ),
        each(
          "",
          "",
          "normalizing name for compat API: repository name must be lowercase",
          `normalizing name for compat API: parsing reference "${reference}": repository name must be lowercase`
        )
      ),
    memoryLow: () =>
      each(
        refuse(400, "Minimum memory limit allowed is 6MB"),
        refuse(400, "Minimum memory limit allowed is 6MB"),
        undefined
      ),
    wrongType: (given: string, field: string, isResource: boolean, wanted: string) => {
      const go = (path: string) => `json: cannot unmarshal ${given} into Go struct field ${path} of type ${wanted}`
      const host = `HostConfig.${field}`
      const modern = isResource ? host.replace(/\.([^.]+)$/, ".Resources.$1") : host
      return refuse(
        each(500, 400, 500),
        each(go(host), `invalid JSON: ${go(modern)}`, `decode(): ${go(host)}`, `decode(): ${go(modern)}`),
        each("", "", go(host), go(modern))
      )
    },
    portInvalid: (key: string) => {
      const [port = ""] = key.split("/")
      const podman =
        `fill out specgen: invalid range format for --expose: ${key}: strconv.ParseUint: parsing "${port}": value out of range`
      return refuse(
        each(400, 400, 500),
        each(
          `invalid port specification: "${port}"`,
          `invalid JSON: invalid port '${port}': value out of range`,
          podman
        )
      )
    },
    mountMissing: (source: string) => {
      const docker = `invalid mount config for type "bind": bind source path does not exist: ${source}`
      return each(refuse(400, docker), refuse(400, docker), undefined)
    },
    twoEndpoints: (names: ReadonlyArray<string>) =>
      each(
        refuse(400, `Container cannot be connected to network endpoints: ${names.join(", ")}`),
        undefined,
        undefined
      ),
    restartPolicy: (name: string) =>
      refuse(
        each(400, 400, 500),
        each(
          `invalid restart policy '${name}'`,
          `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
          `container create: running container create option: "${name}" is not a valid restart policy: invalid argument`
        )
      ),
    portTaken: (container: string, endpoint: string, ip: string, port: string, byProcess: boolean) => {
      const start = `driver failed programming external connectivity on endpoint ${container} (${endpoint}): `
      const allocated = `Bind for ${ip}:${port} failed: port is already allocated`
      return refuse(
        500,
        each(
          byProcess
            ? `${start}Error starting userland proxy: listen tcp4 ${ip}:${port}: bind: address already in use`
            : `${start}${allocated}`,
          byProcess
            ? `${networking}${start}failed to bind host port ${ip}:${port}/tcp: address already in use`
            : `${networking}${start}${allocated}`,
          `cannot listen on the TCP port: listen tcp4 ${ip}:${port}: bind: address already in use`
        )
      )
    },
    commandMissing: (command: string) => {
      const exec = `exec: "${command}": stat ${command}: no such file or directory`
      const start = "runc create failed: unable to start container process: "
      const invoked = "OCI runtime attempted to invoke a command that was not found"
      return refuse(
        each(400, 400, 500),
        each(
          `failed to create shim task: OCI runtime create failed: ${start}${exec}: unknown`,
          `failed to create task for container: failed to create shim task: OCI runtime create failed: ${start}error during container init: ${exec}`,
          `crun: executable file \`${command}\` not found in $PATH: No such file or directory: ${invoked}`,
          `runc: ${start}error during container init: ${exec}: ${invoked}`
        )
      )
    },
    markedForRemoval: () => refuse(409, "container is marked for removal and cannot be started"),
    statusFilter: (status: string) =>
      refuse(
        each(400, 400, 500),
        each(
          `Invalid filter 'status=${status}'`,
          `invalid filter 'status=${status}': invalid value for state (${status}): must be one of created, running, paused, restarting, removing, exited, dead`,
          `unknown container state: ${status}: invalid argument`
        )
      ),
    filter: (name: string) =>
      refuse(
        each(400, 400, 500),
        each(`Invalid filter '${name}'`, `invalid filter '${name}'`, `${name} is an invalid filter`)
      ),
    eventFilter: (name: string) =>
      refuse(500, `failed to parse event filters: ${name} is an invalid filter`, `${name} is an invalid filter`),
    filterJson: (text: string, target: string) => {
      const go = `invalid character '${text.charAt(1)}' in literal null (expecting 'u')`
      return refuse(
        each(500, 400, 500),
        each(go, "invalid filter", `failed to decode filter parameters for ${target}: ${go}`),
        go
      )
    },
    eventFilterJson: (text: string, target: string) => {
      const go = `invalid character '${text.charAt(1)}' in literal null (expecting 'u')`
      return refuse(
        each(500, 400, 400),
        each(go, "invalid filter", "", `failed to parse filters for ${target}: ${go}`),
        go
      )
    },
    killStopped: (container: { readonly id: string; readonly name: string }, state: string) =>
      refuse(
        each(409, 409, 500, 409),
        each(
          `Cannot kill container: ${container.name}: ${notRunning(container.id)}`,
          `cannot kill container: ${container.name}: ${notRunning(container.id)}`,
          `can only kill running containers. ${container.id} is in state ${state}: container state improper`
        )
      ),
    signal: (container: string, signal: string) =>
      refuse(
        each(400, 400, 500),
        each(
          `Invalid signal: ${signal}`,
          `cannot kill container: ${container}: invalid signal: ${signal}`,
          `invalid signal: ${signal}`
        ),
        `invalid signal: ${signal}`
      ),
    stopPaused: (id: string) =>
      refuse(500, `container ${id} is running or paused, refusing to clean up: container state improper`),
    pauseStopped: (id: string, state: string) =>
      refuse(
        each(409, 409, 500),
        each(notRunning(id), notRunning(id), `"${state}" is not running, can't pause: container state improper`)
      ),
    pausedAlready: (id: string) =>
      refuse(
        each(409, 409, 500),
        each(
          `Container ${id} is already paused`,
          `container ${id} is already paused`,
          `"${id}" is already paused: container state improper`
        )
      ),
    notPaused: (id: string) =>
      refuse(
        500,
        each(
          `Container ${id} is not paused`,
          `Container ${id} is not paused`,
          `"${id}" is not paused, can't unpause: container state improper`
        )
      ),
    startPaused: (id: string) => {
      const docker = "cannot start a paused container, try unpause instead"
      return refuse(
        each(409, 409, 500),
        each(
          docker,
          docker,
          `container ${id} must be in Created or Stopped state to be started: container state improper`
        )
      )
    },
    restartPaused: () =>
      refuse(500, "unable to restart a container in a paused or unknown state: container state improper"),
    removePaused: (id: string, name: string) =>
      refuse(
        each(409, 409, 500),
        each(
          `You cannot remove a paused container ${id}. Unpause and then stop the container before attempting removal or force remove`,
          `cannot remove container "${name}": container is paused and must be unpaused first`,
          `cannot remove container ${id} as it is paused - running or paused containers cannot be removed without force: container state improper`
        )
      ),
    removeRunning: (id: string, name: string, state: string) =>
      refuse(
        each(409, 409, 500),
        each(
          `You cannot remove a ${state} container ${id}. Stop the container before attempting removal or force remove`,
          `cannot remove container "${name}": container is ${state}: stop the container before removing or force remove`,
          `cannot remove container ${id} as it is ${state} - running or paused containers cannot be removed without force: container state improper`
        )
      ),
    removalInProgress: (name: string) => refuse(409, `removal of container ${name} is already in progress`),
    noLogStream: (target: string) =>
      refuse(
        400,
        each(
          "Bad parameters: you must choose at least one stream",
          "must specify at least one of 'stdout' or 'stderr'",
          `Bad Request: you must choose at least one stream for ${target}`
        ),
        `Bad Request: you must choose at least one stream for ${target}`
      ),
    execNotRunning: (id: string) =>
      refuse(
        each(409, 409, 500),
        each(
          notRunning(id),
          notRunning(id),
          "can only create exec sessions on running containers: container state improper"
        )
      ),
    execPaused: (id: string, name: string) => {
      const docker = `Container ${name} is paused, unpause the container before exec`
      const podman = `cannot create exec session as container ${id} is paused`
      return refuse(409, each(docker, docker, podman))
    },
    execEmpty: () =>
      refuse(
        each(400, 400, 500),
        each(
          "No exec command specified",
          "No exec command specified",
          "must provide a non-empty command to start an exec session: invalid argument"
        )
      ),
    exec: (id: string) =>
      refuse(
        404,
        each(
          `No such exec instance: ${id}`,
          `No such exec instance: ${id}`,
          `no exec session with ID ${id} found: no such exec session`
        )
      ),
    execStarted: (container: string, id: string) =>
      refuse(
        500,
        `can only start created exec sessions, while container ${container} session ${id} state is "stopped": exec session state improper`
      ),
    user: (status: number, user: string) =>
      refuse(status, `unable to find user ${user}: no matching entries in passwd file`),
    body: (detail: string) =>
      refuse(each(400, 400, 500), each(detail, `invalid JSON: ${detail}`, `decode(): ${detail}`), detail)
  }
}

/** @internal */
export type Refusals = ReturnType<typeof refusalsOf>
