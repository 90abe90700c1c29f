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

export type ToPool =
  { type: "load"; model: ModelAddress; stallMs: number | null } | { type: "step"; id: number; question: Uint8Array };

export type FromPool =
  | { type: "hello"; lock: string | null }
  | { type: "progress"; progress: Progress }
  | { type: "loaded"; description: Uint8Array; notice: string | null }
  /** It could not be loaded; nothing more is said. */
  | { type: "failed"; error: ErrorObject }
  | { type: "answer"; id: number; answer: Uint8Array }
  /** Its memory is as the trap left it; nothing more is said. */
  | { type: "crashed"; error: ErrorObject };

/** What the scheduler's side said, or nothing if it is no message of this protocol. */
export function readToPool(data: unknown): ToPool | undefined {
  if (!isRecord(data)) return undefined;
  if (data["type"] === "step") {
    const { id, question } = data;
    return typeof id === "number" && question instanceof Uint8Array ? { type: "step", id, question } : undefined;
  }
  const model = data["model"];
  if (data["type"] !== "load" || !isRecord(model)) return undefined;
  const { id, url, layout } = model;
  if (typeof id !== "string" || typeof url !== "string") return undefined;
  if (layout !== "gguf" && layout !== "huggingface") return undefined;
  const stallMs = data["stallMs"];
  return { type: "load", model: { id, url, layout }, stallMs: typeof stallMs === "number" ? stallMs : null };
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
      const { description, notice } = data;
      if (!(description instanceof Uint8Array)) return undefined;
      return { type: "loaded", description, notice: typeof notice === "string" ? notice : null };
    }
    case "answer": {
      const { id, answer } = data;
      return typeof id === "number" && answer instanceof Uint8Array ? { type: "answer", id, answer } : undefined;
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
