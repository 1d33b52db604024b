#!/usr/bin/env bash
# Where the Docker-compatible API of Podman 4.3.1 answers other than Docker's on plain, valid requests.
#
# Versions: podman 4.3.1+ds1-8 and crun 1.8.1 of Debian 12, unpacked into a temporary folder; nothing is installed.
# Behaviour seen (Docker's answer in brackets):
#   An image imported with repo=localhost/t and tag=a is listed as localhost/t:latest [localhost/t:a].
#   The filter label "e=" lists every container that has the label e [only those whose e is empty].
#   Creating a volume under an existing name with an unknown driver: 201 and the old volume [an error: no such driver].
#   A container with a bind mount of a missing folder: 201, and the folder is created on the host [400].
#   Containers filtered by status=dead: 500 [200].
#   The version prefix /v1.99 is accepted: 200 [400: client version is too new].
#
# Needs Debian 12 with apt, curl and root. The service listens on a unix socket. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
service=
cleanup() {
  if [ -n "$service" ]; then
    kill "$service" 2> /dev/null || true
    wait "$service" 2> /dev/null || true
  fi
  rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"

apt-get download -q 'podman=4.3.1+ds1-8*' 'crun=1.8.1-1*' conmon golang-github-containers-common \
  golang-github-containers-image libgpgme11 libassuan0 libsubid4 libyajl2 > /dev/null 2>&1
for package in *.deb; do dpkg-deb -x "$package" root; done
printf '[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\nconmon_path=["%s/root/usr/bin/conmon"]\n' "$dir" > containers.conf
printf '[storage]\ndriver="vfs"\nrunroot="%s/run"\ngraphroot="%s/graph"\n' "$dir" "$dir" > storage.conf
export LD_LIBRARY_PATH="$dir/root/usr/lib/x86_64-linux-gnu" CONTAINERS_CONF="$dir/containers.conf" \
  CONTAINERS_STORAGE_CONF="$dir/storage.conf"
root/usr/bin/podman --version
root/usr/bin/podman --runtime "$dir/root/usr/bin/crun" --tmpdir "$dir/tmp" --network-config-dir "$dir/networks" \
  system service --time 0 "unix://$dir/engine.sock" > service.log 2>&1 &
service=$!
for _ in $(seq 100); do [ -S engine.sock ] && break; sleep 0.1; done

call() { env -u LD_LIBRARY_PATH curl --silent --unix-socket engine.sock "$@"; }
json=(-X POST -H 'Content-Type: application/json')
code=(-o /dev/null -w '%{http_code}')
api=http://engine/v1.41

mkdir files && echo text > files/text
tar c -C files text | call -X POST -H 'Content-Type: application/x-tar' --data-binary @- \
  "$api/images/create?fromSrc=-&repo=localhost/t&tag=a" > /dev/null
container() { printf '{"Image":"localhost/t:latest","Cmd":["/text"],"Labels":{"e":"%s"},"HostConfig":{"NetworkMode":"none"%s}}' "$1" "$2"; }
call "${json[@]}" -d "$(container full '')" "$api/containers/create?name=full" > /dev/null
call "${json[@]}" -d "$(container '' '')" "$api/containers/create?name=empty" > /dev/null
call "${json[@]}" -d '{"Name":"v"}' "$api/volumes/create" > /dev/null
mount=",\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"$dir/missing\",\"Target\":\"/m\"}]"

actual=$(
  printf 'tag: %s\n' "$(call "$api/images/json" | grep -o '"RepoTags":\[[^]]*\]')"
  printf 'label e=: %s\n' "$(call -G -d all=1 --data-urlencode 'filters={"label":["e="]}' "$api/containers/json" |
    grep -o '"Names":\["[^"]*' | cut -d/ -f2 | sort | tr '\n' ' ')"
  printf 'unknown driver: %s\n' "$(call "${json[@]}" "${code[@]}" -d '{"Name":"v","Driver":"nosuch"}' "$api/volumes/create")"
  printf 'bind mount: %s, ' "$(call "${json[@]}" "${code[@]}" -d "$(container x "$mount")" "$api/containers/create?name=m")"
  [ -d missing ] && echo created || echo missing
  printf 'status dead: %s\n' "$(call -G "${code[@]}" --data-urlencode 'filters={"status":["dead"]}' "$api/containers/json")"
  printf 'prefix: %s\n' "$(call "${code[@]}" http://engine/v1.99/containers/json)"
)
expected='tag: "RepoTags":["localhost/t:latest"]
label e=: empty full 
unknown driver: 201
bind mount: 201, created
status dead: 500
prefix: 200'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
