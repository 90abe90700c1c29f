/**
 * One model of the host, shared by the tabs that use it: loading, then ready, then (crashed, or given up) absent again.
 *
 * A tab that joins while the model loads hears the progress from there on. A crash ends every request with an error, tells
 * the other tabs, and leaves the model absent: the next request, from any tab, starts a new engine and waits for it.
 */

import type { Engine, StartEngine } from "./engine.js";
import { TilewrightError, connectionError, toErrorObject, type ErrorObject } from "./errors.js";
import { PoolHosts } from "./pool-hosts.js";
import type { Ack, HostMessage, Load, PageState, Port, Progress, ToHost, TuningMode } from "./protocol.js";
import type { TuningCommand } from "./tuning.js";

/** A tab, as a model sees it. */
export interface Member {
  /** Unique in the host, never used again. */
  readonly client: number;
  /** What it calls itself. */
  readonly page: { title: string; url: string };
  /** What its user sees, as far as it has said so. */
  readonly state: PageState | undefined;
  send(message: HostMessage): void;
}

interface Joined {
  member: Member;
  /** Requests without an end yet. */
  requests: Set<number>;
  /** Questions to the tuner without an answer yet. */
  questions: Set<number>;
}

type Request = Omit<ToHost & { type: "request" }, "type">;

interface Waiting {
  client: number;
  request: Request;
}

type State =
  | { kind: "absent" }
  | { kind: "loading"; stop: AbortController; progress: Progress | undefined; waiting: Waiting[] }
  | { kind: "ready"; engine: Engine };

export class ServedModel {
  readonly #load: Load;
  readonly #start: StartEngine;
  readonly #joined = new Map<number, Joined>();
  #state: State = { kind: "absent" };
  readonly #hosts = new PoolHosts();
  #stallMs: number | undefined;
  #pageGpu = false;
  #tuning: TuningMode = "auto";

  constructor(load: Load, start: StartEngine) {
    this.#load = load;
    this.#start = start;
  }

  get isUsed(): boolean {
    return this.#joined.size > 0;
  }

