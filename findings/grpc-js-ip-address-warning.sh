#!/usr/bin/env bash
# A gRPC client of Node that connects to an IP address over TLS prints a deprecation warning of Node.
#
# Versions: npm @grpc/grpc-js 1.14.7; Node 20.20 and 24.21.
# Behaviour seen (a server with a valid certificate for IP address 127.0.0.1; every call succeeds):
#   Target 127.0.0.1:PORT: "DEP0123 ... Setting the TLS ServerName to an IP address is not permitted by RFC 6066".
#   Target ipv4:127.0.0.1:PORT: the same warning.
#   Target localhost:PORT with the same certificate and checkServerIdentity for the address: no warning.
#   node:tls itself prints no warning for the same address: it sends no server name for an IP address.
#
# Needs node with npm, and openssl. Listens on loopback. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

printf '{"private":true,"type":"module"}\n' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts @grpc/grpc-js@1.14.7 > /dev/null 2>&1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 \
  -subj /CN=finding -addext 'subjectAltName=IP:127.0.0.1' 2> /dev/null
cat > call.mjs <<'JS'
import { readFileSync } from "node:fs"
import { checkServerIdentity, connect } from "node:tls"
import grpc from "@grpc/grpc-js"

const [form] = process.argv.slice(2)
const cert = readFileSync("cert.pem")
const bytes = (value) => value
const definition = {
  ping: {
    path: "/finding.Service/Ping",
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
}
const warnings = []
process.on("warning", (warning) => warnings.push(warning.code))
const server = new grpc.Server()
server.addService(definition, { ping: (_, reply) => reply(null, Buffer.from("pong")) })
const credentials = grpc.ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: readFileSync("key.pem") }])
server.bindAsync("127.0.0.1:0", credentials, (_, port) => {
  const finish = (result) => {
    server.forceShutdown()
    setImmediate(() => console.log(`${form}: ${result}, warnings: ${warnings.join() || "none"}`))
  }
  if (form === "node:tls") {
    const socket = connect({ host: "127.0.0.1", port, ca: cert, ALPNProtocols: ["h2"] }, () => {
      socket.destroy()
      finish("connected")
    })
    return
  }
  const options = form === "localhost" ? { checkServerIdentity: (_, peer) => checkServerIdentity("127.0.0.1", peer) } : {}
  const Client = grpc.makeClientConstructor(definition)
  const client = new Client(`${form}:${port}`, grpc.credentials.createSsl(cert, null, null, options))
  client.ping(Buffer.from("ping"), (error, reply) => {
    client.close()
    finish(error?.message ?? reply.toString())
  })
})
JS

actual=$(for form in 127.0.0.1 ipv4:127.0.0.1 localhost node:tls; do node call.mjs "$form" 2> /dev/null; done)
expected='127.0.0.1: pong, warnings: DEP0123
ipv4:127.0.0.1: pong, warnings: DEP0123
localhost: pong, warnings: none
node:tls: connected, warnings: none'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
