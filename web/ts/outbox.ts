/**
 * What the host has to say to one page, gathered into few messages.
 *
 * Each message costs the page a task, and a page that is hidden need not be woken for every word. So chunks are kept back
 * for a frame, or a quarter of a second while nobody looks; the first one after a pause goes at once, and so does whatever
 * a page waits for (an end, an error, an answer to a question), with what stands before it. What is said in one turn of the
 * event loop always goes together.
 *
 * The timer here only delays words. No step of the scheduler waits for it: a page's credit is four times what is kept back.
 */

import type { HostMessage } from "./protocol.js";

/** Between two messages to a page, in milliseconds. */
const VISIBLE_MS = 16;
const HIDDEN_MS = 250;

/** Tokens that are kept back at most; the scheduler lets a request be 256 tokens ahead of its reader. */
const MOST_TOKENS = 64;

/** What makes it wait. */
export interface OutboxClock {
  /** Runs after what runs now, before anything else. */
  soon(work: () => void): void;
  /** Runs after some milliseconds, unless the function that it gives is called before. */
  later(ms: number, work: () => void): () => void;
}

const CLOCK: OutboxClock = {
  soon: (work) => {
    queueMicrotask(work);
  },
  later: (ms, work) => {
    const timer = setTimeout(work, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};

export class Outbox {
  readonly #post: (messages: HostMessage[]) => void;
  readonly #clock: OutboxClock;
  #waiting: HostMessage[] = [];
  #waitingTokens = 0;
  /** Flushes soon. */
  #leaving = false;
  /** Stops the pause after the last message; none while the line is quiet. */
  #pause: (() => void) | undefined;
  #visible = true;
  #closed = false;

  /** @param post sends what it is given, never nothing, as one message */
  constructor(post: (messages: HostMessage[]) => void, clock: OutboxClock = CLOCK) {
    this.#post = post;
    this.#clock = clock;
  }

  /** Says something: now, or soon with what follows. */
  say(message: HostMessage): void {
    if (this.#closed) return;
    this.#waiting.push(message);
    if (message.type === "chunk") this.#waitingTokens += Math.max(1, message.tokens.length);
    if (message.type !== "chunk" || !this.#pause || this.#waitingTokens >= MOST_TOKENS) this.#leave();
  }

  /** Whether the page is seen. */
  set visible(visible: boolean) {
    const shown = visible && !this.#visible;
    this.#visible = visible;
    if (shown && this.#waiting.length > 0) this.#leave();
  }

  /** Says nothing more, not even what is waiting. */
  close(): void {
    this.#closed = true;
    this.#pause?.();
    this.#pause = undefined;
  }

  #leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#clock.soon(() => {
      this.#leaving = false;
      this.flush();
    });
  }

  /** Says at once what is waiting. */
  flush(): void {
    if (this.#closed || this.#waiting.length === 0) return;
    const messages = this.#waiting;
    this.#waiting = [];
    this.#waitingTokens = 0;
    this.#pause?.();
    this.#pause = this.#clock.later(this.#visible ? VISIBLE_MS : HIDDEN_MS, () => {
      this.#pause = undefined;
      this.flush();
    });
    this.#post(messages);
  }
}
