/**
 * One file from the network, as a stream that survives a bad network: a connection that breaks, stalls or ends early is
 * opened again where it stopped (`Range`), and only several failures in a row without a byte between them are an error.
 *
 * A resumed file must be the same file. `If-Range` would say so but costs a preflight on every other origin, so the answer
 * is compared instead: entity tag where it is visible, and total length. A server that ignores `Range` is read from the
 * start again and what is known is skipped.
 */

import { TilewrightError, loadError } from "./errors.js";

/** A file being read. */
export interface ByteStream {
  /** Bytes in all, where it is known. */
  readonly length: number | undefined;
  /** The next bytes; nothing at the end. */
  next(): Promise<Uint8Array | undefined>;
  /** Nobody reads on. */
  cancel(): void;
}

/** What tells one version of a file from another. */
export interface Version {
  etag: string | null;
  length: number | undefined;
}

export interface DownloadOptions {
  fetch?: typeof fetch;
  /** How long a server may send nothing before the connection is given up, in milliseconds. */
  stallMs?: number;
  /** Connections in a row that may bring nothing. */
  attempts?: number;
  /** Wait before the second attempt, in milliseconds; doubles each time. */
  backoffMs?: number;
  signal?: AbortSignal | undefined;
}

/** Where to go on, and with which version. */
export interface ResumePoint {
  offset: number;
  version: Version;
}

const DEFAULTS = { stallMs: 20_000, attempts: 3, backoffMs: 500 };
const LONGEST_RETRY_AFTER_MS = 30_000;

/** A failure that another attempt may mend. */
class Passing extends Error {
  constructor(
    readonly final: TilewrightError,
    readonly waitMs?: number,
  ) {
    super(final.message);
  }
}

/** A file over HTTP. Open it with [`Download.open`]. */
export class Download implements ByteStream {
  readonly #url: string;
  readonly #settings: Required<Omit<DownloadOptions, "signal">>;
  readonly #signal: AbortSignal | undefined;
  #version: Version | undefined;
  #offset: number;
  /** Bytes that a server without `Range` sends again. */
  #skip = 0;
  #connection: { reader: ReadableStreamDefaultReader<Uint8Array>; abort: AbortController } | undefined;
  #failures = 0;

  private constructor(url: string, options: DownloadOptions, from: ResumePoint | undefined) {
    this.#url = url;
    this.#settings = { fetch: (input, init) => fetch(input, init), ...DEFAULTS, ...options };
    this.#signal = options.signal;
    this.#offset = from?.offset ?? 0;
    this.#version = from?.version;
  }

  /** Resolves once the server has answered that there is such a file. */
  static async open(url: string, options: DownloadOptions = {}, from?: ResumePoint): Promise<Download> {
    const download = new Download(url, options, from);
    await download.#untilConnected();
    return download;
  }

  get length(): number | undefined {
    return this.#version?.length;
  }

