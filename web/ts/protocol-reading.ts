/**
 * Messages as they arrive: read field by field, because a page of another version, a browser's extension or a mistake may
 * say anything. What does not read as a message of this protocol is none; nothing of it is passed on.
 */

import type { ErrorObject } from "./errors.js";
import { isErrorObject } from "./errors.js";
import type { Ack, Batch, FromHost, HostMessage, ModelInfo, Progress, Resume, ToHost } from "./protocol.js";
import type { EngineSnapshot } from "./snapshot.js";
import type { TuningCommand, TuningReply } from "./tuning.js";

/** What no person reads to its end. */
const LABEL_LENGTH = 200;

/** What a page said, or nothing if this is no message of this protocol. */
export function readToHost(data: unknown): ToHost | undefined {
  if (!isRecord(data)) return undefined;
  switch (data["type"]) {
    case "ping":
    case "bye":
      return { type: data["type"] };
    case "hello": {
      const { protocol, client, lock, title, url } = data;
      if (typeof protocol !== "number" || typeof client !== "string") return undefined;
      const held = typeof lock === "string" ? lock : null;
      return { type: "hello", protocol, client, lock: held, title: label(title), url: label(url) };
    }
    case "state": {
      const { visible, focused, frozen } = data;
      if (typeof visible !== "boolean" || typeof focused !== "boolean" || typeof frozen !== "boolean") return undefined;
      return { type: "state", visible, focused, frozen };
    }
    case "load": {
      const model = data["model"];
      if (!isRecord(model)) return undefined;
      const { id, url, layout } = model;
      if (typeof id !== "string" || typeof url !== "string") return undefined;
      if (layout !== "gguf" && layout !== "huggingface") return undefined;
      const { stallMs, device, threads, pageGpu, tuning } = data;
      if (device !== "auto" && device !== "gpu" && device !== "cpu") return undefined;
      return {
        type: "load",
        model: { id, url, layout },
        stallMs: typeof stallMs === "number" ? stallMs : null,
        device,
        threads: isCount(threads) && threads > 0 ? threads : null,
        pageGpu: pageGpu === true,
        tuning: tuning === "off" ? "off" : "auto",
      };
    }
    case "request": {
      const { id, endpoint, body } = data;
      if (!isId(id) || (endpoint !== "chat.completions" && endpoint !== "completions")) return undefined;
      const resume = data["resume"] == null ? null : readResume(data["resume"]);
      return resume === undefined ? undefined : { type: "request", id, endpoint, body, resume };
    }
    case "pool": {
      const { id, error } = data;
      if (!isId(id) || (error !== null && !isErrorObject(error))) return undefined;
      return { type: "pool", id, error: error && fields(error) };
    }
    case "tune": {
      const { id, command } = data;
      // The tuner itself says what is wrong with a command.
      return isId(id) && isRecord(command) ? { type: "tune", id, command: command as TuningCommand } : undefined;
    }
    case "cancel":
    case "inspect":
      return isId(data["id"]) ? { type: data["type"], id: data["id"] } : undefined;
    case "ack":
      return Array.isArray(data["acks"]) && data["acks"].every(isAck) ? { type: "ack", acks: data["acks"] } : undefined;
    default:
      return undefined;
  }
}

/** What a page calls itself, cut where no person reads on. */
export function label(text: unknown): string {
  return typeof text === "string" ? text.slice(0, LABEL_LENGTH) : "";
}

/** What the host said, or nothing if this is no message of this protocol. */
export function readFromHost(data: unknown): FromHost | undefined {
  if (!isRecord(data) || typeof data["instance"] !== "string") return undefined;
  const message = data["type"] === "batch" ? readBatch(data["messages"]) : readHostMessage(data);
  return message && { ...message, instance: data["instance"] };
}

function readBatch(messages: unknown): Batch | undefined {
  if (!Array.isArray(messages)) return undefined;
  const read = messages.map(readHostMessage);
  // All or nothing: a stream with a hole would look whole.
  return read.every((message) => message !== undefined) ? { type: "batch", messages: read } : undefined;
}

function readHostMessage(data: unknown): HostMessage | undefined {
  if (!isRecord(data)) return undefined;
  switch (data["type"]) {
    case "pong":
      return { type: "pong" };
    case "welcome": {
      const { protocol, lock } = data;
      if (typeof protocol !== "number") return undefined;
      return { type: "welcome", protocol, lock: typeof lock === "string" ? lock : null };
    }
    case "progress":
      return isProgress(data["progress"]) ? { type: "progress", progress: data["progress"] } : undefined;
    case "ready":
      return isModelInfo(data["info"]) ? { type: "ready", info: data["info"] } : undefined;
    case "chunk": {
      const { id, seq, chunk, tokens } = data;
      if (!isId(id) || !isCount(seq) || !isTokens(tokens)) return undefined;
      return { type: "chunk", id, seq, chunk, tokens };
    }
    case "moving":
      return typeof data["reason"] === "string" ? { type: "moving", reason: data["reason"] } : undefined;
    case "done":
    case "open pool":
    case "close pool":
      return isId(data["id"]) ? { type: data["type"], id: data["id"] } : undefined;
    case "error": {
      const { id, error } = data;
      if (!isErrorObject(error) || (id !== undefined && !isId(id))) return undefined;
      return id === undefined ? { type: "error", error: fields(error) } : { type: "error", id, error: fields(error) };
    }
    case "tuning": {
      const { id, reply } = data;
      if (!isId(id) || !isRecord(reply)) return undefined;
      return { type: "tuning", id, reply: reply as unknown as TuningReply };
    }
    case "snapshot": {
      const { id, snapshot } = data;
      // Its inside is the engine's, and is only drawn.
      if (!isId(id) || !isRecord(snapshot)) return undefined;
      return { type: "snapshot", id, snapshot: snapshot as unknown as EngineSnapshot };
    }
    default:
      return undefined;
  }
}

function readResume(value: unknown): Resume | undefined {
  if (!isRecord(value)) return undefined;
  const { tokens, id, created } = value;
  if (!isTokens(tokens) || typeof id !== "string" || id.length > LABEL_LENGTH || !isCount(created)) return undefined;
  return { tokens, id, created };
}

function fields({ type, code, param, message }: ErrorObject): ErrorObject {
  return { type, code, param, message };
}

/** Requests and tokens: the engine's ids have 32 bits. */
function isId(value: unknown): value is number {
  return isCount(value) && value < 2 ** 32;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isTokens(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isId);
}

function isAck(value: unknown): value is Ack {
  return isRecord(value) && isId(value["id"]) && isCount(value["seq"]);
}

function isProgress(value: unknown): value is Progress {
  if (!isRecord(value)) return false;
  const { phase, loaded, total, file, cached } = value;
  return (
    (phase === "starting" || phase === "downloading" || phase === "preparing") &&
    typeof loaded === "number" &&
    (total === null || typeof total === "number") &&
    (file === null || typeof file === "string") &&
    typeof cached === "boolean"
  );
}

function isModelInfo(value: unknown): value is ModelInfo {
  if (!isRecord(value) || !isRecord(value["memory"])) return false;
  const texts = ["model", "device", "family"].map((name) => value[name]);
  const numbers = ["context", "vocabulary"].map((name) => value[name]);
  const bytes = ["weights", "kv", "scratch"].map((name) => (value["memory"] as Record<string, unknown>)[name]);
  const { kind, notice } = value;
  if ((kind !== "gpu" && kind !== "cpu") || (notice !== null && typeof notice !== "string")) return false;
  return texts.every((text) => typeof text === "string") && [...numbers, ...bytes].every((n) => typeof n === "number");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
