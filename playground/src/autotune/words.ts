// Where a tuning stands, in words.
import type { Speeds, TunedDevice, TunedOperation, TuningStatus } from "tilewright";
import { count, counted, duration } from "../figures";
import { type Clock, median } from "./records";

export type Standing = "none" | "failed" | "paused" | "waiting" | "working" | "done" | "idle";

export function standing({ available, state, paused, waiting }: TuningStatus): Standing {
  if (!available) return "none";
  if (state === "failed" || state === "done" || state === "idle") return state;
  if (paused) return "paused";
  return waiting ? "waiting" : "working";
}

export function stateWords(status: TuningStatus): { title: string; detail: string } {
  const { state, measured, spent_ms: spent, operations } = status;
  const so = measured > 0 ? `${counted(measured, "variant")} measured in ${duration(spent)} of the GPU.` : "";
  switch (standing(status)) {
    case "none":
      return {
        title: "No GPU to tune",
        detail:
          "The CPU computes here, and kernels are tuned for GPUs only. Add ?device=gpu to this page's address to have the GPU, if there is one.",
      };
    case "failed":
      return { title: "Tuning ended early", detail: status.error ?? "Nothing is known of why." };
    case "paused":
      return { title: "Paused", detail: so || "Nothing is measured until you resume." };
    case "waiting":
      return { title: "Waiting", detail: `Somebody's answer goes first. ${so}`.trim() };
    case "done": {
      const unmeasured = operations.filter(({ state }) => state === "waiting").length;
      if (unmeasured > 0) {
        return {
          title: "Not all is measured here",
          detail:
            `${count(unmeasured)} of ${counted(operations.length, "operation")}: what others know of them is used, ` +
            `or the default. “Tune now” measures them. ${so}`.trim(),
        };
      }
      return {
        title: "Nothing left to measure",
        detail: measured > 0 ? so : "All of it was known: nothing was measured this time.",
      };
    }
    case "idle":
      return {
        title: "Not begun",
        detail: "A tuning begins by itself soon after the model is there, or when you say so.",
      };
    case "working":
      if (state === "adopting")
        return {
          title: "Checking what is known",
          detail: "Before a stored winner is used, it has to compute the right answer here.",
        };
      if (state === "trying")
        return { title: "Trying whole steps", detail: `With and without the winners, in turns. ${so}`.trim() };
      return { title: "Measuring", detail: so || "Between two variants, questions go first." };
  }
}

/**
 * About how many milliseconds of waiting are left, at the pace so far: compiling goes with measuring, so a second of the GPU
 * may take many to come by. Undefined where there is nothing to tell the pace from, or nothing to wait for.
 */
export function timeLeft(status: TuningStatus): number | undefined {
  const { state, spent_ms: spent, budget_ms: budget, elapsed_ms: elapsed } = status;
  if (standing(status) !== "working" || state !== "tuning") return undefined;
  if (!(spent > budget / 20) || spent >= budget) return undefined;
  return (elapsed * (budget - spent)) / spent;
}

/** What a sample is measured with. */
export function clockWords({ clock, quantumNs }: Clock): string {
  const what = clock === "timestamp" ? "the GPU's timestamps" : "the clock on the wall";
  return quantumNs > 0 ? `${what}, in steps of ${micros(quantumNs / 1000)}` : what;
}

/** A difference from the right answer, with two figures. */
export function errorWords(error: number): string {
  if (!Number.isFinite(error)) return "not finite";
  return error === 0 ? "0" : error.toExponential(1).replace("e-", "e−").replace("e+", "e");
}

/** A GPU in a few words. */
export function deviceWords({ vendor, architecture, device, description }: TunedDevice): string {
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "not named by the browser";
}

export function subgroupWords({ subgroup_min: least, subgroup_max: most }: TunedDevice): string {
  if (most === 0) return "not told";
  return least === most ? `${most} threads` : `${least} to ${most} threads`;
}

/** "1.42 ×", or nothing where it was not measured. */
export function gain({ default_us: before, chosen_us: after }: TunedOperation): number | undefined {
  return before === null || after === null || !(after > 0) ? undefined : before / after;
}

export function times(factor: number): string {
  return `${count(factor, 2)} ×`;
}

/** Microseconds with three figures. */
export function micros(us: number): string {
  if (us >= 100_000) return `${count(us / 1000)} ms`;
  if (us >= 10_000) return `${count(us / 1000, 1)} ms`;
  return `${us >= 100 ? count(us) : us >= 10 ? count(us, 1) : count(us, 2)} µs`;
}

/** Round times to write on an axis of doublings: 1, 2 and 5 of each power of ten, or fewer where these are more than six. */
export function marks(least: number, most: number): number[] {
  const decades = Array.from({ length: Math.floor(Math.log10(most)) - Math.floor(Math.log10(least)) + 1 }, (_, i) => {
    return 10 ** (Math.floor(Math.log10(least)) + i);
  });
  const among = (steps: readonly number[]): number[] =>
    decades.flatMap((decade) => steps.map((step) => step * decade)).filter((at) => at >= least && at <= most);
  const candidates = [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]].map(among);
  return candidates.find(({ length }) => length <= 6) ?? candidates.at(-1)!;
}

/** Medians of alternating runs, in tokens per second, and how many there were of each. */
export function medians(speeds: Speeds): { before: number; after: number; runs: number } | undefined {
  const before = median(speeds.before_tokens_per_s);
  const after = median(speeds.after_tokens_per_s);
  if (before === undefined || after === undefined) return undefined;
  return { before, after, runs: Math.min(speeds.before_tokens_per_s.length, speeds.after_tokens_per_s.length) };
}

/** Operations by phase, both in the order given. */
export function byPhase(operations: readonly TunedOperation[]): Map<string, TunedOperation[]> {
  const phases = new Map<string, TunedOperation[]>();
  for (const operation of operations) {
    const phase = phases.get(operation.phase);
    if (phase) phase.push(operation);
    else phases.set(operation.phase, [operation]);
  }
  return phases;
}
