/**
 * The origin private file system as a place for segments: one folder for all models, in it one for each file.
 *
 * Asynchronous handles only, which every kind of worker and the page itself have. A part is committed when it is closed, so
 * a tab that ends while it writes leaves the part as it was.
 */

import type { SegmentStore } from "./file-store.js";

const FOLDER = "tilewright models";
/** Where files were kept before, in the Cache API. */
const FORMER = "tilewright model files";

/** Opens it; rejects where the browser lets this site keep nothing. */
export async function openOpfs(): Promise<SegmentStore> {
  const root = await navigator.storage.getDirectory();
  const models = await root.getDirectoryHandle(FOLDER, { create: true });
  if (!("createWritable" in FileSystemFileHandle.prototype)) throw new Error("this browser writes no files here");
  if ("caches" in globalThis) void caches.delete(FORMER).catch(() => undefined);
  return new Opfs(models);
}

class Opfs implements SegmentStore {
  readonly #models: FileSystemDirectoryHandle;

  constructor(models: FileSystemDirectoryHandle) {
    this.#models = models;
  }

  async read(folder: string, part: string): Promise<Blob | undefined> {
    try {
      const handle = await this.#models.getDirectoryHandle(folder);
      return await (await handle.getFileHandle(part)).getFile();
    } catch {
      return undefined;
    }
  }

  async write(folder: string, part: string, bytes: Blob): Promise<void> {
    const handle = await this.#models.getDirectoryHandle(folder, { create: true });
    const writable = await (await handle.getFileHandle(part, { create: true })).createWritable();
    try {
      await writable.write(bytes);
    } catch (error) {
      await writable.abort().catch(() => undefined);
      throw error;
    }
    await writable.close();
  }

  async remove(folder: string): Promise<void> {
    await this.#models.removeEntry(folder, { recursive: true });
  }

  async folders(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of this.#models.keys()) names.push(name);
    return names;
  }

  async estimate(): Promise<{ used: number; most: number } | undefined> {
    const { usage, quota } = await navigator.storage.estimate();
    return usage === undefined || quota === undefined ? undefined : { used: usage, most: quota };
  }
}
