// Steps as the columns of the plot: each step's time, divided among clients by their share of its rows, answers apart from
// prompts.
//
// A row's cost depends on what is in the step, so the share of rows is the only honest division that the engine can
// tell. uPlot stacks by being given sums: a series holds its own part and all below it, and is drawn before those below.
import type { StepRecord } from "tilewright";

export interface Part {
  client: number;
  kind: "decode" | "prefill";
}

export interface Columns {
  /** From the bottom of the stack to its top. */
  parts: Part[];
  /** x, then for each part from top to bottom the sums in milliseconds; null where the part has no rows. */
  data: [number[], ...(number | null)[][]];
}

/** The newest step is at `places - 1`, one to the right of the one before. */
export function columns(steps: readonly StepRecord[], places: number): Columns {
  const parts = partsOf(steps);
  const x = steps.map((_, i) => places - steps.length + i);
  const sums: (number | null)[][] = parts.map(() => []);
  for (const { rows, elapsed } of steps) {
    const total = rows.reduce((sum, row) => sum + row.decode + row.prefill, 0);
    let below = 0;
    parts.forEach(({ client, kind }, i) => {
      const own = rows.reduce((sum, row) => sum + (row.client === client ? row[kind] : 0), 0);
      below += own;
      sums[i]!.push(own === 0 ? null : ((below / total) * elapsed) / 1000);
    });
  }
  return { parts, data: [x, ...sums.reverse()] };
}

/** What the stack consists of, the same for all steps so that a client stays at its height. */
export function partsOf(steps: readonly StepRecord[]): Part[] {
  const found = new Map<number, { decode: boolean; prefill: boolean }>();
  for (const { rows } of steps) {
    for (const { client, decode, prefill } of rows) {
      const kinds = found.get(client) ?? { decode: false, prefill: false };
      found.set(client, { decode: kinds.decode || decode > 0, prefill: kinds.prefill || prefill > 0 });
    }
  }
  const parts = [...found].sort(([a], [b]) => a - b);
  return parts.flatMap(([client, has]) =>
    (["decode", "prefill"] as const).filter((kind) => has[kind]).map((kind) => ({ client, kind })),
  );
}

/** Columns much longer than nearly all others leave the picture, so that those others are not all flat. */
const OUTLIER = 4;

export interface Scale {
  /** Milliseconds at the top of the axis. */
  top: number;
  /** How many steps are longer. */
  beyond: number;
}

/**
 * The axis for some steps. An engine's first step compiles its kernels and may take a hundred times as long as the next one:
 * such a step runs off the top, and the page says so.
 */
export function scale(steps: readonly StepRecord[]): Scale {
  const sorted = steps.map(({ elapsed }) => elapsed / 1000).sort((a, b) => a - b);
  const longest = sorted.at(-1) ?? 0;
  const nearlyAll = sorted[Math.floor((sorted.length - 1) * 0.95)] ?? 0;
  const high = top(longest > OUTLIER * nearlyAll ? OUTLIER * 0.5 * nearlyAll : longest);
  return { top: high, beyond: sorted.filter((ms) => ms > high).length };
}

/** The next round number, so that the axis rests while times vary. */
function top(ms: number): number {
  if (!(ms > 0)) return 10;
  const power = 10 ** Math.floor(Math.log10(ms));
  const factor = [1, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= ms) ?? 10;
  return Number((factor * power).toPrecision(1)); // 0.3, not 0.30000000000000004
}
