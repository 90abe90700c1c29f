import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EVERY_MS, Poll } from "./poll";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test("it asks ten times a second", async () => {
  const ask = vi.fn(() => Promise.resolve(1));
  const poll = new Poll({ ask, heard: () => undefined, failed: () => undefined });
  poll.start();
  poll.start();
  await vi.advanceTimersByTimeAsync(1000 - EVERY_MS / 2);
  expect(ask).toHaveBeenCalledTimes(10);
  poll.stop();
});

test("it never asks before the last answer is there", async () => {
  const ask = vi.fn(() => new Promise<number>((answer) => setTimeout(() => answer(1), 700)));
  const poll = new Poll({ ask, heard: () => undefined, failed: () => undefined });
  poll.start();
  await vi.advanceTimersByTimeAsync(1500);
  expect(ask).toHaveBeenCalledTimes(3);
  poll.stop();
});

test("once stopped it asks no more, and an answer on its way is not heard", async () => {
  const heard = vi.fn();
  const ask = vi.fn(() => new Promise<number>((answer) => setTimeout(() => answer(1), 50)));
  const poll = new Poll({ ask, heard, failed: () => undefined });
  poll.start();
  poll.stop();
  await vi.advanceTimersByTimeAsync(5000);
  expect(heard).not.toHaveBeenCalled();
  expect(ask).toHaveBeenCalledTimes(1);
});

test("after a failure it waits as long as it is told, or ends", async () => {
  const pauses = [1000, undefined];
  const ask = vi.fn(() => Promise.reject(new Error("gone")));
  const poll = new Poll({ ask, heard: () => undefined, failed: () => pauses.shift() });
  poll.start();
  await vi.advanceTimersByTimeAsync(999);
  expect(ask).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(ask).toHaveBeenCalledTimes(2);
  expect(poll.isGoing).toBe(false);
});
