#!/usr/bin/env bash
# One DOCKER_HOST, two client libraries, two other answers than the docker CLI's.
#
# Versions: npm dockerode 5.0.1; PyPI docker 7.2.0. The docker CLI (20.10 to 29) dials port 2375 for tcp://127.0.0.1.
# Behaviour seen with DOCKER_HOST=tcp://127.0.0.1:
#   dockerode dials port 80 ("connect ECONNREFUSED 127.0.0.1:80"), the default of HTTP.
#   docker-py refuses the address ("port is required").
# Behaviour seen with DOCKER_HOST=tcp://127.0.0.1:2999 in the environment and the option { socketPath: "/run/a.sock" }:
#   dockerode drops the option: socketPath is undefined, and it dials 127.0.0.1:2999. With { host: undefined } beside
#   socketPath the option is kept, and the port of the variable beside it.
#
# Needs node with npm, and python3 with venv. Opens no connection but to loopback. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

printf '{"private":true,"type":"module"}\n' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts dockerode@5.0.1 > /dev/null 2>&1
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check docker==7.2.0

cat > modem.mjs <<'JS'
import Docker from "dockerode"
const options = JSON.parse(process.argv[2])
if (process.argv[3] === "undefined-host") options.host = undefined
const { host, port, socketPath } = new Docker(options).modem
console.log(`socketPath ${socketPath}, host ${host}, port ${port === "" ? "none" : port}`)
JS
cat > dial.mjs <<'JS'
import Docker from "dockerode"
new Docker({ timeout: 2000 }).ping().then(() => console.log("answered"), (error) => console.log(error.address, error.port))
JS
cat > parse.py <<'PY'
import docker
try:
    print(docker.from_env(version="1.41").api.base_url)
except docker.errors.DockerException as error:
    print(error)
PY

actual=$(
  printf 'dockerode without port dials: %s\n' "$(DOCKER_HOST=tcp://127.0.0.1 node dial.mjs)"
  printf 'docker-py without port: %s\n' "$(DOCKER_HOST=tcp://127.0.0.1 venv/bin/python parse.py)"
  printf 'dockerode, socketPath and DOCKER_HOST: %s\n' \
    "$(DOCKER_HOST=tcp://127.0.0.1:2999 node modem.mjs '{"socketPath":"/run/a.sock"}')"
  printf 'dockerode, socketPath, host: undefined and DOCKER_HOST: %s\n' \
    "$(DOCKER_HOST=tcp://127.0.0.1:2999 node modem.mjs '{"socketPath":"/run/a.sock"}' undefined-host)"
)
expected='dockerode without port dials: 127.0.0.1 80
docker-py without port: Invalid bind address format: port is required: tcp://127.0.0.1
dockerode, socketPath and DOCKER_HOST: socketPath undefined, host 127.0.0.1, port 2999
dockerode, socketPath, host: undefined and DOCKER_HOST: socketPath /run/a.sock, host undefined, port 2999'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
