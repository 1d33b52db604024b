/**
 * The JSON of each resource in the replies of the API.
 *
 * Here the other side of each relation is found: which servers a network has, which firewalls are on what.
 */
import { parseSelector } from "./Selector.ts"
import { timestamp } from "./Timeline.ts"
import type {
  Action,
  Deprecation,
  Firewall,
  FloatingIp,
  Image,
  Iso,
  LoadBalancer,
  LoadBalancerType,
  Location,
  Network,
  PlacementGroup,
  PrimaryIp,
  Server,
  ServerType,
  Service,
  SshKey,
  Target,
  Volume,
  World
} from "./World.ts"

/** @internal */
export type Json = Readonly<Record<string, unknown>>

const TERABYTE = 1_099_511_627_776

const idsWhere = <A extends { readonly id: number }>(
  items: ReadonlyMap<number, A>,
  holds: (item: A) => boolean
): ReadonlyArray<number> => {
  const ids: Array<number> = []
  for (const item of items.values()) if (holds(item)) ids.push(item.id)
  return ids
}

const pointers = (dnsPtr: ReadonlyMap<string, string>) => Array.from(dnsPtr, ([ip, dns_ptr]) => ({ ip, dns_ptr }))

/** An amount as the API writes it, with tax as where it has its seat. */
const amount = (net: number) => ({ net: net.toFixed(10), gross: (net * 1.19).toFixed(16) })

const prices = (hourly: number, locations: Iterable<string>) =>
  Array.from(locations, (location) => ({
    location,
    price_hourly: amount(hourly),
    price_monthly: amount(hourly * 624),
    included_traffic: 20 * TERABYTE,
    price_per_tb_traffic: amount(1)
  }))

const deprecation = (of: Deprecation | null) =>
  of === null ? null : { announced: timestamp(of.announced), unavailable_after: timestamp(of.unavailableAfter) }

/** @internal */
export const showAction = (world: World, action: Action): Json => {
  const { command, due, error, finished, id, resources, started, status } = action
  const passed = (world.timeline.now() - started) / Math.max(1, due - started)
  return {
    id,
    command,
    status,
    progress: status === "running" ? Math.min(99, Math.trunc(passed * 100)) : 100,
    started: timestamp(started),
    finished: finished === null ? null : timestamp(finished),
    resources,
    error
  }
}

/** The prices, of the order of the real ones. @internal */
export const showPricing = (world: World): Json => {
  const everywhere = Array.from(world.locations.values(), ({ name }) => name)
  const monthly = (net: number) => everywhere.map((location) => ({ location, price_monthly: amount(net) }))
  const hourly = (net: number) =>
    everywhere.map((location) => ({ location, price_hourly: amount(net / 624), price_monthly: amount(net) }))
  return {
    currency: "EUR",
    vat_rate: "19.000000",
    floating_ip: { price_monthly: amount(3) },
    floating_ips: [{ type: "ipv4", prices: monthly(3) }, { type: "ipv6", prices: monthly(1) }],
    image: { price_per_gb_month: amount(0.011) },
    load_balancer_types: Array.from(world.loadBalancerTypes.values(), ({ id, name, price }) => ({
      id,
      name,
      prices: prices(price, everywhere)
    })),
    primary_ips: [{ type: "ipv4", prices: hourly(0.5) }, { type: "ipv6", prices: hourly(0) }],
    server_backup: { percentage: "20.0000000000" },
    server_types: Array.from(world.serverTypes.values(), ({ id, locations, name, price }) => ({
      id,
      name,
      prices: prices(price, locations.keys())
    })),
    volume: { price_per_gb_month: amount(0.044) }
  }
}

/** @internal */
export const showLocation = (_: World, { ...location }: Location): Json => location

