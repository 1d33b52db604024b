/** The usage of each command behind start.mjs, which prints it without installing anything. */

/** @type {Record<string, string>} */
export const usages = {
  quickstart: `Creates, lists, stops, starts, watches and deletes a small cluster. Nothing is left behind.

Usage: npm run quickstart -- [--backend docker|memory|hetzner|omni] [--engine found|private|podman|none] [--plain]
  --backend  docker (the default), memory (simulated), hetzner and omni (their fakes, unless a credential is set)
  --engine   with docker: the engine that is found, a private one (root, Debian), or none
  --plain    one line for each outcome, also on a terminal
  --yes-this-costs-money  with hetzner and HCLOUD_TOKEN: creates billed servers without a question`,
  verify: `Runs every check of the project, and prints one line for each.

Usage: npm run verify -- [--engine found|private|podman|none] [--only <step>,<step>] [--repeat <n>] [--verbose]
  --only     the named steps alone, such as "unit tests,types"
  --repeat   runs the unit tests n times, each time in another order
  --verbose  shows the output of the steps that pass`,
  soak: `Runs many small clusters through a proxy that injects faults, each decided by a seed.

Usage: npm run soak -- [--seeds <n>] [--from <seed>] [--parallel <n>] [--engine found|private|podman|none] [--verbose]`,
  simulate: `Runs simulated programs against the fakes; each seed is one run, and gives the same run again.

Usage: npm run simulate -- [--seeds <n>] [--from <seed>] [--backend memory|docker|hetzner] [--workers <n>] [--seconds <n>] [--digests]
  --backend  one backend alone; by default a mix of all
  --seconds  begins nothing more after so many seconds
  --digests  prints the digest of each run
A seed that breaks an invariant is made smaller and printed as a test.`,
  planted: `Plants bugs in copies of the library, one at a time, and counts how many the simulation finds.

Usage: npm run planted -- [--seeds <n>] [--only <part of a name>] [--workers <n>] [--write]
  --write    writes the table into docs/simulation.md`,
  bench: `Measures what kubelayer promises to cost.

Usage: npm run bench -- [--only <id>,<id>] [--json <file>] [--engine found|private|podman|none]`,
  runtimes: `Runs the packed library on Node 20, 22, 24 and 26, Bun and Deno, and prints a table.

Usage: npm run runtimes -- [--only <runtime>,<runtime>] [--engine found|private|podman|none] [--write]
  --only     the named runtimes alone, such as node20,bun
  --write    writes the table into docs/runtimes.md`
}

/** @param {readonly string[]} args */
export const asksForHelp = (args) => args.some((arg) => arg === "--help" || arg === "-h") || args[0] === "help"
