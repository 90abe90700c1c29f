import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ChunkStream } from "./chunk-stream.js";
import { TilewrightError, isLoss } from "./errors.js";
import { Link, type LinkOptions } from "./link.js";
import { send } from "./live-request.js";
import { PROTOCOL, type HostMessage, type ModelInfo, type ToHost } from "./protocol.js";
import type { EngineSnapshot } from "./snapshot.js";

const INFO: ModelInfo = {
  model: "tiny",
  device: "a GPU",
  kind: "gpu" as const,
  notice: null,
  family: "llama",
  context: 64,
  vocabulary: 10,
  memory: { weights: 1, kv: 2, scratch: 3 },
};

/** The other end of a port, played by the test. */
class FakeHost {
  readonly heard: ToHost[] = [];
  instance = "host-1";
  readonly #port: MessagePort;
  #listeners: { type: string; resolve: (message: ToHost) => void }[] = [];

  constructor(port: MessagePort) {
    this.#port = port;
    port.addEventListener("message", (event: MessageEvent) => {
      const message = event.data as ToHost;
      this.heard.push(message);
      this.#listeners = this.#listeners.filter(({ type, resolve }) => {
        if (type === message.type) resolve(message);
        return type !== message.type;
      });
    });
    port.start();
  }

  say(message: HostMessage): void {
    this.#port.postMessage({ ...message, instance: this.instance });
  }

  batch(messages: HostMessage[]): void {
    this.#port.postMessage({ type: "batch", messages, instance: this.instance });
  }

  /** The next message of this type. */
  next<T extends ToHost["type"]>(type: T): Promise<ToHost & { type: T }> {
    return new Promise((resolve) => {
      this.#listeners.push({ type, resolve: resolve as (message: ToHost) => void });
    });
  }

  close(): void {
    this.#port.close();
  }
}

let host: FakeHost;
let port: MessagePort;

beforeEach(() => {
  const channel = new MessageChannel();
  host = new FakeHost(channel.port2);
  port = channel.port1;
});

afterEach(() => {
  vi.useRealTimers();
  port.close();
});

function open(options: Partial<LinkOptions> = {}): Link {
  const model = { id: "tiny", url: "https://a.example/tiny.gguf", layout: "gguf" } as const;
  return new Link(port, { client: "c", lock: "l", model, ...options });
}

async function ready(options: Partial<LinkOptions> = {}): Promise<Link> {
  const link = open(options);
  host.say({ type: "ready", info: INFO });
  await link.ready;
  return link;
}

type Stream = ChunkStream<unknown>;
const start = (link: Link, signal?: AbortSignal): Promise<Stream> =>
  send(() => Promise.resolve(link), {
    endpoint: "chat.completions",
    body: {},
    streamed: true,
    signal,
  }) as Promise<Stream>;

/** A request without a stream. */
const gather = (link: Link, signal?: AbortSignal): Promise<unknown> =>
  send(() => Promise.resolve(link), { endpoint: "completions", body: { prompt: "x" }, streamed: false, signal });

/** A request on a link, without what goes on over others. */
function request(link: Link): { failed: Promise<unknown> } {
  return {
    failed: new Promise((fail) => {
      link.request("completions", {}, null, { chunk: () => undefined, done: () => undefined, fail });
    }),
  };
}