/** @internal */
export const showServerType = (world: World, type: ServerType): Json => {
  const { architecture, category, cores, cpu, disk, id, locations, memory, name, price } = type
  // The type as a whole retires with the last of its locations.
  const retirements = Array.from(locations.values(), (at) => at.deprecation)
  const last = retirements.includes(null)
    ? null
    : retirements.reduce((a, b) => (a?.unavailableAfter ?? 0) > (b?.unavailableAfter ?? 0) ? a : b, null)
  return {
    id,
    name,
    description: name.toUpperCase(),
    category,
    cores,
    memory,
    disk,
    deprecated: last !== null,
    deprecation: deprecation(last),
    prices: prices(price, locations.keys()),
    storage_type: "local",
    cpu_type: cpu,
    architecture,
    locations: Array.from(locations, ([location, at]) => ({
      id: Array.from(world.locations.values()).find((one) => one.name === location)?.id ?? 0,
      name: location,
      available: at.available,
      recommended: false,
      deprecation: deprecation(at.deprecation)
    }))
  }
}

/** @internal */
export const showImage = (_: World, image: Image): Json => ({
  id: image.id,
  type: image.type,
  status: image.status,
  name: image.name,
  description: image.description,
  image_size: image.imageSize,
  disk_size: image.diskSize,
  created: timestamp(image.created),
  created_from: image.createdFrom,
  bound_to: image.type === "backup" ? image.createdFrom?.id ?? null : null,
  os_flavor: image.flavor,
  os_version: image.version,
  architecture: image.architecture,
  rapid_deploy: image.type === "system",
  protection: { delete: image.protected },
  deprecated: image.deprecated === null ? null : timestamp(image.deprecated),
  deleted: null,
  labels: image.labels
})

/** @internal */
export const showIso = (_: World, iso: Iso): Json => ({
  id: iso.id,
  name: iso.name,
  description: iso.description,
  type: iso.type,
  architecture: iso.architecture,
  deprecation: deprecation(iso.deprecation)
})

/** @internal */
export const showPlacementGroup = (world: World, { created, id, labels, name }: PlacementGroup): Json => ({
  id,
  name,
  labels,
  created: timestamp(created),
  servers: idsWhere(world.servers, ({ placementGroup }) => placementGroup === id),
  type: "spread"
})

const publicNet = (world: World, server: Server) => {
  const own = Array.from(world.primaryIps.values()).filter(({ assignee }) => assignee === server.id)
  const ipv4 = own.find(({ type }) => type === "ipv4")
  const ipv6 = own.find(({ type }) => type === "ipv6")
  return {
    ipv4: ipv4 === undefined
      ? null
      : { id: ipv4.id, ip: ipv4.ip, blocked: false, dns_ptr: ipv4.dnsPtr.get(ipv4.ip) ?? "" },
    ipv6: ipv6 === undefined
      ? null
      : { id: ipv6.id, ip: ipv6.ip, blocked: false, dns_ptr: pointers(ipv6.dnsPtr) },
    floating_ips: idsWhere(world.floatingIps, (ip) => ip.server === server.id),
    firewalls: Array.from(server.firewalls, ([id, status]) => ({ id, status }))
  }
}

const attached = ({ attachments }: Server | LoadBalancer) => attachments.filter(({ state }) => state !== "attaching")

/** @internal */
export const showServer = (world: World, server: Server): Json => {
  const { id, placementGroup } = server
  const image = server.image === null ? undefined : world.images.get(server.image)
  const iso = server.iso === null ? undefined : world.isos.get(server.iso)
  const group = placementGroup === null ? undefined : world.placementGroups.get(placementGroup)
  return {
    id,
    name: server.name,
    status: server.status,
    created: timestamp(server.created),
    public_net: publicNet(world, server),
    private_net: attached(server).map(({ aliases, ip, mac, network }) => ({
      network,
      ip,
      alias_ips: aliases,
      mac_address: mac
    })),
    server_type: showServerType(world, server.type),
    location: showLocation(world, server.location),
    image: image === undefined ? null : showImage(world, image),
    iso: iso === undefined ? null : showIso(world, iso),
    rescue_enabled: server.rescue,
    locked: world.running("server", id).length > 0,
    backup_window: server.backupWindow,
    outgoing_traffic: 0,
    ingoing_traffic: 0,
    included_traffic: 20 * TERABYTE,
    protection: { ...server.protected },
    labels: server.labels,
    volumes: idsWhere(world.volumes, (volume) => volume.server === id),
    load_balancers: idsWhere(world.loadBalancers, (balancer) => serversOf(world, balancer).has(id)),
    primary_disk_size: server.diskSize,
    placement_group: group === undefined ? null : showPlacementGroup(world, group)
  }
}

