/**
 * The actions on a server of the fake cloud: power, networks, groups, images, protection.
 *
 * A running action locks its server against all others. A shutdown only sends a signal: the machine may take its time,
 * not listen yet, or ignore it.
 */
import { unlocked } from "./Common.ts"
import { attach, attachmentIn, leave } from "./Networks.ts"
import { invalid, Refusal } from "./Refusal.ts"
import { bare, begun, post, type Reply, type Route } from "./Route.ts"
import { checkedLabels } from "./Selector.ts"
import { imageFor, roomInGroup, serverTypeOf, starts, takePlace } from "./Servers.ts"
import * as Shape from "./Shape.ts"
import { showImage } from "./Show.ts"
import { byIdOrName, type Image, need, type ResourceType, type Server, type Work, type World } from "./World.ts"

interface Target {
  readonly world: World
  readonly server: Server
  /** Begins an action on the server, and on what else it is about. */
  readonly act: (
    command: string,
    work?: Omit<Work, "command" | "resources">,
    beside?: ReadonlyArray<{ readonly id: number; readonly type: ResourceType }>
  ) => ReturnType<World["act"]>
}

const target = (world: World, id: number): Target => {
  const server = need(world.servers, id, "server")
  unlocked(world, "server", id)
  return {
    world,
    server,
    act: (command, work = {}, beside = []) =>
      world.act({ command, resources: [{ id, type: "server" }, ...beside], ...work })
  }
}

const path = (name: string) => `/servers/{id}/actions/${name}`

const simple = (name: string, handle: (target: Target) => Reply): Route =>
  bare(path(name), ({ id, world }) => handle(target(world, id)))

const withBody = <F extends Readonly<Record<string, Shape.Shape<unknown>>>>(
  name: string,
  fields: F,
  handle: (target: Target, body: Shape.Fields<F>) => Reply
): Route => post(path(name), fields, ({ body, id, world }) => handle(target(world, id), body))

const turnOff = (server: Server): void => {
  server.status = "off"
}

/** Runs `then` when the machine has shut down: never if it ignores ACPI or boots, or was started again by then. */
const afterShutdown = ({ server, world }: Target, then: () => void): void => {
  const { boot, shutdown } = server.guest
  const now = world.timeline.now()
  if (shutdown === "ignores" || server.status !== "running" || now < server.since + boot) return
  const { run } = server
  world.timeline.at(now + shutdown, () => {
    if (server.run === run && server.status === "running") then()
  })
}

const goesOff = (asked: Target): void => afterShutdown(asked, () => turnOff(asked.server))

const goesThroughReboot = (asked: Target): void => afterShutdown(asked, () => starts(asked.world, asked.server))

const stopped = (server: Server): void => {
  if (server.status !== "off") throw new Refusal("server_not_stopped", "server must be stopped to perform this action")
}

const power: ReadonlyArray<Route> = [
  simple("poweron", ({ act, server, world }) => {
    if (server.status === "running") return begun(world, act("start_server", { takes: 0 }))
    server.status = "starting"
    return begun(
      world,
      act("start_server", { done: () => starts(world, server), failed: () => turnOff(server) })
    )
  }),
  simple("poweroff", ({ act, server, world }) => {
    if (server.status === "off") return begun(world, act("stop_server", { takes: 0 }))
    const before = server.status
    server.status = "stopping"
    return begun(
      world,
      act("stop_server", {
        done: () => turnOff(server),
        failed: () => {
          server.status = before
        }
      })
    )
  }),
  simple("shutdown", (asked) => begun(asked.world, asked.act("shutdown_server", { done: () => goesOff(asked) }))),
  simple("reboot", (asked) => begun(asked.world, asked.act("reboot_server", { done: () => goesThroughReboot(asked) }))),
  simple("reset", ({ act, server, world }) => begun(world, act("reset_server", { done: () => starts(world, server) })))
]

