import { beforeEach, describe, expect, test } from "vitest";
import type { ByteStream } from "./download.js";
import { FileStore, type SegmentStore } from "./file-store.js";
import { HttpModelFiles, type FilesOptions } from "./model-files.js";
import type { ModelAddress } from "./model-address.js";

const ADDRESS: ModelAddress = { id: "tiny", url: "https://a.example/tiny/", layout: "huggingface" };
const BYTES = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) % 256);

/** Folders in memory that can run out of room. */
class MemoryStore implements SegmentStore {
  readonly entries = new Map<string, Uint8Array<ArrayBuffer>>();
  room = Infinity;

  read(folder: string, part: string): Promise<Blob | undefined> {
    const bytes = this.entries.get(`${folder}/${part}`);
    return Promise.resolve(bytes && new Blob([bytes]));
  }

  async write(folder: string, part: string, blob: Blob): Promise<void> {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const isData = part !== "manifest.json";
    if (isData && bytes.length > this.room) throw new DOMException("no room", "QuotaExceededError");
    if (isData) this.room -= bytes.length;
    this.entries.set(`${folder}/${part}`, bytes);
  }

  remove(folder: string): Promise<void> {
    for (const key of [...this.entries.keys()]) if (key.startsWith(`${folder}/`)) this.entries.delete(key);
    return Promise.resolve();
  }

  folders(): Promise<string[]> {
    return Promise.resolve([...new Set([...this.entries.keys()].map((key) => key.split("/")[0] ?? ""))]);
  }
}

/** A site with files and an entity tag for each; `breakAt` cuts each connection after so many bytes. */
class Site {
  online = true;
  breakAt = Infinity;
  readonly files = new Map<string, { bytes: Uint8Array<ArrayBuffer>; etag: string }>();
  readonly requests: string[] = [];

  readonly fetch: typeof fetch = (input, init) => {
    const name = new URL(input as string).pathname.split("/").at(-1) ?? "";
    const range = new Headers(init?.headers).get("range");
    this.requests.push(`${init?.method ?? "GET"} ${name}${range ? ` ${range}` : ""}`);
    if (!this.online) return Promise.reject(new TypeError("Failed to fetch"));
    const file = this.files.get(name);
    if (!file) return Promise.resolve(new Response(null, { status: 404 }));
    const from = Number(/bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0);
    const headers: Record<string, string> = { etag: file.etag, "content-length": String(file.bytes.length - from) };
    if (range) headers["content-range"] = `bytes ${from}-${file.bytes.length - 1}/${file.bytes.length}`;
    const sent = init?.method === "HEAD" ? new Uint8Array() : file.bytes.slice(from, from + this.breakAt);
    return Promise.resolve(new Response(sent, { status: range ? 206 : 200, headers }));
  };
}

let site: Site;
let store: MemoryStore;

beforeEach(() => {
  site = new Site();
  site.files.set("model.safetensors", { bytes: BYTES, etag: '"1"' });
  site.files.set("config.json", { bytes: new TextEncoder().encode('{"a": "ü"}'), etag: '"1"' });
  store = new MemoryStore();
});

function files(options: FilesOptions = {}): HttpModelFiles {
  return new HttpModelFiles(ADDRESS, new FileStore(store, 300), { fetch: site.fetch, backoffMs: 1, ...options });
}

async function all(stream: ByteStream): Promise<Uint8Array> {
  const bytes: number[] = [];
  for (let piece = await stream.next(); piece; piece = await stream.next()) bytes.push(...piece);
  return Uint8Array.from(bytes);
}

async function model(options: FilesOptions = {}): Promise<Uint8Array> {
  return all(await files(options).open("model.safetensors"));
}

