import { expect, test } from "vitest";
import { type Column, sorted } from "./order";
import type { Tried } from "./records";

function tried(fields: Partial<Tried>): Tried {
  return {
    kernel: "tile",
    parameters: {},
    us: 1,
    outcome: "ok",
    samples: 3,
    error: 0,
    tolerance: 1,
    note: "",
    takenAtMs: 0,
    ...fields,
  };
}

const all = [
  tried({ parameters: { threads: 16 }, us: 30, error: 0.5 }),
  tried({ parameters: { threads: 8 }, us: undefined, error: undefined, outcome: "refused" }),
  tried({ parameters: { threads: 4 }, us: 10, error: 0.25 }),
  tried({ parameters: { threads: 32 }, us: 5, error: 9, outcome: "wrong" }),
];

const order = (by: Column, descending = false): number[] => sorted(all, { by, descending }).map(({ at }) => at);

test("the fastest right variant is first, and what was not timed or is wrong is last either way", () => {
  expect(order("time")).toEqual([2, 0, 1, 3]);
  expect(order("time", true)).toEqual([0, 2, 1, 3]);
});

test("errors of wrong answers count, and what gave no answer is last", () => {
  expect(order("error")).toEqual([2, 0, 3, 1]);
  expect(order("error", true)).toEqual([3, 0, 2, 1]);
});

test("numbers in words are compared as numbers, and equals stay in the order tried", () => {
  expect(order("variant")).toEqual([2, 1, 0, 3]);
  expect(order("outcome")).toEqual([0, 2, 1, 3]);
  expect(order("outcome", true)).toEqual([3, 1, 0, 2]);
  expect(order("tried", true)).toEqual([3, 2, 1, 0]);
});

test("sorting leaves the list that is sorted alone", () => {
  const before = [...all];
  order("time");
  expect(all).toEqual(before);
});
