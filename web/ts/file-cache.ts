/**
 * Model files kept in this browser, in the Cache API, so that a second load needs no network.
 *
 * A file is kept as segments of 16 MiB and a manifest that says which version it is and how many segments there are. A
 * whole file as one entry would be simpler, but an entry cannot grow: a tab closed at 90 % would begin again at 0.
 *
 * The cache never fails a load. Whatever goes wrong (quota, private browsing, a damaged entry), the file is forgotten and
 * comes from the network.
 */

import type { Version } from "./download.js";

/** As much of a `Cache` as is used. */
export interface CacheStore {
  match(url: string): Promise<Response | undefined>;
  put(url: string, response: Response): Promise<void>;
  delete(url: string): Promise<boolean>;
}

/** What is kept of a file. */
export interface Manifest extends Version {
  format: 1;
  segmentBytes: number;
  segments: number;
  complete: boolean;
  /** The server had no such file; kept for the optional ones, so that a model loads without network. */
  missing?: true;
}

const SEGMENT_BYTES = 16 * 1024 * 1024;
const NAME = "tilewright model files";
/** Keys have to be URLs; this host does not exist and is never asked. */
const KEYS = "https://files.tilewright.invalid/";

/** The browser's cache, if this browser lets us have one. */
export async function openFileCache(): Promise<FileCache | undefined> {
  try {
    return new FileCache(await caches.open(NAME));
  } catch {
    return undefined;
  }
}

export class FileCache {
  readonly #store: CacheStore;
  readonly #segmentBytes: number;

  constructor(store: CacheStore, segmentBytes = SEGMENT_BYTES) {
    this.#store = store;
    this.#segmentBytes = segmentBytes;
  }

  /** What is kept of a file, if anything. */
  async manifest(url: string): Promise<Manifest | undefined> {
    try {
      const response = await this.#store.match(key(url, "manifest"));
      const manifest = (await response?.json()) as Partial<Manifest> | undefined;
      return manifest?.format === 1 ? (manifest as Manifest) : undefined;
    } catch {
      return undefined;
    }
  }

  /** One segment; nothing if it is not there whole. */
  async segment(url: string, manifest: Manifest, index: number): Promise<Uint8Array | undefined> {
    try {
      const response = await this.#store.match(key(url, index));
      if (!response) return undefined;
      const bytes = new Uint8Array(await response.arrayBuffer());
      const isLast = manifest.complete && index === manifest.segments - 1;
      return isLast || bytes.length === manifest.segmentBytes ? bytes : undefined;
    } catch {
      return undefined;
    }
  }

  /** Notes that there is no such file. */
  async noteMissing(url: string): Promise<void> {
    const manifest: Manifest = {
      format: 1,
      etag: null,
      length: 0,
      segmentBytes: this.#segmentBytes,
      segments: 0,
      complete: true,
      missing: true,
    };
    await this.#putManifest(url, manifest).catch(() => undefined);
  }

  async forget(url: string): Promise<void> {
    try {
      const manifest = await this.manifest(url);
      await this.#store.delete(key(url, "manifest"));
      // One more than the manifest knows: a segment is written before the manifest that counts it.
      for (let i = 0; i <= (manifest?.segments ?? 0); i++) await this.#store.delete(key(url, i));
    } catch {
      // What cannot be deleted is never read without its manifest.
    }
  }

  /** Keeps a file as it comes; `manifest` is what is kept of it already. */
  writer(url: string, version: Version, manifest?: Manifest): SegmentWriter {
    const start: Manifest = manifest ?? {
      format: 1,
      ...version,
      segmentBytes: this.#segmentBytes,
      segments: 0,
      complete: false,
    };
    return new SegmentWriter(start, {
      segment: (index, blob) => this.#store.put(key(url, index), new Response(blob)),
      manifest: (next) => this.#putManifest(url, next),
      forget: () => this.forget(url),
    });
  }

  async #putManifest(url: string, manifest: Manifest): Promise<void> {
    await this.#store.put(key(url, "manifest"), new Response(JSON.stringify(manifest)));
  }
}

interface Writes {
  segment(index: number, bytes: Blob): Promise<void>;
  manifest(manifest: Manifest): Promise<void>;
  forget(): Promise<void>;
}

/** Cuts a file into segments and stores them behind the reader's back, at most two at a time in memory. */
export class SegmentWriter {
  readonly #writes: Writes;
  #manifest: Manifest;
  #parts: Uint8Array<ArrayBuffer>[] = [];
  #partBytes = 0;
  #queued = 0;
  #tail: Promise<void> = Promise.resolve();
  #failed = false;

  constructor(manifest: Manifest, writes: Writes) {
    this.#manifest = manifest;
    this.#writes = writes;
  }

  /** Takes the next bytes; waits only while the store is two segments behind. */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && !this.#failed) {
      const part = rest.subarray(0, this.#manifest.segmentBytes - this.#partBytes);
      rest = rest.subarray(part.length);
      this.#parts.push(part as Uint8Array<ArrayBuffer>);
      this.#partBytes += part.length;
      if (this.#partBytes === this.#manifest.segmentBytes) this.#flush(false);
      if (this.#queued > 1) await this.#tail;
    }
  }

  /** The file is whole. Resolves when it is kept, or given up. */
  async finish(): Promise<void> {
    this.#flush(true);
    await this.#tail;
  }

  #flush(complete: boolean): void {
    const blob = new Blob(this.#parts);
    this.#parts = [];
    this.#partBytes = 0;
    this.#queued += 1;
    this.#tail = this.#tail.then(async () => {
      try {
        if (this.#failed) return;
        const { segments } = this.#manifest;
        if (blob.size > 0) await this.#writes.segment(segments, blob);
        this.#manifest = { ...this.#manifest, segments: segments + (blob.size > 0 ? 1 : 0), complete };
        await this.#writes.manifest(this.#manifest);
      } catch {
        // Most often the quota: what there is of this file makes room again.
        this.#failed = true;
        await this.#writes.forget();
      } finally {
        this.#queued -= 1;
      }
    });
  }
}

function key(url: string, part: number | "manifest"): string {
  return `${KEYS}${encodeURIComponent(url)}/${part}`;
}