const nets: ReadonlyArray<Route> = [
  withBody(
    "attach_to_network",
    {
      network: Shape.integer,
      ip: Shape.optional(Shape.text),
      alias_ips: Shape.optional(Shape.list(Shape.text)),
      ip_range: Shape.optional(Shape.text)
    },
    ({ act, server, world }, { alias_ips: aliases = [], ip, ip_range: subnet, network }) => {
      const attachment = attach(world, server, network, {
        aliases,
        ...(ip === undefined ? {} : { ip }),
        ...(subnet === undefined ? {} : { subnet })
      })
      return begun(
        world,
        act("attach_to_network", {
          done: () => {
            attachment.state = "ok"
          },
          failed: () => leave(server, network)
        }, [{ id: network, type: "network" }])
      )
    }
  ),
  withBody("detach_from_network", { network: Shape.integer }, ({ act, server, world }, { network }) => {
    const attachment = attachmentIn(server, network)
    attachment.state = "detaching"
    return begun(
      world,
      act("detach_from_network", {
        done: () => leave(server, network),
        failed: () => {
          attachment.state = "ok"
        }
      }, [{ id: network, type: "network" }])
    )
  }),
  withBody(
    "change_alias_ips",
    { network: Shape.integer, alias_ips: Shape.list(Shape.text) },
    ({ act, server, world }, { alias_ips, network }) => {
      const attachment = attachmentIn(server, network)
      return begun(
        world,
        act("change_alias_ips", {
          done: () => {
            attachment.aliases = alias_ips
          }
        }, [{ id: network, type: "network" }])
      )
    }
  )
]

const groups: ReadonlyArray<Route> = [
  withBody("add_to_placement_group", { placement_group: Shape.integer }, ({ act, server, world }, body) => {
    stopped(server)
    if (server.placementGroup !== null) {
      throw new Refusal("already_in_placement_group", "server is already in a placement group")
    }
    roomInGroup(world, body.placement_group)
    server.placementGroup = body.placement_group
    return begun(
      world,
      act("add_to_placement_group", {
        failed: () => {
          server.placementGroup = null
        }
      }, [{ id: body.placement_group, type: "placement_group" }])
    )
  }),
  simple("remove_from_placement_group", ({ act, server, world }) => {
    const { placementGroup } = server
    if (placementGroup === null) throw invalid("placement_group", "is in none")
    return begun(
      world,
      act("remove_from_placement_group", {
        done: () => {
          server.placementGroup = null
        }
      }, [{ id: placementGroup, type: "placement_group" }])
    )
  })
]

const isos: ReadonlyArray<Route> = [
  withBody("attach_iso", { iso: Shape.idOrName }, ({ act, server, world }, body) => {
    const iso = byIdOrName(world.isos, body.iso)
    if (iso === undefined) throw new Refusal("not_found", `ISO '${body.iso}' not found`)
    if (iso.deprecation !== null && iso.deprecation.unavailableAfter <= world.timeline.now()) {
      throw new Refusal("not_found", `ISO '${body.iso}' not found`)
    }
    return begun(
      world,
      act("attach_iso", {
        done: () => {
          server.iso = iso.id
        }
      }, [{ id: iso.id, type: "iso" }])
    )
  }),
  simple("detach_iso", ({ act, server, world }) => {
    if (server.iso === null) return begun(world, act("detach_iso", { takes: 0 }))
    return begun(
      world,
      act("detach_iso", {
        done: () => {
          server.iso = null
        }
      }, [{ id: server.iso, type: "iso" }])
    )
  })
]

const makeImage = (
  { server, world }: Target,
  body: {
    readonly type?: "snapshot" | "backup"
    readonly description?: string | null
    readonly labels?: Image["labels"]
  }
): Image => {
  if (body.type === "backup" && server.backupWindow === null) throw invalid("type", "backups are not enabled")
  const of = server.image === null ? undefined : world.images.get(server.image)
  const image: Image = {
    id: world.nextId(),
    type: body.type ?? "snapshot",
    status: "creating",
    name: null,
    description: body.description ?? `snapshot of ${server.name}`,
    flavor: of?.flavor ?? "unknown",
    version: of?.version ?? null,
    architecture: server.type.architecture,
    diskSize: server.diskSize,
    imageSize: null,
    createdFrom: { id: server.id, name: server.name },
    created: world.timeline.now(),
    deprecated: null,
    labels: checkedLabels(body.labels ?? {}),
    protected: false
  }
  world.images.set(image.id, image)
  return image
}

