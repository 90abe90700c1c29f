/**
 * One page's end of one port: opens it, hands each message to the request it belongs to, and notices when the other side
 * is gone. Pure protocol: no workers and no locks here, so every case is tested over a plain `MessageChannel`.
 *
 * A link ends once, for one reason, and every request on it hears of that: nothing hangs. What can end it: `end()`, a host
 * of another instance answering, or silence. Silence is judged by unanswered pings and not by time alone, because a hidden
 * tab's timers are late and its messages are not; a host that loads for minutes still answers. Where the worker is to
 * blame, its requests are lost and no more: they may go on over another link (live-request.ts).
 */

import { Acks } from "./acks.js";
import { TilewrightError, connectionError, lossError, type ErrorObject } from "./errors.js";
import { Housing, type PoolWorker } from "./housing.js";
import type { ModelAddress } from "./model-address.js";
import {
  PROTOCOL,
  type DeviceChoice,
  type Endpoint,
  type HostMessage,
  type ModelInfo,
  type PageState,
  type Port,
  type Progress,
  type Resume,
  type ToHost,
  type TuningMode,
} from "./protocol.js";
import { label, readFromHost } from "./protocol-reading.js";
import type { EngineSnapshot } from "./snapshot.js";
import type { TuningAnswer, TuningCommand } from "./tuning.js";

/** Where a link puts what arrives for one request. */
export interface ResponseSink {
  /** @param read to be called when somebody has read it */
  chunk(body: unknown, tokens: number[], read: () => void): void;
  done(): void;
  /** It ended in an error, or the link did, for good. `isLoss` of errors.ts tells a lost worker from that. */
  fail(reason: unknown): void;
}

/** Time limits, in milliseconds. */
export interface LinkTimes {
  /** How long the worker's first word may take: its script has to be fetched and started. */
  hello: number;
  /** Between two looks at a quiet line, while an answer is owed. */
  ping: number;
  /** How many pings in a row may stay unanswered. */
  missed: number;
}

const TIMES: LinkTimes = { hello: 20_000, ping: 15_000, missed: 4 };

export interface LinkOptions {
  client: string;
  lock: string | null;
  /** What this page calls itself to others that use the model. */
  page?: { title: string; url: string };
  /** What its user sees of it; without it, that is not told. */
  state?: PageState;
  model: ModelAddress;
  /** See `ConnectOptions.stallMs`. */
  stallMs?: number | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
  /** The model is ready; again, if its engine was started anew. */
  onReady?: ((info: ModelInfo) => void) | undefined;
  /** The engine failed with no request of ours to blame; the link lives, and the next request starts the engine anew. */
  onError?: ((error: TilewrightError) => void) | undefined;
  /** The worker holds this Web Lock for as long as it lives. */
  onWelcome?: ((lock: string) => void) | undefined;
  /** What computed is gone, and another device is being had. */
  onMoving?: ((reason: string) => void) | undefined;
  /** See `ConnectOptions.device`. */
  device?: DeviceChoice | undefined;
  /** See `ConnectOptions.tuning`. */
  tuning?: TuningMode | undefined;
  /** See `ConnectOptions.threads`. */
  threads?: number | undefined;
  /** Whether the page itself has WebGPU. */
  pageGpu?: boolean;
  /** Opens a worker for the CPU engine; without it, this page has none. */
  openPool?: (() => PoolWorker) | undefined;
  /** Called once, when the link has ended. */
  onEnd?: ((reason: unknown) => void) | undefined;
  times?: Partial<LinkTimes>;
}

interface Question {
  resolve: (answer: EngineSnapshot | TuningAnswer) => void;
  reject: (reason: unknown) => void;
}

