import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Acks } from "./acks.js";
import type { Ack } from "./protocol.js";

let sent: Ack[][];
let acks: Acks;

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  acks = new Acks((list) => sent.push(list));
});
afterEach(() => {
  vi.useRealTimers();
});

test("what is read within a frame is one message, with the newest chunk of each request", () => {
  for (let seq = 0; seq < 10; seq++) acks.read(1, seq, 1);
  acks.read(2, 0, 1);
  expect(sent).toEqual([]);
  vi.advanceTimersByTime(16);
  expect(sent).toEqual([
    [
      { id: 1, seq: 9 },
      { id: 2, seq: 0 },
    ],
  ]);
  vi.advanceTimersByTime(1000);
  expect(sent.length).toBe(1);
});

test("the last of a burst is never lost", () => {
  for (let seq = 0; seq < 130; seq++) acks.read(1, seq, 1);
  expect(sent.map(([ack]) => ack?.seq)).toEqual([63, 127]);
  vi.advanceTimersByTime(16);
  expect(sent.at(-1)).toEqual([{ id: 1, seq: 129 }]);
  expect(vi.getTimerCount()).toBe(0);
});

test("64 tokens in few chunks are told without waiting for a timer", () => {
  acks.read(1, 0, 40);
  acks.read(1, 1, 40);
  expect(sent).toEqual([[{ id: 1, seq: 1 }]]);
});

test("a request that is over is not told of, and the others are", () => {
  acks.read(1, 3, 1);
  acks.forget(1);
  expect(vi.getTimerCount()).toBe(0);
  acks.read(1, 3, 1);
  acks.read(2, 5, 1);
  acks.forget(1);
  vi.advanceTimersByTime(16);
  expect(sent).toEqual([[{ id: 2, seq: 5 }]]);
});

test("closed, it forgets all and leaves no timer", () => {
  acks.read(1, 3, 1);
  acks.close();
  expect(vi.getTimerCount()).toBe(0);
  expect(sent).toEqual([]);
});