const disks: ReadonlyArray<Route> = [
  withBody(
    "rebuild",
    { image: Shape.idOrName, user_data: Shape.optional(Shape.text) },
    ({ act, server, world }, body) => {
      if (server.protected.rebuild) throw new Refusal("protected", "server is rebuild protected")
      const image = imageFor(world, body.image, server.type)
      server.status = "rebuilding"
      const action = act("rebuild_server", {
        done: () => {
          server.image = image.id
          starts(world, server)
        },
        failed: () => turnOff(server)
      })
      return begun(world, action, { root_password: server.sshKeys.length === 0 ? "not-a-real-password" : null })
    }
  ),
  withBody("create_image", {
    type: Shape.optional(Shape.literals("snapshot", "backup")),
    // One client sends null where nothing was chosen.
    description: Shape.optional(Shape.nullable(Shape.text)),
    labels: Shape.optional(Shape.labels)
  }, (asked, body) => {
    const image = makeImage(asked, body)
    const action = asked.act("create_image", {
      done: () => {
        image.status = "available"
        image.imageSize = 2.3
      },
      failed: () => asked.world.images.delete(image.id)
    }, [{ id: image.id, type: "image" }])
    return begun(asked.world, action, { image: showImage(asked.world, image) })
  }),
  withBody(
    "change_type",
    { server_type: Shape.idOrName, upgrade_disk: Shape.flag },
    ({ act, server, world }, body) => {
      stopped(server)
      const type = serverTypeOf(world, body.server_type)
      if (type.architecture !== server.type.architecture) throw new Refusal("invalid_server_type", "wrong architecture")
      if (type.disk < server.diskSize) throw new Refusal("invalid_server_type", "disk would have to shrink")
      takePlace(world, type, server.location)
      server.status = "migrating"
      return begun(
        world,
        act("change_server_type", {
          done: () => {
            server.type = type
            if (body.upgrade_disk) server.diskSize = type.disk
            turnOff(server)
            if (world.settings.changeTypeStarts) starts(world, server)
          },
          failed: () => turnOff(server)
        })
      )
    }
  )
]

const others: ReadonlyArray<Route> = [
  withBody(
    "change_protection",
    { delete: Shape.optional(Shape.flag), rebuild: Shape.optional(Shape.flag) },
    ({ act, server, world }, body) => {
      const wanted = {
        delete: body.delete ?? server.protected.delete,
        rebuild: body.rebuild ?? server.protected.rebuild
      }
      if (wanted.delete !== wanted.rebuild) throw invalid("rebuild", "must be the same as delete")
      return begun(
        world,
        act("change_protection", {
          done: () => {
            server.protected = wanted
          }
        })
      )
    }
  ),
  // Debian's Python client sends null where nothing is chosen.
  withBody("enable_rescue", {
    type: Shape.optional(Shape.nullable(Shape.literals("linux64"))),
    ssh_keys: Shape.optional(Shape.list(Shape.integer))
  }, ({ act, server, world }) => {
    const action = act("enable_rescue", {
      done: () => {
        server.rescue = true
      }
    })
    return begun(world, action, { root_password: "not-a-real-password" })
  }),
  simple("disable_rescue", ({ act, server, world }) =>
    begun(
      world,
      act("disable_rescue", {
        done: () => {
          server.rescue = false
        }
      })
    )),
  simple("enable_backup", ({ act, server, world }) =>
    begun(
      world,
      act("enable_backup", {
        done: () => {
          server.backupWindow = "22-02"
        }
      })
    )),
  simple("disable_backup", ({ act, server, world }) =>
    begun(
      world,
      act("disable_backup", {
        done: () => {
          server.backupWindow = null
          for (const image of world.images.values()) {
            if (image.type === "backup" && image.createdFrom?.id === server.id) world.images.delete(image.id)
          }
        }
      })
    )),
  withBody("change_dns_ptr", { ip: Shape.text, dns_ptr: Shape.nullable(Shape.text) }, (asked, body) => {
    const { act, server, world } = asked
    const own = Array.from(world.primaryIps.values()).find(({ assignee, ip }) =>
      assignee === server.id && (ip === body.ip || (ip.includes(":") && body.ip.startsWith(ip.split("::")[0] ?? ip)))
    )
    if (own === undefined) throw invalid("ip", "is not an address of the server")
    return begun(
      world,
      act("change_dns_ptr", {
        done: () => {
          if (body.dns_ptr === null) own.dnsPtr.delete(body.ip)
          else own.dnsPtr.set(body.ip, body.dns_ptr)
        }
      })
    )
  }),
  simple(
    "reset_password",
    ({ act, world }) => begun(world, act("reset_password"), { root_password: "not-a-real-password" })
  ),
  simple("request_console", ({ act, world }) =>
    begun(world, act("request_console"), {
      wss_url: "wss://console.fake.invalid/",
      password: "not-a-real-password"
    }))
]

/** @internal */
export const serverActions: ReadonlyArray<Route> = [...power, ...nets, ...groups, ...isos, ...disks, ...others]
