import { describe, expect, test } from "vitest";
import { Download, type ByteStream, type DownloadOptions } from "./download.js";

const URL_ = "https://a.example/model.gguf";
const FILE = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

/** One answer of the fake server. */
interface Answer {
  status?: number;
  headers?: Record<string, string>;
  /** Sent in pieces of 100 bytes. */
  body?: Uint8Array;
  /** After the body: end (default), break the connection, or say nothing more. */
  then?: "end" | "break" | "stall";
  /** Never answers. */
  silent?: boolean;
}

/** A server that gives these answers in turn; each request's Range is noted. */
function server(...answers: Answer[]): { fetch: typeof fetch; ranges: (string | null)[] } {
  const ranges: (string | null)[] = [];
  return {
    ranges,
    fetch: (_url, init) => {
      ranges.push(new Headers(init?.headers).get("range"));
      const answer = answers.shift();
      if (!answer) return Promise.reject(new TypeError("Failed to fetch"));
      if (answer.silent) return new Promise(() => undefined);
      const body = answer.body ?? new Uint8Array();
      let at = 0;
      const stream = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (at < body.length) {
            controller.enqueue(body.slice(at, (at += 100)));
            return undefined;
          }
          if (answer.then === "break") controller.error(new TypeError("network error"));
          else if (answer.then === "stall") return new Promise(() => undefined);
          else controller.close();
          return undefined;
        },
      });
      return Promise.resolve(new Response(stream, { status: answer.status ?? 200, headers: answer.headers ?? {} }));
    },
  };
}

const whole = (then?: Answer["then"], upTo = FILE.length): Answer => ({
  headers: { "content-length": "1000", etag: '"v1"' },
  body: FILE.slice(0, upTo),
  ...(then ? { then } : {}),
});

const rest = (from: number, etag = '"v1"', total = 1000): Answer => ({
  status: 206,
  headers: { "content-range": `bytes ${from}-${total - 1}/${total}`, etag },
  body: FILE.slice(from),
});

const quick: DownloadOptions = { stallMs: 40, backoffMs: 1 };

async function all(stream: ByteStream): Promise<Uint8Array> {
  const bytes: number[] = [];
  for (let piece = await stream.next(); piece; piece = await stream.next()) bytes.push(...piece);
  return Uint8Array.from(bytes);
}

async function get(answers: Answer[], options: DownloadOptions = quick): Promise<Uint8Array> {
  return all(await Download.open(URL_, { ...options, fetch: server(...answers).fetch }));
}

describe("a download", () => {
  test("gives the file, and its length before that", async () => {
    const download = await Download.open(URL_, { ...quick, fetch: server(whole()).fetch });
    expect(download.length).toBe(1000);
    expect(await all(download)).toEqual(FILE);
  });

  test.each(["break", "stall", "end"] as const)("that stops half-way (%s) goes on where it stopped", async (then) => {
    const { fetch, ranges } = server(whole(then, 400), rest(400));
    expect(await all(await Download.open(URL_, { ...quick, fetch }))).toEqual(FILE);
    expect(ranges).toEqual([null, "bytes=400-"]);
  });

  test("goes on with a server that ignores Range, skipping what is known", async () => {
    expect(await get([whole("break", 450), whole()])).toEqual(FILE);
  });

  test("never joins two versions of a file", async () => {
    await expect(get([whole("break", 400), rest(400, '"v2"')])).rejects.toMatchObject({ code: "file_changed" });
    await expect(get([whole("break", 400), rest(400, '"v1"', 900)])).rejects.toMatchObject({ code: "file_changed" });
    await expect(get([whole("break", 400), { status: 416 }])).rejects.toMatchObject({ code: "file_changed" });
  });

  test("of what is not there names the address and what to do", async () => {
    const failing = get([{ status: 404 }]);
    await expect(failing).rejects.toMatchObject({ type: "model_load_error", code: "file_not_found", param: "model" });
    await expect(failing).rejects.toThrow(`${URL_} answered 404`);
  });

  test("of a web page is of what is not there", async () => {
    const page = { headers: { "content-type": "text/html; charset=utf-8" }, body: FILE };
    await expect(get([page])).rejects.toMatchObject({ code: "file_not_found" });
  });

  test("that is refused says so", async () => {
    await expect(get([{ status: 403 }])).rejects.toMatchObject({ code: "access_denied" });
  });

  test("from a busy server is tried again", async () => {
    expect(await get([{ status: 503 }, { status: 429, headers: { "retry-after": "0" } }, whole()])).toEqual(FILE);
  });

  test("that stays refused, cut or silent ends in an error of its own", async () => {
    await expect(get([{ status: 500 }, { status: 500 }, { status: 500 }])).rejects.toThrow(/answered 500/);
    const cut = whole("end", 400);
    const nothing = (): Answer => ({ ...rest(400), body: new Uint8Array() });
    await expect(get([cut, nothing(), nothing(), nothing()])).rejects.toMatchObject({ code: "download_truncated" });
    await expect(get([{ silent: true }, { silent: true }, { silent: true }])).rejects.toMatchObject({
      code: "download_stalled",
    });
    await expect(get([whole("stall", 400), { silent: true }, { silent: true }, { silent: true }])).rejects.toThrow(
      /sent nothing for 0.04 s, after 400 of 1000 bytes/,
    );
  });

  test("without network says what may be wrong", async () => {
    const failing = get([]);
    await expect(failing).rejects.toMatchObject({ code: "download_failed" });
    await expect(failing).rejects.toThrow(/CORS/);
  });

  test("counts only failures in a row: a slow line that moves is no failure", async () => {
    const steps = [100, 200, 300, 400, 500, 600].map((to): Answer => {
      const from = to - 100;
      const answer = from === 0 ? whole() : rest(from);
      return { ...answer, body: FILE.slice(from, to), then: "break" };
    });
    expect(await get([...steps, rest(600)])).toEqual(FILE);
  });

  test("does not take an encoded body's length for the file's", async () => {
    const encoded = { headers: { "content-length": "10", "content-encoding": "gzip" }, body: FILE };
    const download = await Download.open(URL_, { ...quick, fetch: server(encoded).fetch });
    expect(download.length).toBeUndefined();
    expect(await all(download)).toEqual(FILE);
  });

  test("ends with the caller's reason when it is given up", async () => {
    const abort = new AbortController();
    const { fetch } = server(whole("stall", 400));
    const download = await Download.open(URL_, { stallMs: 10_000, fetch, signal: abort.signal });
    for (let i = 0; i < 4; i++) await download.next();
    const pending = download.next();
    abort.abort(new Error("enough"));
    await expect(pending).rejects.toThrow("enough");
  });
});
