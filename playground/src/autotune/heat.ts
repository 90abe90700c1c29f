// The map of a search: the two parameters that vary most span a grid, and each cell has the fastest variant with its pair.
//
// "Most" is by how many values were tried; of equals, the one whose values differ most in time goes first, because a map over
// a parameter that changes nothing shows nothing.
import type { Parameter, Tried } from "./records";

export interface Heat {
  /** Names of the two parameters. */
  down: string;
  across: string;
  rows: readonly Parameter[];
  columns: readonly Parameter[];
  /** By row, then column; undefined: nothing was timed there. */
  cells: readonly (readonly (HeatCell | undefined)[])[];
}

export interface HeatCell {
  fastest: Tried & { us: number };
  /** Variants that were timed with this pair. */
  variants: number;
  /** 0 is the fastest of the map, 1 the slowest, in doublings between. */
  slowness: number;
}

/** Undefined where there are no two parameters with two values each. */
export function heatMap(tried: readonly Tried[]): Heat | undefined {
  const timed = tried.filter((each): each is Tried & { us: number } => each.outcome === "ok" && each.us !== undefined);
  const names = [...new Set(timed.flatMap(({ parameters }) => Object.keys(parameters)))];
  const [down, across] = names
    .map((name) => ({ name, values: valuesOf(timed, name), spread: spread(timed, name) }))
    .filter(({ values }) => values.length > 1)
    .sort((a, b) => b.values.length - a.values.length || b.spread - a.spread);
  if (!down || !across) return undefined;
  const us = timed.map((each) => each.us);
  const [least, most] = [Math.log2(Math.min(...us)), Math.log2(Math.max(...us))];
  const cell = (row: Parameter, column: Parameter): HeatCell | undefined => {
    const here = timed.filter((each) => each.parameters[down.name] === row && each.parameters[across.name] === column);
    const fastest = here.reduce<(typeof here)[number] | undefined>((a, b) => (a && a.us <= b.us ? a : b), undefined);
    if (!fastest) return undefined;
    const slowness = most > least ? (Math.log2(fastest.us) - least) / (most - least) : 0;
    return { fastest, variants: here.length, slowness };
  };
  return {
    down: down.name,
    across: across.name,
    rows: down.values,
    columns: across.values,
    cells: down.values.map((row) => across.values.map((column) => cell(row, column))),
  };
}

function valuesOf(tried: readonly Tried[], name: string): Parameter[] {
  const values = new Set(tried.map(({ parameters }) => parameters[name]).filter((value) => value !== undefined));
  return [...values].sort((a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"),
  );
}

/** How far apart the best times of a parameter's values are. */
function spread(timed: readonly (Tried & { us: number })[], name: string): number {
  const best = valuesOf(timed, name).map((value) =>
    Math.min(...timed.filter(({ parameters }) => parameters[name] === value).map(({ us }) => us)),
  );
  return Math.max(...best) / Math.min(...best);
}
