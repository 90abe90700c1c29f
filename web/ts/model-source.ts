/**
 * A model's files for an engine, GPU or CPU: through this browser's storage, with errors that name the model.
 */

import { TilewrightError, toErrorObject } from "./errors.js";
import { FileStore } from "./file-store.js";
import { openOpfs } from "./opfs.js";
import type { ModelAddress } from "./model-address.js";
import { HttpModelFiles, type FilesOptions } from "./model-files.js";

export interface SourceOptions {
  stallMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Which file is being read, and whether from this browser's storage. */
  onFile: (file: string, cached: boolean) => void;
}

/** Files of one load. */
export class ModelSource extends HttpModelFiles {
  readonly #storage: Storage;

  constructor(address: ModelAddress, storage: Storage, options: FilesOptions) {
    super(address, storage.store, options);
    this.#storage = storage;
  }

  /** Why the files are not kept in this browser, if they are not. */
  get notice(): string | undefined {
    return this.#storage.store ? this.#storage.store.notice : this.#storage.notice;
  }

  /** What a load that failed is to be told as: our own words before the engine's, which only quote them. */
  async explain(error: unknown): Promise<unknown> {
    if (toErrorObject(error).code === "file_damaged") await this.forget();
    return this.failure ?? naming(this.address, error);
  }
}

/** Where files are kept, or why nowhere. */
type Storage = { store: FileStore } | { store?: undefined; notice: string };

async function openStorage(): Promise<Storage> {
  try {
    return { store: new FileStore(await openOpfs()) };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return {
      notice:
        `This browser lets the site keep no files (${detail}), so each visit downloads the model; that is so in private ` +
        "windows, or where cookies and site data are blocked.",
    };
  }
}

export async function openModelFiles(address: ModelAddress, options: SourceOptions): Promise<ModelSource> {
  const { stallMs, signal, onFile } = options;
  return new ModelSource(address, await openStorage(), {
    ...(stallMs === undefined ? {} : { stallMs }),
    signal,
    onBytes: (file, _loaded, _length, cached) => {
      onFile(file, cached);
    },
  });
}

/** The engine knows a model's files by their names alone. */
function naming(address: ModelAddress, error: unknown): unknown {
  const object = toErrorObject(error);
  const ofTheFiles = ["file_not_found", "file_damaged", "model_not_supported", "model_too_large", "out_of_memory"];
  if (!ofTheFiles.includes(object.code ?? "")) return error;
  return new TilewrightError({ ...object, message: `${address.url}: ${object.message}` });
}
