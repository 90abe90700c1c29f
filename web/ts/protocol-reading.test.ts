import { expect, test } from "vitest";
import { label, readFromHost, readToHost } from "./protocol-reading.js";

const RESUME = { tokens: [1, 2], id: "cmpl-1", created: 1_800_000_000 };
const REQUEST = { type: "request", id: 1, endpoint: "completions", body: { prompt: "x" }, resume: RESUME };
const CHUNK = { type: "chunk", id: 1, seq: 0, chunk: {}, tokens: [7] };
const ERROR = { type: "server_error", code: null, param: null, message: "x" };
const INFO = {
  model: "m",
  device: "d",
  kind: "gpu" as const,
  notice: null,
  family: "f",
  context: 1,
  vocabulary: 2,
  memory: { weights: 1, kv: 2, scratch: 3 },
};

test.each<Record<string, unknown>>([
  { type: "ping" },
  { type: "state", visible: true, focused: false, frozen: false },
  { type: "hello", protocol: 2, client: "c", lock: null, title: "t", url: "u" },
  { type: "ack", acks: [{ id: 1, seq: 2 ** 40 }] },
  { type: "inspect", id: 3 },
  { type: "tune", id: 4, command: { do: "import", file: "{}" } },
  REQUEST,
  { ...REQUEST, resume: null },
])("a page's $type is read as it is", (message) => {
  expect(readToHost(structuredClone(message))).toEqual(message);
});

test.each<unknown>([
  undefined,
  null,
  "ping",
  [],
  {},
  { type: "pong" },
  { type: "state", visible: 1, focused: false, frozen: false },
  { type: "hello", client: "c" },
  { type: "load", model: { id: "m", url: "u", layout: "zip" } },
  { type: "cancel", id: -1 },
  { type: "tune", id: 4, command: "start" },
  { type: "cancel", id: 1.5 },
  { type: "cancel", id: 2 ** 32 },
  { type: "ack", acks: "all" },
  { type: "ack", acks: [{ id: 1, seq: Infinity }] },
  { type: "ack", acks: [null] },
  { ...REQUEST, endpoint: "embeddings" },
  { ...REQUEST, resume: "x" },
  { ...REQUEST, resume: { ...RESUME, tokens: [1, -2] } },
  { ...REQUEST, resume: { ...RESUME, tokens: [2 ** 32] } },
  { ...REQUEST, resume: { ...RESUME, tokens: { length: 1 } } },
  { ...REQUEST, resume: { ...RESUME, id: "x".repeat(1000) } },
  { ...REQUEST, resume: { ...RESUME, created: "today" } },
])("%j is no message of a page", (message) => {
  expect(readToHost(message)).toBeUndefined();
});

test("a page's title is cut where nobody reads on, and may be anything", () => {
  expect(label("x".repeat(5000)).length).toBe(200);
  expect(label({ title: "x" })).toBe("");
});

test.each<Record<string, unknown>>([
  { type: "pong" },
  { type: "welcome", protocol: 2, lock: "l" },
  { type: "ready", info: INFO },
  CHUNK,
  { type: "error", error: ERROR },
  { type: "error", id: 4, error: ERROR },
  { type: "batch", messages: [CHUNK, { type: "done", id: 1 }] },
])("the host's $type is read as it is", (message) => {
  expect(readFromHost({ ...message, instance: "i" })).toEqual({ ...message, instance: "i" });
});

test.each<Record<string, unknown>>([
  { type: "ping" },
  { type: "welcome" },
  { type: "ready", info: { ...INFO, memory: null } },
  { type: "progress", progress: { phase: "dreaming", loaded: 1, total: null, file: null, cached: false } },
  { ...CHUNK, tokens: undefined },
  { ...CHUNK, seq: "0" },
  { type: "error", error: "broken" },
  { type: "error", id: "1", error: ERROR },
  { type: "snapshot", id: 1, snapshot: 3 },
  { type: "batch", messages: [CHUNK, { type: "done" }] },
  { type: "batch", messages: { 0: CHUNK } },
])("%j is no message of the host", (message) => {
  expect(readFromHost({ ...message, instance: "i" })).toBeUndefined();
  expect(readFromHost(message)).toBeUndefined();
});
