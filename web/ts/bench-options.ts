/**
 * What `runBench` takes, read before anything is loaded: a wrong name or number is an error that says which and why, and
 * never a benchmark of something else.
 */

import { TilewrightError } from "./errors.js";
import { DEFAULT_MODEL } from "./model-address.js";
import type { DeviceChoice } from "./protocol.js";

/** What to time: the options of `tilewright bench`. */
export interface BenchOptions {
  /** A model as `connect` knows it; by default the one that comes with the site. */
  model?: string;
  /** Instead of a model: the sizes of a well-known one, with weights made up on the spot. Nothing is downloaded. */
  shape?: string;
  /** `auto` (the default) is the GPU where the browser has a real one, else the CPU. */
  device?: DeviceChoice;
  /** Threads on the CPU: as many as `connect` takes. */
  threads?: number;
  /** Tokens of each prompt: 480. */
  prompt?: number;
  /** Tokens that each sequence decodes: 128. */
  generate?: number;
  /** Numbers of sequences at once, each a run of its own: 1, 8, 32. */
  concurrency?: number[];
  /** How often each is run; the median is quoted. 3. */
  repeats?: number;
  /** Memory for keys and values, in MiB; by default what the runs need. */
  kv_mib?: number;
  /** Most rows of a step; by default what suits the device. */
  max_rows?: number;
  /** How tokens are drawn: `{ temperature: 0.7, top_k: 40, top_p: 0.9 }`. By default the most likely is taken. */
  sampling?: BenchSampling;
  /** Whether to time streamed requests of a page too, as a tab sees them: needs a model. */
  endToEnd?: boolean;
  /**
   * Tunes the GPU's kernels after the runs and repeats these; `report.tuning` says what that did. Nothing of it is kept.
   */
  tune?: BenchTuning | boolean;
  onProgress?: (progress: BenchProgress) => void;
  /** Aborted, the promise rejects with its reason and the device is let go of. */
  signal?: AbortSignal;
}

/** How a benchmark draws tokens. */
export interface BenchSampling {
  /** 0, the default: the most likely token. */
  temperature?: number;
  /** Only so many of the most likely tokens; 0, the default: all. */
  top_k?: number;
  /** Only the most likely tokens with so much probability: 1. */
  top_p?: number;
}

/** How thorough a benchmark's tuning is. */
export interface BenchTuning {
  /** How long the GPU may be kept busy by searching: 3. */
  seconds?: number;
  /** Every variant is tried, however long that takes. */
  exhaustive?: boolean;
  /** Begins without what comes with the package. */
  from_nothing?: boolean;
  /** Only these phases: 0 is one answer, 1 reading a prompt, 2 eight answers at once, 3 thirty-two. */
  phases?: number[];
  /** Only so many operations of each phase, largest share first. */
  operations?: number;
}

/** How far a benchmark has come. */
export type BenchProgress =
  | { phase: "starting" | "downloading" | "preparing"; loaded: number; total: number | null }
  /** A run is over. */
  | { phase: "running" | "end to end"; done: number; of: number; last: Figures };

/** The figures of a run. */
export interface Figures {
  concurrency: number;
  prefill_tokens_per_s: number;
  decode_tokens_per_s: number;
  decode_step_ms: number;
}

/** `Request` of web-io/src/bench.rs. */
export interface BenchRequest {
  model: string;
  shape: string | null;
  prompt: number;
  generate: number;
  concurrency: number[];
  repeats: number;
  kv_mib: number | null;
  max_rows: number | null;
  /** The suite itself says what is wrong with it. */
  sampling: BenchSampling;
}

export interface ReadOptions {
  request: BenchRequest;
  device: DeviceChoice;
  threads: number | null;
  endToEnd: boolean;
  /** The tuner itself says what is wrong with it. */
  tune: BenchTuning | null;
}

