/**
 * The laws of `Provider` and `NodeCreator`, and fakes of backends. `runLaws` over a layer and a `Harness` reports which
 * laws the layer satisfies. `kubelayer/testing/vitest` declares a test for each law.
 *
 * @since 0.1.0
 */
export * as DockerFake from "./DockerFake.ts"
export * as DockerHarness from "./DockerHarness.ts"
export * as FaultProxy from "./FaultProxy.ts"
export {
  type Call,
  eventually,
  Harness,
  type HarnessAbilities,
  type HarnessBase,
  HarnessError,
  type HarnessService,
  make as makeHarness,
  type NodeCall,
  rest,
  type Seed,
  type TrueNode
} from "./Harness.ts"
export * as HetznerFake from "./HetznerFake.ts"
export * as HetznerHarness from "./HetznerHarness.ts"
export {
  capabilities,
  type Capability,
  creator,
  expect,
  expectOutcomes,
  expectSame,
  failsWith,
  type Group,
  groups,
  type Law,
  law,
  LawBroken,
  succeeds,
  type World
} from "./Law.ts"
export { laws } from "./laws.ts"
export * as MemoryHarness from "./MemoryHarness.ts"
export * as OmniFake from "./OmniFake.ts"
export * as OmniHarness from "./OmniHarness.ts"
export { formatReport, type LawOptions, type LawReport, type LawResult, runLaw, runLaws } from "./runLaws.ts"
export * as Simulation from "./Simulation.ts"
export { type Gate, isAt, makeGate, type Steering, steering } from "./Steering.ts"