/** An open port to the host, for one model. */
export class Link {
  readonly #port: Port;
  readonly #options: LinkOptions;
  readonly #times: LinkTimes;
  readonly #requests = new Map<number, ResponseSink>();
  readonly #acks = new Acks((acks) => {
    this.#send({ type: "ack", acks });
  });
  readonly #questions = new Map<number, Question>();
  /** Resolves when the model is ready; rejects if it cannot be loaded, or the link ended first. */
  readonly ready: Promise<ModelInfo>;
  #isReady!: (info: ModelInfo) => void;
  #isNotReady!: (reason: unknown) => void;
  #opening = true;
  readonly #housing: Housing;
  #instance: string | undefined;
  #nextId = 1;
  #ended: { reason: unknown } | undefined;
  #helloTimer: ReturnType<typeof setTimeout> | undefined;
  #pingTimer: ReturnType<typeof setInterval> | undefined;
  #unanswered = 0;

  constructor(port: Port, options: LinkOptions) {
    this.#port = port;
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
    this.ready = new Promise((resolve, reject) => {
      this.#isReady = resolve;
      this.#isNotReady = reject;
    });
    // Whoever opened the link may have left before it opened; the reason still reaches `onEnd`.
    this.ready.catch(() => undefined);

    this.#housing = new Housing(options.openPool ?? noPool, (id, error, port) => {
      this.#send({ type: "pool", id, error }, port ? [port] : []);
    });
    port.addEventListener("message", (event) => {
      this.#receive(event.data);
    });
    port.addEventListener("messageerror", () => {
      this.end(
        connectionError("message_unreadable", "the worker sent a message that this page cannot read; reload the page"),
      );
    });
    port.addEventListener("close", () => {
      this.end(lossError("worker_gone", "the worker that runs the model ended; the next request starts it anew"));
    });
    port.start();
    const page = { title: label(options.page?.title), url: label(options.page?.url) };
    this.#send({ type: "hello", protocol: PROTOCOL, client: options.client, lock: options.lock, ...page });
    if (options.state) this.state(options.state);
    const { model, stallMs = null, device = "auto", threads = null, pageGpu = false, tuning = "auto" } = options;
    this.#send({ type: "load", model, stallMs, device, threads, pageGpu, tuning });
    this.#helloTimer = setTimeout(() => {
      this.end(
        connectionError(
          "worker_did_not_answer",
          `the worker did not answer within ${this.#times.hello / 1000} s; check that tilewright-worker.js is served, from ` +
            "this page's own origin, and reload the page",
        ),
      );
    }, this.#times.hello);
    this.#watch();
  }

  /** Why it ended, if it has. */
  get ended(): { reason: unknown } | undefined {
    return this.#ended;
  }

  /** Tells what the user sees of this page. */
  state(state: PageState): void {
    this.#send({ type: "state", ...state });
  }

  /** Sends a request; its sink hears of it until `done` or `fail`. Not on a link that has ended. */
  request(endpoint: Endpoint, body: unknown, resume: Resume | null, sink: ResponseSink): number {
    const id = this.#nextId++;
    this.#requests.set(id, sink);
    this.#send({ type: "request", id, endpoint, body, resume });
    this.#watch();
    return id;
  }

  /** Stops a request. Its sink hears nothing more of it; a request that is over already is left alone. */
  cancel(id: number): void {
    if (this.#take(id)) this.#send({ type: "cancel", id });
    this.#watch();
  }

  /**
   * Tells the host that this page ends, sooner than its lock would. Nothing fails: nobody is left to hear of it.
   */
  leave(): void {
    this.#send({ type: "bye" });
  }

  /** What goes on in the engine. */
  inspect(): Promise<EngineSnapshot> {
    return this.#ask((id) => ({ type: "inspect", id })) as Promise<EngineSnapshot>;
  }

  /** Has the tuner do something. */
  tune(command: TuningCommand): Promise<TuningAnswer> {
    return this.#ask((id) => ({ type: "tune", id, command })) as Promise<TuningAnswer>;
  }

  /** Something that is no request: it has one answer. */
  #ask(question: (id: number) => ToHost): Promise<EngineSnapshot | TuningAnswer> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      if (this.#ended) {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as for requests: whatever ended it.
        reject(this.#ended.reason);
        return;
      }
      this.#questions.set(id, { resolve, reject });
      this.#send(question(id));
      this.#watch();
    });
  }

  /** Ends the link: every request still open hears why. */
  end(reason: unknown): void {
    if (this.#ended) return;
    this.#send({ type: "bye" });
    this.#ended = { reason };
    this.#opening = false;
    clearTimeout(this.#helloTimer);
    this.#watch();
    this.#acks.close();
    this.#housing.closeAll();
    this.#port.close();
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    this.#isNotReady(reason);
    for (const { reject } of this.#questions.values()) reject(reason);
    this.#questions.clear();
    // Before its requests hear of it: they look for the next link.
    this.#options.onEnd?.(reason);
    for (const sink of requests) sink.fail(reason);
  }

  #send(message: ToHost, transfer: Transferable[] = []): void {
    if (!this.#ended) this.#port.postMessage(message, transfer);
  }

  /** A request that is over. */
  #take(id: number): ResponseSink | undefined {
    const sink = this.#requests.get(id);
    this.#requests.delete(id);
    this.#acks.forget(id);
    return sink;
  }

  #receive(data: unknown): void {
    if (this.#ended) return;
    const message = readFromHost(data);
    if (!message) return;
    clearTimeout(this.#helloTimer);
    this.#unanswered = 0;
    this.#instance ??= message.instance;
    if (message.instance !== this.#instance) {
      this.end(
        lossError("worker_restarted", "the browser restarted the worker that runs the model; the model loads anew"),
      );
      return;
    }
    for (const one of message.type === "batch" ? message.messages : [message]) this.#handle(one);
    this.#watch();
  }

  #handle(message: HostMessage): void {
    if (this.#ended) return;
    switch (message.type) {
      case "welcome":
        if (message.lock !== null) this.#options.onWelcome?.(message.lock);
        if (message.protocol !== PROTOCOL) {
          this.end(
            connectionError(
              "protocol_mismatch",
              `the worker speaks protocol ${message.protocol} and this page ${PROTOCOL}: they come from different ` +
                "versions of the library; reload every tab of this site",
            ),
          );
        }
        return;
      case "progress":
        this.#options.onProgress?.(message.progress);
        return;
      case "ready":
        this.#opening = false;
        this.#options.onReady?.(message.info);
        this.#isReady(message.info);
        return;
      case "moving":
        this.#options.onMoving?.(message.reason);
        return;
      case "open pool":
        this.#housing.open(message.id);
        return;
      case "close pool":
        this.#housing.close(message.id);
        return;
      case "chunk":
        this.#chunk(message);
        return;
      case "done":
        this.#take(message.id)?.done();
        return;
      case "error":
        this.#failed(message.id, message.error);
        return;
      case "snapshot":
        this.#questions.get(message.id)?.resolve(message.snapshot);
        this.#questions.delete(message.id);
        return;
      case "tuning":
        if ("error" in message.reply) {
          this.#failed(message.id, message.reply.error);
          return;
        }
        this.#questions.get(message.id)?.resolve(message.reply);
        this.#questions.delete(message.id);
        return;
      case "pong":
        return;
    }
  }

  #chunk({ id, seq, chunk, tokens }: HostMessage & { type: "chunk" }): void {
    this.#requests.get(id)?.chunk(chunk, tokens, () => {
      if (this.#requests.has(id)) this.#acks.read(id, seq, tokens.length);
    });
  }

  #failed(id: number | undefined, object: ErrorObject): void {
    const error = new TilewrightError(object);
    if (id !== undefined) {
      this.#take(id)?.fail(error);
      this.#questions.get(id)?.reject(error);
      this.#questions.delete(id);
    } else if (this.#opening) {
      this.end(error);
    } else {
      this.#options.onError?.(error);
    }
  }

  /** Pings while something is owed, and only then: a page at rest has no timer. */
  #watch(): void {
    const owed = !this.#ended && (this.#opening || this.#requests.size + this.#questions.size > 0);
    if (!owed) {
      clearInterval(this.#pingTimer);
      this.#pingTimer = undefined;
      return;
    }
    if (this.#pingTimer !== undefined) return;
    this.#unanswered = 0;
    this.#pingTimer = setInterval(() => {
      if (this.#unanswered >= this.#times.missed) {
        this.end(
          lossError(
            "worker_silent",
            `the worker that runs the model has not answered for ${(this.#times.ping * this.#times.missed) / 1000} s; ` +
              "if that happens again, close every tab of this site and open it anew",
          ),
        );
        return;
      }
      this.#unanswered += 1;
      this.#send({ type: "ping" });
    }, this.#times.ping);
  }
}

function noPool(): PoolWorker {
  throw new Error("this page opens no workers");
}
