/**
 * A model's files as the engine asks for them: by name, from the cache where they are kept, from the network where not,
 * counting bytes.
 *
 * A kept file is compared with the server's before it is used (one `HEAD`, briefly): a file replaced on the server is
 * loaded anew, and without network the kept one is used. A file kept in part is used if the server still has that version
 * and can go on where it stopped.
 */

import { Download, fileChanged, type ByteStream, type DownloadOptions, type Version } from "./download.js";
import { TilewrightError, loadError } from "./errors.js";
import type { FileStore, Manifest } from "./file-store.js";
import { fileUrl, type ModelAddress } from "./model-address.js";

/** What the engine reads a model through. */
export interface ModelFiles {
  /** A small file's text; nothing if there is no such file. */
  text(name: string): Promise<string | undefined>;
  /** A file's bytes. */
  open(name: string): Promise<ByteStream>;
}

export interface FilesOptions extends DownloadOptions {
  /** Called for each piece of each file. */
  onBytes?: (file: string, loaded: number, length: number | undefined, cached: boolean) => void;
  /** How long the check of a kept file may take, in milliseconds. */
  checkMs?: number;
}

/** Pieces handed to the engine: it copies each into its own heap, which should stay small. */
const PIECE_BYTES = 1024 * 1024;
const LARGEST_TEXT_BYTES = 256 * 1024 * 1024;

export class HttpModelFiles implements ModelFiles {
  protected readonly address: ModelAddress;
  readonly #cache: FileStore | undefined;
  readonly #options: FilesOptions;
  /** Why a file could not be read, if one could not: in our own words, which the engine's error would only quote. */
  failure: unknown;
  readonly #opened = new Set<string>();

  constructor(address: ModelAddress, cache: FileStore | undefined, options: FilesOptions = {}) {
    this.address = address;
    this.#cache = cache;
    this.#options = options;
  }

  text(name: string): Promise<string | undefined> {
    return this.#noting(this.#text(name));
  }

  async open(name: string): Promise<ByteStream> {
    const stream = await this.#noting(this.#openUrl(fileUrl(this.address, name), name));
    return {
      get length() {
        return stream.length;
      },
      next: () => this.#noting(stream.next()),
      cancel: () => {
        stream.cancel();
      },
    };
  }