/** The servers that a label selector means now. */
const selectedBy = (world: World, selector: string): ReadonlyArray<number> => {
  const selects = parseSelector(selector)
  return idsWhere(world.servers, ({ labels }) => selects(labels))
}

/** The servers to which a load balancer sends connections, each once. */
const serversOf = (world: World, { targets }: LoadBalancer): ReadonlySet<number> =>
  new Set(
    targets.flatMap((target) =>
      target.type === "server"
        ? [target.server]
        : target.type === "label_selector"
        ? selectedBy(world, target.selector)
        : []
    )
  )

const pointed = ({ dnsPtr }: LoadBalancer, ip: string) => ({
  id: null,
  ip,
  blocked: false,
  dns_ptr: dnsPtr.get(ip) ?? `${ip.replaceAll(":", "-")}.fake.invalid`
})

const isIn = (network: number) => (item: Server | LoadBalancer) =>
  attached(item).some((attachment) => attachment.network === network)

/** @internal */
export const showNetwork = (world: World, network: Network): Json => ({
  id: network.id,
  name: network.name,
  ip_range: network.ipRange,
  subnets: network.subnets.map(({ gateway, ipRange, type, vswitch, zone }) => ({
    type,
    ip_range: ipRange,
    network_zone: zone,
    gateway,
    vswitch_id: vswitch
  })),
  routes: network.routes,
  servers: idsWhere(world.servers, isIn(network.id)),
  load_balancers: idsWhere(world.loadBalancers, isIn(network.id)),
  protection: { delete: network.protected },
  labels: network.labels,
  created: timestamp(network.created),
  expose_routes_to_vswitch: network.exposeRoutes
})

/** @internal */
export const showFirewall = (world: World, { applications, created, id, labels, name, rules }: Firewall): Json => ({
  id,
  name,
  labels,
  created: timestamp(created),
  rules,
  applied_to: applications.map((application) =>
    application.type === "server"
      ? { type: "server", server: { id: application.server } }
      : {
        type: "label_selector",
        label_selector: { selector: application.selector },
        applied_to_resources: selectedBy(world, application.selector)
          .filter((server) => world.servers.get(server)?.firewalls.has(id) === true)
          .map((server) => ({ type: "server", server: { id: server } }))
      }
  )
})

/** @internal */
export const showFloatingIp = (world: World, ip: FloatingIp): Json => ({
  id: ip.id,
  name: ip.name,
  description: ip.description,
  ip: ip.ip,
  type: ip.type,
  server: ip.server,
  dns_ptr: pointers(ip.dnsPtr),
  home_location: showLocation(world, ip.location),
  blocked: false,
  protection: { delete: ip.protected },
  labels: ip.labels,
  created: timestamp(ip.created)
})

/** @internal */
export const showVolume = (world: World, volume: Volume): Json => ({
  id: volume.id,
  name: volume.name,
  server: volume.server,
  status: volume.status,
  location: showLocation(world, volume.location),
  size: volume.size,
  format: volume.format,
  protection: { delete: volume.protected },
  labels: volume.labels,
  linux_device: `/dev/disk/by-id/scsi-0HC_Volume_${volume.id}`,
  created: timestamp(volume.created)
})

