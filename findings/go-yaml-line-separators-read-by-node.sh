#!/usr/bin/env bash
# Strings that the YAML writers of Kubernetes tools write and that readers return changed.
#
# Versions: gopkg.in/yaml.v3 v3.0.1; go.yaml.in/yaml/v4 v4.0.0; sigs.k8s.io/yaml v1.6.0 (kubectl's); npm yaml 2.9.1.
# Behaviour seen (each writer gets a map with one string and returns no error):
#   "a<U+2028>b": all three writers indent after U+2028 as after a line break. YAML 1.2 does not count it as a break, so
#     npm yaml returns the spaces as part of the text. The writers read their own output correctly.
#   "a<newline><U+2028>b<newline>c": the block ends early for npm yaml, which refuses the document.
#   "<newline>a": yaml.v3 writes "|4-" and drops the newline, also for its own reader. v4 and sigs.k8s.io/yaml keep it.
#   "<tab>a<newline>b": yaml.v3 cannot read its own output. v4 can.
#
# Needs node with npm, and go. Fails if the behaviour changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
export GOPATH="$dir/go" GOCACHE="$dir/cache" GOFLAGS=-mod=mod

printf '{"private":true,"type":"module"}\n' > package.json
npm install --silent --no-audit --no-fund yaml@2.9.1 > /dev/null
printf 'module finding\n\ngo 1.22\n' > go.mod
cat > main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	yaml4 "go.yaml.in/yaml/v4"
	yaml3 "gopkg.in/yaml.v3"
	k8s "sigs.k8s.io/yaml"
)

type library struct {
	name  string
	write func(any) ([]byte, error)
	read  func([]byte, *map[string]string) error
}

func main() {
	libraries := []library{
		{"yaml.v3", yaml3.Marshal, func(text []byte, to *map[string]string) error { return yaml3.Unmarshal(text, to) }},
		{"yaml/v4", yaml4.Marshal, func(text []byte, to *map[string]string) error { return yaml4.Unmarshal(text, to) }},
		{"sigs.k8s.io/yaml", k8s.Marshal, func(text []byte, to *map[string]string) error { return k8s.Unmarshal(text, to) }},
	}
	out := json.NewEncoder(os.Stdout)
	for _, value := range []string{"a\u2028b", "a\n\u2028b\nc", "\na", "\ta\nb"} {
		for _, each := range libraries {
			text, err := each.write(map[string]string{"v": value})
			if err != nil {
				panic(err)
			}
			var back map[string]string
			itself := "same"
			if err := each.read(text, &back); err != nil {
				itself = "error"
			} else if back["v"] != value {
				itself = fmt.Sprintf("%+q", back["v"])
			}
			out.Encode(map[string]string{"value": value, "writer": each.name, "text": string(text), "itself": itself})
		}
	}
}
GO
cat > read.mjs <<'JS'
import { readFileSync } from "node:fs"
import { parseDocument } from "yaml"
const show = (text) => JSON.stringify(text).replaceAll("\u2028", "\\u2028")
for (const line of readFileSync("written.jsonl", "utf8").trim().split("\n")) {
  const { itself, text, value, writer } = JSON.parse(line)
  const document = parseDocument(text)
  const back = document.errors.length > 0 ? undefined : document.get("v")
  const node = back === undefined ? "error" : back === value ? "same" : show(back)
  console.log(`${show(value)} of ${writer}: itself ${itself}, npm yaml ${node}`)
}
JS
go get gopkg.in/yaml.v3@v3.0.1 go.yaml.in/yaml/v4@v4.0.0 sigs.k8s.io/yaml@v1.6.0 > /dev/null 2>&1
go run . > written.jsonl
actual=$(node read.mjs)
expected='"a\u2028b" of yaml.v3: itself same, npm yaml "a\u2028    b"
"a\u2028b" of yaml/v4: itself same, npm yaml "a\u2028    b"
"a\u2028b" of sigs.k8s.io/yaml: itself same, npm yaml "a\u2028  b"
"a\n\u2028b\nc" of yaml.v3: itself same, npm yaml error
"a\n\u2028b\nc" of yaml/v4: itself same, npm yaml error
"a\n\u2028b\nc" of sigs.k8s.io/yaml: itself same, npm yaml error
"\na" of yaml.v3: itself "a", npm yaml "a"
"\na" of yaml/v4: itself same, npm yaml same
"\na" of sigs.k8s.io/yaml: itself same, npm yaml same
"\ta\nb" of yaml.v3: itself error, npm yaml same
"\ta\nb" of yaml/v4: itself same, npm yaml same
"\ta\nb" of sigs.k8s.io/yaml: itself same, npm yaml same'
printf '%s\n' "$actual"
[ "$actual" = "$expected" ] || { printf '\nThe behaviour has changed. Before:\n%s\n' "$expected"; exit 1; }
