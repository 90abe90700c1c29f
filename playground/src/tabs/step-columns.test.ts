import { expect, test } from "vitest";
import type { StepRecord } from "tilewright";
import { columns, scale } from "./step-columns";

const steps: StepRecord[] = [
  { step: 1, elapsed: 10_000, rows: [{ client: 2, decode: 1, prefill: 0 }] },
  {
    step: 2,
    elapsed: 80_000,
    rows: [
      { client: 2, decode: 2, prefill: 0 },
      { client: 1, decode: 0, prefill: 6 },
    ],
  },
];

test("a step's time is divided by rows, and the topmost sum is the whole time", () => {
  const { parts, data } = columns(steps, 120);
  expect(parts).toEqual([
    { client: 1, kind: "prefill" },
    { client: 2, kind: "decode" },
  ]);
  expect(data).toEqual([
    [118, 119],
    [10, 80],
    [null, 60],
  ]);
});

test("a step without rows, and no steps at all, give no columns", () => {
  expect(columns([], 120)).toEqual({ parts: [], data: [[]] });
  expect(columns([{ step: 1, elapsed: 5, rows: [] }], 120).parts).toEqual([]);
});

const lasting = (...ms: number[]): StepRecord[] => ms.map((ms, step) => ({ step, elapsed: ms * 1000, rows: [] }));

test("the axis ends at a round number that no step exceeds", () => {
  const tops = [0.3, 1, 1.1, 22, 51, 480, 500, 2400].map((ms) => scale(lasting(ms, ms / 2)).top);
  expect(tops).toEqual([0.3, 1, 2, 30, 60, 500, 500, 3000]);
  expect(scale([])).toEqual({ top: 10, beyond: 0 });
});

test("a first step that compiled its kernels does not flatten all others, and is counted", () => {
  const steps = lasting(13_000, ...Array.from({ length: 40 }, (_, i) => 600 + i));
  expect(scale(steps)).toEqual({ top: 2000, beyond: 1 });
});
