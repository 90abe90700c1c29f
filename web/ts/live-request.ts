/**
 * One request of a page, for as long as it lives: longer than the link it was sent over, if need be.
 *
 * When the worker is gone (the browser restarted it, it ran out of memory), or the page went into the back/forward cache,
 * the request is sent again over a new link, with the tokens that had come. The new worker takes it up there and the
 * reader notices a pause. An answer that nobody has seen anything of yet simply begins again. What makes it say the same
 * is the seed: a request without one is given one here.
 *
 * A request that loses its worker twice within a minute is given up: it may be the cause.
 */

import { ChunkStream, whole } from "./chunk-stream.js";
import { connectionError, isLoss } from "./errors.js";
import type { Link, ResponseSink } from "./link.js";
import type { Endpoint, Resume } from "./protocol.js";

/** A second loss within this time is the end, in milliseconds. */
const LOSS_WINDOW_MS = 60_000;

/** What a page asks for. */
export interface Asked {
  endpoint: Endpoint;
  /** JSON. */
  body: Record<string, unknown>;
  streamed: boolean;
  signal?: AbortSignal | undefined;
}

/** Sends a request; what comes back is read as a stream, or gathered. `open` gives the open link, or a new one. */
export async function send(open: () => Promise<Link>, asked: Asked): Promise<unknown> {
  const request = new LiveRequest(open, asked);
  const { stream } = request;
  await request.begin();
  if (!asked.streamed) return whole(stream);
  await stream.started();
  return stream;
}

class LiveRequest implements ResponseSink {
  readonly stream: ChunkStream<unknown>;
  readonly #open: () => Promise<Link>;
  readonly #asked: Asked;
  readonly #body: Record<string, unknown>;
  #over = false;
  /** Where it is now. */
  #at: { link: Link; id: number } | undefined;
  /** What came of it. */
  #heard: Resume | undefined;
  #lostAt: number | undefined;

  constructor(open: () => Promise<Link>, asked: Asked) {
    this.#open = open;
    this.#asked = asked;
    this.#body = { ...asked.body, seed: asked.body["seed"] ?? crypto.getRandomValues(new Uint32Array(1))[0] };
    this.stream = new ChunkStream(() => {
      this.#cancel();
    });
  }

  /** Sends it for the first time; rejects if there is no way to. */
  async begin(): Promise<void> {
    const { signal } = this.#asked;
    signal?.throwIfAborted();
    signal?.addEventListener("abort", this.#aborted, { once: true });
    try {
      // Before it is sent, only an abort can start the stream: by its end.
      const link = await Promise.race([this.#open(), this.stream.started()]);
      if (link) this.#submit(link);
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  chunk(body: unknown, tokens: number[], read: () => void): void {
    const { id, created } = body as { id?: unknown; created?: unknown };
    if (typeof id === "string" && typeof created === "number") this.#heard ??= { tokens: [], id, created };
    this.#heard?.tokens.push(...tokens);
    this.stream.chunk(body, read);
  }

  done(): void {
    this.#end();
    this.stream.done();
  }

  fail(reason: unknown): void {
    if (this.#over) return;
    this.#at = undefined;
    if (!isLoss(reason)) {
      this.#end();
      this.stream.fail(reason);
    } else if (this.#isLostAgain(reason.code)) {
      this.#end();
      this.stream.fail(
        connectionError(
          "worker_restarted",
          "the worker that runs the model was lost twice within a minute while it worked on this request, so it was given " +
            "up; the memory may be short: try a shorter prompt or a smaller model, or close other tabs",
        ),
      );
    } else {
      this.#open().then(
        (link) => {
          this.#submit(link);
        },
        (error: unknown) => {
          this.fail(error);
        },
      );
    }
  }

  #submit(link: Link): void {
    if (this.#over) return;
    if (link.ended) {
      this.fail(link.ended.reason);
      return;
    }
    const resume = this.#asked.streamed ? (this.#heard ?? null) : null;
    this.#at = { link, id: link.request(this.#asked.endpoint, this.#body, resume, this) };
  }

  /** A page that is put away has lost nothing. */
  #isLostAgain(code: string | null): boolean {
    if (code === "page_hidden") return false;
    const now = performance.now();
    const again = this.#lostAt !== undefined && now - this.#lostAt < LOSS_WINDOW_MS;
    this.#lostAt = now;
    return again;
  }

  readonly #aborted = (): void => {
    this.#cancel();
    this.stream.fail(this.#asked.signal?.reason);
  };

  #cancel(): void {
    this.#end();
    this.#at?.link.cancel(this.#at.id);
    this.#at = undefined;
  }

  #end(): void {
    this.#over = true;
    this.#asked.signal?.removeEventListener("abort", this.#aborted);
  }
}
