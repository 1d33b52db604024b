#!/usr/bin/env bash
# DOCKER_HOST=ssh://... with a path: what clients of Docker run on the other machine.
#
# Versions: Go module github.com/docker/cli v28.2.2 and v29.2.0 (its package connhelper); PyPI docker 7.2.0.
# Behaviour seen (a stand-in for ssh in PATH prints its arguments):
#   ssh://host/                  28.2.2 runs `docker --host unix:/// system dial-stdio`, which cannot work;
#                                29.2.0 runs `docker system dial-stdio`; docker-py refuses the address.
#   ssh://host/run/docker.sock   28.2.2 and 29.2.0 run docker with this socket as --host;
#                                docker-py refuses the address ("no path allowed for this protocol").
#   28.2.2 passes the words of the command as separate arguments, 29.2.0 as one text with quotes.
#
# Needs go, and python3 with venv. Opens no connection. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOPATH="$dir/go" GOCACHE="$dir/cache" GOFLAGS=-mod=mod

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check docker==7.2.0
mkdir bin
printf '#!/bin/sh\nprintf "[%%s]" "$@" > "$ARGUMENTS"\n' > bin/ssh
chmod +x bin/ssh
export PATH="$dir/bin:$PATH" ARGUMENTS="$dir/arguments"

printf 'module finding\n\ngo 1.22\n' > go.mod
cat > main.go <<'GO'
package main

import (
	"context"
	"io"
	"os"

	"github.com/docker/cli/cli/connhelper"
)

func main() {
	helper, err := connhelper.GetConnectionHelper(os.Args[1])
	if err != nil {
		panic(err)
	}
	connection, err := helper.Dialer(context.Background(), "", "")
	if err != nil {
		panic(err)
	}
	io.ReadAll(connection)
}
GO
cat > dial.py <<'PY'
import sys
import docker
try:
    docker.APIClient(base_url=sys.argv[1], version="1.41", use_ssh_client=True)
    print("accepted")
except docker.errors.DockerException as error:
    print(error)
PY
for version in 28.2.2 29.2.0; do
  go get "github.com/docker/cli@v$version+incompatible" github.com/sirupsen/logrus@v1.9.3 golang.org/x/sys@v0.13.0 > /dev/null 2>&1
  go build -o "dial-$version" .
done

actual=$(
  for host in ssh://host/ ssh://host/run/docker.sock; do
    for version in 28.2.2 29.2.0; do
      "./dial-$version" "$host" > /dev/null 2>&1 || true
      printf '%s with docker/cli %s: %s\n' "$host" "$version" "$(grep -o '\[docker.*' arguments)"
      rm arguments
    done
    printf '%s with docker-py: %s\n' "$host" "$(venv/bin/python dial.py "$host")"
  done
)
expected='ssh://host/ with docker/cli 28.2.2: [docker][--host][unix:///][system][dial-stdio]
ssh://host/ with docker/cli 29.2.0: [docker system dial-stdio]
ssh://host/ with docker-py: Invalid bind address format: no path allowed for this protocol: ssh://host/
ssh://host/run/docker.sock with docker/cli 28.2.2: [docker][--host][unix:///run/docker.sock][system][dial-stdio]
ssh://host/run/docker.sock with docker/cli 29.2.0: [docker '\''--host=unix:///run/docker.sock'\'' system dial-stdio]
ssh://host/run/docker.sock with docker-py: Invalid bind address format: no path allowed for this protocol: ssh://host/run/docker.sock'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
