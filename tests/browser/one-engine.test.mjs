// One engine for all tabs: what batching, sharing of prompts and the order of tabs give, as ratios within one run. Each test
// says what it measured.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launchChromium, launchFirefox } from "./browsers.mjs";
import { ask, beginStream, connectIn, look, streamed, until } from "./library.mjs";
import { startSite } from "./site.mjs";

/** Weights dominate its steps. */
const WIDE = "/synthetic/wide/";
/** Its context holds 8192 tokens. */
const LONG = "/synthetic/long/";
/** What a busy machine may add to the targets, which are those of an idle one; each test prints what it measured. */
const ROOM = 1.5;
/** A tuner takes its turns at the GPU between answers, and now and then at the same time as a first step. */
const UNTUNED = { tuning: "off" };
const prompt = (length, seed) => Array.from({ length }, (_, index) => 3 + ((index * 7 + seed * 13) % 380));
const greedy = (fields) => ({ ignore_eos: true, temperature: 0, ...fields });

let site, browser, context;

before(async () => {
  site = await startSite();
  browser = await launchChromium();
  context = await browser.newContext(); // one profile: pages of two contexts share no worker
});
after(async () => {
  await browser?.close();
  await site.close();
});
afterEach(() => Promise.all(context.pages().map((page) => page.close())));

async function tabs(count, model) {
  const pages = [];
  for (let tab = 0; tab < count; tab += 1) pages.push(await context.newPage());
  for (const page of pages) await connectIn(page, site.origin, model, UNTUNED);
  return pages;
}

/** Makes the page believe that the user looks at it, or at another: headless pages all have the focus. */
function focus(page, focused) {
  return page.evaluate((focused) => {
    document.hasFocus = () => focused;
    window.dispatchEvent(new Event(focused ? "focus" : "blur"));
  }, focused);
}

/** The time of a stream's first token and of its end, in milliseconds of the machine's clock. */
async function ended(page, name) {
  return until(
    `the end of ${name}`,
    () => streamed(page, name),
    ({ ended }) => ended,
  );
}

test(
  "8 requests of 4 tabs share steps, and take at most half the time that they take one after the other",
  { timeout: 300_000 },
  async (t) => {
    const pages = await tabs(4, WIDE);
    // The user is in another window, so that no tab goes before the others.
    for (const page of pages) await focus(page, false);
    const request = (number) => greedy({ prompt: prompt(8, number), max_tokens: 48, cache_salt: `${Math.random()}` });
    await ask(pages[0], "completions", request(0)); // compiles the kernels of one row
    await Promise.all(
      pages.flatMap((page, tab) => [0, 1].map((own) => ask(page, "completions", request(tab * 2 + own)))),
    );

    const began = performance.now();
    const alone = [];
    for (let number = 0; number < 8; number += 1) {
      alone.push(await ask(pages[number >> 1], "completions", request(number)));
    }
    const between = performance.now();
    const together = await Promise.all(
      pages.flatMap((page, tab) => [0, 1].map((own) => ask(page, "completions", request(tab * 2 + own)))),
    );
    const end = performance.now();

    const { steps } = await look(pages[0]);
    const clients = Math.max(...steps.slice(-40).map((step) => step.rows.length));
    const ratio = (end - between) / (between - began);
    t.diagnostic(
      `together ${(end - between).toFixed(0)} ms, one by one ${(between - began).toFixed(0)} ms: ${ratio.toFixed(2)}`,
    );
    t.diagnostic(`one step had rows of ${clients} tabs`);
    assert.equal(clients, 4);
    for (const [number, answer] of together.entries()) {
      assert.equal(answer.choices[0].text, alone[number].choices[0].text, "what it says does not depend on the others");
    }
    assert.ok(ratio <= 0.5 * ROOM, `${ratio}`);
  },
);

test(
  "a second tab with the same system prompt of 500 tokens computes only its own part",
  { timeout: 300_000 },
  async (t) => {
    const [first, second] = await tabs(2, LONG);
    const system = prompt(500, 3);
    const request = (own, salt) => greedy({ prompt: [...system, ...prompt(12, own)], max_tokens: 4, cache_salt: salt });
    await ask(first, "completions", request(1, "warm"));
    const time = async (page, name, body) => {
      const began = Date.now();
      await beginStream(page, name, body);
      const stream = await ended(page, name);
      assert.equal(stream.ended, "done");
      return { ms: stream.at[0] - began, cached: stream.usage.prompt_tokens_details.cached_tokens };
    };
    // The least of three: whatever else the machine does only adds to a time.
    const colds = [];
    const warms = [];
    for (const pair of [1, 2, 3]) {
      const salt = `${Math.random()}`;
      const cold = await time(first, `cold ${pair}`, request(2, salt));
      const warm = await time(second, `warm ${pair}`, request(5, salt));
      assert.equal(cold.cached, 0);
      assert.equal(warm.cached, 496, "all full blocks of 16");
      colds.push(cold.ms);
      warms.push(warm.ms);
    }
    const [cold, warm] = [Math.min(...colds), Math.min(...warms)];
    t.diagnostic(`first token after ${cold.toFixed(0)} ms, then ${warm.toFixed(0)} ms: ${(warm / cold).toFixed(2)}`);
    assert.ok(warm <= 0.3 * ROOM * cold, `${warm} of ${cold}`);
  },
);