  /** A tab wants this model; it hears `ready`, now or later, or an error. */
  join(member: Member, { stallMs, pageGpu, tuning }: Load): void {
    this.#joined.set(member.client, { member, requests: new Set(), questions: new Set() });
    this.#stallMs = stallMs ?? undefined;
    this.#pageGpu = pageGpu;
    if (this.#state.kind === "absent") this.#tuning = tuning;
    this.#hosts.add(member);
    switch (this.#state.kind) {
      case "ready":
        greet(this.#state.engine, member);
        member.send({ type: "ready", info: this.#state.engine.info });
        return;
      case "loading":
        if (this.#state.progress) member.send({ type: "progress", progress: this.#state.progress });
        return;
      case "absent":
        this.#begin();
    }
  }

  /** A tab is gone, and with it what it asked for. */
  leave(client: number): void {
    if (!this.#joined.delete(client)) return;
    this.#hosts.remove(client);
    if (this.#state.kind === "ready") this.#state.engine.gone(client);
    if (this.#state.kind === "loading") {
      this.#state.waiting = this.#state.waiting.filter((request) => request.client !== client);
    }
  }

  /** A tab's user sees something else of it. */
  stateOf(member: Member): void {
    this.#hosts.changed(member);
    if (this.#state.kind === "ready" && member.state) this.#state.engine.state(member.client, member.state);
  }

  /** A tab opened a worker for the CPU engine, or has none. */
  pool(client: number, id: number, port: Port | undefined, error: ErrorObject | null): void {
    this.#hosts.opened(client, id, port, error ? new TilewrightError(error) : undefined);
  }

  submit(client: number, request: Request): void {
    const joined = this.#joined.get(client);
    if (!joined) return;
    if (joined.requests.has(request.id)) {
      joined.member.send({ type: "error", id: request.id, error: duplicate(request.id) });
      return;
    }
    joined.requests.add(request.id);
    if (this.#state.kind === "absent") this.#begin();
    if (this.#state.kind === "ready") submitTo(this.#state.engine, { client, request });
    else if (this.#state.kind === "loading") this.#state.waiting.push({ client, request });
  }

  cancel(client: number, id: number): void {
    if (!this.#joined.get(client)?.requests.delete(id)) return;
    if (this.#state.kind === "ready") this.#state.engine.cancel(client, id);
    if (this.#state.kind === "loading") {
      this.#state.waiting = this.#state.waiting.filter(
        (waiting) => waiting.client !== client || waiting.request.id !== id,
      );
    }
  }

  /** A tab has read on. */
  ack(client: number, acks: Ack[]): void {
    const joined = this.#joined.get(client);
    if (this.#state.kind !== "ready" || !joined) return;
    for (const { id, seq } of acks) if (joined.requests.has(id)) this.#state.engine.ack(client, id, seq);
  }

  /** What goes on, told to the tab that asks. */
  inspect(member: Member, id: number): void {
    if (this.#state.kind === "ready") {
      this.#state.engine.inspect(member.client, id);
      return;
    }
    const error = connectionError("not_loaded", "the model is not loaded, so there is nothing to look at yet");
    member.send({ type: "error", id, error: error.toJSON() });
  }

  /** Has the tuner do something; its answer is told to the tab that asks. */
  tune(member: Member, id: number, command: TuningCommand): void {
    if (this.#state.kind === "ready") {
      this.#joined.get(member.client)?.questions.add(id);
      this.#state.engine.tune(member.client, id, command);
      return;
    }
    const error = connectionError("not_loaded", "the model is not loaded, so there is nothing to tune yet");
    member.send({ type: "error", id, error: error.toJSON() });
  }

  /** Frees the model, or gives up loading it. */
  drop(): void {
    const state = this.#state;
    this.#state = { kind: "absent" };
    if (state.kind === "ready") state.engine.close();
    if (state.kind === "loading") state.stop.abort();
  }

  #begin(): void {
    const stop = new AbortController();
    const state: State = { kind: "loading", stop, progress: undefined, waiting: [] };
    this.#state = state;
    let engine: Engine | undefined;
    const isCurrent = (): boolean =>
      this.#state === state || (this.#state.kind === "ready" && this.#state.engine === engine);

    const starting = this.#start({
      address: this.#load.model,
      stallMs: this.#stallMs,
      device: this.#load.device,
      threads: this.#load.threads,
      pageGpu: this.#pageGpu,
      tuning: this.#tuning,
      hosts: this.#hosts,
      signal: stop.signal,
      events: {
        progress: (progress) => {
          if (this.#state !== state) return;
          state.progress = progress;
          for (const { member } of this.#joined.values()) member.send({ type: "progress", progress });
        },
        chunk: (client, id, seq, chunk, tokens) => {
          const joined = this.#joined.get(client);
          if (isCurrent() && joined?.requests.has(id)) joined.member.send({ type: "chunk", id, seq, chunk, tokens });
        },
        done: (client, id) => {
          const joined = this.#joined.get(client);
          if (isCurrent() && joined?.requests.delete(id)) joined.member.send({ type: "done", id });
        },
        error: (client, id, error) => {
          const joined = this.#joined.get(client);
          if (!isCurrent() || !joined) return;
          if (id === undefined) joined.member.send({ type: "error", error });
          else if (joined.requests.delete(id) || joined.questions.delete(id))
            joined.member.send({ type: "error", id, error });
        },
        snapshot: (client, id, snapshot) => {
          const pages = [...this.#joined.values()].map(({ member }) => ({ client: member.client, ...member.page }));
          this.#joined.get(client)?.member.send({
            type: "snapshot",
            id,
            snapshot: { ...snapshot, device: engine?.info.device ?? "", you: client, pages },
          });
        },
        tuning: (client, id, reply) => {
          const joined = this.#joined.get(client);
          if (isCurrent() && joined?.questions.delete(id)) joined.member.send({ type: "tuning", id, reply });
        },
        moving: (reason) => {
          if (isCurrent()) this.#tellAll({ type: "moving", reason });
        },
        device: (info) => {
          if (isCurrent()) this.#tellAll({ type: "ready", info });
        },
        crashed: (error) => {
          if (isCurrent()) this.#fail(error);
        },
      },
    });
    starting.then(
      (started) => {
        if (this.#state !== state) {
          // Dropped or crashed meanwhile.
          started.close();
          return;
        }
        engine = started;
        this.#state = { kind: "ready", engine };
        for (const { member } of this.#joined.values()) {
          greet(engine, member);
          member.send({ type: "ready", info: engine.info });
        }
        for (const waiting of state.waiting) submitTo(engine, waiting);
      },
      (error: unknown) => {
        if (this.#state === state) this.#fail(toErrorObject(error));
      },
    );
  }

  #tellAll(message: HostMessage): void {
    for (const { member } of this.#joined.values()) member.send(message);
  }

  /** Every request ends with this error; tabs without one are told as well. */
  #fail(error: ErrorObject): void {
    const state = this.#state;
    this.#state = { kind: "absent" };
    if (state.kind === "ready") state.engine.close();
    for (const { member, requests, questions } of this.#joined.values()) {
      const ids = [...requests, ...questions];
      requests.clear();
      questions.clear();
      for (const id of ids) member.send({ type: "error", id, error });
      if (ids.length === 0) member.send({ type: "error", error });
    }
  }
}

function greet(engine: Engine, { client, state }: Member): void {
  engine.hello(client);
  if (state) engine.state(client, state);
}

function submitTo(engine: Engine, { client, request: { id, endpoint, body, resume } }: Waiting): void {
  engine.submit(client, id, endpoint, body, resume);
}

function duplicate(id: number): ErrorObject {
  return {
    type: "invalid_request_error",
    code: "duplicate_request",
    param: null,
    message: `request ${id} of this page is still running; give each request an id of its own`,
  };
}
