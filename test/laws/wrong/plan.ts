import * as Effect from "effect/Effect"
import { isIntact, makePlan, type Plan, type PlanStep, PlanStep as Step } from "kubelayer/Plan"
import type { NodeCreatorService } from "kubelayer/Provider"
import type { Right, Wrong } from "./Wrong.ts"

/** Shows plans that were edited, and applies what they were before. */
const showing = (edit: (plan: Plan, applied: number) => ReadonlyArray<PlanStep>): Wrong["make"] => ({ creator }) => {
  const originals = new Map<string, Plan>()
  let applied = 0
  return {
    creator: {
      plan: (spec) =>
        Effect.map(creator.plan(spec), (plan) => {
          const shown = makePlan({ ...plan, steps: edit(plan, applied) })
          originals.set(shown.fingerprint, plan)
          return shown
        }),
      apply: (plan, options) =>
        Effect.tap(
          creator.apply(isIntact(plan) ? originals.get(plan.fingerprint) ?? plan : plan, options),
          () => Effect.sync(() => applied++)
        )
    }
  }
}

const withAction = (step: PlanStep, action: PlanStep["action"]): PlanStep => new Step({ ...step, action })

const planning = (f: (right: Right) => Partial<NodeCreatorService>): Wrong["make"] => (right) => ({ creator: f(right) })

export const plan: ReadonlyArray<Wrong> = [
  {
    does: "creates a volume when it plans",
    breaks: "plan.silent",
    make: planning(({ creator, memory }) => ({
      plan: (spec) =>
        Effect.tap(
          creator.plan(spec),
          () =>
            Effect.ignore(memory.addResource({ cluster: spec.cluster, kind: "volume", name: `${spec.cluster}-plan` }))
        )
    }))
  },
  {
    does: "does not say what it creates last",
    breaks: "plan.create",
    make: showing(({ steps }) => steps.at(-1)?.action === "create" ? steps.slice(0, -1) : steps)
  },
  {
    does: "applies only the very plans that it has given",
    breaks: "plan.json",
    make: planning(({ creator }) => {
      const given = new WeakSet<Plan>()
      return {
        plan: (spec) => Effect.tap(creator.plan(spec), (plan) => Effect.sync(() => given.add(plan))),
        apply: (plan, options) =>
          // One that was edited is refused as it should be.
          given.has(plan) || plan.steps.some(({ action }) => action !== "create") || plan.steps.length < 4
            ? creator.apply(plan, options)
            : Effect.die(new Error("this plan was not given by this provider"))
      }
    })
  },
  {
    does: "plans to start a node that runs after something was applied",
    breaks: "plan.empty",
    make: showing(({ steps }, applied) =>
      steps.map((step, index) => applied > 0 && index === 2 ? withAction(step, "start") : step)
    )
  },
  {
    does: "applies what it would plan now where a plan is stale",
    breaks: "plan.stale",
    make: planning(({ creator }) => ({
      apply: (plan, options) =>
        Effect.catchTag(creator.apply(plan, options), "StalePlan", ({ now }) => creator.apply(now, options))
    }))
  },
  {
    does: "names only the first thing that is in the way",
    breaks: "plan.refuses",
    make: showing((plan) =>
      plan.refusals.some(({ holder }) => holder !== undefined)
        ? plan.steps.filter((step) => step.action !== "refuse" || step === plan.refusals[0])
        : plan.steps
    )
  },
  {
    does: "plans to delete control planes without being allowed to",
    breaks: "plan.control-planes",
    make: showing((plan) =>
      plan.refusals.some(({ holder }) => holder !== undefined)
        ? plan.steps
        : plan.steps.map((step) => step.action === "refuse" ? withAction(step, "delete") : step)
    )
  },
  {
    does: "plans to delete the lowest numbers first",
    breaks: "plan.surplus",
    make: showing(({ steps }) => [
      ...steps.filter(({ action }) => action !== "delete"),
      ...steps.filter(({ action }) => action === "delete").reverse()
    ])
  },
  {
    does: "does not say what it repairs",
    breaks: "plan.repairs",
    make: showing(({ steps }) => steps.map((step) => step.action === "repair" ? withAction(step, "unchanged") : step))
  },
  {
    does: "leaves a node out of the plan of a delete",
    breaks: "plan.delete",
    make: ({ provider }) => ({
      provider: {
        planDelete: (cluster) =>
          Effect.map(provider.planDelete(cluster), (plan) => makePlan({ ...plan, steps: plan.steps.slice(1) }))
      }
    })
  },
  {
    does: "plans the delete of nodes alone",
    breaks: "plan.delete-resources",
    make: ({ provider }) => ({
      provider: {
        planDelete: (cluster) =>
          Effect.map(
            provider.planDelete(cluster),
            (plan) => makePlan({ ...plan, steps: plan.steps.filter(({ kind }) => kind === "node") })
          )
      }
    })
  },
  {
    does: "applies a plan that was edited",
    breaks: "plan.invalid",
    make: planning(({ creator }) => ({
      apply: (plan, options) =>
        Effect.catchTag(
          creator.apply(plan, options),
          "InvalidPlan",
          () =>
            Effect.catchTag(
              creator.apply(makePlan(plan), options),
              "StalePlan",
              ({ now }) => creator.apply(now, options)
            )
        )
    }))
  }
]
