import { beforeEach, expect, test } from "vitest";
import { Outbox } from "./outbox.js";
import type { HostMessage } from "./protocol.js";

/** A clock that the test turns. */
class FakeClock {
  now = 0;
  #turn: (() => void)[] = [];
  #later: { at: number; work: () => void }[] = [];

  soon = (work: () => void): void => {
    this.#turn.push(work);
  };

  later = (ms: number, work: () => void): (() => void) => {
    const entry = { at: this.now + ms, work };
    this.#later.push(entry);
    return () => {
      this.#later = this.#later.filter((other) => other !== entry);
    };
  };

  get timers(): number {
    return this.#later.length;
  }

  /** Lets the turn of the event loop end. */
  settle(): void {
    for (const work of this.#turn.splice(0)) work();
  }

  pass(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now += 1;
      const due = this.#later.filter(({ at }) => at <= this.now);
      this.#later = this.#later.filter(({ at }) => at > this.now);
      for (const { work } of due) work();
      this.settle();
    }
  }
}

let clock: FakeClock;
let posted: { at: number; names: string[] }[];
let outbox: Outbox;

beforeEach(() => {
  clock = new FakeClock();
  posted = [];
  outbox = new Outbox((messages) => posted.push({ at: clock.now, names: messages.map(name) }), clock);
});

const name = (message: HostMessage): string => (message.type === "chunk" ? String(message.seq) : message.type);

/** Says chunks, a millisecond after one another. */
function chunks(from: number, to: number, tokens = 1): void {
  for (let seq = from; seq <= to; seq++) {
    outbox.say({ type: "chunk", id: 1, seq, chunk: "x", tokens: Array<number>(tokens).fill(0) });
    clock.pass(1);
  }
}

test("the first chunk after a pause goes at once, the next ones together once a frame", () => {
  chunks(0, 39);
  clock.pass(100);
  expect(posted.map(({ names }) => names.length)).toEqual([1, 16, 16, 7]);
  expect(posted.flatMap(({ names }) => names)).toEqual([...Array(40).keys()].map(String));
  expect(clock.timers).toBe(0);
  chunks(40, 40);
  expect(posted.at(-1)?.names).toEqual(["40"]);
});

test("a hidden page hears four times a second", () => {
  outbox.visible = false;
  chunks(0, 40);
  clock.pass(1000);
  expect(posted.map(({ at }) => at)).toEqual([1, 251]);
});

test("a page that is shown again hears at once what waited", () => {
  outbox.visible = false;
  chunks(0, 20);
  outbox.visible = true;
  clock.settle();
  expect(posted.map(({ names }) => names.length)).toEqual([1, 20]);
});

test.each<HostMessage>([
  { type: "done", id: 1 },
  { type: "error", id: 1, error: { type: "server_error", code: null, param: null, message: "x" } },
  { type: "pong" },
])("$type goes at once, after what stands before it", (message) => {
  chunks(0, 4);
  outbox.say(message);
  clock.settle();
  expect(posted.map(({ names }) => names)).toEqual([["0"], ["1", "2", "3", "4", message.type]]);
});

test("what is said in one turn goes together, also after a pause", () => {
  outbox.say({ type: "chunk", id: 1, seq: 0, chunk: "x", tokens: [1] });
  outbox.say({ type: "done", id: 1 });
  clock.settle();
  expect(posted.map(({ names }) => names)).toEqual([["0", "done"]]);
});

test("a quarter of a page's credit is the most that waits for the timer", () => {
  outbox.visible = false;
  chunks(0, 12, 8);
  expect(posted.map(({ names }) => names.length)).toEqual([1, 8]);
});

test("after close nothing is said", () => {
  chunks(0, 3);
  outbox.close();
  chunks(4, 5);
  clock.pass(1000);
  expect(posted.length).toBe(1);
  expect(clock.timers).toBe(0);
});
