#!/usr/bin/env bash
# hcloud-cli of Debian 12 sends HTTP settings when it updates a TCP service of a load balancer.
#
# Versions: hcloud-cli 1.30.3 of Debian 12, unpacked into a temporary folder; a stub of the API on loopback.
# Behaviour seen (the service in the reply of the API is TCP and has no HTTP settings):
#   `update-service lb --listen-port 80 --destination-port 8080` sends "http":{} and "health_check":{"http":{}}.
#   `add-service lb --protocol tcp` sends neither.
#   So a server of the API cannot refuse `http` of a TCP service by its presence.
#
# Needs Debian 12 with apt, and python3. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
stub=
cleanup() {
  if [ -n "$stub" ]; then
    kill "$stub" 2> /dev/null || true
    wait "$stub" 2> /dev/null || true
  fi
  rm -rf "$dir"
}
trap cleanup EXIT
cd "$dir"

apt-get download -q 'hcloud-cli=1.30.3-1*' > /dev/null 2>&1
dpkg-deb -x hcloud-cli_*.deb root
cat > stub.py <<'PY'
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

DAY = "2026-01-01T00:00:00+00:00"
ACTION = {"id": 1, "command": "update_service", "status": "success", "progress": 100, "started": DAY, "finished": DAY,
          "resources": [{"id": 1, "type": "load_balancer"}], "error": None}
SERVICE = {"protocol": "tcp", "listen_port": 80, "destination_port": 80, "proxyprotocol": False,
           "health_check": {"protocol": "tcp", "port": 80, "interval": 15, "timeout": 10, "retries": 3}}
BALANCER = {"id": 1, "name": "lb", "services": [SERVICE], "targets": [], "labels": {}, "private_net": [],
            "public_net": {"enabled": True, "ipv4": {"ip": "192.0.2.1"}, "ipv6": {"ip": "2001:db8::1"}},
            "location": {"id": 1, "name": "fsn1"}, "load_balancer_type": {"id": 1, "name": "lb11"},
            "protection": {"delete": False}, "algorithm": {"type": "round_robin"}, "created": DAY}


class Api(BaseHTTPRequestHandler):
    def answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        page = {"page": 1, "per_page": 25, "previous_page": None, "next_page": None, "last_page": 1, "total_entries": 1}
        body = {"actions": [ACTION]} if self.path.startswith("/v1/actions") else {"load_balancers": [BALANCER]}
        self.answer({**body, "meta": {"pagination": page}})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode().strip()
        with open("requests", "a") as log:
            log.write(self.path.rsplit("/", 1)[1] + " " + body + "\n")
        self.answer({"action": ACTION})

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Api)
with open("port.new", "w") as file:
    file.write(str(server.server_port))
os.rename("port.new", "port")
server.serve_forever()
PY
python3 stub.py &
stub=$!
for _ in $(seq 100); do [ -f port ] && break; sleep 0.1; done

export HCLOUD_CONFIG=/dev/null HCLOUD_TOKEN=token HCLOUD_ENDPOINT="http://127.0.0.1:$(cat port)/v1"
hcloud() { timeout 60 root/usr/bin/hcloud "$@" > /dev/null 2>&1; }
hcloud load-balancer update-service lb --listen-port 80 --destination-port 8080
hcloud load-balancer add-service lb --protocol tcp --listen-port 90 --destination-port 8080

actual=$(cat requests)
expected='update_service {"listen_port":80,"destination_port":8080,"http":{},"health_check":{"http":{}}}
add_service {"protocol":"tcp","listen_port":90,"destination_port":8080,"proxyprotocol":false}'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
