import { beforeEach, describe, expect, test } from "vitest";
import { PoolHosts, type HostTab } from "./pool-hosts.js";
import { PoolGone, PoolOpener, type Pool } from "./pools.js";
import type { FromPool, ToPool } from "./pool-protocol.js";
import type { HostMessage, PageState } from "./protocol.js";
import type { Locks } from "./liveness.js";

const VISIBLE: PageState = { visible: true, focused: false, frozen: false };
const HIDDEN: PageState = { ...VISIBLE, visible: false };
const LOAD = {
  model: { id: "m", url: "https://a.example/m.gguf", layout: "gguf" as const },
  stallMs: null,
  threads: null,
  subject: null,
};

/** A tab whose pools answer a step with its question, backwards. */
class Tab implements HostTab {
  state: PageState | undefined = VISIBLE;
  readonly heard: HostMessage[] = [];
  readonly asked: ToPool[] = [];
  port: MessagePort | undefined;
  /** What a pool says to a message instead. */
  answer: (message: ToPool) => FromPool | undefined = (message) =>
    message.type === "load"
      ? { type: "loaded", description: Uint8Array.of(1, 2), notice: "a notice", heapBytes: 7 }
      : { type: "answer", id: message.id, answer: message.question.slice().reverse(), heapBytes: 8 };

  constructor(
    readonly client: number,
    readonly hosts: PoolHosts,
    readonly lock = `pool of ${client}`,
  ) {
    hosts.add(this);
  }

  send(message: HostMessage): void {
    this.heard.push(message);
    if (message.type !== "open pool") return;
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    port1.addEventListener("message", ({ data }: MessageEvent<ToPool>) => {
      this.asked.push(data);
      const answer = this.answer(data);
      if (answer) port1.postMessage(answer);
    });
    port1.start();
    port1.postMessage({ type: "hello", lock: this.lock } satisfies FromPool);
    this.hosts.opened(this.client, message.id, port2, undefined);
  }

  see(state: PageState): void {
    this.state = state;
    this.hosts.changed(this);
  }
}

/** Locks that the test releases. */
class FakeLocks implements Locks {
  readonly waiting = new Map<string, () => void>();
  request(name: string, { signal }: { signal?: AbortSignal }, callback: () => Promise<void> | undefined) {
    return new Promise<void>((resolve, reject) => {
      signal?.addEventListener("abort", () => {
        reject(new Error("aborted"));
      });
      this.waiting.set(name, () => {
        void callback();
        resolve();
      });
    });
  }
}

let hosts: PoolHosts;
let locks: FakeLocks;
let opener: PoolOpener;
let model: AbortController;
let lost: string[];
const open = (): Promise<Pool> =>
  opener.open(
    () => undefined,
    (reason) => lost.push(reason),
  );

beforeEach(() => {
  hosts = new PoolHosts();
  locks = new FakeLocks();
  model = new AbortController();
  lost = [];
  opener = new PoolOpener({
    hosts,
    load: LOAD,
    locks,
    signal: model.signal,
    onFile: () => undefined,
    helloMs: 500,
  });
});

describe("the choice of a tab", () => {
  test("takes a visible tab, then the one that was visible last, then the oldest", () => {
    const [first, second, third] = [new Tab(1, hosts), new Tab(2, hosts), new Tab(3, hosts)];
    expect(hosts.best()).toBe(third);
    third.see(HIDDEN);
    expect(hosts.best()).toBe(second);
    first.see(VISIBLE);
    expect(hosts.best()).toBe(first);
    first.see(HIDDEN);
    second.see(HIDDEN);
    expect(hosts.best()).toBe(first);
    first.see({ ...HIDDEN, frozen: true });
    expect(hosts.best()).toBe(third);
    hosts.remove(1);
    hosts.remove(2);
    expect(hosts.best()).toBe(third);
  });

  test("stands while another tab is looked at", async () => {
    const first = new Tab(1, hosts);
    await open();
    new Tab(2, hosts).see(VISIBLE);
    first.see(HIDDEN);
    expect(lost).toEqual([]);
    expect(first.heard.map(({ type }) => type)).toEqual(["open pool"]);
  });

  test("waits for a tab where there is none, until the model is dropped", async () => {
    const opening = open();
    const tab = new Tab(1, hosts);
    await opening;
    expect(tab.asked[0]).toEqual({ type: "load", ...LOAD });
    hosts.remove(1);
    const waiting = open();
    model.abort(new Error("dropped"));
    await expect(waiting).rejects.toThrow("dropped");
  });
});

