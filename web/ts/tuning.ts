/**
 * What a page can ask of the tuner, and what it is answered: the types of `web/src/tuning.rs` and of the crates below it, in
 * the same words.
 *
 * Times are in microseconds where a name ends in `_us` and in nanoseconds in records. A tuner says nothing of its own: ask
 * for its `status` as often as you draw.
 */

import type { ErrorObject } from "./errors.js";

/** A kernel and the parameters that it is built from. */
export interface KernelVariant {
  kernel: string;
  parameters: Record<string, number | boolean | string>;
}

/** An operation and its sizes. */
export interface OperationShape {
  /** `product_gate`, `attention_split`, ... */
  op: string;
  /** How weights are stored: `q4_32`; empty where there are none. */
  quantization: string;
  /** Number format of the activations: `f32`, `i8`. */
  dtype: string;
  /** Outputs per row. */
  n: number;
  /** Inputs per row. */
  k: number;
  /** Rows, a power of two. */
  m: number;
  extents?: Record<string, number>;
}

/** Where something was measured. */
export interface TunedDevice {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  subgroup_min: number;
  subgroup_max: number;
  features: string[];
  limits_digest: string;
}

export interface TunedBrowser {
  name: string;
  version: string;
  os: string;
}

/** An operation of the model, and how far its tuning is. */
export interface TunedOperation {
  /** For a person to read. */
  label: string;
  /** What a user waits for that it is a part of. */
  phase: string;
  shape: OperationShape;
  /** Its part of the phase's step, estimated. */
  share: number;
  /** `known`: measured by an earlier tuning. */
  state: "waiting" | "searching" | "measured" | "known";
  /** Variants that were tried this time. */
  tried: number;
  /** Variants that there are. */
  space: number;
  default: KernelVariant;
  chosen: KernelVariant;
  default_us: number | null;
  chosen_us: number | null;
  /** Why it was chosen, in a sentence. */
  why: string;
}

/** Tokens per second in alternating runs. */
export interface Speeds {
  tokens: number;
  sequences: number;
  before_tokens_per_s: number[];
  after_tokens_per_s: number[];
}

/** What a change did to whole steps. */
export interface TuningTrial {
  phase: string;
  /** Median speed after by median speed before; null where it was not run. */
  gain: number | null;
  /** How far the gain may be from 1 by chance. */
  noise: number;
  trial: {
    changes: { shape: OperationShape; from: KernelVariant; to: KernelVariant }[];
    decode?: Speeds;
    prefill?: Speeds;
    verdict: "kept" | "reverted";
    taken_at_ms: number;
  };
}

/** Where the tuner stands. */
export interface TuningStatus {
  state: "idle" | "adopting" | "tuning" | "trying" | "done" | "failed";
  /** Nothing is measured until `resume`. */
  paused: boolean;
  /** Somebody's answer goes first. */
  waiting: boolean;
  /** There is a GPU to tune. */
  available: boolean;
  device: TunedDevice;
  browser: TunedBrowser;
  spent_ms: number;
  budget_ms: number;
  /** In all, compiling included: putting to use what was known, measuring variants, trying whole steps. */
  elapsed_ms: number;
  adopting_ms: number;
  tuning_ms: number;
  trying_ms: number;
  /** Variants that were tried this time. */
  measured: number;
  operations: TunedOperation[];
  trials: TuningTrial[];
  /** Records that were measured here, that were imported, and that came with the package. */
  records: [number, number, number];
  /** What is wrong with the browser's storage; measurements then last as long as the engine. */
  troubles: string[];
  error: string | null;
}

/** What became of an imported file. */
export interface ImportReport {
  taken: number;
  known: number;
  skipped: { reason: string; count: number; example: string }[];
  unknown_fields: number;
  /** All of it in sentences. */
  words: string;
}

export type TuningCommand =
  | { do: "status" }
  /** What is not known is measured; with `again`, everything. `seconds`: of the GPU, 3 by default. */
  | { do: "start"; again?: boolean; seconds?: number }
  | { do: "pause" }
  | { do: "resume" }
  /** Forgets what was measured and imported. */
  | { do: "reset" }
  | { do: "export" }
  | { do: "import"; file: string };

export interface TuningAnswer {
  status: TuningStatus;
  /** With `export`: JSON, for a file. */
  file?: string;
  /** With `import`. */
  report?: ImportReport;
}

/** An answer on its way. */
export type TuningReply = TuningAnswer | { error: ErrorObject };

/** The tuner of a model's engine, which all pages share. Each call rejects with a `connection_error` if there is no engine. */
export interface Tuning {
  /** Where it stands. */
  status(): Promise<TuningStatus>;
  /** Measures what is not known; with `again`, everything. `seconds`: how long the GPU may be kept busy, 3 by default. */
  start(options?: { again?: boolean; seconds?: number }): Promise<TuningStatus>;
  pause(): Promise<TuningStatus>;
  resume(): Promise<TuningStatus>;
  /** Forgets what was measured and imported. */
  reset(): Promise<TuningStatus>;
  /** What was measured and imported, as the text of a JSON file. */
  export(): Promise<string>;
  /** Takes what can be taken of such a file. Its winners are checked on this GPU before they are used. */
  import(file: string): Promise<{ report: ImportReport; status: TuningStatus }>;
}

/** The calls, over whatever asks. */
export function tuningOver(ask: (command: TuningCommand) => Promise<TuningAnswer>): Tuning {
  const status = async (command: TuningCommand): Promise<TuningStatus> => (await ask(command)).status;
  return {
    status: () => status({ do: "status" }),
    start: (options = {}) => status({ do: "start", ...options }),
    pause: () => status({ do: "pause" }),
    resume: () => status({ do: "resume" }),
    reset: () => status({ do: "reset" }),
    export: async () => (await ask({ do: "export" })).file ?? "",
    import: async (file) => {
      const { report, status } = await ask({ do: "import", file });
      return { report: report ?? { taken: 0, known: 0, skipped: [], unknown_fields: 0, words: "" }, status };
    },
  };
}
