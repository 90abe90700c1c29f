// What a stream lives through: the worker that ends under it, the GPU process that crashes, a device that is destroyed, and
// the page's own sleep in the back/forward cache. Each time the reader sees a pause, and then the text that it would have
// seen anyway, under the same id.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { WATCHED, ask, beginStream, command, connectIn, counted, streamed, until } from "./library.mjs";
import { startSite } from "./site.mjs";

const MODEL = "/fixtures/llama/";
/** So long that a busy machine comes to the fault before the end: a tiny model says hundreds of tokens a second. */
const BASE = { prompt: [1, 20, 30, 40, 50], max_tokens: 400, ignore_eos: true };
/** Both must say the same again: one draws by its seed, one does not draw. */
const STREAMS = { seeded: { ...BASE, temperature: 1, seed: 7 }, greedy: { ...BASE, temperature: 0 } };

let site, browser;
before(async () => {
  site = await startSite();
  browser = await launchChromium({ backForwardCache: true });
});
after(async () => {
  await browser?.close();
  await site.close();
});
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));

const chunks = (page, name, count) =>
  until(
    `${count} chunks of the ${name} stream`,
    () => streamed(page, name),
    ({ at, ended }) => at.length >= count || ended,
  );

/**
 * Streams without and with a fault in the middle, and compares. `fault` gets the page when all streams run; a request
 * without a stream runs beside them.
 */
async function survives(page, fault) {
  await connectIn(page, site.origin, MODEL, WATCHED);
  const answers = await Promise.all(Object.values(STREAMS).map((body) => ask(page, "completions", body)));
  const expected = Object.fromEntries(Object.keys(STREAMS).map((name, at) => [name, answers[at].choices[0].text]));

  // A busy machine may look only when all has been said; then it is said again, until the test's time is over.
  let running = false;
  while (!running) {
    for (const [name, body] of Object.entries(STREAMS)) await beginStream(page, name, body);
    await beginWhole(page, STREAMS.seeded);
    const begun = await Promise.all(Object.keys(STREAMS).map((name) => chunks(page, name, 20)));
    for (const { ended } of begun) assert.ok(ended === undefined || ended === "done", `a stream ended with ${ended}`);
    // With half of it to come the fault, which takes a moment to be there, is one in the middle.
    running = begun.every(({ at, ended }) => ended === undefined && at.length < BASE.max_tokens / 2);
    if (!running) await Promise.all(Object.keys(STREAMS).map((name) => chunks(page, name, Infinity)));
  }
  await fault(page);
  for (const name of Object.keys(STREAMS)) {
    const { text, ids, ended, reason, usage } = await chunks(page, name, Infinity);
    assert.equal(ended, "done");
    assert.equal(text, expected[name], `the ${name} stream says what it says without the fault`);
    assert.equal(ids.length, 1, "one id and one time");
    assert.equal(reason, "length");
    assert.equal(usage.completion_tokens, BASE.max_tokens);
  }
  assert.equal(await page.evaluate(() => window.whole), expected.seeded);
}

/** A request without a stream, whose answer is left in the page: it may be away when the test would wait for it. */
function beginWhole(page, body) {
  return page.evaluate((body) => {
    window.whole = window.tw.completions.create(body).then(({ choices }) => choices[0].text);
  }, body);
}

/** Ends the worker, and sees to it that another one took over. */
async function endTheWorker(page) {
  const before = await page.evaluate(() => window.progress.length);
  await command(page, "end");
  await until(
    "another worker that loads the model",
    () => page.evaluate(() => window.progress.length),
    (now) => now > before,
  );
}

// Not in Firefox 153, which offers no way to end a worker that it would then replace: after `self.close()` in a SharedWorker
// no connection was made again within two minutes.
test("streams survive a worker that ends", { timeout: 180_000 }, async () => {
  const context = await browser.newContext();
  await survives(await context.newPage(), endTheWorker);
});

test("streams survive a GPU device that is destroyed", { timeout: 180_000 }, async () => {
  const context = await browser.newContext();
  await survives(await context.newPage(), async (page) => {
    await command(page, "destroy the device");
    await until(
      "another device",
      () => counted(page),
      ({ devices }) => devices >= 2,
    );
  });
});

test("streams survive a crash of the GPU process", { timeout: 180_000 }, async () => {
  const context = await browser.newContext();
  await survives(await context.newPage(), async (page) => {
    const devtools = await browser.newBrowserCDPSession();
    // It may not come to answer.
    devtools.send("Browser.crashGpuProcess").catch(() => undefined);
    await until(
      "another device",
      () => counted(page),
      ({ devices }) => devices >= 2,
    );
  });
});

test("streams go on when their page comes back from the back/forward cache", { timeout: 180_000 }, async () => {
  const page = await (await browser.newContext()).newPage();
  await survives(page, async () => {
    await page.evaluate(() => addEventListener("pageshow", (event) => (window.persisted = event.persisted)));
    await page.goto(`${site.origin}/empty.html?elsewhere`);
    await page.goBack({ waitUntil: "commit" });
    assert.ok(await page.evaluate(() => window.persisted), "the browser kept the page");
  });
});
