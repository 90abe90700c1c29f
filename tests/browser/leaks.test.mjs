// A thousand pages' worth of connecting, asking, giving up and leaving, and then nothing is left of it: no KV block, no Web
// Lock, no port, no GPU buffer, nobody in the engine's books.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { GPU, WATCHED, connectIn, counted, inspect, until } from "./library.mjs";
import { startSite } from "./site.mjs";

const MODEL = "/fixtures/llama/";
// A tuner begins 1.5 s after the model is there and makes a buffer before it first waits: on a fast machine that is after the rounds that
// warm up, on a slow one before their end.
const OPTIONS = { model: MODEL, ...GPU, ...WATCHED, tuning: "off" };
const ROUNDS = 1000;

let site, browser;
before(async () => {
  site = await startSite();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await site.close();
});

/** Rounds of connecting, streaming a little, giving up in one of three ways, and leaving; four at a time. */
function rounds(page, count) {
  return page.evaluate(
    async ({ count, options }) => {
      const { connect } = await import("/lib/tilewright.js");
      const round = async (number) => {
        const tw = await connect(options);
        const abort = new AbortController();
        const body = { prompt: [1, number % 300, 7, 8, 9], max_tokens: 300, ignore_eos: true, stream: true };
        const stream = await tw.completions.create(body, { signal: abort.signal });
        try {
          for await (const chunk of stream) {
            if (!chunk.choices[0]?.text) continue;
            if (number % 3 === 0) break;
            if (number % 3 === 1) abort.abort();
            else tw.close();
          }
        } catch (error) {
          const expected = error.name === "AbortError" || error.code === "closed";
          if (!expected) throw error;
        }
        tw.close();
      };
      let next = 0;
      const worker = async () => {
        while (next < count) await round(next++);
      };
      await Promise.all([worker(), worker(), worker(), worker()]);
    },
    { count, options: OPTIONS },
  );
}

/** In a page: our Web Locks. */
async function ownLocks() {
  const { held, pending } = await navigator.locks.query();
  const ours = (list) => list.filter(({ name }) => name.startsWith("tilewright"));
  return { held: ours(held).length, pending: ours(pending).length, names: ours(held).map(({ name }) => name) };
}

/** What is there when all has been given back; fails if that never comes. */
async function atRest(page) {
  const snapshot = await until(
    "an engine with nothing to do and nobody but this page",
    () => inspect(page),
    ({ running, waiting, in_flight, pages }) =>
      running.length + waiting.length + in_flight.length === 0 && pages.length === 1,
    20_000,
  );
  const idle = snapshot.blocks.filter((block) => block === "free" || block === "cached").length;
  const locks = await until(
    "the engine to say that it answers nobody",
    () => page.evaluate(ownLocks),
    ({ names }) => !names.includes("tilewright answering"),
    5_000,
  );
  const { held, pending } = locks;
  return {
    busy: snapshot.blocks.length - idle,
    clients: snapshot.clients.length,
    locks: { held, pending },
    ...(await counted(page)),
  };
}

test(`${ROUNDS} rounds of opening, streaming, giving up and closing leak nothing`, { timeout: 900_000 }, async () => {
  const page = await (await browser.newContext()).newPage();
  await connectIn(page, site.origin, MODEL, OPTIONS);
  await rounds(page, 20); // so that whatever is made once is made
  const before = await atRest(page);
  assert.deepEqual(
    before.locks,
    { held: 2, pending: 2 },
    "this page and the worker hold one each and wait for the other's",
  );
  assert.equal(before.ports, 1);
  assert.deepEqual([before.busy, before.clients], [0, 1]);

  await rounds(page, ROUNDS);
  assert.deepEqual(await atRest(page), before);
});
