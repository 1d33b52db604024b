"""Drives the API at argv[1] with Debian's python3-hcloud, and prints what it got as JSON. The token is in HCLOUD_TOKEN."""

import json
import os
import sys

from hcloud import APIException, Client
from hcloud.firewalls.domain import FirewallRule
from hcloud.images.domain import Image
from hcloud.locations.domain import Location
from hcloud.networks.domain import NetworkSubnet
from hcloud.server_types.domain import ServerType
from hcloud.servers.domain import ServerCreatePublicNetwork

client = Client(token=os.environ["HCLOUD_TOKEN"], api_endpoint=sys.argv[1], poll_interval=0)
told = {}

network = client.networks.create(
    name="n",
    ip_range="10.0.0.0/16",
    subnets=[NetworkSubnet(type="cloud", network_zone="eu-central", ip_range="10.0.1.0/24")],
)
rule = FirewallRule(direction="in", protocol="tcp", port="6443", source_ips=["0.0.0.0/0", "::/0"], destination_ips=[])
firewall = client.firewalls.create(name="f", rules=[rule], labels={"cluster": "c"}).firewall
group = client.placement_groups.create(name="g", type="spread", labels={"cluster": "c"}).placement_group
key = client.ssh_keys.create(name="k", public_key="ssh-ed25519 bm90IGEgcmVhbCBrZXk= me@example")

created = client.servers.create(
    name="a",
    server_type=ServerType(name="cx23"),
    image=Image(name="debian-12"),
    location=Location(name="fsn1"),
    ssh_keys=[key],
    networks=[network],
    firewalls=[firewall],
    placement_group=group,
    labels={"cluster": "c"},
    public_net=ServerCreatePublicNetwork(enable_ipv4=True, enable_ipv6=False),
)
created.action.wait_until_finished()
for action in created.next_actions:
    action.wait_until_finished()
server = client.servers.get_by_name("a")
told["created"] = [server.status, server.private_net[0].ip, server.server_type.name, created.root_password]
told["labelled"] = [each.name for each in client.servers.get_all(label_selector="cluster=c")]

for name in ["power_off", "power_on", "reboot", "reset", "shutdown"]:
    getattr(server, name)().wait_until_finished()
server.reload()
told["after shutdown"] = server.status

volume = client.volumes.create(size=10, name="v", server=server).volume
for action in volume.get_actions():
    action.wait_until_finished()
volume.reload()
told["volume on"] = volume.server.id == server.id
volume.detach().wait_until_finished()
told["volume deleted"] = volume.delete()

ip = client.floating_ips.create(type="ipv4", home_location=Location(name="fsn1"), name="i").floating_ip
ip.assign(server).wait_until_finished()
ip.unassign().wait_until_finished()
told["address deleted"] = ip.delete()

client.servers.enable_rescue(server).action.wait_until_finished()
image = client.servers.create_image(server, description="d", labels={"cluster": "c"})
image.action.wait_until_finished()
told["snapshots"] = [each.description for each in client.images.get_all(type="snapshot")]

try:
    firewall.delete()
except APIException as error:
    told["firewall"] = error.code
try:
    client.servers.create(name="a", server_type=ServerType(name="cx23"), image=Image(name="debian-12"))
except APIException as error:
    told["same name"] = error.code
try:
    client.servers.get_by_id(42)
except APIException as error:
    told["missing"] = error.code

server.delete().wait_until_finished()
told["left"] = [each.name for each in client.servers.get_all()]
told["deleted"] = [firewall.delete(), group.delete(), network.delete(), key.delete()]
told["catalogue"] = [
    len(client.server_types.get_all()) > 0,
    len(client.locations.get_all()) > 0,
    len(client.isos.get_all()) > 0,
    len(client.load_balancers.get_all()),
    len(client.primary_ips.get_all()),
]
print(json.dumps(told))
