import { beforeEach, describe, expect, test } from "vitest";
import type { TuningCommand, TuningStatus } from "./tuning.js";
import type { Engine, EngineEvents, StartOptions } from "./engine.js";
import type { ErrorObject } from "./errors.js";
import { Host } from "./host.js";
import type { Locks } from "./liveness.js";
import { PROTOCOL, type Endpoint, type HostMessage, type PageState, type Resume, type ToHost } from "./protocol.js";
import { readFromHost } from "./protocol-reading.js";

type Heard = HostMessage & { instance: string };

/** How long a busy machine may take to do what is due after `idleMs`. */
const WHILE = { timeout: 4_000 };

const CRASH: ErrorObject = { type: "server_error", code: "engine_crashed", param: null, message: "it crashed" };

/** An engine that notes what it is told and says what the test wants. */
class FakeEngine implements Engine {
  readonly info;
  readonly told: string[] = [];
  readonly events: EngineEvents;

  constructor(readonly options: StartOptions) {
    this.events = options.events;
    this.info = {
      model: options.address.id,
      device: "a GPU",
      kind: "gpu" as const,
      notice: null,
      family: "llama",
      context: 64,
      vocabulary: 10,
      memory: { weights: 1, kv: 2, scratch: 3 },
    };
  }

  hello(client: number): void {
    this.told.push(`hello ${client}`);
  }
  state(client: number, state: PageState): void {
    const words = Object.entries(state).filter(([, is]) => is);
    this.told.push(`state ${client} ${words.map(([word]) => word).join("+")}`);
  }
  gone(client: number): void {
    this.told.push(`gone ${client}`);
  }
  submit(client: number, request: number, _: Endpoint, _body: unknown, resume: Resume | null): void {
    this.told.push(`submit ${client}.${request}${resume ? ` after ${resume.tokens.join()}` : ""}`);
  }
  ack(client: number, request: number, seq: number): void {
    this.told.push(`ack ${client}.${request} ${seq}`);
  }
  cancel(client: number, request: number): void {
    this.told.push(`cancel ${client}.${request}`);
  }
  inspect(client: number, id: number): void {
    this.told.push(`inspect ${client}.${id}`);
  }
  tune(client: number, id: number, command: TuningCommand): void {
    this.told.push(`tune ${client}.${id} ${command.do}`);
  }
  close(): void {
    this.told.push("close");
  }
}

/** Locks that the test releases. */
class FakeLocks implements Locks {
  readonly waiting = new Map<string, () => void>();
  /** What the host holds itself. */
  readonly held: string[] = [];

  async request(
    name: string,
    options: { signal?: AbortSignal },
    callback: () => Promise<void> | undefined,
  ): Promise<unknown> {
    if (name.startsWith("tilewright host")) {
      this.held.push(name);
      return callback();
    }
    return new Promise((resolve, reject) => {
      this.waiting.set(name, () => {
        resolve(callback());
      });
      options.signal?.addEventListener("abort", () => {
        this.waiting.delete(name);
        reject(new DOMException("aborted", "AbortError"));
      });
    });
  }
}

/** A page: what it heard, and what it says. */
class Page {
  readonly heard: Heard[] = [];
  posts = 0;
  aliveLock: string | null = null;
  readonly #port: MessagePort;
  #wake: (() => void) | undefined;

