// The library, imported at run time from lib/ beside this page: the page is bundled without it, and every page of the site
// shares the one copy that `cargo xtask build` put there.
import type * as Library from "tilewright";

const address = new URL("lib/tilewright.js", document.baseURI).href;

async function library(): Promise<typeof Library> {
  try {
    return (await import(/* @vite-ignore */ address)) as typeof Library;
  } catch (error) {
    const message = `${address} could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
    throw Object.assign(new Error(message, { cause: error }), { code: "library_file_missing" });
  }
}

export const connect: typeof Library.connect = async (options) => (await library()).connect(options);
export const storedModels: typeof Library.storedModels = async () => (await library()).storedModels();
export const deleteStoredModel: typeof Library.deleteStoredModel = async (url) =>
  (await library()).deleteStoredModel(url);
