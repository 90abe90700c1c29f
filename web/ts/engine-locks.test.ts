import { describe, expect, test } from "vitest";
import { EngineLocks, type SharedLocks } from "./engine-locks.js";

type Mode = "exclusive" | "shared";

interface Entry {
  mode: Mode;
  grant: () => void;
}

/** The browser's lock manager: requests of a name are granted in their order, shared ones together. */
class Locks implements SharedLocks {
  readonly #queues = new Map<string, Entry[]>();

  async request<T>(
    name: string,
    { mode = "exclusive", ifAvailable = false }: { mode?: Mode; ifAvailable?: boolean },
    callback: (lock: unknown) => T | Promise<T>,
  ): Promise<T> {
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    const entry: Entry = { mode, grant: () => undefined };
    const granted = new Promise<void>((grant) => (entry.grant = grant));
    queue.push(entry);
    if (ifAvailable && !Locks.#free(queue).includes(entry)) {
      queue.pop();
      return callback(null);
    }
    for (const { grant } of Locks.#free(queue)) grant();
    await granted;
    try {
      return await callback({ name });
    } finally {
      queue.splice(queue.indexOf(entry), 1);
      for (const { grant } of Locks.#free(queue)) grant();
    }
  }

  /** Those at the head of the queue who may hold the lock together. */
  static #free(queue: Entry[]): Entry[] {
    const exclusive = queue.findIndex(({ mode }) => mode === "exclusive");
    return exclusive === -1 ? queue.slice() : queue.slice(0, Math.max(exclusive, 1));
  }
}

const refusing: SharedLocks = { request: () => Promise.reject(new DOMException("no", "SecurityError")) };
const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));

/** Whether a promise is kept within a while. */
async function soon(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => true), aWhile().then(() => false)]);
}

describe("a turn to tune", () => {
  test("comes when the one before has let go", async () => {
    const locks = new Locks();
    const release = await new EngineLocks(locks).tuning();
    const next = new EngineLocks(locks).tuning();
    expect(await soon(next)).toBe(false);
    release();
    expect(await soon(next)).toBe(true);
  });

  test("comes at once where there are no locks, or none may be had", async () => {
    (await new EngineLocks(refusing).tuning())();
    (await new EngineLocks(undefined).tuning())();
  });
});

describe("quiet", () => {
  test("is at once where nobody answers, where there are no locks, and where none may be had", async () => {
    for (const locks of [new Locks(), refusing, undefined]) {
      const engine = new EngineLocks(locks);
      expect(await engine.isQuiet()).toBe(true);
      expect(await soon(engine.quiet())).toBe(true);
    }
  });

  test("comes when the last of several who answer has ended, and is no hindrance to the next", async () => {
    const locks = new Locks();
    const [one, two, tuner] = [new EngineLocks(locks), new EngineLocks(locks), new EngineLocks(locks)];
    const [first, second] = [await one.answering(), await two.answering()];
    expect(await tuner.isQuiet()).toBe(false);
    const quiet = tuner.quiet();
    first();
    expect(await soon(quiet)).toBe(false);
    second();
    expect(await soon(quiet)).toBe(true);
    const third = await one.answering();
    expect(await tuner.isQuiet()).toBe(false);
    third();
    await aWhile();
    expect(await tuner.isQuiet()).toBe(true);
  });
});