describe("a model's files", () => {
  test("a second load needs no network", async () => {
    expect(await model()).toEqual(BYTES);
    expect(await files().text("config.json")).toBe('{"a": "ü"}');
    expect(await files().text("generation_config.json")).toBeUndefined();
    site.online = false;
    expect(await model()).toEqual(BYTES);
    expect(await files().text("config.json")).toBe('{"a": "ü"}');
    expect(await files().text("generation_config.json")).toBeUndefined();
  });

  test("a second load with network asks for one head and no body", async () => {
    await model();
    site.requests.length = 0;
    expect(await model()).toEqual(BYTES);
    expect(site.requests).toEqual(["HEAD model.safetensors"]);
  });

  test("a file replaced on the server is loaded anew", async () => {
    await model();
    const newer = { bytes: BYTES.slice(0, 700).reverse(), etag: '"2"' };
    site.files.set("model.safetensors", newer);
    expect(await model()).toEqual(newer.bytes);
    site.online = false;
    expect(await model()).toEqual(newer.bytes);
  });

  test("a load cut off goes on next time from the segments that are kept", async () => {
    site.breakAt = 700;
    const cut = await files({ attempts: 1 }).open("model.safetensors");
    await expect(all(cut)).rejects.toMatchObject({ code: "download_truncated" });
    site.breakAt = Infinity;
    site.requests.length = 0;
    expect(await model()).toEqual(BYTES);
    expect(site.requests).toEqual(["GET model.safetensors bytes=600-"]);
    site.online = false;
    expect(await model()).toEqual(BYTES);
  });

  test("what is kept of another version is thrown away", async () => {
    site.breakAt = 700;
    await expect(model({ attempts: 1 })).rejects.toThrow();
    site.breakAt = Infinity;
    const newer = { bytes: BYTES.slice().reverse(), etag: '"2"' };
    site.files.set("model.safetensors", newer);
    expect(await model()).toEqual(newer.bytes);
  });

  test("a full disk costs the storage and not the load, and is told in words", async () => {
    store.room = 500;
    const kept = new FileStore(store, 300);
    const open = new HttpModelFiles(ADDRESS, kept, { fetch: site.fetch, backoffMs: 1 });
    expect(await all(await open.open("model.safetensors"))).toEqual(BYTES);
    expect(kept.notice).toMatch(/storage for the site is full.*delete models/);
    expect((await kept.all()).map(({ bytes, complete }) => [bytes, complete])).toEqual([[0, false]]);
  });

  test("a segment that the browser threw out comes from the network", async () => {
    await model();
    const second = [...store.entries.keys()].find((key) => key.endsWith("/1")) ?? "";
    store.entries.delete(second);
    expect(await model()).toEqual(BYTES);
  });

  test("a segment cut short is not used", async () => {
    await model();
    const second = [...store.entries.keys()].find((key) => key.endsWith("/1")) ?? "";
    store.entries.set(second, new Uint8Array(10));
    expect(await model()).toEqual(BYTES);
  });

  test("a segment that changed since it was written is not used", async () => {
    await model();
    const second = [...store.entries.keys()].find((key) => key.endsWith("/1")) ?? "";
    const changed = store.entries.get(second)?.slice() ?? new Uint8Array();
    changed[17] = (changed[17] ?? 0) ^ 1;
    store.entries.set(second, changed);
    expect(await model()).toEqual(BYTES);
  });

  test("a store that answers nonsense is no obstacle", async () => {
    await model();
    for (const key of store.entries.keys()) store.entries.set(key, Uint8Array.of(0x7b));
    expect(await model()).toEqual(BYTES);
  });

  test("files found damaged are fetched again", async () => {
    const first = files();
    await all(await first.open("model.safetensors"));
    await first.forget();
    expect([...store.entries.keys()]).toEqual([]);
    expect(await model()).toEqual(BYTES);
  });

  test("without a cache everything comes from the network", async () => {
    const bare = new HttpModelFiles(ADDRESS, undefined, { fetch: site.fetch });
    expect(await all(await bare.open("model.safetensors"))).toEqual(BYTES);
  });

  test("bytes are counted, with whether they were kept", async () => {
    const heard: [string, number, number | undefined, boolean][] = [];
    const onBytes = (...args: [string, number, number | undefined, boolean]): void => {
      heard.push(args);
    };
    await model({ onBytes });
    expect(heard.at(-1)).toEqual(["model.safetensors", 1000, 1000, false]);
    await model({ onBytes });
    expect(heard.at(-1)).toEqual(["model.safetensors", 1000, 1000, true]);
  });

  test("a name that leaves the folder is not fetched", async () => {
    await expect(files().text("../secret")).rejects.toMatchObject({ code: "file_name_not_allowed" });
    expect(site.requests).toEqual([]);
  });
});
