import type { TuningStatus } from "tilewright";
import { expect, test } from "vitest";
import { clockWords, errorWords, marks, medians, micros, stateWords, timeLeft } from "./words";

const status = {
  state: "tuning",
  paused: false,
  waiting: false,
  available: true,
  spent_ms: 1000,
  budget_ms: 3000,
  elapsed_ms: 8000,
  measured: 20,
  operations: [] as TuningStatus["operations"],
  error: null,
} as TuningStatus;

test("what is left is what is left of the budget, at the pace so far", () => {
  expect(timeLeft(status)).toBe(16_000);
});

test("nobody is told what is left before there is a pace, nor while nothing is measured", () => {
  const others: Partial<TuningStatus>[] = [
    { spent_ms: 0 },
    { spent_ms: 100 },
    { spent_ms: 3100 },
    { paused: true },
    { waiting: true },
    { available: false },
    { state: "trying" },
    { state: "done" },
  ];
  for (const other of others) expect(timeLeft({ ...status, ...other })).toBeUndefined();
});

test("a pause, somebody's answer, and a page without a GPU are each said", () => {
  expect(stateWords({ ...status, paused: true }).title).toBe("Paused");
  expect(stateWords({ ...status, waiting: true }).detail).toMatch(/answer goes first/);
  expect(stateWords({ ...status, available: false }).title).toBe("No GPU to tune");
  expect(stateWords({ ...status, state: "failed", error: "no memory" }).detail).toBe("no memory");
});

test("clocks, errors and times are read with as many figures as they have", () => {
  expect(clockWords({ clock: "timestamp", quantumNs: 100_000 })).toBe("the GPU's timestamps, in steps of 100 µs");
  expect(clockWords({ clock: "wall", quantumNs: 0 })).toBe("the clock on the wall");
  expect([0, 0.000_012_4, 31.4, Infinity].map(errorWords)).toEqual(["0", "1.2e−5", "3.1e1", "not finite"]);
  expect([0.123, 12.34, 123.4, 12_340, 1_234_000].map(micros)).toEqual([
    "0.12 µs",
    "12.3 µs",
    "123 µs",
    "12.3 ms",
    "1,234 ms",
  ]);
});

test("an axis has round times, at most six of them unless it spans as many powers of ten", () => {
  expect(marks(24, 3600)).toEqual([50, 100, 200, 500, 1000, 2000]);
  expect(marks(24, 9000)).toEqual([30, 100, 300, 1000, 3000]);
  expect(marks(24, 36_000)).toEqual([100, 1000, 10_000]);
  expect(marks(60, 900)).toEqual([100, 200, 500]);
  expect(marks(12, 40)).toEqual([15, 20, 30]);
  expect(marks(0.8, 2.2)).toEqual([1, 1.5, 2]);
});

test("of alternating runs the medians count, and of unequal sides the shorter one", () => {
  const speeds = { tokens: 8, sequences: 1, before_tokens_per_s: [90, 100, 110], after_tokens_per_s: [130, 120] };
  expect(medians(speeds)).toEqual({ before: 100, after: 125, runs: 2 });
  expect(medians({ ...speeds, after_tokens_per_s: [] })).toBeUndefined();
});
