import { expect, test } from "vitest";
import { heatMap } from "./heat";
import type { Tried } from "./records";

function tried(parameters: Tried["parameters"], us: number | undefined, outcome: Tried["outcome"] = "ok"): Tried {
  return { kernel: "tile", parameters, us, outcome, samples: 3, error: 0, tolerance: 1, note: "", takenAtMs: 0 };
}

test("the two parameters with the most values span the map, and a cell has the fastest of its variants", () => {
  const heat = heatMap([
    tried({ m: 16, n: 16, stage: 0 }, 40),
    tried({ m: 16, n: 16, stage: 1 }, 10),
    tried({ m: 64, n: 16, stage: 0 }, 20),
    tried({ m: 32, n: 64, stage: 0 }, 80),
    tried({ m: 32, n: 32, stage: 0 }, 80),
  ])!;
  expect([heat.down, heat.across].sort()).toEqual(["m", "n"]);
  const [m, n] = heat.down === "m" ? [heat.rows, heat.columns] : [heat.columns, heat.rows];
  expect([m, n]).toEqual([
    [16, 32, 64],
    [16, 32, 64],
  ]);
  const cell = heat.cells[0]![0]!;
  expect([cell.fastest.us, cell.variants, cell.slowness]).toEqual([10, 2, 0]);
  const others = heat.cells.flat().filter((each) => each !== undefined && each !== cell);
  expect(others.map((each) => Math.round(each!.slowness * 100)).sort((a, b) => a - b)).toEqual([33, 100, 100]);
  expect(heat.cells.flat().filter((each) => each === undefined)).toHaveLength(5);
});

test("of parameters with as many values, the one that changes more goes first", () => {
  const heat = heatMap([
    tried({ idle: 1, some: 1, much: 1 }, 10),
    tried({ idle: 2, some: 1, much: 1 }, 10),
    tried({ idle: 1, some: 2, much: 1 }, 20),
    tried({ idle: 1, some: 1, much: 2 }, 90),
  ])!;
  expect([heat.down, heat.across]).toEqual(["much", "some"]);
});

test("there is no map of less than two parameters that vary among the variants that were right", () => {
  expect(heatMap([])).toBeUndefined();
  expect(heatMap([tried({ m: 16, n: 16 }, 10), tried({ m: 32, n: 16 }, 20)])).toBeUndefined();
  expect(
    heatMap([tried({ m: 16, n: 16 }, 10), tried({ m: 32, n: 16 }, 20), tried({ m: 16, n: 32 }, 1, "wrong")]),
  ).toBeUndefined();
});
