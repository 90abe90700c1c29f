// The order of a table of variants, by any of its columns.
//
// What has no value in a column (it was never timed, or never gave an answer) is last, whichever way the others go: a reader
// who asks for the slowest variants does not ask for those that never ran.
import { type Tried, variantWords } from "./records";

export type Column = "tried" | "variant" | "time" | "error" | "outcome";

export interface Order {
  by: Column;
  descending: boolean;
}

/** A variant, and its place in the order tried. */
export interface Placed {
  each: Tried;
  at: number;
}

export function sorted(tried: readonly Tried[], { by, descending }: Order): Placed[] {
  const value = VALUES[by];
  return tried
    .map((each, at) => ({ each, at, value: value(each, at) }))
    .sort((a, b) => {
      if (a.value === undefined || b.value === undefined) {
        return Number(a.value === undefined) - Number(b.value === undefined) || a.at - b.at;
      }
      return (descending ? compare(b.value, a.value) : compare(a.value, b.value)) || a.at - b.at;
    });
}

type Value = number | string | undefined;

const VALUES: Record<Column, (tried: Tried, at: number) => Value> = {
  tried: (_, at) => at,
  variant: (tried) => variantWords(tried),
  // A wrong answer is no time to compete with.
  time: ({ us, outcome }) => (outcome === "ok" ? us : undefined),
  error: ({ error }) => error,
  outcome: ({ outcome }) => outcome,
};

function compare(a: number | string, b: number | string): number {
  return typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });
}
