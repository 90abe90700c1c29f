// The library, imported at run time from lib/ beside this page: the page is bundled without it, and every page of the site
// shares the one copy that `cargo xtask build` put there.
import type { connect as Connect } from "tilewright";

const address = new URL("lib/tilewright.js", document.baseURI).href;

export const connect: typeof Connect = async (options) => {
  let library: { connect: typeof Connect };
  try {
    library = (await import(/* @vite-ignore */ address)) as typeof library;
  } catch (error) {
    const message = `${address} could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
    throw Object.assign(new Error(message, { cause: error }), { code: "library_file_missing" });
  }
  return library.connect(options);
};
