// What the tuner's export says of one operation: every variant that was tried, in the order tried.
//
// The status of a tuning has only winners. The records of all candidates are in the export, which is the same file that people
// share, so the page reads it as a stranger's: whatever lacks the fields that are drawn is left out.
import type { OperationShape, TunedDevice } from "tilewright";

export type Outcome = "ok" | "wrong" | "refused" | "timeout" | "constraint";
export type Parameter = number | boolean | string;

/** One measurement of one variant. */
export interface Tried {
  kernel: string;
  parameters: Record<string, Parameter>;
  outcome: Outcome;
  /** Median of the samples; undefined if it was never timed. */
  us: number | undefined;
  samples: number;
  /** Largest difference from the right answer, relative to one plus its magnitude; infinite if it was no number. */
  error: number | undefined;
  /** The largest that counts as right. */
  tolerance: number | undefined;
  note: string;
  takenAtMs: number;
}

/** What times were taken with. */
export interface Clock {
  clock: "timestamp" | "wall";
  /** Its smallest step; 0: not told. */
  quantumNs: number;
}

/** What was measured, by operation. */
export class Records {
  /** Of the newest time; undefined: there is none. */
  readonly clock: Clock | undefined;
  private readonly byShape = new Map<string, Tried[]>();

  /** `device`: only what was measured on such a GPU; times of another say nothing here. */
  constructor(file = "", device?: TunedDevice) {
    const here = device === undefined ? undefined : deviceKey(device);
    let newest = -Infinity;
    for (const record of recordsIn(file)) {
      const shape = record.shape as OperationShape | undefined;
      if (!isObject(shape) || (here !== undefined && here !== deviceKey(record.device as TunedDevice))) continue;
      const tried = read(record);
      if (!tried) continue;
      const clock = clockOf(record);
      if (clock && tried.us !== undefined && tried.takenAtMs >= newest) {
        newest = tried.takenAtMs;
        this.clock = clock;
      }
      const key = shapeKey(shape);
      const list = this.byShape.get(key);
      if (list) list.push(tried);
      else this.byShape.set(key, [tried]);
    }
    // The file is ordered by what records are about; the sort is stable.
    for (const list of this.byShape.values()) list.sort((a, b) => a.takenAtMs - b.takenAtMs);
  }

  of(shape: OperationShape): readonly Tried[] {
    return this.byShape.get(shapeKey(shape)) ?? [];
  }
}

/** The same text for shapes that are equal, whatever the order of their fields. */
export function shapeKey({ op, quantization = "", dtype = "", n = 0, k = 0, m, extents = {} }: OperationShape): string {
  const sorted = Object.entries(extents).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([op, quantization, dtype, n, k, m, sorted]);
}

/** A variant as people read it: its kernel, and what it is built from. */
export function variantWords(
  { kernel, parameters }: { kernel: string; parameters: Record<string, Parameter> },
  withKernel = true,
): string {
  const words = Object.entries(parameters).map(([name, value]) =>
    value === true ? name : value === false ? `no ${name}` : `${name} ${value}`,
  );
  return [...(withKernel ? [kernel] : []), ...words].join(" · ");
}

export function sameVariant(
  a: { kernel: string; parameters: Record<string, Parameter> },
  b: { kernel: string; parameters: Record<string, Parameter> },
): boolean {
  const names = Object.keys(a.parameters);
  return (
    a.kernel === b.kernel &&
    names.length === Object.keys(b.parameters).length &&
    names.every((name) => a.parameters[name] === b.parameters[name])
  );
}

export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  return sorted.length === 0 ? undefined : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function recordsIn(file: string): Record<string, unknown>[] {
  try {
    const { records } = JSON.parse(file) as { records?: unknown };
    return Array.isArray(records) ? records.filter(isObject) : [];
  } catch {
    return [];
  }
}

function read(record: Record<string, unknown>): Tried | undefined {
  const { kernel, parameters, outcome, samples_ns: samples, error, note, taken_at_ms: takenAtMs } = record;
  if (typeof kernel !== "string" || typeof outcome !== "string" || typeof takenAtMs !== "number") return undefined;
  const times = Array.isArray(samples) ? samples.filter((sample) => typeof sample === "number") : [];
  const time = median(times);
  const { relative, tolerance } = isObject(error) ? error : {};
  return {
    kernel,
    parameters: isObject(parameters) ? (parameters as Record<string, Parameter>) : {},
    outcome: outcome as Outcome,
    us: time === undefined ? undefined : time / 1000,
    samples: times.length,
    error: typeof relative === "number" ? relative : relative === null ? Infinity : undefined,
    tolerance: typeof tolerance === "number" ? tolerance : undefined,
    note: typeof note === "string" ? note : "",
    takenAtMs,
  };
}

function clockOf({ method, timer_quantum_ns: quantum }: Record<string, unknown>): Clock | undefined {
  const clock = isObject(method) ? method.clock : undefined;
  if (clock !== "timestamp" && clock !== "wall") return undefined; // a mere check of the answer has none
  return { clock, quantumNs: typeof quantum === "number" ? quantum : 0 };
}

function deviceKey(device: Partial<TunedDevice> | undefined): string {
  return JSON.stringify([
    device?.vendor ?? "",
    device?.architecture ?? "",
    device?.device ?? "",
    device?.description ?? "",
  ]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
