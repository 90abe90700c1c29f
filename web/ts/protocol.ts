/**
 * What a page and the worker say to each other over a `MessagePort`.
 *
 * A page says `hello` (once it holds its Web Lock: liveness.ts) and `load`, hears `progress` and then `ready` or an
 * `error` without id, and from then on sends requests under ids of its own choice. Each request ends with exactly one
 * `done` or `error` that carries its id, unless the page cancelled it: after `cancel` the page listens no more.
 *
 * Every message of the host names the host's instance: WebKit may restart a SharedWorker elsewhere without a word, and a
 * page must not take a new host for the one that holds its requests.
 */

import type { ErrorObject } from "./errors.js";
import type { ModelAddress } from "./model-address.js";
import type { EngineSnapshot } from "./snapshot.js";

/** Part of the worker's name, so pages of different versions never share a worker; checked in `hello` all the same. */
export const PROTOCOL = 1;

/** What a request asks for; the names of OpenAI's paths. */
export type Endpoint = "chat.completions" | "completions";

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
  /** The family of the architecture: `llama`, ... */
  family: string;
  /** Most tokens that a prompt and its answer may have together. */
  context: number;
  /** How many token ids there are. */
  vocabulary: number;
  /** Bytes on the device. */
  memory: { weights: number; kv: number; scratch: number };
}

export type ToHost =
  | { type: "hello"; protocol: number; client: string; lock: string | null; title: string; url: string }
  | { type: "load"; model: ModelAddress; stallMs: number | null }
  | { type: "request"; id: number; endpoint: Endpoint; body: unknown }
  | { type: "cancel"; id: number }
  /** Answered by `snapshot`, or by `error`, with this id, which is none of a request. */
  | { type: "inspect"; id: number }
  | { type: "ping" }
  | { type: "bye" };

export type HostMessage =
  | { type: "welcome"; protocol: number }
  | { type: "progress"; progress: Progress }
  | { type: "ready"; info: ModelInfo }
  | { type: "chunk"; id: number; seq: number; chunk: unknown }
  | { type: "done"; id: number }
  /** With `id`: that request's end. Without: the load failed, or the engine is gone; the next request starts it anew. */
  | { type: "error"; id?: number; error: ErrorObject }
  | { type: "snapshot"; id: number; snapshot: EngineSnapshot }
  | { type: "pong" };

export type FromHost = HostMessage & { instance: string };

/** As much of a `MessagePort` as is used. */
export interface Port {
  postMessage(message: unknown): void;
  close(): void;
  start(): void;
  addEventListener(type: "message", listener: (event: MessageEvent<unknown>) => void): void;
  addEventListener(type: "close" | "messageerror", listener: () => void): void;
}

/** What a page said, or nothing if this is no message of this protocol. */
export function readToHost(data: unknown): ToHost | undefined {
  if (!isRecord(data)) return undefined;
  switch (data["type"]) {
    case "ping":
    case "bye":
      return { type: data["type"] };
    case "hello": {
      const { protocol, client, lock } = data;
      if (typeof protocol !== "number" || typeof client !== "string") return undefined;
      return {
        type: "hello",
        protocol,
        client,
        lock: typeof lock === "string" ? lock : null,
        title: label(data["title"]),
        url: label(data["url"]),
      };
    }
    case "load": {
      const model = data["model"];
      if (!isRecord(model)) return undefined;
      const { id, url, layout } = model;
      if (typeof id !== "string" || typeof url !== "string") return undefined;
      if (layout !== "gguf" && layout !== "huggingface") return undefined;
      const stallMs = data["stallMs"];
      return { type: "load", model: { id, url, layout }, stallMs: typeof stallMs === "number" ? stallMs : null };
    }
    case "request": {
      const { id, endpoint, body } = data;
      if (typeof id !== "number" || (endpoint !== "chat.completions" && endpoint !== "completions")) return undefined;
      return { type: "request", id, endpoint, body };
    }
    case "cancel":
      return typeof data["id"] === "number" ? { type: "cancel", id: data["id"] } : undefined;
    case "inspect":
      return typeof data["id"] === "number" ? { type: "inspect", id: data["id"] } : undefined;
    default:
      return undefined;
  }
}

/** What the host said, or nothing if this is no message of this protocol. The host is our own code, so the kind is enough. */
export function readFromHost(data: unknown): FromHost | undefined {
  if (!isRecord(data) || typeof data["instance"] !== "string" || typeof data["type"] !== "string") return undefined;
  return data as unknown as FromHost;
}

/** What a page calls itself, cut where no person reads on. */
export function label(text: unknown): string {
  return typeof text === "string" ? text.slice(0, LABEL_LENGTH) : "";
}

const LABEL_LENGTH = 200;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
