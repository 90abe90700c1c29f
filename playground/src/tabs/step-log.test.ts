import { expect, test } from "vitest";
import type { StepRecord } from "tilewright";
import { STEPS_SHOWN, StepLog, times } from "./step-log";

const step = (step: number, decode = 1, prefill = 0): StepRecord => ({
  step,
  elapsed: 10_000 + step,
  rows: [{ client: 1, decode, prefill }],
});

test("steps that several snapshots carry count once", () => {
  const log = new StepLog();
  log.note([], 0);
  expect(log.note([step(1), step(2)], 1000)).toBe(true);
  expect(log.note([step(1), step(2)], 1100)).toBe(false);
  expect(log.note([step(2), step(3)], 2000)).toBe(true);
  expect(log.steps.map((record) => record.step)).toEqual([1, 2, 3]);
  expect(log.pace(2000)?.decode).toBe(1.5);
});

test("the pace tells rows of answers from rows of prompts, and forgets what is older than its window", () => {
  const log = new StepLog();
  log.note([], 0);
  log.note([step(1, 4, 128)], 1000);
  expect(log.pace(2000)).toEqual({ decode: 2, prefill: 64 });
  log.note([step(2, 8, 0)], 5500);
  expect(log.pace(5500)).toEqual({ decode: 2, prefill: 0 });
});

test("steps from before the first look are shown and not counted", () => {
  const log = new StepLog();
  log.note([step(1), step(2), step(3)], 0);
  expect(log.steps).toHaveLength(3);
  expect(log.pace(100)).toBeUndefined();
  expect(log.pace(1000)).toEqual({ decode: 0, prefill: 0 });
});

test("after a rest the steps of meanwhile are shown and not counted", () => {
  const log = new StepLog();
  log.note([], 0);
  log.note([step(1)], 1000);
  log.rest();
  log.note([step(1), step(2, 1000)], 60_000);
  expect(log.steps).toHaveLength(2);
  expect(log.pace(61_000)).toEqual({ decode: 0, prefill: 0 });
});

test("another engine's steps replace those of the one before", () => {
  const log = new StepLog();
  log.note([step(500)], 0);
  log.note([step(1)], 100);
  expect(log.steps.map((record) => record.step)).toEqual([1]);
});

test("no more steps are kept than are shown", () => {
  const log = new StepLog();
  for (let i = 0; i < 50; i++)
    log.note(
      [1, 2, 3, 4, 5].map((k) => step(i * 5 + k)),
      i * 100,
    );
  expect(log.steps).toHaveLength(STEPS_SHOWN);
  expect(log.steps.at(-1)?.step).toBe(250);
});

test("the middle and the longest time of no step are unknown", () => {
  expect(times([])).toBeUndefined();
  expect(times([step(1), step(9), step(5)])).toEqual({ median: 10_005, longest: 10_009 });
});
