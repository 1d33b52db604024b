#!/bin/sh
# The first process in the namespaces of a private Podman engine: $1 is the
# engine's directory. When it ends, the kernel ends every process in there, and
# drops every mount and the network with its bridges and rules.
set -eu
home=$1

# Podman, netavark and the OCI runtime have fixed places below /run.
mount -n -t tmpfs -o mode=755 kubelayer /run
mkdir -p /run/lock
# crun 1.8 refuses a machine that has cgroup version 2 mounted beside version 1.
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
ip link set dev lo up

export CONTAINERS_CONF="$home/containers.conf" CONTAINERS_STORAGE_CONF="$home/storage.conf"
podman --network-config-dir "$home/networks" system service --time=0 "unix://$home/docker.sock" &
podman=$!
trap 'kill -TERM $podman' TERM

# As process 1 of its namespace the shell also reaps what containers leave behind.
# A trapped signal ends a wait early, hence the loop.
code=0
while :; do
  code=0
  wait "$podman" || code=$?
  kill -0 "$podman" 2>/dev/null || exit "$code"
done
