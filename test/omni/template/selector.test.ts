import { assert, describe, it } from "@effect/vitest"
import { parseGoDuration } from "../../../src/omni/template/GoDuration.ts"
import { fitsOneOf, parseSelector } from "../../../src/omni/template/Selector.ts"
import {
  kubernetesStepFault,
  latestKubernetes,
  nearestVersions,
  usableTalos
} from "../../../src/omni/template/Versions.ts"

describe("a label selector", () => {
  const labels = { zone: "a", "omni.sidero.dev/cores": "16", mem: "32 GiB", empty: "" }

  it.each(
    [
      ["zone", true],
      ["rack", false],
      ["!zone", false],
      ["! rack", true],
      ["zone=a", true],
      ["zone == a", true],
      ["zone!=a", false],
      ["rack != a", true],
      ["zone in (b, a)", true],
      ["zone notin (b,c)", true],
      ["zone in (b)", false],
      ["omni.sidero.dev/cores >= 16", true],
      ["omni.sidero.dev/cores>16", false],
      ["omni.sidero.dev/cores < 9", false],
      ["mem > 16", true],
      ["rack > 1", false],
      ["zone > 1", false],
      ["empty=", true],
      ["zone in (a,b), omni.sidero.dev/cores >= 8, !rack", true],
      ["zone=a,rack", false]
    ] as const
  )("%j fits: %s", (selector, fits) => {
    assert.strictEqual(parseSelector(selector)?.(labels), fits)
  })

  it.each(["", " , ", "zone in", "zone in (a", "a b c", "=x", "zone in a)"])("%j is none, and fits nothing", (text) => {
    assert.isUndefined(parseSelector(text))
    assert.isFalse(fitsOneOf([text], labels))
  })

  it("is one of several", () => {
    assert.isTrue(fitsOneOf(["zone=b", "zone=a"], labels))
    assert.isFalse(fitsOneOf([], labels))
  })
})

describe("versions", () => {
  const known = (version: string, kubernetes: ReadonlyArray<string> = [], deprecated = false, unsupported = false) => ({
    version,
    kubernetes,
    deprecated,
    unsupported
  })

  it("the latest is no pre-release, not deprecated and supported", () => {
    const all = [
      known("1.9.10"),
      known("1.10.2", ["1.9.0", "1.33.1", "1.34.0-rc.1", "1.10.0"]),
      known("1.11.0", [], true),
      known("1.12.0", [], false, true),
      known("1.13.0-alpha.1"),
      known("junk")
    ]
    const latest = usableTalos(all)[0]
    assert.strictEqual(latest?.version, "1.10.2")
    assert.strictEqual(latest === undefined ? "" : latestKubernetes(latest), "1.33.1")
    assert.deepStrictEqual(usableTalos([known("1.13.0-alpha.1")]), [])
  })

  it("the nearest are near in their numbers, not in their letters", () => {
    assert.deepStrictEqual(nearestVersions("v1.9.3", ["1.10.0", "1.9.10", "1.9.2", "2.0.0", "junk"]), [
      "1.9.2",
      "1.9.10",
      "1.10.0"
    ])
  })

  it("Kubernetes goes up one minor at a time and never back", () => {
    assert.isUndefined(kubernetesStepFault("1.33.1", "v1.34.9"))
    assert.isUndefined(kubernetesStepFault("1.33.1", "1.33.0"))
    assert.match(kubernetesStepFault("1.33.1", "1.35.0") ?? "", /go to 1\.34 first/)
    assert.match(kubernetesStepFault("1.33.1", "1.32.9") ?? "", /cannot go back/)
  })
})

describe("a duration as Go writes it", () => {
  it.each(
    [["1h30m", 5400n, 0n], ["90s", 90n, 0n], ["1.5h", 5400n, 0n], ["250ms", 0n, 250_000_000n], ["0", 0n, 0n]] as const
  )("%s", (text, seconds, nanos) => {
    assert.deepStrictEqual(parseGoDuration(text), { seconds, nanos })
  })

  it.each(["", "1", "h", "1d", "1h 30m", "9999999999999h", "1h-2m"])("%j is none", (text) => {
    assert.isUndefined(parseGoDuration(text))
  })
})
