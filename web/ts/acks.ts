/**
 * What a page has read of its streams, told to the host: a request far ahead of its reader stands still, so that a page
 * that does not read costs nobody anything.
 *
 * Read, not received: what waits in the page counts as ahead. One message acknowledges what was read within a frame. Timers
 * of a hidden page may be a minute late, so that a quarter of the credit is acknowledged without waiting for one.
 */

import type { Ack } from "./protocol.js";

/** Between two messages, in milliseconds. */
const PAUSE_MS = 16;

/** Tokens read that are told at once; the scheduler lets a request be 256 tokens ahead. */
const MOST_TOKENS = 64;

export class Acks {
  readonly #send: (acks: Ack[]) => void;
  /** The newest chunk read, by request. */
  readonly #read = new Map<number, number>();
  #tokens = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(send: (acks: Ack[]) => void) {
    this.#send = send;
  }

  /** The page has read a request's chunks up to this one, which stands for so many tokens. */
  read(id: number, seq: number, tokens: number): void {
    this.#read.set(id, seq);
    this.#tokens += Math.max(1, tokens);
    if (this.#tokens >= MOST_TOKENS) this.#flush();
    else
      this.#timer ??= setTimeout(() => {
        this.#flush();
      }, PAUSE_MS);
  }

  /** A request is over, and nobody waits to hear of it. */
  forget(id: number): void {
    this.#read.delete(id);
    if (this.#read.size === 0) this.close();
  }

  /** Says nothing more of what was read. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#read.clear();
    this.#tokens = 0;
  }

  #flush(): void {
    const acks = [...this.#read].map(([id, seq]) => ({ id, seq }));
    this.close();
    if (acks.length > 0) this.#send(acks);
  }
}