  /** What was read turned out to be damaged: the next load fetches it again. */
  async forget(): Promise<void> {
    for (const url of this.#opened) await this.#cache?.forget(url);
  }

  async #noting<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }

  async #text(name: string): Promise<string | undefined> {
    const url = fileUrl(this.address, name);
    let stream: ByteStream;
    try {
      stream = await this.#openUrl(url, name);
    } catch (error) {
      if (!(error instanceof TilewrightError)) throw error;
      if (error.code === "file_not_found") {
        await this.#cache?.noteMissing(url, this.address.url);
        return undefined;
      }
      // Without network, a file that was not there last time is not there.
      if ((await this.#cache?.manifest(url))?.missing) return undefined;
      throw error;
    }
    const decoder = new TextDecoder();
    let text = "";
    let bytes = 0;
    for (let piece = await stream.next(); piece; piece = await stream.next()) {
      bytes += piece.length;
      if (bytes > LARGEST_TEXT_BYTES) {
        stream.cancel();
        throw loadError("file_too_large", `${url} has more than ${LARGEST_TEXT_BYTES} bytes, too many for ${name}`);
      }
      text += decoder.decode(piece, { stream: true });
    }
    return text + decoder.decode();
  }

  async #openUrl(url: string, name: string): Promise<ByteStream> {
    this.#opened.add(url);
    const manifest = await this.#kept(url);
    const count: Count = (loaded, length, cached) => {
      this.#options.onBytes?.(name, loaded, length, cached);
    };
    if (manifest?.complete) return this.#stream(url, manifest, undefined, count);
    if (manifest) {
      const offset = manifest.bytes;
      try {
        const rest = await Download.open(url, this.#options, { offset, version: manifest });
        return this.#stream(url, manifest, rest, count);
      } catch (error) {
        if (!(error instanceof TilewrightError) || error.code !== "file_changed") throw error;
        await this.#cache?.forget(url);
      }
    }
    const download = await Download.open(url, this.#options);
    return this.#stream(url, undefined, download, count);
  }

  #stream(url: string, manifest: Manifest | undefined, download: Download | undefined, count: Count): CachedStream {
    const cache = this.#cache && { store: this.#cache, model: this.address.url };
    return new CachedStream(url, manifest, download, cache, this.#options, count);
  }

  /** What is kept of a file and is still the server's version, as far as can be told. */
  async #kept(url: string): Promise<Manifest | undefined> {
    const manifest = await this.#cache?.manifest(url);
    if (!manifest || manifest.missing) return undefined;
    // Nothing would tell the rest of another version from the rest of this one.
    const resumable = manifest.segments.length > 0 && (manifest.etag !== null || manifest.length !== undefined);
    if (!manifest.complete && !resumable) return undefined;
    if (manifest.complete && (await this.#replaced(url, manifest))) {
      await this.#cache?.forget(url);
      return undefined;
    }
    return manifest;
  }

  async #replaced(url: string, kept: Version): Promise<boolean> {
    const { fetch: get = fetch, checkMs = 3000, signal } = this.#options;
    const inTime = AbortSignal.timeout(checkMs);
    try {
      const response = await get(url, {
        method: "HEAD",
        cache: "no-store",
        signal: signal ? AbortSignal.any([signal, inTime]) : inTime,
      });
      if (!response.ok) return false;
      const etag = response.headers.get("etag");
      if (etag !== null && kept.etag !== null) return etag !== kept.etag;
      if (response.headers.has("content-encoding") || kept.length === undefined) return false;
      const length = response.headers.get("content-length");
      return length !== null && Number(length) !== kept.length;
    } catch {
      signal?.throwIfAborted();
      return false;
    }
  }
}

type Count = (loaded: number, length: number | undefined, cached: boolean) => void;

/** First what is kept, then what is not, which is kept as it comes. */
class CachedStream implements ByteStream {
  readonly #url: string;
  readonly #manifest: Manifest | undefined;
  readonly #cache: { store: FileStore; model: string } | undefined;
  readonly #options: DownloadOptions;
  readonly #count: Count;
  #download: Download | undefined;
  #writer: { write(bytes: Uint8Array): Promise<void>; finish(): Promise<void> } | undefined;
  #segment = 0;
  #pieces: Uint8Array[] = [];
  #loaded = 0;

  constructor(
    url: string,
    manifest: Manifest | undefined,
    download: Download | undefined,
    cache: { store: FileStore; model: string } | undefined,
    options: DownloadOptions,
    count: Count,
  ) {
    this.#url = url;
    this.#manifest = manifest;
    this.#download = download;
    this.#cache = cache;
    this.#options = options;
    this.#count = count;
  }

  get length(): number | undefined {
    return this.#manifest?.length ?? this.#download?.length;
  }

  async next(): Promise<Uint8Array | undefined> {
    const kept = await this.#fromCache();
    if (kept) {
      this.#loaded += kept.length;
      this.#count(this.#loaded, this.length, true);
      return kept;
    }
    const download = this.#download;
    if (!download) return undefined;
    this.#writer ??= this.#cache?.store.writer(
      this.#url,
      this.#cache.model,
      { etag: download.etag, length: download.length },
      this.#manifest?.complete ? undefined : this.#manifest,
    );
    const bytes = await download.next();
    if (!bytes) {
      await this.#writer?.finish();
      this.#writer = undefined;
      this.#download = undefined;
      return undefined;
    }
    await this.#writer?.write(bytes);
    this.#loaded += bytes.length;
    this.#count(this.#loaded, this.length, false);
    return bytes;
  }

  cancel(): void {
    this.#download?.cancel();
    this.#pieces = [];
  }

  async #fromCache(): Promise<Uint8Array | undefined> {
    const piece = this.#pieces.shift();
    if (piece) return piece;
    const manifest = this.#manifest;
    if (!manifest || !this.#cache || this.#segment >= manifest.segments.length) return undefined;
    const bytes = await this.#cache.store.segment(this.#url, manifest, this.#segment);
    if (!bytes) {
      // The browser threw part of it out. What was read is gone to the engine, so the version has to match from here on;
      // it is not kept again this time.
      await this.#cache.store.forget(this.#url);
      this.#segment = manifest.segments.length;
      this.#writer = { write: () => Promise.resolve(), finish: () => Promise.resolve() };
      this.#download?.cancel();
      if (manifest.etag === null && manifest.length === undefined) throw fileChanged(this.#url);
      this.#download = await Download.open(this.#url, this.#options, { offset: this.#loaded, version: manifest });
      return undefined;
    }
    this.#segment += 1;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) this.#pieces.push(bytes.subarray(at, at + PIECE_BYTES));
    return this.#pieces.shift();
  }
}
