/**
 * One response as it arrives: an async iterable of chunks, fed by its request and read by the page. Chunks wait here until
 * they are asked for. Leaving the loop early (`break`, `return`, a throw) cancels the request.
 */

import { TilewrightError } from "./errors.js";

type End = { kind: "done" } | { kind: "failed"; reason: unknown };

/** A streamed response. It is read once. */
export class ChunkStream<T> implements AsyncIterable<T> {
  readonly #waiting: { chunk: T; read: () => void }[] = [];
  readonly #cancel: () => void;
  #end: End | undefined;
  #wake: (() => void) | undefined;
  #iterated = false;

  /** @param cancel tells the engine that nobody reads on */
  constructor(cancel: () => void) {
    this.#cancel = cancel;
  }

  /** Resolves with the first chunk's arrival, or the end; rejects if the request failed before it said anything. */
  async started(): Promise<void> {
    await this.#something();
    if (this.#waiting.length === 0 && this.#end?.kind === "failed") throw this.#end.reason;
  }

  /** @param read called when the reader takes it */
  chunk(body: unknown, read: () => void): void {
    if (this.#end) return;
    this.#waiting.push({ chunk: body as T, read });
    this.#notify();
  }

  done(): void {
    this.#end ??= { kind: "done" };
    this.#notify();
  }

  /** As with `fetch`, what had arrived and was not read yet is dropped. */
  fail(reason: unknown): void {
    if (this.#end) return;
    this.#end = { kind: "failed", reason };
    this.#waiting.length = 0;
    this.#notify();
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    if (this.#iterated) {
      throw new TilewrightError({
        type: "invalid_request_error",
        code: "stream_already_read",
        param: null,
        message: "this stream is read already; keep its chunks if they are needed twice",
      });
    }
    this.#iterated = true;
    return {
      next: async () => {
        await this.#something();
        const first = this.#waiting.shift();
        if (first) {
          first.read();
          return { done: false, value: first.chunk };
        }
        const end = this.#end;
        if (end?.kind === "failed") {
          // An iterator that threw is over.
          this.#end = { kind: "done" };
          throw end.reason;
        }
        return { done: true, value: undefined };
      },
      return: () => {
        this.#waiting.length = 0;
        if (!this.#end) {
          this.done();
          this.#cancel();
        }
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  async #something(): Promise<void> {
    while (this.#waiting.length === 0 && !this.#end) {
      await new Promise<void>((resolve) => {
        const before = this.#wake;
        this.#wake = () => {
          before?.();
          resolve();
        };
      });
    }
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

/** The last chunk of a response that is not streamed, which is all of it. */
export async function whole<T>(stream: ChunkStream<T>): Promise<T> {
  let last: T | undefined;
  for await (const chunk of stream) last = chunk;
  if (last === undefined) {
    throw new TilewrightError({
      type: "server_error",
      code: "empty_response",
      param: null,
      message: "the engine ended the request without an answer; send it again",
    });
  }
  return last;
}
