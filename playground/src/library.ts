// The library, imported at run time from lib/ beside this page: the page is bundled without it, and every page of the site
// shares the one copy that `cargo xtask build` put there.
import type * as Library from "tilewright";
import type { runBench as RunBench } from "tilewright/bench";

const library = (): Promise<typeof Library> => part("tilewright.js");

export const connect: typeof Library.connect = async (options) => (await library()).connect(options);
export const storedModels: typeof Library.storedModels = async () => (await library()).storedModels();
export const deleteStoredModel: typeof Library.deleteStoredModel = async (url) =>
  (await library()).deleteStoredModel(url);

export const runBench: typeof RunBench = async (options) =>
  (await part<{ runBench: typeof RunBench }>("tilewright-bench.js")).runBench(options);

async function part<Exports>(file: string): Promise<Exports> {
  const address = new URL(`lib/${file}`, document.baseURI).href;
  try {
    return (await import(/* @vite-ignore */ address)) as Exports;
  } catch (error) {
    const message = `${address} could not be loaded: ${error instanceof Error ? error.message : String(error)}`;
    throw Object.assign(new Error(message, { cause: error }), { code: "library_file_missing" });
  }
}
