#!/usr/bin/env bash
# What effect/cli leaves out of completion scripts, and where it prints the help of a wrong command line.
#
# Versions: npm effect 4.1.0 and @effect/platform-node 4.1.0, Node 20 or later.
# Behaviour seen (a command "tool" with a subcommand "list", a local flag --wide and a global setting --backend):
#   `tool list --help` shows --backend; the bash, zsh and fish completion scripts never mention it.
#   `tool list --wrong` exits with 1 and prints the whole help on stdout; only the error itself is on stderr.
#   A boolean flag without a default is required: `tool list` fails with "Missing required flag: --wide".
#
# Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

printf '{"private":true,"type":"module"}\n' > package.json
npm install --silent --no-audit --no-fund effect@4.1.0 @effect/platform-node@4.1.0 > /dev/null 2>&1
cat > tool.mjs <<'JS'
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { Command, Flag, GlobalFlag } from "effect/cli"

const Backend = GlobalFlag.Setting("backend")({ flag: Flag.String("backend").pipe(Flag.withDefault("memory")) })
const list = Command.make("list", { wide: Flag.Boolean("wide") }, () => Effect.flatMap(Backend, Console.log))
const tool = Command.make("tool").pipe(Command.withSubcommands([list]), Command.withGlobalFlags([Backend]))
Command.run(tool, { version: "1.0.0" }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
JS

mentions() { grep -c -e "$1" || true; }
actual=$(
  printf 'help mentions --backend: %s\n' "$(node tool.mjs list --help | mentions --backend)"
  for shell in bash zsh fish; do
    node tool.mjs --completions "$shell" > "completions.$shell"
    wide=$(mentions wide < "completions.$shell")
    printf '%s completion mentions wide: %s, backend: %s\n' \
      "$shell" "$([ "$wide" -gt 0 ] && echo yes)" "$(mentions backend < "completions.$shell")"
  done
  code=0
  node tool.mjs list --wide --wrong > stdout.txt 2> stderr.txt || code=$?
  printf 'wrong flag: exit %s, USAGE on stdout: %s, USAGE on stderr: %s\n' \
    "$code" "$(mentions USAGE < stdout.txt)" "$(mentions USAGE < stderr.txt)"
  node tool.mjs list > /dev/null 2> stderr.txt || true
  printf 'without flag: %s\n' "$(grep -o 'Missing required flag: --wide' stderr.txt)"
)
expected='help mentions --backend: 1
bash completion mentions wide: yes, backend: 0
zsh completion mentions wide: yes, backend: 0
fish completion mentions wide: yes, backend: 0
wrong flag: exit 1, USAGE on stdout: 1, USAGE on stderr: 0
without flag: Missing required flag: --wide'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