describe("an open pool", () => {
  test("answers steps in their order, and describes itself", async () => {
    new Tab(1, hosts);
    const pool = await open();
    expect([...pool.description]).toEqual([1, 2]);
    expect(pool.notice).toBe("a notice");
    const answers = await Promise.all([pool.step(Uint8Array.of(1, 2, 3)), pool.step(Uint8Array.of(4, 5))]);
    expect(answers.map((answer) => [...answer])).toEqual([
      [3, 2, 1],
      [5, 4],
    ]);
  });

  test("that loses its tab says so without blame, and the next is opened in another", async () => {
    const first = new Tab(1, hosts);
    const second = new Tab(2, hosts);
    first.see(VISIBLE);
    first.answer = (message) => (message.type === "load" ? loaded() : undefined);
    const pool = await open();
    const step = pool.step(Uint8Array.of(1));
    hosts.remove(1);
    await expect(step).rejects.toMatchObject({ crashed: false });
    await expect(pool.step(Uint8Array.of(2))).rejects.toBeInstanceOf(PoolGone);
    await expect.poll(() => lost).toHaveLength(1);
    await open();
    expect(second.asked).toHaveLength(1);
  });

  test("ends with its worker's lock", async () => {
    const tab = new Tab(1, hosts);
    const pool = await open();
    locks.waiting.get(tab.lock)?.();
    await expect(pool.step(Uint8Array.of(1))).rejects.toMatchObject({ crashed: false });
    expect(tab.heard.at(-1)?.type).toBe("close pool");
  });

  test("stays in a tab that is frozen until another is there", async () => {
    const first = new Tab(1, hosts);
    await open();
    first.see({ ...HIDDEN, frozen: true });
    await new Promise((later) => setTimeout(later, 10));
    expect(lost).toEqual([]);
    new Tab(2, hosts);
    await expect.poll(() => lost).toHaveLength(1);
    expect(lost[0]).toContain("frozen");
  });

  test("that crashes may be blamed", async () => {
    const tab = new Tab(1, hosts);
    tab.answer = (message) => (message.type === "load" ? loaded() : crash());
    const pool = await open();
    await expect(pool.step(Uint8Array.of(1))).rejects.toMatchObject({ crashed: true });
  });

  test("that is closed from here ends its worker and tells nobody", async () => {
    const tab = new Tab(1, hosts);
    const pool = await open();
    pool.close();
    expect(tab.heard.at(-1)).toEqual({ type: "close pool", id: 1 });
    await Promise.resolve();
    expect(lost).toEqual([]);
  });
});

describe("a pool that can't be had", () => {
  test("is looked for in another tab when its tab goes while it loads", async () => {
    const first = new Tab(1, hosts);
    const second = new Tab(2, hosts);
    first.see(VISIBLE);
    first.answer = () => undefined;
    const opening = open();
    await expect.poll(() => first.asked).toHaveLength(1);
    hosts.remove(1);
    await opening;
    expect(second.asked).toHaveLength(1);
  });

  test("fails with the words of its worker, which another try would hear again", async () => {
    const tab = new Tab(1, hosts);
    const error = { type: "model_load_error", code: "model_too_large", param: "model", message: "too large" };
    tab.answer = () => ({ type: "failed", error });
    await expect(open()).rejects.toMatchObject(error);
    expect(tab.asked).toHaveLength(1);
    expect(tab.heard.at(-1)?.type).toBe("close pool");
  });

  test("is given up when it crashes twice, or never says a word", async () => {
    const tab = new Tab(1, hosts);
    tab.answer = () => crash();
    await expect(open()).rejects.toMatchObject({ code: "pool_failed", message: "it crashed" });
    hosts.remove(1);
    const silent: HostTab = { client: 2, state: VISIBLE, send: () => undefined };
    hosts.add(silent);
    await expect(open()).rejects.toMatchObject({ code: "pool_failed" });
  });
});

const loaded = (): FromPool => ({ type: "loaded", description: Uint8Array.of(1), notice: null, heapBytes: 7 });
const crash = (): FromPool => ({
  type: "crashed",
  error: { type: "server_error", code: "engine_crashed", param: null, message: "it crashed" },
});