test(
  "the focused tab's question during another tab's prompt of 4000 tokens is answered within three steps",
  { timeout: 300_000 },
  async (t) => {
    const [reader, asker] = await tabs(2, LONG);
    await ask(reader, "completions", greedy({ prompt: prompt(300, 9), max_tokens: 6 })); // step times are known
    await focus(reader, false);
    await focus(asker, true);
    const before = (await look(asker)).steps.at(-1).step;
    await beginStream(reader, "long", greedy({ prompt: prompt(4000, 5), max_tokens: 2 }));
    await until(
      "some steps of the long prompt",
      () => look(asker),
      ({ steps }) => steps.at(-1).step > before + 12,
    );
    const short = greedy({ prompt: prompt(10, 6), max_tokens: 8 });
    const asked = (await beginStream(asker, "short", short, { looking: true })).steps.at(-1).step;
    await until(
      "the short answer's first token",
      () => streamed(asker, "short"),
      ({ at }) => at.length > 0,
    );
    const { you, steps } = await look(asker);
    const own = steps.findIndex((step) => step.step > asked && step.rows.some((rows) => rows.client === you));
    const sampled = steps.findIndex((step, index) => index >= own && step.rows.some((rows) => rows.client === you));
    // Two were issued when the question came, and some may have ended while it travelled.
    const waited = steps[sampled].step - steps[own].step + 1;
    t.diagnostic(`${steps[own].step - asked} steps until its first rows, ${waited} until its first token`);
    assert.ok(steps[own].step - asked <= 6 && waited <= 3);
    const late = steps.filter((step) => step.step > before + 8);
    const longest = Math.max(...late.map((step) => step.elapsed / 1000));
    t.diagnostic(`the longest step took ${longest.toFixed(0)} ms`);
    assert.ok(longest <= 500 * ROOM, `${longest} ms`);
    assert.equal((await ended(asker, "short")).ended, "done");
    assert.equal((await ended(reader, "long")).ended, "done");
  },
);

test(
  "a tab that is closed or crashes in the middle of its answer has its blocks free within a second",
  { timeout: 300_000 },
  async (t) => {
    const [watcher] = await tabs(1, LONG);
    const inUse = ({ blocks }) => blocks.filter((block) => typeof block === "object").length;
    for (const leave of [(page) => page.close(), (page) => page.goto("chrome://crash").catch(() => undefined)]) {
      const [page] = await tabs(1, LONG);
      await beginStream(page, "left", greedy({ prompt: prompt(40, 1), max_tokens: 2000 }));
      await until(
        "its first tokens",
        () => streamed(page, "left"),
        ({ at }) => at.length > 3,
      );
      assert.ok(inUse(await look(watcher)) > 0);
      const began = performance.now();
      const left = leave(page);
      await until(
        "free blocks",
        () => look(watcher),
        (snapshot) => inUse(snapshot) === 0,
      );
      const ms = performance.now() - began;
      t.diagnostic(`${ms.toFixed(0)} ms`);
      assert.ok(ms <= 1000 * ROOM, `${ms} ms`);
      await left;
    }
  },
);

test("in Firefox requests of two tabs at once say what each says alone", { timeout: 300_000 }, async () => {
  const firefox = await launchFirefox();
  try {
    const pages = [await firefox.newPage(), await firefox.newPage()];
    for (const page of pages) await connectIn(page, site.origin, "/fixtures/llama/", UNTUNED);
    const request = (number) =>
      greedy({ prompt: prompt(20 + number, number), max_tokens: 40, cache_salt: `${Math.random()}` });
    const alone = [];
    for (let number = 0; number < 4; number += 1)
      alone.push(await ask(pages[number % 2], "completions", request(number)));
    const together = await Promise.all(
      alone.map((_, number) => ask(pages[number % 2], "completions", request(number))),
    );
    for (const [number, answer] of together.entries()) {
      assert.equal(answer.choices[0].text, alone[number].choices[0].text);
    }
  } finally {
    await firefox.close();
  }
});
