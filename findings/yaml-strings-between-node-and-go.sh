#!/usr/bin/env bash
# Strings that npm's YAML writer leaves unquoted, and that the Go YAML readers of Kubernetes tools read as other types.
#
# Versions: npm yaml 2.9.1; gopkg.in/yaml.v3 v3.0.1; sigs.k8s.io/yaml v1.4.0 (the reader of kubectl and kind).
# Behaviour seen (input: an object whose values are all strings):
#   "2026-11-27"  written plain; yaml.v3 reads a time.Time, sigs.k8s.io/yaml a string
#   "1_000"       written plain; yaml.v3 reads the int 1000, sigs.k8s.io/yaml the number 1000
#   "0b101"       written plain; both read 5
#   "yes"         written plain; yaml.v3 reads a string, sigs.k8s.io/yaml the boolean true
#   "12:30"       written plain; both read a string
#   "012"         written with quotes; both read a string
#   the key "n"   written plain; yaml.v3 reads the key "n", sigs.k8s.io/yaml the key "false"
# So a label or annotation that a Node program writes can reach a Kubernetes tool as another value, and the two Go
# readers disagree with each other about three of the seven.
#
# Needs node with npm, and go. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOPATH="$dir/go" GOCACHE="$dir/cache" GOFLAGS=-mod=mod

printf '{"private":true,"type":"module"}\n' > package.json
npm install --silent --no-audit --no-fund yaml@2.9.1 > /dev/null
cat > write.mjs <<'JS'
import { stringify } from "yaml"
console.log(stringify({ binary: "0b101", clock: "12:30", date: "2026-11-27", grouped: "1_000", n: "key", octal: "012", word: "yes" }))
JS
node write.mjs > values.yaml

printf 'module finding\n\ngo 1.22\n' > go.mod
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"sort"

	yaml3 "gopkg.in/yaml.v3"
	k8s "sigs.k8s.io/yaml"
)

func main() {
	text, _ := os.ReadFile("values.yaml")
	var a, b map[string]any
	if err := yaml3.Unmarshal(text, &a); err != nil {
		panic(err)
	}
	if err := k8s.Unmarshal(text, &b); err != nil {
		panic(err)
	}
	keys := []string{}
	for key := range a {
		keys = append(keys, key)
	}
	for key := range b {
		if _, known := a[key]; !known {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	for _, key := range keys {
		fmt.Printf("%s: %T, %T\n", key, a[key], b[key])
	}
}
GO
go get gopkg.in/yaml.v3@v3.0.1 sigs.k8s.io/yaml@v1.4.0 > /dev/null 2>&1
actual=$(go run .)
expected='binary: int, float64
clock: string, string
date: time.Time, string
false: <nil>, string
grouped: int, float64
n: string, <nil>
octal: string, string
word: string, bool'
printf 'yaml 2.9.1 wrote:\n%s\n\nyaml.v3 v3.0.1 and sigs.k8s.io/yaml v1.4.0 read:\n%s\n' "$(cat values.yaml)" "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
