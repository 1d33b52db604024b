/** Makes a script that breaks an invariant smaller, and prints it as a test. */
import type { Outcome } from "./Run.ts"
import type { Script, Step } from "./Script.ts"

/** The part of a violation that is the same in other scripts: its words, without names, numbers and outcomes. */
const shapeOf = (violation: string): string =>
  violation.replace(/ \[.*$/s, "").replace(/^actor -?\d+: [^:]*: /, "").replace(/[a-z]+-[a-z-]+\d*/g, "#").replace(
    /\d+/g,
    "#"
  ).slice(0, 80)

const without = <A>(items: ReadonlyArray<A>, index: number): ReadonlyArray<A> => items.filter((_, at) => at !== index)

const replaced = <A>(items: ReadonlyArray<A>, index: number, item: A): ReadonlyArray<A> =>
  items.map((one, at) => at === index ? item : one)

const simplerSteps = (step: Step): ReadonlyArray<Step> => {
  const { ends, ...rest } = step
  const counts = "controlPlanes" in step
    ? [
      ...(step.controlPlanes > 1 ? [{ ...step, controlPlanes: 1 }] : []),
      ...(step.workers > 0 ? [{ ...step, workers: step.workers - 1 }] : [])
    ]
    : []
  return [...(ends === undefined ? [] : [rest as Step]), ...counts]
}

/** Scripts with one thing less, the largest things first. */
function* smaller(script: Script): Generator<Script> {
  for (let actor = 0; actor < script.actors.length; actor++) {
    if (script.actors.length > 1) yield { ...script, actors: without(script.actors, actor) }
  }
  if (script.faults.length > 1) yield { ...script, faults: [] }
  if (script.changes.length > 1) yield { ...script, changes: [] }
  for (let index = 0; index < script.clusters.length; index++) {
    yield { ...script, clusters: without(script.clusters, index) }
  }
  if (script.bystander) yield { ...script, bystander: false }
  if (script.unowned.length > 0) yield { ...script, unowned: script.unowned.slice(0, -1) }
  for (const [actor, steps] of script.actors.entries()) {
    for (let index = 0; index < steps.length; index++) {
      yield { ...script, actors: replaced(script.actors, actor, without(steps, index)) }
    }
  }
  for (let index = 0; index < script.faults.length; index++) {
    yield { ...script, faults: without(script.faults, index) }
  }
  for (let index = 0; index < script.changes.length; index++) {
    yield { ...script, changes: without(script.changes, index) }
  }
  for (const [actor, steps] of script.actors.entries()) {
    for (const [index, step] of steps.entries()) {
      for (const simpler of simplerSteps(step)) {
        yield { ...script, actors: replaced(script.actors, actor, replaced(steps, index, simpler)) }
      }
    }
  }
  for (const [index, size] of script.clusters.entries()) {
    if (size.controlPlanes > 1) {
      yield { ...script, clusters: replaced(script.clusters, index, { ...size, controlPlanes: 1 }) }
    }
    if (size.workers > 0) {
      yield { ...script, clusters: replaced(script.clusters, index, { ...size, workers: size.workers - 1 }) }
    }
  }
}

/** The smallest outcome with a violation of the same shape that was found within so many runs. */
export const shrink = async (
  outcome: Outcome,
  replay: (script: Script) => Promise<Outcome>,
  most = 400
): Promise<Outcome> => {
  const [first] = outcome.violations
  if (first === undefined) return outcome
  const shape = shapeOf(first)
  let smallest = outcome
  let runs = 0
  for (let isSmaller = true; isSmaller;) {
    isSmaller = false
    for (const script of smaller(smallest.script)) {
      if (++runs > most) return smallest
      const next = await replay(script)
      if (!next.violations.some((violation) => shapeOf(violation) === shape)) continue
      smallest = next
      isSmaller = true
      break
    }
  }
  return smallest
}

const isName = /^[A-Za-z_]\w*$/

/** A value as code. */
const codeOf = (value: unknown, indent: string): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const inner = `${indent}  `
  const parts = Array.isArray(value)
    ? value.map((one) => codeOf(one, inner))
    : Object.entries(value).map(([key, one]) =>
      `${isName.test(key) ? key : JSON.stringify(key)}: ${codeOf(one, inner)}`
    )
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{ ", " }"]
  if (parts.length === 0) return Array.isArray(value) ? "[]" : "{}"
  const oneLine = `${open}${parts.join(", ")}${close}`
  return oneLine.length + indent.length <= 110
    ? oneLine
    : `${open.trim()}\n${parts.map((part) => `${inner}${part}`).join(",\n")}\n${indent}${close.trim()}`
}

/** The test of a run, to be pasted. */
export const printTest = ({ script, violations }: Outcome): string =>
  [
    `it(${
      JSON.stringify(`${script.backend}, seed ${script.seed}: ${shapeOf(violations[0] ?? "no violation")}`)
    }, async () => {`,
    `  const outcome = await Simulation.replay(${codeOf(script, "  ")})`,
    "  assert.deepStrictEqual(outcome.violations, [])",
    "})"
  ].join("\n")