/** @internal */
export const showPrimaryIp = (world: World, ip: PrimaryIp): Json => ({
  id: ip.id,
  name: ip.name,
  ip: ip.ip,
  type: ip.type,
  assignee_id: ip.assignee,
  assignee_type: ip.assignee === null ? "unassigned" : "server",
  auto_delete: ip.autoDelete,
  blocked: false,
  created: timestamp(ip.created),
  location: showLocation(world, ip.location),
  dns_ptr: pointers(ip.dnsPtr),
  labels: ip.labels,
  protection: { delete: ip.protected }
})

/** @internal */
export const showSshKey = (_: World, { created, fingerprint, id, labels, name, publicKey }: SshKey): Json => ({
  id,
  name,
  fingerprint,
  public_key: publicKey,
  labels,
  created: timestamp(created)
})

/** @internal */
export const showLoadBalancerType = (world: World, type: LoadBalancerType): Json => ({
  id: type.id,
  name: type.name,
  description: type.name.toUpperCase(),
  max_connections: type.maxConnections,
  max_services: type.maxServices,
  max_targets: type.maxTargets,
  max_assigned_certificates: 10,
  deprecated: null,
  prices: prices(type.price, Array.from(world.locations.values(), ({ name }) => name))
})

/** Whether a check of a load balancer succeeds on the server. */
const isHealthy = (world: World, balancer: LoadBalancer, server: Server, isPrivate: boolean): boolean => {
  const networks = new Set(attached(balancer).map(({ network }) => network))
  const isReachable = isPrivate
    ? attached(server).some(({ network }) => networks.has(network))
    : Array.from(world.primaryIps.values()).some(({ assignee, type }) => assignee === server.id && type === "ipv4")
  return isReachable && server.status === "running" && world.timeline.now() >= server.since + server.guest.boot
}

const healthOn = (world: World, balancer: LoadBalancer, id: number, isPrivate: boolean) => {
  const server = world.servers.get(id)
  const healthy = server !== undefined && isHealthy(world, balancer, server, isPrivate)
  return balancer.services.map(({ listenPort }) => ({
    listen_port: listenPort,
    status: healthy ? "healthy" : "unhealthy",
    detail: healthy ? null : "layer4_no_connection",
    http_status_code: null
  }))
}

const showTarget = (world: World, balancer: LoadBalancer, target: Target): Json => {
  if (target.type === "ip") return { type: "ip", ip: { ip: target.ip }, health_status: [] }
  const { isPrivate } = target
  const onServer = (server: number) => ({
    type: "server",
    server: { id: server },
    use_private_ip: isPrivate,
    health_status: healthOn(world, balancer, server, isPrivate)
  })
  return target.type === "server" ? onServer(target.server) : {
    type: "label_selector",
    label_selector: { selector: target.selector },
    use_private_ip: isPrivate,
    targets: selectedBy(world, target.selector).map(onServer)
  }
}

const showService = ({ destinationPort, health, http, listenPort, protocol, proxyProtocol }: Service): Json => ({
  protocol,
  listen_port: listenPort,
  destination_port: destinationPort,
  proxyprotocol: proxyProtocol,
  health_check: health,
  ...(http === undefined ? {} : { http })
})

/** @internal */
export const showLoadBalancer = (world: World, balancer: LoadBalancer): Json => ({
  id: balancer.id,
  name: balancer.name,
  public_net: {
    enabled: balancer.isPublic,
    ipv4: pointed(balancer, balancer.ipv4),
    ipv6: pointed(balancer, balancer.ipv6)
  },
  private_net: attached(balancer).map(({ ip, network }) => ({ network, ip })),
  location: showLocation(world, balancer.location),
  load_balancer_type: showLoadBalancerType(world, balancer.type),
  protection: { delete: balancer.protected },
  labels: balancer.labels,
  targets: balancer.targets.map((target) => showTarget(world, balancer, target)),
  services: balancer.services.map(showService),
  algorithm: { type: balancer.algorithm },
  outgoing_traffic: 0,
  ingoing_traffic: 0,
  included_traffic: 20 * TERABYTE,
  created: timestamp(balancer.created)
})
