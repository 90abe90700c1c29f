/**
 * What the host needs of an engine, so that its own logic (sessions, sharing, crashes) is tested without one. The real one
 * is wasm-engine.ts.
 */

import type { ErrorObject } from "./errors.js";
import type { ModelAddress } from "./model-address.js";
import type { PoolHosts } from "./pool-hosts.js";
import type { DeviceChoice, Endpoint, ModelInfo, PageState, Progress, Resume, TuningMode } from "./protocol.js";
import type { EngineSnapshot } from "./snapshot.js";
import type { TuningCommand, TuningReply } from "./tuning.js";

/** What the engine itself knows of what goes on; it has not met the pages. */
export type SchedulerSnapshot = Omit<EngineSnapshot, "you" | "pages" | "device">;

/** A loaded model, answering. Clients are numbers, requests are the client's own numbers. */
export interface Engine {
  readonly info: ModelInfo;
  hello(client: number): void;
  /** What its user sees. */
  state(client: number, state: PageState): void;
  /** Cancels all that the client asked for. */
  gone(client: number): void;
  submit(client: number, request: number, endpoint: Endpoint, body: unknown, resume: Resume | null): void;
  cancel(client: number, request: number): void;
  /** The client has read a request's chunks up to and including `seq`. */
  ack(client: number, request: number, seq: number): void;
  /** Tells `snapshot` what goes on. `id` names the question. */
  inspect(client: number, id: number): void;
  /** Tells `tuning` the answer. `id` names the question. */
  tune(client: number, id: number, command: TuningCommand): void;
  /** Frees the model. */
  close(): void;
}

/** Whom an engine tells. Nothing is told after `crashed`. */
export interface EngineEvents {
  progress(progress: Progress): void;
  /** `tokens` are those that the answer has come to since the chunk before. */
  chunk(client: number, request: number, seq: number, chunk: unknown, tokens: number[]): void;
  done(client: number, request: number): void;
  error(client: number, request: number | undefined, error: ErrorObject): void;
  snapshot(client: number, id: number, snapshot: SchedulerSnapshot): void;
  tuning(client: number, id: number, reply: TuningReply): void;
  /** What computed is gone; another device is being had. */
  moving(reason: string): void;
  /** Another device computes. */
  device(info: ModelInfo): void;
  /** The engine is gone, with every request in it. */
  crashed(error: ErrorObject): void;
}

export interface StartOptions {
  address: ModelAddress;
  stallMs: number | undefined;
  device: DeviceChoice;
  /** Whether kernels are measured without being asked for. */
  tuning: TuningMode;
  /** Most threads of the CPU engine; null: as many as suit the machine. */
  threads: number | null;
  /** A page has WebGPU, so that a worker without it is not the last word. */
  pageGpu: boolean;
  /** Where a CPU pool can live. */
  hosts: PoolHosts;
  events: EngineEvents;
  /** Gives up loading. */
  signal: AbortSignal;
}

/** Loads a model; rejects with a `TilewrightError` or an error object. */
export type StartEngine = (options: StartOptions) => Promise<Engine>;
