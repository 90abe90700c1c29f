/**
 * Model files kept in this browser, so that a second load needs no network: shared by all tabs, by the GPU and the CPU.
 *
 * A file is kept as segments of 16 MiB and a manifest that says which version it is, how many segments there are, and the
 * SHA-256 of each, so that what is read is what was written. A whole file as one would be simpler, but a browser commits a
 * file when it is closed: a tab closed at 90 % would begin again at 0. (Synchronous handles could write in place, but only
 * dedicated workers have them, and the GPU's engine lives in a shared one.)
 *
 * Storage never fails a load. Whatever goes wrong (quota, private browsing, a damaged segment), the file comes from the
 * network; [`notice`](FileStore.notice) says in words why it is not kept.
 */

import type { Version } from "./download.js";

/** Where segments lie: folders by name, with named parts. */
export interface SegmentStore {
  read(folder: string, part: string): Promise<Blob | undefined>;
  write(folder: string, part: string, bytes: Blob): Promise<void>;
  remove(folder: string): Promise<void>;
  folders(): Promise<string[]>;
  /** Bytes used and bytes allowed, where the browser says so. */
  estimate?(): Promise<{ used: number; most: number } | undefined>;
}

/** What is kept of a file. */
export interface Manifest extends Version {
  format: 2;
  url: string;
  /** The address of the model that it belongs to. */
  model: string;
  segmentBytes: number;
  /** SHA-256 of each segment, hexadecimal. */
  segments: string[];
  /** Of all segments together. */
  bytes: number;
  complete: boolean;
  /** When it was begun, milliseconds since 1970. */
  since: number;
  /** The server had no such file; kept for the optional ones, so that a model loads without network. */
  missing?: true;
}

const SEGMENT_BYTES = 16 * 1024 * 1024;
const MANIFEST = "manifest.json";

export class FileStore {
  readonly #store: SegmentStore;
  readonly #segmentBytes: number;
  /** Why a file could not be kept, for a person to read. */
  notice: string | undefined;

  constructor(store: SegmentStore, segmentBytes = SEGMENT_BYTES) {
    this.#store = store;
    this.#segmentBytes = segmentBytes;
  }

  /** What is kept of a file, if anything. */
  async manifest(url: string): Promise<Manifest | undefined> {
    return this.#manifestIn(await folderOf(url));
  }

  /** Everything that is kept. */
  async all(): Promise<Manifest[]> {
    const manifests = await Promise.all((await this.#store.folders()).map((folder) => this.#manifestIn(folder)));
    return manifests.filter((manifest) => manifest !== undefined);
  }

  async #manifestIn(folder: string): Promise<Manifest | undefined> {
    try {
      const blob = await this.#store.read(folder, MANIFEST);
      const manifest = blob && (JSON.parse(await blob.text()) as Partial<Manifest>);
      const readable = manifest?.format === 2 && typeof manifest.url === "string" && Array.isArray(manifest.segments);
      return readable ? (manifest as Manifest) : undefined;
    } catch {
      return undefined;
    }
  }

  /** One segment; nothing if it is not there whole. */
  async segment(url: string, manifest: Manifest, index: number): Promise<Uint8Array | undefined> {
    try {
      const blob = await this.#store.read(await folderOf(url), String(index));
      if (!blob) return undefined;
      const bytes = new Uint8Array(await blob.arrayBuffer());
      return (await sha256(bytes)) === manifest.segments[index] ? bytes : undefined;
    } catch {
      return undefined;
    }
  }

  /** Notes that there is no such file. */
  async noteMissing(url: string, model: string): Promise<void> {
    const none = this.#begin(url, model, { etag: null, length: 0 });
    await this.#putManifest({ ...none, complete: true, missing: true }).catch(() => undefined);
  }

  async forget(url: string): Promise<void> {
    try {
      await this.#store.remove(await folderOf(url));
    } catch {
      // What cannot be deleted is never read without its manifest.
    }
  }

  /** Keeps a file as it comes; `manifest` is what is kept of it already. */
  writer(url: string, model: string, version: Version, manifest?: Manifest): SegmentWriter {
    return new SegmentWriter(manifest ?? this.#begin(url, model, version), {
      segment: async (index, blob) => this.#store.write(await folderOf(url), String(index), blob),
      manifest: (next) => this.#putManifest(next),
      failed: async (error) => {
        await this.forget(url);
        // The model's other files are kept, and are not the whole of it.
        await this.#putManifest(this.#begin(url, model, version)).catch(() => undefined);
        this.notice = await this.#explain(error);
      },
    });
  }

  #begin(url: string, model: string, version: Version): Manifest {
    return {
      format: 2,
      url,
      model,
      etag: version.etag,
      length: version.length,
      segmentBytes: this.#segmentBytes,
      segments: [],
      bytes: 0,
      complete: false,
      since: Date.now(),
    };
  }

  async #putManifest(manifest: Manifest): Promise<void> {
    await this.#store.write(await folderOf(manifest.url), MANIFEST, new Blob([JSON.stringify(manifest)]));
  }

  async #explain(error: unknown): Promise<string> {
    const again = "so the next visit downloads it again";
    if (!(error instanceof DOMException) || error.name !== "QuotaExceededError") {
      const detail = error instanceof Error ? error.message : String(error);
      return `The model could not be kept in this browser (${detail}), ${again}.`;
    }
    const room = await this.#store.estimate?.().catch(() => undefined);
    const figures = room ? ` (${megabytes(room.used)} of ${megabytes(room.most)} are used)` : "";
    return (
      `The model could not be kept: this browser's storage for the site is full${figures}, ${again}; delete models that ` +
      "you no longer need, or free disk space."
    );
  }
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

const folders = new Map<string, Promise<string>>();

/** A URL as the name of a folder. */
function folderOf(url: string): Promise<string> {
  let folder = folders.get(url);
  if (!folder) {
    folder = sha256(new TextEncoder().encode(url)).then((hash) => hash.slice(0, 32));
    folders.set(url, folder);
  }
  return folder;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

interface Writes {
  segment(index: number, bytes: Blob): Promise<void>;
  manifest(manifest: Manifest): Promise<void>;
  failed(error: unknown): Promise<void>;
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
        const { segments, bytes } = this.#manifest;
        if (blob.size > 0) {
          const hash = await sha256(new Uint8Array(await blob.arrayBuffer()));
          await this.#writes.segment(segments.length, blob);
          this.#manifest = { ...this.#manifest, segments: [...segments, hash], bytes: bytes + blob.size };
        }
        this.#manifest = { ...this.#manifest, complete };
        await this.#writes.manifest(this.#manifest);
      } catch (error) {
        // Most often the quota: what there is of this file makes room again.
        this.#failed = true;
        await this.#writes.failed(error);
      } finally {
        this.#queued -= 1;
      }
    });
  }
}
