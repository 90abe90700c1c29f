// The store of measurements in a real SharedWorker with a real IndexedDB: it keeps over a restart of the worker, and what is
// full, damaged or deleted underneath costs an answer with a name, never more.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { startSite } from "./site.mjs";

let site, browser, context;

before(async () => {
  site = await startSite();
  browser = await launchChromium({ gpu: false });
});
after(async () => {
  await browser?.close();
  await site.close();
});
afterEach(() => context?.close());

/** A fresh profile. */
async function profile() {
  context = await browser.newContext();
}

async function openPage() {
  const page = await context.newPage();
  await page.goto(`${site.origin}/empty.html`);
  return page;
}

/** Asks the worker of a page's origin; a worker ends with its last page. */
function ask(page, ...words) {
  return page.evaluate((words) => {
    window.worker ??= new SharedWorker("/tuning-store/worker.js", { type: "module" });
    const { port } = window.worker;
    return new Promise((resolve, reject) => {
      window.worker.onerror = () => reject(new Error("the worker did not start"));
      port.onmessage = ({ data }) => resolve(data.error ?? data.result);
      port.postMessage(words);
    });
  }, words);
}

const entry = (key, trust, text = `{"of":"${key}"}`) => ({ key, text, trust });

test("what a worker kept, the next one finds; the more trusted stays", async () => {
  await profile();
  const first = await openPage();
  await ask(first, "put", [entry("a", 2), entry("b", 0)]);
  await ask(first, "put", [entry("a", 0, "a file's"), entry("b", 2, "measured"), entry("c", 0)]);
  await ask(first, "remove", ["c", "unknown"]);
  await first.close();
  const second = await openPage();
  assert.deepEqual(await ask(second, "load"), {
    entries: [entry("a", 2), entry("b", 2, "measured")],
    unreadable: [],
  });
  await ask(second, "clear");
  assert.deepEqual(await ask(second, "load"), { entries: [], unreadable: [] });
});

test("what is no entry is set aside and named, and the others are read", async () => {
  await profile();
  const page = await openPage();
  await ask(page, "put", [entry("a", 2), entry("z", 2, "half a re")]);
  for (const [key, value] of [
    ["b", "a bare string"],
    ["c", { text: 3, trust: "much" }],
    ["d", null],
  ]) {
    await ask(page, "spoil", key, value);
  }
  const loaded = await ask(page, "load");
  assert.deepEqual(
    loaded.unreadable.map(({ key }) => key),
    ["b", "c", "d"],
  );
  assert.equal(loaded.entries.length, 2);
  // That a text is no record, only the engine can say.
  await ask(page, "setAside", "z", "cut off");
  assert.deepEqual(await ask(page, "load"), { entries: [entry("a", 2)], unreadable: [] });
});

test("a full disk is said by name, and what was kept before stays", async () => {
  await profile();
  const page = await openPage();
  // Before the first entry: Chromium remembers for a while how much room there was.
  const devtools = await context.newCDPSession(page);
  await devtools.send("Storage.overrideQuotaForOrigin", { origin: site.origin, quotaSize: 1_000_000 });
  await ask(page, "put", [entry("a", 2)]);
  const error = await ask(page, "put", [entry("b", 2), entry("large", 2, "x".repeat(5_000_000))]);
  assert.deepEqual([error?.name, error?.problem], ["TuningStoreError", "full"]);
  assert.deepEqual((await ask(page, "load")).entries, [entry("a", 2)], "all of a round or nothing");
  await ask(page, "remove", ["a"]);
  assert.deepEqual((await ask(page, "load")).entries, []);
});

test("a database that the user deletes underneath is made again", async () => {
  await profile();
  const page = await openPage();
  await ask(page, "put", [entry("a", 2)]);
  const devtools = await context.newCDPSession(page);
  await devtools.send("Storage.clearDataForOrigin", { origin: site.origin, storageTypes: "indexeddb" });
  // The browser may end the connection a moment later: one answer with a name is allowed, never a hang.
  const answer = await ask(page, "put", [entry("b", 2)]);
  if (answer) assert.equal(answer.name, "TuningStoreError");
  await ask(page, "put", [entry("b", 2)]);
  assert.deepEqual((await ask(page, "load")).entries, [entry("b", 2)]);
});