  get etag(): string | null {
    return this.#version?.etag ?? null;
  }

  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      try {
        const bytes = await this.#read();
        if (bytes) this.#failures = 0;
        return bytes;
      } catch (error) {
        await this.#recover(error);
        await this.#untilConnected();
      }
    }
  }

  cancel(): void {
    this.#connection?.abort.abort();
    this.#connection = undefined;
  }

  async #untilConnected(): Promise<void> {
    for (;;) {
      try {
        await this.#connect();
        return;
      } catch (error) {
        await this.#recover(error);
      }
    }
  }

  /** Waits before the next attempt, or throws what ends the download. */
  async #recover(error: unknown): Promise<void> {
    this.cancel();
    this.#signal?.throwIfAborted();
    if (!(error instanceof Passing)) throw error;
    this.#failures += 1;
    if (this.#failures >= this.#settings.attempts) throw error.final;
    await pause(error.waitMs ?? this.#settings.backoffMs * 2 ** (this.#failures - 1), this.#signal);
  }

  async #connect(): Promise<void> {
    const abort = new AbortController();
    const headers: Record<string, string> = this.#offset > 0 ? { Range: `bytes=${this.#offset}-` } : {};
    // Not the browser's HTTP cache: these files have one of their own (file-cache.ts), and a model would fill it.
    const request = this.#settings.fetch(this.#url, { headers, signal: this.#any(abort), cache: "no-store" });
    const response = await this.#inTime(request, abort);
    try {
      this.#accept(response);
    } catch (error) {
      abort.abort();
      throw error;
    }
    if (!response.body) throw loadError("download_failed", `${this.#url} was answered without a body`);
    this.#connection = { reader: response.body.getReader(), abort };
  }

  /** Checks an answer's head, and that it goes on with the file that was begun. */
  #accept(response: Response): void {
    if (!response.ok) throw this.#refused(response);
    const { headers } = response;
    if (headers.get("content-type")?.startsWith("text/html")) {
      throw loadError(
        "file_not_found",
        `${this.#url} answered with a web page: there is no such file; check the model's address`,
      );
    }
    // An encoded body's length is not the file's.
    const sent = headers.has("content-encoding") ? undefined : count(headers.get("content-length"));
    const etag = headers.get("etag");

    let length = sent;
    let start = 0;
    if (response.status === 206) {
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
      // Where another origin hides Content-Range, what was asked for is what was sent.
      start = range?.[1] === undefined ? this.#offset : Number(range[1]);
      length = range?.[2] === undefined || range[2] === "*" ? sent && sent + start : Number(range[2]);
    }
    const before = this.#version;
    if (before && this.#offset > 0) {
      const changed =
        (before.etag !== null && etag !== null && before.etag !== etag) ||
        (before.length !== undefined && length !== undefined && before.length !== length) ||
        start > this.#offset;
      if (changed) throw fileChanged(this.#url);
    }
    this.#version = { etag: etag ?? before?.etag ?? null, length: length ?? before?.length };
    this.#skip = this.#offset - start;
  }

  #refused(response: Response): Error {
    const answer = `${this.#url} answered ${response.status}${response.statusText ? ` ${response.statusText}` : ""}`;
    switch (response.status) {
      case 404:
      case 410:
        return loadError("file_not_found", `${answer}: there is no such file; check the model's address`);
      case 401:
      case 403:
        return loadError(
          "access_denied",
          `${answer}: the server does not give this file to everyone; use a public copy, or serve the file yourself`,
        );
      case 416:
        return fileChanged(this.#url);
    }
    const final = loadError("download_failed", `${answer}; try again later, or use another copy of the model`);
    if (response.status !== 408 && response.status !== 425 && response.status !== 429 && response.status < 500)
      return final;
    const seconds = count(response.headers.get("retry-after"));
    return new Passing(final, seconds === undefined ? undefined : Math.min(seconds * 1000, LONGEST_RETRY_AFTER_MS));
  }

  async #read(): Promise<Uint8Array | undefined> {
    const connection = this.#connection;
    if (!connection) throw this.#broken(new Error("no connection"));
    for (;;) {
      const { done, value } = await this.#inTime(connection.reader.read(), connection.abort);
      if (done) {
        const length = this.#version?.length;
        if (length !== undefined && this.#offset < length) throw this.#truncated(length);
        return undefined;
      }
      const fresh = value.subarray(Math.min(this.#skip, value.length));
      this.#skip -= value.length - fresh.length;
      this.#offset += fresh.length;
      if (fresh.length > 0) return fresh;
    }
  }

  /** Waits for the network, but not for ever. */
  async #inTime<T>(work: Promise<T>, abort: AbortController): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const over = new AbortController();
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(this.#stalled());
        abort.abort();
      }, this.#settings.stallMs);
      // Whatever the work makes of the abort: nobody waits for it any more.
      const onAbort = (): void => {
        reject(new Error("given up"));
      };
      this.#signal?.addEventListener("abort", onAbort, { signal: over.signal });
    });
    try {
      return await Promise.race([work, late]);
    } catch (error) {
      if (error instanceof Passing) throw error;
      throw this.#broken(error);
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  }

  #any(abort: AbortController): AbortSignal {
    return this.#signal ? AbortSignal.any([this.#signal, abort.signal]) : abort.signal;
  }

  #soFar(): string {
    return this.length === undefined ? `${this.#offset} bytes` : `${this.#offset} of ${this.length} bytes`;
  }

  #stalled(): Passing {
    const seconds = this.#settings.stallMs / 1000;
    return new Passing(
      loadError(
        "download_stalled",
        `${this.#url} sent nothing for ${seconds} s, after ${this.#soFar()}; check the connection and try again`,
      ),
    );
  }

  #broken(cause: unknown): Passing {
    const detail = cause instanceof Error ? cause.message : String(cause);
    return new Passing(
      loadError(
        "download_failed",
        `${this.#url} could not be read, after ${this.#soFar()} (${detail}); check the connection, and if the file is on ` +
          "another origin, that its server allows this site to read it (CORS)",
        cause,
      ),
    );
  }

  #truncated(length: number): Passing {
    return new Passing(
      loadError(
        "download_truncated",
        `${this.#url} ended after ${this.#offset} of ${length} bytes; the file on the server may be damaged`,
      ),
    );
  }
}

/** A file that is no longer the one that was begun. */
export function fileChanged(url: string): TilewrightError {
  return loadError("file_changed", `${url} changed while it was being read; load the model again`);
}

function count(text: string | null): number | undefined {
  return text !== null && /^\d+$/.test(text) ? Number(text) : undefined;
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason is the caller's.
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
