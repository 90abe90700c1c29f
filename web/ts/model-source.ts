/**
 * A model's files for an engine, GPU or CPU: through this browser's storage, with errors that name the model.
 */

import { TilewrightError, toErrorObject } from "./errors.js";
import { openFileCache } from "./file-cache.js";
import type { ModelAddress } from "./model-address.js";
import { HttpModelFiles } from "./model-files.js";

export interface SourceOptions {
  stallMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Which file is being read, and whether from this browser's storage. */
  onFile: (file: string, cached: boolean) => void;
}

/** Files of one load. */
export class ModelSource extends HttpModelFiles {
  /** What a load that failed is to be told as: our own words before the engine's, which only quote them. */
  async explain(error: unknown): Promise<unknown> {
    if (toErrorObject(error).code === "file_damaged") await this.forget();
    return this.failure ?? naming(this.address, error);
  }
}

export async function openModelFiles(address: ModelAddress, options: SourceOptions): Promise<ModelSource> {
  const { stallMs, signal, onFile } = options;
  return new ModelSource(address, await openFileCache(), {
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
