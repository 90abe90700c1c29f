/**
 * What a page and the worker say to each other over a `MessagePort`.
 *
 * A page says `hello` (once it holds its Web Lock: liveness.ts), what its user sees of it (`state`) and `load`, hears
 * `progress` and then `ready` or an `error` without id, and from then on sends requests under ids of its own choice. Each
 * request ends with exactly one `done` or `error` that carries its id, unless the page cancelled it: after `cancel` the page
 * listens no more. What a page has read it acknowledges (`ack`); a request that is far ahead of its reader stands still.
 *
 * Every message of the host names the host's instance: WebKit may restart a SharedWorker elsewhere without a word, and a
 * page must not take a new host for the one that holds its requests. The page then sends them again, with the tokens that
 * their chunks carried (`resume`). What the host says within a short time comes as one `batch`.
 *
 * Where the CPU computes, it does so in a dedicated worker of some page (a SharedWorker has no threads): the host asks a page
 * to `open pool`, and the page answers with a `pool`, the worker's port transferred beside it.
 */

import type { ErrorObject } from "./errors.js";
import type { ModelAddress } from "./model-address.js";
import type { EngineSnapshot } from "./snapshot.js";
import type { TuningCommand, TuningReply } from "./tuning.js";

/**
 * Rises with every change that an older page or worker would misread. Pages of different builds never share a worker (the
 * build is part of its name), so a mismatch means that someone serves a mixture; `hello` and `welcome` check it all the same.
 */
export const PROTOCOL = 4;

/** What a request asks for; the names of OpenAI's paths. */
export type Endpoint = "chat.completions" | "completions";

/** What shall compute: `auto` is the GPU where there is a real one, else the CPU. */
export type DeviceChoice = "auto" | "gpu" | "cpu";

/** Whether kernels are measured without being asked for. */
export type TuningMode = "auto" | "off";

/** How far loading is. */
export interface Progress {
  /** `starting` (GPU, wasm, what describes the model), `downloading` (weights, onto the device), `preparing` (kernels). */
  phase: "starting" | "downloading" | "preparing";
  /** Bytes of weights so far. */
  loaded: number;
  /** Bytes in all, where the server says so. */
  total: number | null;
  /** The file now being read. */
  file: string | null;
  /** Whether these bytes come from this browser's own cache. */
  cached: boolean;
}

/** What was loaded, and onto what. */
export interface ModelInfo {
  /** The id under which requests may name it. */
  model: string;
  /** What computes, for a person to read. */
  device: string;
  /** Of which kind it is. */
  kind: "gpu" | "cpu";
  /** What the user should know of it: why it is not the GPU, why it has one thread only. */
  notice: string | null;
  /** The family of the architecture: `llama`, ... */
  family: string;
  /** Most tokens that a prompt and its answer may have together. */
  context: number;
  /** How many token ids there are. */
  vocabulary: number;
  /** Bytes on the device. */
  memory: { weights: number; kv: number; scratch: number };
}

/** What a page's user sees of it: it decides whose requests go first, and a frozen page's requests stand still. */
export interface PageState {
  /** At least partly on screen. */
  visible: boolean;
  /** Has the keyboard. */
  focused: boolean;
  /** The browser has stopped its scripts, or is about to. */
  frozen: boolean;
}

/** What a page has of an answer that another instance had begun. */
export interface Resume {
  /** Those of all its chunks. */
  tokens: number[];
  /** The answer's `id`. */
  id: string;
  /** The answer's `created`, in seconds since 1970. */
  created: number;
}

/** How much of a request's chunks its page has read. */
export interface Ack {
  id: number;
  /** All chunks up to and including this one. */
  seq: number;
}

/** Which engine a page wants. */
export interface Load {
  model: ModelAddress;
  stallMs: number | null;
  device: DeviceChoice;
  /** Most threads of the CPU engine; null: as many as suit the machine. */
  threads: number | null;
  /** The page itself has WebGPU, so that a worker without it is not the last word. */
  pageGpu: boolean;
  /** Whether kernels are measured without being asked for. */
  tuning: TuningMode;
}

export type ToHost =
  | { type: "hello"; protocol: number; client: string; lock: string | null; title: string; url: string }
  | ({ type: "state" } & PageState)
  | ({ type: "load" } & Load)
  | { type: "request"; id: number; endpoint: Endpoint; body: unknown; resume: Resume | null }
  | { type: "cancel"; id: number }
  | { type: "ack"; acks: Ack[] }
  /** Answered by `snapshot`, or by `error`, with this id, which is none of a request. */
  | { type: "inspect"; id: number }
  /** Answered by `tuning`, or by `error`, with this id, which is none of a request. */
  | { type: "tune"; id: number; command: TuningCommand }
  /** The answer to `open pool`, with a port to the worker; `error`: there is none, or no longer. */
  | { type: "pool"; id: number; error: ErrorObject | null }
  | { type: "ping" }
  | { type: "bye" };

export type HostMessage =
  /** The host holds `lock` for as long as it lives; null where there are no locks. */
  | { type: "welcome"; protocol: number; lock: string | null }
  | { type: "progress"; progress: Progress }
  /** Also when another device computes from now on. */
  | { type: "ready"; info: ModelInfo }
  /** What computed is gone; requests wait for another, and `ready` says which. */
  | { type: "moving"; reason: string }
  | { type: "open pool"; id: number }
  | { type: "close pool"; id: number }
  /** `tokens` are those that the answer has come to since the chunk before. */
  | { type: "chunk"; id: number; seq: number; chunk: unknown; tokens: number[] }
  | { type: "done"; id: number }
  /** With `id`: that request's end. Without: the load failed, or the engine is gone; the next request starts it anew. */
  | { type: "error"; id?: number; error: ErrorObject }
  | { type: "snapshot"; id: number; snapshot: EngineSnapshot }
  | { type: "tuning"; id: number; reply: TuningReply }
  | { type: "pong" };

/** Several messages in their order. */
export interface Batch {
  type: "batch";
  messages: HostMessage[];
}

export type FromHost = (HostMessage | Batch) & { instance: string };

/** As much of a `MessagePort` as is used. */
export interface Port {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  close(): void;
  start(): void;
  addEventListener(type: "message", listener: (event: MessageEvent<unknown>) => void): void;
  addEventListener(type: "close" | "messageerror", listener: () => void): void;
}