  constructor(
    host: Host,
    readonly lock: string,
    protocol = PROTOCOL,
  ) {
    const channel = new MessageChannel();
    host.accept(channel.port2);
    this.#port = channel.port1;
    this.#port.addEventListener("message", (event: MessageEvent) => {
      const read = readFromHost(event.data);
      if (!read) throw new Error(`not of the protocol: ${JSON.stringify(event.data)}`);
      this.posts += 1;
      for (const message of read.type === "batch" ? read.messages : [read]) {
        if (message.type === "welcome") this.aliveLock = message.lock;
        else this.heard.push({ ...message, instance: read.instance });
      }
      this.#wake?.();
    });
    this.#port.start();
    const page = { title: `page ${lock}`, url: "https://a.example/" };
    this.say({ type: "hello", protocol, client: lock, lock, ...page });
  }

  say(message: ToHost | { type: string }): void {
    this.#port.postMessage(message);
  }

  load(name = "tiny"): this {
    const url = `https://a.example/${name}.gguf`;
    this.say({
      type: "load",
      model: { id: name, url, layout: "gguf" },
      stallMs: null,
      device: "auto",
      threads: null,
      pageGpu: false,
    });
    return this;
  }

  ask(id: number, resume: Resume | null = null): void {
    this.say({ type: "request", id, endpoint: "chat.completions", body: {}, resume });
  }

  /** Waits for a message of this type, and takes it. */
  async hear<T extends HostMessage["type"]>(type: T): Promise<Heard & { type: T }> {
    for (;;) {
      const at = this.heard.findIndex((message) => message.type === type);
      if (at >= 0) return this.heard.splice(at, 1)[0] as Heard & { type: T };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Waits until the host has handled all that was said. */
  async settled(): Promise<void> {
    this.say({ type: "ping" });
    await this.hear("pong");
  }
}

let engines: FakeEngine[];
/** Ends the loading of the newest engine. */
let loaded: (error?: ErrorObject) => void;
let locks: FakeLocks;
let host: Host;

beforeEach(() => {
  engines = [];
  locks = new FakeLocks();
  host = new Host({
    locks,
    idleMs: 100,
    start: (options) =>
      new Promise((resolve, reject) => {
        const engine = new FakeEngine(options);
        engines.push(engine);
        loaded = (error) => {
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as the wasm module does.
          if (error) reject(error);
          else resolve(engine);
        };
        options.signal.addEventListener("abort", () => {
          reject(new Error("given up"));
        });
      }),
  });
});

async function readyPage(name?: string): Promise<Page> {
  const before = engines.length;
  const page = new Page(host, `lock ${Math.random()}`).load(name);
  await page.settled();
  if (engines.length > before) loaded();
  await page.hear("ready");
  return page;
}

describe("tabs and models", () => {
  test("several tabs share one engine; all hear of its loading", async () => {
    const a = new Page(host, "a").load();
    await a.settled();
    engines[0]?.events.progress({ phase: "downloading", loaded: 5, total: 10, file: "f", cached: false });
    const b = new Page(host, "b").load();
    expect((await a.hear("progress")).progress.loaded).toBe(5);
    expect((await b.hear("progress")).progress.loaded).toBe(5);
    loaded();
    expect((await a.hear("ready")).info.model).toBe("tiny");
    const ready = await b.hear("ready");
    const c = await readyPage();
    expect(engines.length).toBe(1);
    expect(engines[0]?.told).toEqual(["hello 1", "hello 2", "hello 3"]);
    expect(ready.instance).toBe(host.instance);
    expect(locks.held).toEqual([`tilewright host ${host.instance}`]);
    expect([a, b, c].map(({ aliveLock }) => aliveLock)).toEqual(Array(3).fill(locks.held[0]));
    await c.settled();
  });

  test("a second model gets an engine of its own", async () => {
    await readyPage("one");
    await readyPage("two");
    expect(engines.map((engine) => engine.options.address.id)).toEqual(["one", "two"]);
  });

  test("each answer goes to who asked", async () => {
    const [a, b] = [await readyPage(), await readyPage()];
    a.ask(1);
    b.ask(1);
    await Promise.all([a.settled(), b.settled()]);
    const events = engines[0]?.events;
    events?.chunk(2, 1, 0, "for b", [3]);
    events?.chunk(1, 1, 0, "for a", [1]);
    events?.done(1, 1);
    events?.chunk(1, 1, 1, "after the end", []);
    await a.settled();
    expect((await b.hear("chunk")).chunk).toBe("for b");
    expect(a.heard.map(({ type }) => type)).toEqual(["chunk", "done"]);
    expect((await a.hear("chunk")).chunk).toBe("for a");
  });

  test("a load that fails is told to all who wait, and tried again for the next", async () => {
    const [a, b] = [new Page(host, "a").load(), new Page(host, "b").load()];
    await Promise.all([a.settled(), b.settled()]);
    loaded({ type: "model_load_error", code: "file_not_found", param: "model", message: "404" });
    expect((await a.hear("error")).error.code).toBe("file_not_found");
    expect((await b.hear("error")).error.code).toBe("file_not_found");
    await readyPage();
    expect(engines.length).toBe(2);
  });
});

describe("what a tab says of itself and of its streams", () => {
  test("its state reaches the engine after its hello, also when it was said before there was an engine", async () => {
    const early = new Page(host, "early");
    early.say({ type: "state", visible: true, focused: false, frozen: false });
    early.load();
    await early.settled();
    loaded();
    await early.hear("ready");
    expect(engines[0]?.told).toEqual(["hello 1", "state 1 visible"]);
    early.say({ type: "state", visible: true, focused: true, frozen: false });
    early.say({ type: "state", visible: false, focused: false, frozen: true });
    const late = new Page(host, "late");
    late.say({ type: "state", visible: false, focused: false, frozen: false });
    await late.load().hear("ready");
    expect(engines[0]?.told.slice(2)).toEqual(["state 1 visible+focused", "state 1 frozen", "hello 2", "state 2 "]);
  });

  test("what it has read is acknowledged for its own live requests only", async () => {
    const [a, b] = [await readyPage(), await readyPage()];
    a.ask(1);
    b.ask(2);
    a.say({ type: "ack", acks: [{ id: 1, seq: 4 }] });
    await Promise.all([a.settled(), b.settled()]);
    const acks = [1, 2, 9].map((id) => ({ id, seq: 7 }));
    b.say({ type: "ack", acks });
    await b.settled();
    engines[0]?.events.done(2, 2);
    b.say({ type: "ack", acks });
    await b.settled();
    expect(engines[0]?.told.filter((told) => told.startsWith("ack"))).toEqual(["ack 1.1 4", "ack 2.2 7"]);
  });

  test("a request that it resumes begins where it says, also when the engine has to be loaded for it", async () => {
    const a = new Page(host, "a").load();
    a.ask(1, { tokens: [5, 6], id: "cmpl-1", created: 9 });
    await a.settled();
    loaded();
    await a.hear("ready");
    a.ask(2, { tokens: [], id: "cmpl-2", created: 9 });
    await a.settled();
    expect(engines[0]?.told.slice(1)).toEqual(["submit 1.1 after 5,6", "submit 1.2 after "]);
  });

  test("what the engine says in one turn comes as one message, in its order", async () => {
    const a = await readyPage();
    a.ask(1);
    await a.settled();
    const before = a.posts;
    for (let seq = 0; seq < 5; seq++) engines[0]?.events.chunk(1, 1, seq, `chunk ${seq}`, [seq]);
    engines[0]?.events.done(1, 1);
    await a.hear("done");
    expect(a.heard.map((message) => (message.type === "chunk" ? message.tokens[0] : -1))).toEqual([0, 1, 2, 3, 4]);
    expect(a.posts - before).toBe(1);
  });

  test("a page of another version is told so, with both numbers, and nothing more", async () => {
    const page = new Page(host, "old", PROTOCOL - 1).load();
    const { error, id } = await page.hear("error");
    expect([id, error.type, error.code]).toEqual([undefined, "connection_error", "protocol_mismatch"]);
    expect(error.message).toContain(`protocol ${PROTOCOL - 1}`);
    expect(error.message).toContain(`worker ${PROTOCOL}`);
    expect(engines.length).toBe(0);
    expect(locks.waiting.has("old")).toBe(false);
  });
});

describe("a tab that is gone", () => {
  test.each(["lock", "bye"])("(by %s) takes its requests with it, and others go on", async (how) => {
    const [a, b] = [await readyPage(), await readyPage()];
    a.ask(1);
    b.ask(1);
    await Promise.all([a.settled(), b.settled()]);
    if (how === "lock") locks.waiting.get(a.lock)?.();
    else a.say({ type: "bye" });
    await b.settled();
    await b.settled();
    expect(engines[0]?.told.slice(4)).toEqual(["gone 1"]);
    engines[0]?.events.done(2, 1);
    expect((await b.hear("done")).id).toBe(1);
  });

  test("leaves the model for a while, then it is dropped", async () => {
    const a = await readyPage();
    a.say({ type: "bye" });
    const b = await readyPage();
    expect(engines.length).toBe(1);
    b.say({ type: "bye" });
    await expect.poll(() => engines[0]?.told.at(-1), WHILE).toBe("close");
    await readyPage();
    expect(engines.length).toBe(2);
  });

  test("while the model loads: the loading is given up after a while", async () => {
    const a = new Page(host, "a").load();
    await a.settled();
    a.say({ type: "bye" });
    expect(engines[0]?.options.signal.aborted).toBe(false);
    await expect.poll(() => engines[0]?.options.signal.aborted, WHILE).toBe(true);
  });
});

describe("a crash", () => {
  test("ends every request with an error, tells the others, and the next request gets a new engine", async () => {
    const [a, b] = [await readyPage(), await readyPage()];
    a.ask(1);
    await a.settled();
    engines[0]?.events.crashed(CRASH);
    expect(await a.hear("error")).toMatchObject({ id: 1, error: CRASH });
    const told = await b.hear("error");
    expect(told.id).toBeUndefined();

    b.ask(7);
    b.ask(8);
    b.say({ type: "cancel", id: 8 });
    await b.settled();
    expect(engines.length).toBe(2);
    loaded();
    await b.hear("ready");
    expect(engines[1]?.told).toEqual(["hello 1", "hello 2", "submit 2.7"]);
    engines[0]?.events.done(2, 7);
    engines[1]?.events.chunk(2, 7, 0, "x", []);
    expect(await b.hear("chunk")).toMatchObject({ id: 7, chunk: "x" });
  });

  test("while loading is a load that failed, once", async () => {
    const a = new Page(host, "a").load();
    await a.settled();
    engines[0]?.events.crashed(CRASH);
    loaded(CRASH);
    await a.hear("error");
    await a.settled();
    expect(a.heard).toEqual([]);
  });
});

describe("what goes on", () => {
  const nothing = { epoch: 0, ready: true, block_size: 16, blocks: [], running: [], waiting: [], in_flight: [] };

  test("of the tuner, its answers and its refusals, is told once to the page that asks", async () => {
    const [a, b] = [await readyPage(), await readyPage()];
    b.say({ type: "tune", id: 6, command: { do: "import", file: "{}" } });
    await b.settled();
    const refusal = { type: "invalid_request_error", code: null, param: "file", message: "no such file" };
    engines[0]?.events.error(2, 6, refusal);
    engines[0]?.events.error(2, 6, refusal);
    expect(await b.hear("error")).toMatchObject({ id: 6, error: refusal });
    b.say({ type: "tune", id: 7, command: { do: "export" } });
    await b.settled();
    const reply = { status: {} as TuningStatus, file: "{}" };
    engines[0]?.events.tuning(2, 7, reply);
    expect(await b.hear("tuning")).toMatchObject({ id: 7, reply });
    await b.settled();
    expect([a.heard, b.heard]).toEqual([[], []]);
  });

  test("is told to the page that asks, with its own number and every page's name", async () => {
    const [a, b] = [await readyPage(), await readyPage()];
    b.say({ type: "tune", id: 6, command: { do: "pause" } });
    await b.settled();
    expect(engines[0]?.told.at(-1)).toBe("tune 2.6 pause");
    b.say({ type: "inspect", id: 7 });
    await b.settled();
    expect(engines[0]?.told.at(-1)).toBe("inspect 2.7");
    engines[0]?.events.snapshot(2, 7, { ...nothing, clients: [], steps: [] });
    const { id, snapshot } = await b.hear("snapshot");
    expect([id, snapshot.you, snapshot.block_size]).toEqual([7, 2, 16]);
    const url = "https://a.example/";
    expect(snapshot.pages).toEqual([
      { client: 1, title: `page ${a.lock}`, url },
      { client: 2, title: `page ${b.lock}`, url },
    ]);
    await a.settled();
    expect(a.heard).toEqual([]);
  });

  test("is an error of its own where no model is open or loaded", async () => {
    const page = new Page(host, "a");
    page.say({ type: "inspect", id: 1 });
    expect(await page.hear("error")).toMatchObject({ id: 1, error: { code: "no_model" } });
    page.load().say({ type: "inspect", id: 2 });
    expect(await page.hear("error")).toMatchObject({ id: 2, error: { code: "not_loaded" } });
  });
});

describe("nonsense from a page", () => {
  test.each([
    { type: "nothing" },
    { type: "load", model: 3 },
    { type: "request", id: "1" },
    { type: "ack", acks: [1] },
  ])("%j is answered in words, and the next message is heard", async (message) => {
    const page = new Page(host, "a");
    page.say(message);
    expect((await page.hear("error")).error.code).toBe("message_not_understood");
    await page.settled();
  });

  test("a request without a model, and an id used twice, are errors of their own", async () => {
    const page = new Page(host, "a");
    page.ask(1);
    expect(await page.hear("error")).toMatchObject({ id: 1, error: { code: "no_model" } });
    const other = await readyPage();
    other.ask(1);
    other.ask(1);
    expect(await other.hear("error")).toMatchObject({ id: 1, error: { code: "duplicate_request" } });
  });
});
