/**
 * Names the build, sources and wasm together; replaced when the library is built. It is part of the worker's name and of
 * the addresses of the files that belong together, so that neither a worker that lives on nor an HTTP cache mixes two
 * builds.
 */

declare const __TILEWRIGHT_BUILD__: string;

export const BUILD: string = __TILEWRIGHT_BUILD__;

/** The address of a file of this build. */
export function ofThisBuild(url: URL): URL {
  const versioned = new URL(url);
  versioned.searchParams.set("build", BUILD);
  return versioned;
}
