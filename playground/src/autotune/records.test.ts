import type { OperationShape, TunedDevice } from "tilewright";
import { expect, test } from "vitest";
import { Records, median, sameVariant, shapeKey, variantWords } from "./records";

const shape: OperationShape = { op: "attention_split", quantization: "", dtype: "f32", n: 0, k: 0, m: 8 };
const device = { vendor: "google", architecture: "swiftshader", device: "", description: "" } as TunedDevice;

function record(fields: object) {
  return {
    kernel: "matvec",
    parameters: { threads: 4 },
    shape,
    device,
    samples_ns: [3000, 1000, 2000],
    outcome: "ok",
    taken_at_ms: 5,
    ...fields,
  };
}

const file = (...records: unknown[]): string => JSON.stringify({ format: "tilewright-tuning", schema: 1, records });

test("records of an operation come in the order taken, with the median of their samples in microseconds", () => {
  const records = new Records(
    file(
      record({ taken_at_ms: 9, samples_ns: [], outcome: "refused", note: "too many threads" }),
      record({ taken_at_ms: 7 }),
    ),
  );
  const tried = records.of(shape);
  expect(tried.map(({ outcome, us, note }) => [outcome, us, note])).toEqual([
    ["ok", 2, ""],
    ["refused", undefined, "too many threads"],
  ]);
});

test("an error is relative, as the tuner takes it; null is one that is no number, and what never ran has none", () => {
  const errors = [
    { absolute: null, relative: 1.7e-7, tolerance: 0.002 },
    { absolute: null, relative: null, tolerance: 0.002 },
    null,
  ];
  const tried = new Records(file(...errors.map((error) => record({ error })))).of(shape);
  expect(tried.map(({ error, tolerance }) => [error, tolerance])).toEqual([
    [1.7e-7, 0.002],
    [Infinity, 0.002],
    [undefined, undefined],
  ]);
});

test("a shape is found whatever the order of its fields, and with an empty list of extents or none", () => {
  expect(shapeKey({ ...shape, extents: {} })).toBe(shapeKey(shape));
  const extents = { heads: 4, head_dim: 16 };
  const turned = { head_dim: 16, heads: 4 };
  expect(shapeKey({ ...shape, extents })).toBe(shapeKey({ extents: turned, ...shape }));
  expect(new Records(file(record({}))).of({ ...shape, m: 16 })).toEqual([]);
});

test("what was measured on another GPU is left out", () => {
  const records = new Records(file(record({ device: { ...device, vendor: "nvidia" } }), record({})), device);
  expect(records.of(shape)).toHaveLength(1);
});

test("text that is no export, and records that lack what is drawn, come to nothing", () => {
  for (const text of ["", "{", "null", "[]", '{"records": 5}', file(null, 7, {}, { shape }, record({ kernel: 1 }))]) {
    expect(new Records(text, device).of(shape)).toEqual([]);
  }
});

test("variants are equal by kernel and parameters, and are read as words", () => {
  const a = { kernel: "matvec", parameters: { threads: 4, subgroups: false, packed: true } };
  expect(sameVariant(a, { kernel: "matvec", parameters: { packed: true, subgroups: false, threads: 4 } })).toBe(true);
  expect(sameVariant(a, { ...a, parameters: { threads: 4 } })).toBe(false);
  expect(sameVariant(a, { ...a, kernel: "tile" })).toBe(false);
  expect(variantWords(a)).toBe("matvec · threads 4 · no subgroups · packed");
});

test("a median is the middle, or between the two in the middle", () => {
  expect([median([]), median([5]), median([9, 1, 4]), median([4, 1, 9, 2])]).toEqual([undefined, 5, 4, 3]);
});

test("the clock is that of the newest time on this device, and a mere check of an answer has none", () => {
  const timed = (takenAtMs: number, clock: string, more = {}): object =>
    record({ taken_at_ms: takenAtMs, method: { clock }, timer_quantum_ns: 100_000, ...more });
  const here = new Records(
    file(
      timed(3, "timestamp"),
      timed(1, "wall"),
      timed(7, "none"),
      timed(8, "wall", { samples_ns: [], outcome: "wrong" }),
      timed(9, "wall", { device: { ...device, vendor: "nvidia" } }),
    ),
    device,
  );
  expect(here.clock).toEqual({ clock: "timestamp", quantumNs: 100_000 });
  expect(new Records(file(record({}), timed(7, "none"))).clock).toBeUndefined();
});
