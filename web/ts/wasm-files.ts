/**
 * The wasm modules and their glue, fetched from beside the library, with words for what is missing.
 */

import { ofThisBuild } from "./build-id.js";
import { connectionError, type TilewrightError } from "./errors.js";

/** This file's own URL, out of the bundler's sight: it would put the wasm into the bundle. */
const here = import.meta.url;

/** Imports a module's glue; `query` makes it another instance. */
export async function importGlue<Glue>(name: string, query = ""): Promise<Glue> {
  const address = ofThisBuild(new URL(`${name}${query}`, here)).href;
  try {
    return (await import(/* @vite-ignore */ address)) as Glue;
  } catch (error) {
    throw filesMissing(name, error);
  }
}

/** Fetches and compiles a module. */
export async function compileModule(name: string): Promise<WebAssembly.Module> {
  const url = ofThisBuild(new URL(name, here)).href;
  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    // Compiling while it arrives, and the browser's code cache, need the right type; without it, the slow way.
    if (response.headers.get("content-type")?.startsWith("application/wasm")) {
      return await WebAssembly.compileStreaming(response);
    }
    return await WebAssembly.compile(await response.arrayBuffer());
  } catch (error) {
    throw filesMissing(name, error);
  }
}

function filesMissing(name: string, error: unknown): TilewrightError {
  const detail = error instanceof Error ? error.message : String(error);
  return connectionError(
    "library_file_missing",
    `${new URL(name, here).href} could not be loaded (${detail}); the library's files have to lie in one folder`,
  );
}
