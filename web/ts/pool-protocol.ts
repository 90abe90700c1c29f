/**
 * What the worker with the scheduler and a CPU pool's worker say to each other.
 *
 * The pool's first word is `hello`, with the name of a Web Lock that it holds for as long as it lives. It is then given a
 * model to `load` (once), says how far it is, and ends with `loaded` or `failed`. From then on each `step` has one `answer`.
 * Plans and outputs are bytes of `RemoteExecutor`; nothing here looks inside.
 */

import type { ErrorObject } from "./errors.js";
import { isErrorObject } from "./errors.js";
import type { ModelAddress } from "./model-address.js";
import type { Progress } from "./protocol.js";

/** What a pool is to load. */
export interface PoolLoad {
  /** Null where the subject is a shape, which has no files. */
  model: ModelAddress | null;
  stallMs: number | null;
  /** Most threads; null: as many as suit the machine. */
  threads: number | null;
  /** A benchmark's request as JSON, which says how much memory its runs need; null where a model is to answer. */
  subject: string | null;
}

export type ToPool = ({ type: "load" } & PoolLoad) | { type: "step"; id: number; question: Uint8Array };

export type FromPool =
  | { type: "hello"; lock: string | null }
  | { type: "progress"; progress: Progress }
  | { type: "loaded"; description: Uint8Array; notice: string | null; heapBytes: number }
  /** It could not be loaded; nothing more is said. */
  | { type: "failed"; error: ErrorObject }
  | { type: "answer"; id: number; answer: Uint8Array; heapBytes: number }
  /** Its memory is as the trap left it; nothing more is said. */
  | { type: "crashed"; error: ErrorObject };

/** What the scheduler's side said, or nothing if it is no message of this protocol. */
export function readToPool(data: unknown): ToPool | undefined {
  if (!isRecord(data)) return undefined;
  if (data["type"] === "step") {
    const { id, question } = data;
    return typeof id === "number" && question instanceof Uint8Array ? { type: "step", id, question } : undefined;
  }
  if (data["type"] !== "load") return undefined;
  const { model, stallMs, threads, subject } = data;
  const read = model === null ? null : readModel(model);
  if (read === undefined) return undefined;
  return {
    type: "load",
    model: read,
    stallMs: typeof stallMs === "number" ? stallMs : null,
    threads: typeof threads === "number" ? threads : null,
    subject: typeof subject === "string" ? subject : null,
  };
}

function readModel(model: unknown): ModelAddress | undefined {
  if (!isRecord(model)) return undefined;
  const { id, url, layout } = model;
  if (typeof id !== "string" || typeof url !== "string") return undefined;
  return layout === "gguf" || layout === "huggingface" ? { id, url, layout } : undefined;
}

/** What a pool said, or nothing if it is no message of this protocol. */
export function readFromPool(data: unknown): FromPool | undefined {
  if (!isRecord(data)) return undefined;
  switch (data["type"]) {
    case "hello":
      return { type: "hello", lock: typeof data["lock"] === "string" ? data["lock"] : null };
    case "progress":
      return isRecord(data["progress"])
        ? { type: "progress", progress: data["progress"] as unknown as Progress }
        : undefined;
    case "loaded": {
      const { description, notice, heapBytes } = data;
      if (!(description instanceof Uint8Array) || typeof heapBytes !== "number") return undefined;
      return { type: "loaded", description, notice: typeof notice === "string" ? notice : null, heapBytes };
    }
    case "answer": {
      const { id, answer, heapBytes } = data;
      if (typeof id !== "number" || !(answer instanceof Uint8Array) || typeof heapBytes !== "number") return undefined;
      return { type: "answer", id, answer, heapBytes };
    }
    case "failed":
    case "crashed":
      return isErrorObject(data["error"]) ? { type: data["type"], error: data["error"] } : undefined;
    default:
      return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
