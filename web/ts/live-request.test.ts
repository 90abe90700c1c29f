import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ChunkStream } from "./chunk-stream.js";
import { connectionError, lossError } from "./errors.js";
import type { Link, ResponseSink } from "./link.js";
import { send } from "./live-request.js";
import type { Resume } from "./protocol.js";

/** A worker as a request sees it: what was asked of it, and a way to answer. */
class FakeLink {
  ended: { reason: unknown } | undefined;
  readonly asked: { body: Record<string, unknown>; resume: Resume | null; sink: ResponseSink }[] = [];
  readonly cancelled: number[] = [];
  readonly #waiting: (() => void)[] = [];

  request(_: string, body: Record<string, unknown>, resume: Resume | null, sink: ResponseSink): number {
    this.asked.push({ body, resume: structuredClone(resume), sink });
    for (const wake of this.#waiting.splice(0)) wake();
    return this.asked.length;
  }

  cancel(id: number): void {
    this.cancelled.push(id);
  }

  /** The first request that comes. */
  async first(): Promise<(typeof this.asked)[0]> {
    while (!this.asked[0]) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.asked[0];
  }

  say(text: string, tokens: number[], id = "cmpl-1"): void {
    this.asked[0]?.sink.chunk({ id, created: 9, text }, tokens, () => undefined);
  }

  lose(code: "worker_gone" | "page_hidden" = "worker_gone"): void {
    this.ended = { reason: lossError(code, "lost") };
    this.asked[0]?.sink.fail(this.ended.reason);
  }
}

let links: FakeLink[];
let opened: number;
let open: () => Promise<Link>;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
  links = [new FakeLink(), new FakeLink(), new FakeLink()];
  opened = 0;
  open = () => Promise.resolve(links[opened++] as unknown as Link);
});
afterEach(() => {
  vi.useRealTimers();
});

type Stream = ChunkStream<{ text: string }>;
const begin = (body: Record<string, unknown> = {}, signal?: AbortSignal): Promise<Stream> =>
  send(open, { endpoint: "completions", body, streamed: true, signal }) as Promise<Stream>;

async function texts(stream: Stream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += chunk.text;
  return text;
}

const one = (): FakeLink => nth(0);
const two = (): FakeLink => nth(1);

function nth(at: number): FakeLink {
  const link = links[at];
  if (!link) throw new Error(`there is no link ${at}`);
  return link;
}

describe("a request whose worker is lost", () => {
  test("goes on over the next link with what it has, and its reader notices nothing", async () => {
    const stream = begin({ prompt: "x" });
    await one().first();
    one().say("a", [1]);
    one().say("b", [2, 3]);
    one().lose();
    const again = await two().first();
    expect(again.resume).toEqual({ tokens: [1, 2, 3], id: "cmpl-1", created: 9 });
    two().say("c", [4]);
    again.sink.done();
    expect(await texts(await stream)).toBe("abc");
  });

  test("is given a seed that stays; its own is kept", async () => {
    void begin({ prompt: "x", seed: null });
    const { body } = await one().first();
    expect(body["seed"]).toEqual(expect.any(Number));
    one().lose();
    expect((await two().first()).body).toEqual(body);

    links = [new FakeLink()];
    opened = 0;
    void begin({ seed: 7 });
    expect((await one().first()).body["seed"]).toBe(7);
  });

  test("before anything came begins again", async () => {
    const stream = begin();
    await one().first();
    one().lose();
    const again = await two().first();
    expect(again.resume).toBeNull();
    two().say("whole", [1], "cmpl-2");
    again.sink.done();
    expect(await texts(await stream)).toBe("whole");
  });

  test("without a stream begins again, whole", async () => {
    const answer = send(open, { endpoint: "completions", body: {}, streamed: false });
    await one().first();
    one().say("half", [1]);
    one().lose();
    const again = await two().first();
    expect(again.resume).toBeNull();
    again.sink.fail(connectionError("x", "enough"));
    await expect(answer).rejects.toThrow("enough");
  });

  test("twice within a minute is given up, with an error that says so", async () => {
    const stream = await started();
    one().lose();
    await two().first();
    vi.advanceTimersByTime(59_000);
    two().lose();
    await expect(texts(stream)).rejects.toMatchObject({ type: "connection_error", code: "worker_restarted" });
    expect(opened).toBe(2);
  });

  test("again after a minute goes on", async () => {
    const stream = await started();
    one().lose();
    await two().first();
    vi.advanceTimersByTime(61_000);
    two().lose();
    const third = await nth(2).first();
    expect(third.resume?.tokens).toEqual([1]);
    third.sink.done();
    expect(await texts(stream)).toBe("a");
  });

  test("because its page was put away may be so any number of times", async () => {
    const stream = await started();
    one().lose("page_hidden");
    await two().first();
    two().lose("page_hidden");
    const third = await nth(2).first();
    third.sink.done();
    expect(await texts(stream)).toBe("a");
  });

  test("and that finds no other one ends with the reason", async () => {
    const stream = await started();
    open = () => Promise.reject(connectionError("worker_failed", "no script"));
    one().lose();
    await expect(texts(stream)).rejects.toMatchObject({ code: "worker_failed" });
  });

  test("is not sent again once it was aborted or left", async () => {
    const abort = new AbortController();
    const stream = await started(abort.signal);
    let reopened = (): void => undefined;
    open = () =>
      new Promise(
        (resolve) =>
          (reopened = () => {
            resolve(two() as unknown as Link);
          }),
      );
    one().lose();
    abort.abort();
    reopened();
    await expect(texts(stream)).rejects.toMatchObject({ name: "AbortError" });
    expect(two().asked).toEqual([]);
  });
});

test("an error that is no loss ends it at once", async () => {
  const stream = await started();
  (await one().first()).sink.fail(connectionError("closed", "this client was closed"));
  await expect(texts(stream)).rejects.toMatchObject({ code: "closed" });
  expect(opened).toBe(1);
});

test("cancelled where it is: on the link that it moved to", async () => {
  const abort = new AbortController();
  const stream = await started(abort.signal);
  one().lose();
  await two().first();
  abort.abort();
  await expect(texts(stream)).rejects.toMatchObject({ name: "AbortError" });
  expect([one().cancelled, two().cancelled]).toEqual([[], [1]]);
});

/** A stream whose first chunk came. */
async function started(signal?: AbortSignal): Promise<Stream> {
  // `open` may be replaced later.
  const stream = send(() => open(), { endpoint: "completions", body: {}, streamed: true, signal }) as Promise<Stream>;
  await one().first();
  one().say("a", [1]);
  return stream;
}
