/**
 * What goes wrong, as data: the same four fields as OpenAI's error objects, so that code written against that API reads
 * ours. `code` is for programs, `message` for people; a message says what was wrong, where, and what to do.
 *
 * An abort is not one of these: as with `fetch`, the promise rejects with the signal's own reason, an `AbortError`.
 */

/** An error as it crosses a port, and as the OpenAI API writes it. */
export interface ErrorObject {
  /** The family: `invalid_request_error`, `model_load_error`, `device_error`, `connection_error`, `server_error`. */
  type: string;
  /** What exactly, for programs: `file_not_found`, `download_stalled`, `webgpu_unavailable`, ... */
  code: string | null;
  /** The field of the request at fault, if one is. */
  param: string | null;
  /** For people. */
  message: string;
}

/** Every failure that this library reports. */
export class TilewrightError extends Error implements ErrorObject {
  override readonly name = "TilewrightError";
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;

  constructor(error: ErrorObject, options?: ErrorOptions) {
    super(error.message, options);
    this.type = error.type;
    this.code = error.code;
    this.param = error.param;
  }

  /** The four fields alone: what is posted, and what `JSON.stringify` writes. */
  toJSON(): ErrorObject {
    return { type: this.type, code: this.code, param: this.param, message: this.message };
  }
}

/** A model that could not be had: its address, its files, the way there. */
export function loadError(code: string, message: string, cause?: unknown): TilewrightError {
  return new TilewrightError({ type: "model_load_error", code, param: "model", message }, { cause });
}

/** A browser or machine that cannot do what is needed. */
export function deviceError(code: string, message: string): TilewrightError {
  return new TilewrightError({ type: "device_error", code, param: null, message });
}

/** The way between a page and the worker. */
export function connectionError(code: string, message: string): TilewrightError {
  return new TilewrightError({ type: "connection_error", code, param: null, message });
}

/**
 * The way ended, and a request on it may go on over another: the worker is gone, or the page was put away for a while.
 */
export function lossError(code: "worker_gone" | "worker_restarted" | "worker_silent" | "page_hidden", message: string) {
  return new LossError({ type: "connection_error", code, param: null, message });
}

class LossError extends TilewrightError {}

/** Whether a request that ended for this reason may go on elsewhere. */
export function isLoss(reason: unknown): reason is TilewrightError {
  return reason instanceof LossError;
}

/** A defect of the engine itself. */
export function serverError(code: string, message: string): TilewrightError {
  return new TilewrightError({ type: "server_error", code, param: null, message });
}

/** Whatever was thrown, as an error object; what is not ours becomes a `server_error` that carries its words. */
export function toErrorObject(thrown: unknown): ErrorObject {
  if (thrown instanceof TilewrightError) return thrown.toJSON();
  if (isErrorObject(thrown)) {
    return { type: thrown.type, code: thrown.code, param: thrown.param, message: thrown.message };
  }
  const message = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return { type: "server_error", code: "internal_error", param: null, message };
}

export function isErrorObject(value: unknown): value is ErrorObject {
  if (typeof value !== "object" || value === null) return false;
  const { type, code, param, message } = value as Record<string, unknown>;
  const optional = (field: unknown): boolean => field === null || typeof field === "string";
  return typeof type === "string" && typeof message === "string" && optional(code) && optional(param);
}
