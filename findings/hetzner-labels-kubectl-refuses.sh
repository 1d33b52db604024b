#!/usr/bin/env bash
# Label keys that the validator of python-hcloud accepts and that kubectl refuses in a selector.
#
# Versions: PyPI hcloud 2.27.0 (python-hcloud); kubectl 1.20.2 of Debian 12, unpacked into a temporary folder.
# Behaviour seen (`kubectl set selector --local` contacts no cluster):
#   "Team/role"      python-hcloud accepts the capital letter in the prefix, kubectl refuses it
#   "my_team/role"   python-hcloud accepts the underscore in the prefix, kubectl refuses it
#   "a..b/role"      python-hcloud accepts an empty part in the prefix, kubectl refuses it
#   "team.io/role"   both accept it
#   "team.io/role."  both refuse it
# `kubectl label --local` checks no key at all. So labels of a Hetzner server cannot always be copied to its Kubernetes
# node.
#
# Needs Debian 12 with apt, and python3 with venv. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hcloud==2.27.0
apt-get download -q 'kubernetes-client=1.20.5+really1.20.2-1.1*' > /dev/null 2>&1
dpkg-deb -x kubernetes-client_*.deb root

printf 'apiVersion: v1\nkind: Service\nmetadata:\n  name: db\nspec:\n  selector: {app: db}\n' > service.yaml
cat > hetzner.py <<'PY'
import sys
from hcloud.helpers.labels import LabelValidator
print("accepts" if LabelValidator.validate({sys.argv[1]: "db"}) else "refuses")
PY
kubernetes() {
  if KUBECONFIG=/dev/null \
    root/usr/bin/kubectl set selector --local -f service.yaml "$1=db" -o yaml > selector.yaml 2> error; then
    grep -q "$1: db" selector.yaml && echo accepts
  else
    grep -q 'invalid label key' error && echo refuses
  fi
}

actual=$(
  for key in Team/role my_team/role a..b/role team.io/role team.io/role.; do
    printf '%s: python-hcloud %s, kubectl %s\n' "$key" "$(venv/bin/python hetzner.py "$key")" "$(kubernetes "$key")"
  done
)
expected='Team/role: python-hcloud accepts, kubectl refuses
my_team/role: python-hcloud accepts, kubectl refuses
a..b/role: python-hcloud accepts, kubectl refuses
team.io/role: python-hcloud accepts, kubectl accepts
team.io/role.: python-hcloud refuses, kubectl refuses'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
