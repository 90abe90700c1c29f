import { expect, test } from "vitest";
import { requests } from "./requests";
import type { SequenceSnapshot } from "tilewright";
import { sequence, snapshot } from "./snapshot.fixture";

const running = (changes: Partial<SequenceSnapshot>) => requests(snapshot({ running: [sequence(changes)] }))[0]!;

test("a prompt that is not all computed is being read, and then the answer is being made", () => {
  expect(running({ computed: 0 }).doing).toBe("prefill");
  expect(running({ computed: 39 }).doing).toBe("prefill");
  expect(running({ computed: 40, pending: 1 }).doing).toBe("decode");
  expect(running({ tokens: 45, computed: 44 }).doing).toBe("decode");
  expect(running({ tokens: 45, computed: 46, pending: 2 }).doing).toBe("decode");
});

test("a request that lost its blocks reads again what it had", () => {
  expect(running({ tokens: 45, computed: 16 }).doing).toBe("again");
  expect(running({ tokens: 45, computed: 42 }).doing).toBe("again");
});

test("a parked request says why, wherever it stands", () => {
  expect(running({ parked: "credit" }).doing).toBe("credit");
  const [waiting, frozen] = requests(snapshot({ waiting: [sequence(), sequence({ parked: "frozen" })] }));
  expect([waiting?.doing, frozen?.doing]).toEqual(["waiting", "frozen"]);
});

test("progress never exceeds the prompt, and its cached part never exceeds what is there", () => {
  expect(running({ tokens: 50, computed: 49, cached_tokens: 32 })).toMatchObject({
    prompt: { total: 40, computed: 40, cached: 32 },
    generated: 10,
  });
  // Preempted: what was cached at first is not there any more.
  expect(running({ computed: 16, cached_tokens: 32 }).prompt).toEqual({ total: 40, computed: 16, cached: 16 });
});

test("running requests come before waiting ones, each in the order of arrival", () => {
  const all = requests(
    snapshot({ running: [sequence({ request: 3 }), sequence({ request: 1 })], waiting: [sequence({ request: 2 })] }),
  );
  expect(all.map(({ request }) => request)).toEqual([3, 1, 2]);
});