async function read(stream: Stream): Promise<unknown[]> {
  const chunks: unknown[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe("opening", () => {
  test("says hello, asks for the model, hears the progress and is ready", async () => {
    const heard: number[] = [];
    const link = open({ onProgress: (progress) => heard.push(progress.loaded) });
    const load = await host.next("load");
    expect(host.heard[0]).toEqual({ type: "hello", protocol: PROTOCOL, client: "c", lock: "l", title: "", url: "" });
    expect(load.model.url).toBe("https://a.example/tiny.gguf");
    for (const loaded of [1, 2]) {
      host.say({ type: "progress", progress: { phase: "downloading", loaded, total: 2, file: "f", cached: false } });
    }
    host.say({ type: "ready", info: INFO });
    expect(await link.ready).toEqual(INFO);
    expect(heard).toEqual([1, 2]);
  });

  test("a load that fails rejects with the host's own error", async () => {
    const link = open();
    host.say({
      type: "error",
      error: { type: "model_load_error", code: "file_not_found", param: "model", message: "no" },
    });
    const error = await link.ready.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TilewrightError);
    expect(error).toMatchObject({ code: "file_not_found", param: "model", message: "no" });
  });

  test("a worker that never answers is an error in words", async () => {
    const link = open({ times: { hello: 20 } });
    await expect(link.ready).rejects.toMatchObject({ code: "worker_did_not_answer" });
  });

  test("a worker of another protocol is an error in words", async () => {
    const link = open();
    host.say({ type: "welcome", protocol: PROTOCOL + 1, lock: null });
    await expect(link.ready).rejects.toThrow(/reload every tab/);
  });
});

describe("a request", () => {
  test("two interleaved streams each get their own chunks", async () => {
    const link = await ready();
    const a = start(link);
    const b = start(link);
    const [first, second] = [await host.next("request"), await host.next("request")].map(({ id }) => id) as [
      number,
      number,
    ];
    host.say({ type: "chunk", id: second, seq: 0, chunk: "b0", tokens: [] });
    host.say({ type: "chunk", id: first, seq: 0, chunk: "a0", tokens: [] });
    host.say({ type: "chunk", id: second, seq: 1, chunk: "b1", tokens: [] });
    host.say({ type: "done", id: second });
    host.say({ type: "chunk", id: first, seq: 1, chunk: "a1", tokens: [] });
    host.say({ type: "done", id: first });
    expect(await read(await a)).toEqual(["a0", "a1"]);
    expect(await read(await b)).toEqual(["b0", "b1"]);
  });

  test("without a stream gives the whole answer", async () => {
    const link = await ready();
    const answer = gather(link);
    const request = await host.next("request");
    expect(request).toMatchObject({ endpoint: "completions", body: { prompt: "x" } });
    host.say({ type: "chunk", id: request.id, seq: 0, chunk: { object: "text_completion" }, tokens: [] });
    host.say({ type: "done", id: request.id });
    expect(await answer).toEqual({ object: "text_completion" });
  });

  test("refused by the engine rejects before there is a stream", async () => {
    const link = await ready();
    const answer = start(link);
    const { id } = await host.next("request");
    host.say({
      type: "error",
      id,
      error: { type: "invalid_request_error", code: "invalid_value", param: "messages", message: "messages is empty" },
    });
    await expect(answer).rejects.toMatchObject({ name: "TilewrightError", param: "messages" });
  });

  test("that fails half-way throws in the loop", async () => {
    const link = await ready();
    const answer = start(link);
    const { id } = await host.next("request");
    host.say({ type: "chunk", id, seq: 0, chunk: "a", tokens: [] });
    const chunks = (await answer)[Symbol.asyncIterator]();
    expect(await chunks.next()).toEqual({ done: false, value: "a" });
    const next = chunks.next();
    host.say({
      type: "error",
      id,
      error: { type: "server_error", code: "engine_crashed", param: null, message: "crash" },
    });
    await expect(next).rejects.toMatchObject({ code: "engine_crashed" });
    expect(await chunks.next()).toEqual({ done: true, value: undefined });
  });

  test("aborted throws AbortError, as fetch does, and cancels", async () => {
    const link = await ready();
    const abort = new AbortController();
    const answer = start(link, abort.signal);
    const { id } = await host.next("request");
    host.say({ type: "chunk", id, seq: 0, chunk: "a", tokens: [] });
    const stream = await answer;
    const cancelled = host.next("cancel");
    abort.abort();
    await expect(read(stream)).rejects.toMatchObject({ name: "AbortError" });
    expect(await cancelled).toEqual({ type: "cancel", id });
  });

  test("of a page that ends is given up by the host at once, and fails nobody", async () => {
    const link = await ready();
    const { failed } = request(link);
    link.leave();
    await host.next("bye");
    const outcome = await Promise.race([failed, Promise.resolve("nothing")]);
    expect(outcome).toBe("nothing");
    expect(link.ended).toBeUndefined();
  });

  test("aborted before it began is never sent", async () => {
    const link = await ready();
    await expect(start(link, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
    const answer = start(link);
    expect(await host.next("request")).toMatchObject({ id: 1 });
    host.say({ type: "done", id: 1 });
    await answer;
  });

  test("aborted while it waits for its first chunk rejects", async () => {
    const link = await ready();
    const abort = new AbortController();
    const answer = gather(link, abort.signal);
    const { id } = await host.next("request");
    const cancelled = host.next("cancel");
    abort.abort(new Error("my reason"));
    await expect(answer).rejects.toThrow("my reason");
    expect(await cancelled).toEqual({ type: "cancel", id });
  });

  test("left by break is cancelled; read to its end it is not", async () => {
    const link = await ready();
    for (const early of [false, true]) {
      const answer = start(link);
      const { id } = await host.next("request");
      host.say({ type: "chunk", id, seq: 0, chunk: "a", tokens: [] });
      if (!early) host.say({ type: "done", id });
      for await (const chunk of await answer) {
        expect(chunk).toBe("a");
        if (early) break;
      }
      const answered = host.next("ping");
      host.say({ type: "pong" });
      port.postMessage({ type: "ping" });
      await answered;
      expect(host.heard.filter(({ type }) => type === "cancel").length).toBe(early ? 1 : 0);
    }
  });

  test("a stream is read once", async () => {
    const link = await ready();
    const answer = start(link);
    const { id } = await host.next("request");
    host.say({ type: "done", id });
    const stream = await answer;
    await read(stream);
    await expect(read(stream)).rejects.toMatchObject({ code: "stream_already_read" });
  });
});

describe("what the page says of itself", () => {
  test("its state comes right after hello, and again when it changes", async () => {
    const state = { visible: true, focused: true, frozen: false };
    const link = open({ state });
    await host.next("load");
    expect(host.heard.map(({ type }) => type)).toEqual(["hello", "state", "load"]);
    link.state({ ...state, focused: false });
    expect(await host.next("state")).toEqual({ type: "state", visible: true, focused: false, frozen: false });
  });

  test("what it has read is acknowledged once for several chunks, and not before it is read", async () => {
    const link = await ready();
    const answer = start(link);
    const { id } = await host.next("request");
    const messages = [0, 1, 2].map((seq) => ({ type: "chunk" as const, id, seq, chunk: `${seq}`, tokens: [seq] }));
    host.batch(messages);
    const chunks = (await answer)[Symbol.asyncIterator]();
    await chunks.next();
    await chunks.next();
    expect(host.heard.some(({ type }) => type === "ack")).toBe(false);
    expect(await host.next("ack")).toEqual({ type: "ack", acks: [{ id, seq: 1 }] });
    await chunks.next();
    expect(await host.next("ack")).toEqual({ type: "ack", acks: [{ id, seq: 2 }] });
  });
});

describe("looking in", () => {
  test("gives the snapshot; a refusal rejects, and so does the end of the link", async () => {
    const link = await ready();
    const snapshot = link.inspect();
    const { id } = await host.next("inspect");
    const seen = { you: 3 } as EngineSnapshot;
    host.say({ type: "snapshot", id, snapshot: seen });
    expect(await snapshot).toEqual(seen);

    const refused = link.inspect();
    const error = { type: "connection_error", code: "not_loaded", param: null, message: "x" };
    host.say({ type: "error", id: (await host.next("inspect")).id, error });
    await expect(refused).rejects.toMatchObject({ code: "not_loaded" });

    const unanswered = link.inspect();
    link.end(new Error("closed"));
    await expect(unanswered).rejects.toThrow("closed");
    await expect(link.inspect()).rejects.toThrow("closed");
  });
});

describe("the end of a link", () => {
  test("closed by the page: its requests fail, the host hears bye", async () => {
    const link = await ready();
    const answer = start(link);
    await host.next("request");
    const bye = host.next("bye");
    link.end(new Error("closed"));
    await expect(answer).rejects.toThrow("closed");
    await bye;
    await expect(start(link)).rejects.toThrow("closed");
  });

  test("another host instance answering loses the requests on it", async () => {
    const link = await ready();
    const sink = request(link);
    await host.next("request");
    host.instance = "host-2";
    host.say({ type: "pong" });
    const reason = await sink.failed;
    expect(reason).toMatchObject({ code: "worker_restarted" });
    expect(isLoss(reason)).toBe(true);
  });

  test("a host that leaves pings unanswered loses the requests on it", async () => {
    const onEnd = vi.fn();
    const link = await ready({ onEnd, times: { ping: 15, missed: 2 } });
    const reason = await request(link).failed;
    expect(reason).toMatchObject({ code: "worker_silent" });
    expect(isLoss(reason)).toBe(true);
    expect(host.heard.filter(({ type }) => type === "ping").length).toBe(2);
    expect(onEnd).toHaveBeenCalledOnce();
  });

  test("its requests hear of it when the next link can be opened", async () => {
    const order: string[] = [];
    const link = await ready({ onEnd: () => order.push("link") });
    const failed = request(link).failed.then(() => order.push("request"));
    link.end(new Error("over"));
    await failed;
    expect(order).toEqual(["link", "request"]);
  });

  test("a host that answers pings may take as long as it likes", async () => {
    const link = await ready({ times: { ping: 50, missed: 2 } });
    const answer = start(link);
    const { id } = await host.next("request");
    for (let i = 0; i < 5; i++) {
      await host.next("ping");
      host.say({ type: "pong" });
    }
    host.say({ type: "chunk", id, seq: 0, chunk: "late", tokens: [] });
    host.say({ type: "done", id });
    expect(await read(await answer)).toEqual(["late"]);
  });

  test("the port's close loses the requests on it", async () => {
    const link = await ready();
    const sink = request(link);
    await host.next("request");
    host.close();
    const reason = await sink.failed;
    expect(reason).toMatchObject({ code: "worker_gone" });
    expect(isLoss(reason)).toBe(true);
  });

  test("an engine that fails while nothing is asked is told, and the link lives", async () => {
    const failed = new Promise<TilewrightError>((resolve) => {
      void ready({ onError: resolve }).then(() => {
        host.say({ type: "error", error: { type: "server_error", code: "engine_crashed", param: null, message: "x" } });
      });
    });
    expect((await failed).code).toBe("engine_crashed");
  });
});
