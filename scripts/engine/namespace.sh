#!/bin/sh
# The first process in a private engine's mount and pid namespaces: $1 is the
# engine's directory. When it ends, the kernel ends every process in there and
# drops every mount, so it lives exactly as long as dockerd does.
set -eu
home=$1

# Covers directory $1 with an empty one, in which everything but the names that
# match $2 or $3 shows through. dockerd and containerd have fixed places that no option
# moves: shim sockets in /run, plugins in /opt, a key in /etc/docker.
cover() {
  directory=$1
  [ -d "$directory" ] || return 0
  cover=$home/cover
  mkdir -p "$cover"
  mount -n -t tmpfs -o mode=755 kubelayer "$cover"
  for path in "$directory"/* "$directory"/.[!.]*; do
    name=${path##*/}
    # shellcheck disable=SC2254
    case $name in $2 | ${3:-$2}) continue ;; esac
    if [ -h "$path" ]; then
      cp -P "$path" "$cover/$name"
    elif [ -d "$path" ]; then
      mkdir "$cover/$name"
      mount -n --rbind "$path" "$cover/$name"
    elif [ -e "$path" ]; then
      : >"$cover/$name"
      mount -n --bind "$path" "$cover/$name"
    fi
  done
  mount -n --move "$cover" "$directory"
}

cover /run 'docker*' 'containerd*'
cover /opt 'containerd*'
cover /etc/docker '*'
# A container that is given the engine's socket from its usual place gets this one's.
ln -s "$home/docker.sock" /run/docker.sock

dockerd --config-file "$home/daemon.json" &
dockerd=$!
trap 'kill -TERM $dockerd' TERM

# As process 1 of its namespace the shell also reaps what dockerd leaves behind.
# A trapped signal ends a wait early, hence the loop.
code=0
while :; do
  code=0
  wait "$dockerd" || code=$?
  kill -0 "$dockerd" 2>/dev/null || exit "$code"
done
