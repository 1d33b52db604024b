/**
 * The catalogue of the fake cloud: its locations, server types, images and ISO images.
 *
 * Prices and sizes are of the order of the real ones, and no more than that. A test requests everything that is sold
 * out, deprecated or withdrawn.
 */
import type { Image, Iso, Location, ServerType, World } from "./World.ts"

const locations: ReadonlyArray<Omit<Location, "id">> = [
  place("fsn1", "Falkenstein DC Park 1", "DE", "Falkenstein", 50.47612, 12.370071, "eu-central"),
  place("nbg1", "Nuremberg DC Park 1", "DE", "Nuremberg", 49.452102, 11.076665, "eu-central"),
  place("hel1", "Helsinki DC Park 1", "FI", "Helsinki", 60.169855, 24.938379, "eu-central"),
  place("ash", "Ashburn, VA", "US", "Ashburn, VA", 39.045821, -77.487073, "us-east"),
  place("hil", "Hillsboro, OR", "US", "Hillsboro, OR", 45.54222, -122.951924, "us-west"),
  place("sin", "Singapore", "SG", "Singapore", 1.283333, 103.833333, "ap-southeast")
]

function place(
  name: string,
  description: string,
  country: string,
  city: string,
  latitude: number,
  longitude: number,
  network_zone: string
): Omit<Location, "id"> {
  return { name, description, country, city, latitude, longitude, network_zone }
}

const everywhere = locations.map(({ name }) => name)
const europe = ["fsn1", "nbg1", "hel1"]

type Row = readonly [
  name: string,
  category: string,
  cpu: "shared" | "dedicated",
  architecture: "x86" | "arm",
  cores: number,
  memory: number,
  disk: number,
  price: number,
  where: ReadonlyArray<string>
]

const types: ReadonlyArray<Row> = [
  ["cx23", "Cost-Optimized", "shared", "x86", 2, 4, 40, 0.0056, europe],
  ["cx33", "Cost-Optimized", "shared", "x86", 4, 8, 80, 0.0088, europe],
  ["cx43", "Cost-Optimized", "shared", "x86", 8, 16, 160, 0.0152, europe],
  ["cax11", "Cost-Optimized", "shared", "arm", 2, 4, 40, 0.0061, europe],
  ["cax21", "Cost-Optimized", "shared", "arm", 4, 8, 80, 0.0104, europe],
  ["cpx22", "Regular Performance", "shared", "x86", 2, 4, 80, 0.0104, everywhere],
  ["cpx32", "Regular Performance", "shared", "x86", 4, 8, 160, 0.0176, everywhere],
  ["ccx13", "General Purpose", "dedicated", "x86", 2, 8, 80, 0.0208, everywhere],
  ["ccx23", "General Purpose", "dedicated", "x86", 4, 16, 160, 0.0408, everywhere]
]

const images: ReadonlyArray<readonly [name: string, flavor: string, version: string]> = [
  ["ubuntu-24.04", "ubuntu", "24.04"],
  ["ubuntu-22.04", "ubuntu", "22.04"],
  ["debian-13", "debian", "13"],
  ["debian-12", "debian", "12"]
]

const balancers: ReadonlyArray<
  readonly [name: string, services: number, targets: number, connections: number, price: number]
> = [
  ["lb11", 5, 25, 10_000, 0.0088],
  ["lb21", 15, 75, 20_000, 0.0224],
  ["lb31", 30, 150, 40_000, 0.0448]
]

const YEAR = 31_536_000_000

/** Fills the shelves. @internal */
export const stock = (world: World): void => {
  const created = world.timeline.now() - 2 * YEAR
  for (const each of locations) {
    const id = world.nextId()
    world.locations.set(id, { id, ...each })
  }
  for (const [name, category, cpu, architecture, cores, memory, disk, price, where] of types) {
    const id = world.nextId()
    const at: ServerType["locations"] = new Map(where.map((one) => [one, { available: true, deprecation: null }]))
    world.serverTypes.set(id, { id, name, category, cpu, architecture, cores, memory, disk, price, locations: at })
  }
  for (const [name, maxServices, maxTargets, maxConnections, price] of balancers) {
    const id = world.nextId()
    world.loadBalancerTypes.set(id, { id, name, maxServices, maxTargets, maxConnections, price })
  }
  for (const [name, flavor, version] of images) {
    for (const architecture of ["x86", "arm"] as const) {
      const id = world.nextId()
      const image: Image = {
        id,
        type: "system",
        status: "available",
        name,
        description: `${flavor[0]?.toUpperCase()}${flavor.slice(1)} ${version}`,
        flavor,
        version,
        architecture,
        diskSize: 5,
        imageSize: null,
        createdFrom: null,
        created,
        deprecated: null,
        labels: {},
        protected: false
      }
      world.images.set(id, image)
    }
  }
  for (const architecture of ["x86", "arm"] as const) {
    const id = world.nextId()
    const iso: Iso = {
      id,
      name: `talos-1.11-${architecture}.iso`,
      description: `Talos 1.11 ${architecture}`,
      type: "public",
      architecture,
      deprecation: null
    }
    world.isos.set(id, iso)
  }
}
