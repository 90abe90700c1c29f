/**
 * The worker's side of every port: who is there, which model each wants, and when a model nobody wants is dropped.
 *
 * Models are shared by address. A second model loads beside the first. One that nobody uses is kept for a minute, so that
 * a reload of the only tab does not load it again.
 */

import type { StartEngine } from "./engine.js";
import { connectionError } from "./errors.js";
import { holdLock, whenReleased, type Locks } from "./liveness.js";
import { Outbox } from "./outbox.js";
import { PROTOCOL, type HostMessage, type Load, type PageState, type Port, type ToHost } from "./protocol.js";
import { readToHost } from "./protocol-reading.js";
import { ServedModel, type Member } from "./served-model.js";

export interface HostOptions {
  start: StartEngine;
  /** Absent where the browser has none: then a port's `close` and the page's `bye` are all there is. */
  locks?: Locks | undefined;
  /** How long an unused model is kept, in milliseconds. */
  idleMs?: number;
}

const IDLE_MS = 60_000;

export class Host {
  /** Names this host in every message. */
  readonly instance: string = crypto.randomUUID();
  readonly #options: HostOptions;
  readonly #models = new Map<string, { model: ServedModel; idle: ReturnType<typeof setTimeout> | undefined }>();
  #clients = 0;

  /** Resolves with the name of the lock that tells pages that this host lives. */
  readonly alive: Promise<string | null>;

  constructor(options: HostOptions) {
    this.#options = options;
    const lock = `tilewright host ${this.instance}`;
    this.alive = options.locks
      ? holdLock(options.locks, lock).then(
          () => lock,
          () => null,
        )
      : Promise.resolve(null);
  }

  /** A page connected. */
  accept(port: Port): void {
    this.#clients += 1;
    new Session(this, port, this.#clients, this.#options.locks);
  }

  /** The model of an address on a device, for one more user. */
  join(load: Load, member: Member): ServedModel {
    const key = keyOf(load);
    let entry = this.#models.get(key);
    if (!entry) {
      entry = { model: new ServedModel(load, this.#options.start), idle: undefined };
      this.#models.set(key, entry);
    }
    clearTimeout(entry.idle);
    entry.idle = undefined;
    entry.model.join(member, load);
    return entry.model;
  }

  /** One user fewer. */
  leave(key: string, client: number): void {
    const entry = this.#models.get(key);
    if (!entry) return;
    entry.model.leave(client);
    if (entry.model.isUsed || entry.idle !== undefined) return;
    entry.idle = setTimeout(() => {
      this.#models.delete(key);
      entry.model.drop();
    }, this.#options.idleMs ?? IDLE_MS);
  }
}

/** What asks for the same engine. */
export function keyOf({ model, device, threads }: Load): string {
  return `${device} ${threads ?? ""} ${model.url}`;
}

/** One page's port. */
class Session implements Member {
  readonly client: number;
  page = { title: "", url: "" };
  state: PageState | undefined;
  readonly #host: Host;
  readonly #port: Port;
  readonly #locks: Locks | undefined;
  readonly #ended = new AbortController();
  readonly #outbox = new Outbox((messages) => {
    const [first, ...more] = messages;
    const message = more.length > 0 ? { type: "batch", messages } : first;
    this.#port.postMessage({ ...message, instance: this.#host.instance });
  });
  #using: { key: string; model: ServedModel } | undefined;

  constructor(host: Host, port: Port, client: number, locks: Locks | undefined) {
    this.#host = host;
    this.#port = port;
    this.client = client;
    this.#locks = locks;
    port.addEventListener("message", (event) => {
      this.#receive(event.data, event.ports);
    });
    port.addEventListener("close", () => {
      this.#end();
    });
    port.start();
  }

  send(message: HostMessage): void {
    this.#outbox.say(message);
  }

  #receive(data: unknown, ports: readonly Port[]): void {
    if (this.#ended.signal.aborted) return;
    const message = readToHost(data);
    if (!message) {
      this.send({
        type: "error",
        error: connectionError(
          "message_not_understood",
          "the worker does not understand this page: they come from different versions of the library; reload every tab",
        ).toJSON(),
      });
      return;
    }
    switch (message.type) {
      case "hello":
        this.#hello(message);
        return;
      case "state":
        this.state = { visible: message.visible, focused: message.focused, frozen: message.frozen };
        this.#outbox.visible = message.visible;
        this.#using?.model.stateOf(this);
        return;
      case "load":
        this.#leave();
        this.#using = { key: keyOf(message), model: this.#host.join(message, this) };
        return;
      case "request":
        if (this.#using) {
          this.#using.model.submit(this.client, message);
        } else {
          this.#noModel(message.id);
        }
        return;
      case "cancel":
        this.#using?.model.cancel(this.client, message.id);
        return;
      case "ack":
        this.#using?.model.ack(this.client, message.acks);
        return;
      case "inspect":
        if (this.#using) this.#using.model.inspect(this, message.id);
        else this.#noModel(message.id);
        return;
      case "tune":
        if (this.#using) this.#using.model.tune(this, message.id, message.command);
        else this.#noModel(message.id);
        return;
      case "pool":
        this.#using?.model.pool(this.client, message.id, ports[0], message.error);
        return;
      case "ping":
        this.send({ type: "pong" });
        return;
      case "bye":
        this.#end();
    }
  }

  #hello({ protocol, lock, title, url }: ToHost & { type: "hello" }): void {
    if (protocol !== PROTOCOL) {
      const error = connectionError(
        "protocol_mismatch",
        `this page and the worker that runs the model come from different versions of the library (the page speaks ` +
          `protocol ${protocol}, the worker ${PROTOCOL}), so they would misunderstand each other; reload every tab of ` +
          "this site, and if that does not help, see that tilewright.js and tilewright-worker.js are of one version",
      );
      this.send({ type: "error", error: error.toJSON() });
      this.#outbox.flush();
      this.#end();
      return;
    }
    this.page = { title, url };
    void this.#host.alive.then((alive) => {
      this.send({ type: "welcome", protocol: PROTOCOL, lock: alive });
    });
    if (lock === null || !this.#locks) return;
    whenReleased(this.#locks, lock, this.#ended.signal, () => {
      this.#end();
    });
  }

  #noModel(id: number): void {
    const error = connectionError("no_model", "no model is open on this connection; say which to load first");
    this.send({ type: "error", id, error: error.toJSON() });
  }

  #leave(): void {
    if (this.#using) this.#host.leave(this.#using.key, this.client);
    this.#using = undefined;
  }

  #end(): void {
    if (this.#ended.signal.aborted) return;
    this.#leave();
    this.#ended.abort();
    this.#outbox.close();
    this.#port.close();
  }
}