const NUMBERS = { threads: 1, prompt: 1, generate: 2, repeats: 1, kv_mib: 1, max_rows: 1 } as const;
const KNOWN = [
  "model",
  "shape",
  "device",
  "concurrency",
  "endToEnd",
  "tune",
  "sampling",
  "onProgress",
  "signal",
  ...Object.keys(NUMBERS),
];
const DEVICES = ["gpu", "cpu", "auto"];

/** As JSON and wasm take it. */
const LARGEST = 2 ** 32 - 1;

/** Throws a `TilewrightError` that names the option. */
export function readBenchOptions(options: unknown): ReadOptions {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalid(null, 'runBench takes an object of options, such as { shape: "qwen2-0.5b", prompt: 480 }');
  }
  const given = options as Record<string, unknown>;
  for (const name of Object.keys(given)) {
    if (!KNOWN.includes(name)) throw invalid(name, `there is no option ${name}; there are ${KNOWN.join(", ")}`);
  }
  const text = (name: string): string | undefined => {
    const value = given[name];
    if (value === undefined) return undefined;
    if (typeof value !== "string" || value.trim() === "")
      throw invalid(name, `${name} has to be a name, not ${say(value)}`);
    return value;
  };
  const number = (name: keyof typeof NUMBERS): number | undefined => {
    const value = given[name];
    return value === undefined ? undefined : counted(name, value, NUMBERS[name]);
  };
  const shape = text("shape");
  const model = text("model");
  if (shape !== undefined && model !== undefined) {
    throw invalid("shape", "give a model or a shape: a shape's weights are made up, so there is nothing to load");
  }
  const device = text("device") ?? "auto";
  if (!DEVICES.includes(device))
    throw invalid("device", `device has to be one of ${DEVICES.join(", ")}, not ${say(device)}`);
  const { endToEnd = false } = given;
  if (typeof endToEnd !== "boolean")
    throw invalid("endToEnd", `endToEnd has to be true or false, not ${say(endToEnd)}`);
  if (endToEnd && shape !== undefined) {
    throw invalid(
      "endToEnd",
      "endToEnd sends requests to a model, and a shape has no vocabulary; name a model instead",
    );
  }
  const { tune = false } = given;
  if (typeof tune !== "boolean" && (typeof tune !== "object" || tune === null || Array.isArray(tune))) {
    throw invalid("tune", `tune has to be true, false or an object such as { seconds: 3 }, not ${say(tune)}`);
  }
  const { sampling = {} } = given;
  if (typeof sampling !== "object" || sampling === null || Array.isArray(sampling)) {
    throw invalid("sampling", `sampling has to be an object such as { temperature: 0.7 }, not ${say(sampling)}`);
  }
  return {
    tune: tune === false ? null : tune === true ? {} : tune,
    request: {
      model: shape ?? model ?? DEFAULT_MODEL,
      shape: shape ?? null,
      prompt: number("prompt") ?? 480,
      generate: number("generate") ?? 128,
      concurrency: readConcurrency(given["concurrency"] ?? [1, 8, 32]),
      repeats: number("repeats") ?? 3,
      kv_mib: number("kv_mib") ?? null,
      max_rows: number("max_rows") ?? null,
      sampling,
    },
    device: device as DeviceChoice,
    threads: number("threads") ?? null,
    endToEnd,
  };
}

function readConcurrency(value: unknown): number[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw invalid("concurrency", `concurrency has to be a list of numbers such as [1, 8, 32], not ${say(value)}`);
  }
  return value.map((entry: unknown) => counted("concurrency", entry, 1));
}

function counted(name: string, value: unknown, least: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= LARGEST) return value;
  throw invalid(name, `${name} has to be a whole number of ${least} or more, not ${say(value)}`);
}

function say(value: unknown): string {
  if (typeof value === "number" || typeof value === "undefined") return String(value);
  return JSON.stringify(value);
}

function invalid(param: string | null, message: string): TilewrightError {
  return new TilewrightError({ type: "invalid_request_error", code: "benchmark_option", param, message });
}
