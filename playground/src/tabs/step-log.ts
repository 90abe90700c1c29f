// The last steps, gathered over many snapshots, and the pace that follows from them.
//
// A snapshot carries the latest steps without times of day, so a step counts as done when it is first seen here. At ten looks a
// second that is exact enough for a pace over some seconds. What the first look shows (after opening the page, or after it was
// hidden) happened at some time before, so it is drawn but not counted.
import type { StepRecord } from "tilewright";

/** As many as the plot shows. */
export const STEPS_SHOWN = 120;
const WINDOW_MS = 4000;
/** A pace over less time would jump about. */
const LEAST_MS = 700;

export interface Pace {
  /** Rows of answers per second. */
  decode: number;
  /** Rows of prompts per second. */
  prefill: number;
}

export class StepLog {
  /** Oldest first, at most `STEPS_SHOWN`. */
  steps: readonly StepRecord[] = [];
  private seen: { at: number; decode: number; prefill: number }[] = [];
  private since: number | undefined;

  /** Takes what is new in a snapshot's steps; tells whether anything was. */
  note(records: readonly StepRecord[], at: number): boolean {
    const last = this.steps.at(-1)?.step ?? -1;
    const newest = records.at(-1)?.step ?? -1;
    // Numbers only grow within one engine: smaller ones are another engine's.
    if (newest !== -1 && newest < last) this.clear();
    const fresh = records.filter(({ step }) => step > (this.steps.at(-1)?.step ?? -1));
    if (this.since === undefined) this.since = at;
    else {
      let [decode, prefill] = [0, 0];
      for (const { rows } of fresh) {
        for (const row of rows) {
          decode += row.decode;
          prefill += row.prefill;
        }
      }
      if (fresh.length > 0) this.seen.push({ at, decode, prefill });
    }
    while (this.seen.length > 0 && at - this.seen[0]!.at >= WINDOW_MS) this.seen.shift();
    if (fresh.length > 0) this.steps = [...this.steps, ...fresh].slice(-STEPS_SHOWN);
    return fresh.length > 0;
  }

  /** Undefined until there was enough time to measure. */
  pace(at: number): Pace | undefined {
    if (this.since === undefined || at - this.since < LEAST_MS) return undefined;
    const seconds = Math.min(WINDOW_MS, at - this.since) / 1000;
    const sum = (kind: keyof Pace): number => this.seen.reduce((sum, entry) => sum + entry[kind], 0);
    return { decode: sum("decode") / seconds, prefill: sum("prefill") / seconds };
  }

  /** Nobody looks for a while: what happens until the next look is drawn but not timed. */
  rest(): void {
    this.seen = [];
    this.since = undefined;
  }

  private clear(): void {
    this.steps = [];
    this.rest();
  }
}

/** The middle and the longest of some steps, in microseconds. */
export function times(steps: readonly StepRecord[]): { median: number; longest: number } | undefined {
  if (steps.length === 0) return undefined;
  const sorted = steps.map((step) => step.elapsed).sort((a, b) => a - b);
  return { median: sorted[Math.floor((sorted.length - 1) / 2)]!, longest: sorted.at(-1)! };
}
