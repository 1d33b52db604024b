"""Drives the API at argv[1] with Debian's python3-hcloud, and prints what it got as JSON. The token is in HCLOUD_TOKEN."""

import json
import os
import sys
import time

from hcloud import APIException, Client
from hcloud.firewalls.domain import FirewallResource, FirewallResourceLabelSelector, FirewallRule
from hcloud.images.domain import Image
from hcloud.load_balancer_types.domain import LoadBalancerType
from hcloud.load_balancers.domain import LoadBalancerService, LoadBalancerTarget, LoadBalancerTargetLabelSelector
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

told["all images"] = len(client.images.get_all(include_deprecated=True)) > 0

balancer = client.load_balancers.create(
    name="l",
    load_balancer_type=LoadBalancerType(name="lb11"),
    location=Location(name="fsn1"),
    services=[LoadBalancerService(protocol="tcp", listen_port=6443, destination_port=6443, proxyprotocol=False)],
    labels={"cluster": "c"},
)
balancer.action.wait_until_finished()
balancer = client.load_balancers.get_by_name("l")
balancer.attach_to_network(network).wait_until_finished()
server.power_on().wait_until_finished()
target = LoadBalancerTarget(
    type="label_selector", label_selector=LoadBalancerTargetLabelSelector(selector="cluster=c"), use_private_ip=True
)
balancer.add_target(target).wait_until_finished()
balancer = client.load_balancers.get_by_id(balancer.id)
[target] = balancer.targets
told["balancer"] = [balancer.load_balancer_type.name, len(balancer.services), target.label_selector.selector]
balancer.delete()

resource = FirewallResource(type="label_selector", label_selector=FirewallResourceLabelSelector(selector="cluster=c"))
other = client.firewalls.create(
    name="o",
    rules=[FirewallRule(direction="in", protocol="icmp", source_ips=["::0/0"], destination_ips=[])],
).firewall
for action in client.firewalls.apply_to_resources(other, [resource]):
    action.wait_until_finished()
other = client.firewalls.get_by_name("o")
told["selected by"] = [each.label_selector.selector for each in other.applied_to]
told["rules"] = [each.source_ips for each in other.rules]

# The firewall is put on the server by an action that nobody was told of, and which locks the server.
while client.servers.get_by_id(server.id).locked:
    time.sleep(0.005)
server.power_off().wait_until_finished()
server.change_type(ServerType(name="cx33"), upgrade_disk=False).wait_until_finished()
server.reload()
told["type"] = [server.server_type.name, server.primary_disk_size]

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
