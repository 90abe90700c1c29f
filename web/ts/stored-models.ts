/**
 * The models that this browser keeps for this site: what there is, how large, and a way to be rid of it. Any page of the
 * origin may ask; no worker has to run.
 */

import { loadError } from "./errors.js";
import { FileStore, type Manifest } from "./file-store.js";
import { openOpfs } from "./opfs.js";

/** A model in this browser's storage. */
export interface StoredModel {
  /** Its address, for `connect({ model })` and [`deleteStoredModel`]. */
  url: string;
  /** What is kept, in bytes. */
  bytes: number;
  /** What the files have in all, in bytes; null where the server did not say. */
  total: number | null;
  /** Whether it can be loaded without network. */
  complete: boolean;
  /** When its first file was begun. */
  since: Date;
}

/** What is kept, the newest first. Empty where the browser keeps nothing. */
export async function storedModels(): Promise<StoredModel[]> {
  const store = await open();
  return store ? gather(await store.all()) : [];
}

/**
 * Deletes a model. Engines that have it loaded keep it; the next load downloads it again.
 * @param url a `StoredModel`'s
 */
export async function deleteStoredModel(url: string): Promise<void> {
  const store = await open();
  const files = ((await store?.all()) ?? []).filter((file) => file.model === url);
  if (!store || files.length === 0) throw loadError("model_not_stored", `${url} is not kept in this browser`);
  for (const file of files) await store.forget(file.url);
  const left = (await store.all()).some((file) => file.model === url);
  if (left) throw loadError("model_in_use", `${url} is being read or written now; try again when it is loaded`);
}

/** Files of one model together. */
export function gather(files: Manifest[]): StoredModel[] {
  const models = new Map<string, StoredModel>();
  for (const file of files) {
    let model = models.get(file.model);
    if (!model) {
      model = { url: file.model, bytes: 0, total: 0, complete: true, since: new Date(file.since) };
      models.set(file.model, model);
    }
    model.bytes += file.bytes;
    model.total = model.total === null || file.length === undefined ? null : model.total + file.length;
    model.complete &&= file.complete;
    if (file.since < model.since.getTime()) model.since = new Date(file.since);
  }
  // Notes of optional files that a server lacks are no model.
  const some = [...models.values()].filter(({ bytes }) => bytes > 0);
  return some.sort((a, b) => b.since.getTime() - a.since.getTime());
}

async function open(): Promise<FileStore | undefined> {
  try {
    return new FileStore(await openOpfs());
  } catch {
    return undefined;
  }
}
