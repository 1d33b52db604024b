/** Random templates from seeds, for property tests. */
import * as Schema from "effect/Schema"
import type { Patch, Template } from "../../../src/omni/template/Model.ts"
import { cluster, machine } from "./support.ts"

/** A small generator of numbers, the same for the same seed. */
const random = (seed: number) => {
  let state = seed >>> 0
  return (below: number): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

export const Seed = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 31 - 1 }))

/** A template without faults. Machines come from `machine(1)` to `machine(12)`. */
export const templateOf = (seed: number): Template => {
  const next = random(seed)
  const maybe = <A extends object>(value: () => A): A | Record<string, never> => next(2) === 0 ? {} : value()
  const texts = () => ({ [`k${next(3)}`]: `v${next(3)}` })
  const patches = (): { patches: ReadonlyArray<Patch> } => ({
    patches: Array.from({ length: next(3) }, (_, index) => ({
      ...(next(4) === 0 ? { idOverride: `own-${seed}-${next(1e9)}` } : { name: `p${index}` }),
      ...maybe(() => ({ labels: texts() })),
      inline: next(2) === 0
        ? { machine: { sysctls: { [`a${next(5)}`]: `${next(5)}` } } }
        : `machine: {sysctls: {"b": "${next(3)}"}}\n`
    }))
  })
  const described = () => ({
    ...maybe(() => ({ labels: texts() })),
    ...maybe(() => ({ annotations: texts() })),
    ...maybe(patches),
    ...maybe(() => ({ systemExtensions: next(2) === 0 ? [] : ["siderolabs/iscsi-tools"] }))
  })
  const pool = Array.from({ length: 12 }, (_, index) => machine(index + 1))
  const take = (most: number) => pool.splice(0, next(most + 1))
  const usesClasses = next(3) === 0
  const source = (most: number) =>
    usesClasses
      ? { machineClass: { name: "any", size: next(3) } }
      : { machines: take(most), ...maybe(() => ({ kernelArgs: ["console=ttyS0"] })) }
  const controlPlane = { ...source(3), ...described() }
  const workers = Array.from({ length: next(3) }, (_, index) => ({
    name: `set${index}`,
    ...source(3),
    ...described(),
    ...maybe(() => ({ updateStrategy: { type: "Rolling" as const, rolling: { maxParallelism: 1 + next(3) } } }))
  }))
  const listed = workers.flatMap((set) => "machines" in set ? set.machines : [])
  return {
    cluster: {
      ...cluster,
      ...maybe(() => ({ features: { enableWorkloadProxy: next(2) === 0 } })),
      ...maybe(() => ({ kernelArgs: usesClasses ? undefined : ["quiet"] }) as object),
      ...described()
    },
    controlPlane,
    workers,
    machines: listed.filter(() => next(2) === 0).map((name) => ({
      name,
      ...described(),
      ...maybe(() => ({ locked: true })),
      ...maybe(() => ({ install: { disk: `/dev/sd${"ab".charAt(next(2))}` } }))
    }))
  }
}
