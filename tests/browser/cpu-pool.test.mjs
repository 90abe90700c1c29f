// Where there is no GPU the CPU computes, in a worker of one tab, for all tabs. What a stream lives through there: the
// worker that is killed, the host tab that is closed, twice; and what cannot work is said in words. The model is small, so
// that the reference's arithmetic is quick.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launchChromium, launchFirefox } from "./browsers.mjs";
import { WATCHED, ask, beginStream, command, connectError, connectIn, inspect, streamed, until } from "./library.mjs";
import { startSite } from "./site.mjs";

const MODEL = "/fixtures/llama/";
/** Its answers take long enough to close tabs in the middle of them. */
const SLOW = "/synthetic/wide/";
const CPU = { device: "cpu" };
const AUTO = { device: "auto" };
const BASE = { prompt: [1, 20, 30, 40, 50], max_tokens: 250, ignore_eos: true };
/** Both must say the same again: one draws by its seed, one does not draw. */
const STREAMS = { seeded: { ...BASE, temperature: 1, seed: 7 }, greedy: { ...BASE, temperature: 0 } };

/** What a busy machine may add to a limit. */
const ROOM = 1.5;

/** The watched worker in a browser whose GPU passes for a real one, which `auto` takes. */
const REAL_GPU = { workerUrl: "/faulty/real-gpu/worker.js" };

let site, browser, context;
before(async () => {
  site = await startSite();
  browser = await launchChromium({ gpu: false });
});
after(async () => {
  await browser?.close();
  await site.close();
});
afterEach(() => Promise.all(browser.contexts().map((open) => open.close())));

const tab = async (options = CPU, model = MODEL) => {
  context = browser.contexts()[0] ?? (await browser.newContext()); // one profile: pages of two share no worker
  const page = await context.newPage();
  await connectIn(page, site.origin, model, options);
  return page;
};
const info = (page) => page.evaluate(() => window.tw.info);
const list = (page) => page.evaluate(async () => (await import("/lib/tilewright.js")).storedModels());
/** How many pools a page houses. */
const pools = (page) => page.workers().filter((worker) => worker.url().includes("pool-worker")).length;
const chunks = (page, name, count) =>
  until(
    `${count} chunks of the ${name} stream`,
    () => streamed(page, name),
    ({ at, ended }) => at.length >= count || ended,
  );

async function answers(page) {
  const said = await Promise.all(Object.values(STREAMS).map((body) => ask(page, "completions", body)));
  return Object.fromEntries(Object.keys(STREAMS).map((name, at) => [name, said[at].choices[0].text]));
}

/** Begins all streams, and comes back while more than half of each is still to come. */
async function begin(page) {
  // A busy machine may look too late; then it is all said again, until the test's time is over.
  for (let running = false; !running;) {
    for (const [name, body] of Object.entries(STREAMS)) await beginStream(page, name, body);
    const begun = await Promise.all(Object.keys(STREAMS).map((name) => chunks(page, name, 10)));
    for (const { ended } of begun) assert.ok(ended === undefined || ended === "done", `a stream ended with ${ended}`);
    running = begun.every(({ at, ended }) => ended === undefined && at.length < BASE.max_tokens / 2);
    if (!running) await Promise.all(Object.keys(STREAMS).map((name) => chunks(page, name, Infinity)));
  }
}

/** The pool that is the first after the first. */
const another = (page) =>
  until(
    "another pool",
    () => inspect(page),
    ({ epoch }) => epoch === 1,
  );

async function saysTheSame(page, expected) {
  for (const name of Object.keys(STREAMS)) {
    const { text, ids, ended, reason, usage } = await chunks(page, name, Infinity);
    assert.equal(ended, "done");
    assert.equal(text, expected[name], `the ${name} stream says what it says without the fault`);
    assert.equal(ids.length, 1, "one id and one time");
    assert.equal(reason, "length");
    assert.equal(usage.completion_tokens, BASE.max_tokens);
  }
}

test("without a GPU the CPU computes for two tabs, in a worker of one of them", { timeout: 120_000 }, async () => {
  const first = await tab(AUTO);
  const second = await tab(AUTO);
  const { kind, device, notice } = await info(second);
  assert.equal(kind, "cpu");
  assert.match(device, /CPU with relaxed SIMD/);
  assert.equal(notice, null);
  assert.deepEqual([pools(first), pools(second)], [1, 0]);
  assert.equal((await inspect(second)).device, device);
  const expected = await answers(first);
  assert.deepEqual(await answers(second), expected);
});

test("a GPU in software is left alone by whoever does not ask for one", { timeout: 120_000 }, async () => {
  for (const launch of [launchChromium, launchFirefox]) {
    const pretends = await launch();
    try {
      const page = await pretends.newPage();
      await connectIn(page, site.origin, MODEL, AUTO);
      const { kind, device, notice } = await info(page);
      assert.equal(kind, "cpu", device);
      assert.equal(notice, null);
      const { choices } = await ask(page, "completions", { ...STREAMS.greedy, max_tokens: 20 });
      assert.ok(choices[0].text.length > 0);
    } finally {
      await pretends.close();
    }
  }
});

test("it says what the GPU says", { timeout: 120_000 }, async () => {
  const withGpu = await launchChromium();
  try {
    const page = await withGpu.newPage();
    const greedy = { ...STREAMS.greedy, max_tokens: 40 };
    await connectIn(page, site.origin, MODEL, { device: "gpu" });
    assert.equal((await info(page)).kind, "gpu");
    const gpu = await ask(page, "completions", greedy);
    await page.evaluate(() => window.tw.close());
    await connectIn(page, site.origin, MODEL, CPU);
    assert.equal((await info(page)).kind, "cpu");
    const cpu = await ask(page, "completions", greedy);
    assert.equal(cpu.choices[0].text, gpu.choices[0].text);
  } finally {
    await withGpu.close();
  }
});

test("whoever insists on the GPU hears that there is none", { timeout: 60_000 }, async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${site.origin}/empty.html`);
  const error = await connectError(page, MODEL, { device: "gpu" });
  assert.match(error.code, /^webgpu_/);
  const unknown = await connectError(page, MODEL, { device: "tpu" });
  assert.deepEqual([unknown.type, unknown.param], ["invalid_request_error", "device"]);
  const none = await connectError(page, MODEL, { ...CPU, threads: 0 });
  assert.deepEqual([none.type, none.param], ["invalid_request_error", "threads"]);
});

for (const [fault, words] of [
  ["end the pool", "is killed"],
  ["trap the pool", "traps"],
]) {
  test(`streams survive a worker that ${words}`, { timeout: 240_000 }, async () => {
    const page = await tab({ ...CPU, ...WATCHED }, SLOW);
    const expected = await answers(page);
    await begin(page);
    await command(page, fault);
    await another(page);
    await saysTheSame(page, expected);
    // The browser takes its time to end a worker.
    await until(
      "one pool in the place of another",
      () => pools(page),
      (count) => count === 1,
    );
  });
}

test("streams survive that their host tab is closed, and the next one as well", { timeout: 240_000 }, async (t) => {
  const hosts = [await tab(CPU, SLOW), await tab(CPU, SLOW)];
  const reader = await tab(CPU, SLOW);
  const expected = await answers(reader);
  // Whoever is seen comes before the reader, which hears the less often for it.
  await reader.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { value: "hidden" });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  const fetched = site.fetched(`${SLOW}model.safetensors`);
  await begin(reader);
  for (const [closed, host] of hosts.entries()) {
    assert.equal(pools(host), 1, "the tab that is to be closed houses the pool");
    const began = performance.now();
    await host.close();
    await until(
      "another pool",
      () => inspect(reader),
      ({ ready, epoch }) => ready && epoch === closed + 1,
    );
    t.diagnostic(`another pool after ${(performance.now() - began).toFixed(0)} ms`);
    const { at, ended } = await streamed(reader, "greedy");
    assert.equal(ended, undefined, "in the middle of the stream");
    await chunks(reader, "greedy", at.length + 10);
  }
  await saysTheSame(reader, expected);
  assert.equal(pools(reader), 1, "the last tab houses the pool itself");
  assert.equal(site.fetched(`${SLOW}model.safetensors`), fetched, "weights came from this browser's storage");
});

test(
  "a pool whose tab closes while nothing runs is opened in another before anyone asks",
  { timeout: 60_000 },
  async () => {
    const first = await tab();
    const second = await tab();
    await first.close();
    await until(
      "the pool in the other tab",
      () => inspect(second),
      ({ ready, epoch }) => ready && epoch === 1,
    );
    assert.equal(pools(second), 1);
  },
);

test(
  "a GPU that is lost and stays away is replaced by the CPU in the middle of a stream, and takes over when it is back",
  { timeout: 180_000 },
  async (t) => {
    const withGpu = await launchChromium();
    try {
      const page = await withGpu.newPage();
      await page.goto(`${site.origin}/empty.html`);
      await page.evaluate(async (watched) => {
        const { connect } = await import("/lib/tilewright.js");
        window.events = [];
        const onDevice = (event) => window.events.push(event.state === "ready" ? event.info.kind : event.state);
        window.tw = await connect({ ...watched, model: "/fixtures/llama/", onDevice });
      }, REAL_GPU);
      const expected = await answers(page);
      await begin(page);
      await command(page, "lose the GPU");
      const { kind, notice } = await until(
        "the CPU",
        () => info(page),
        ({ kind }) => kind === "cpu",
      );
      assert.equal(kind, "cpu");
      assert.match(notice, /GPU was lost.*until it is back/);
      await saysTheSame(page, expected);

      await command(page, "bring the GPU back");
      const began = performance.now();
      await until(
        "the GPU",
        () => info(page),
        ({ kind }) => kind === "gpu",
      );
      t.diagnostic(`the GPU computes again ${((performance.now() - began) / 1000).toFixed(1)} s after it came back`);
      const again = await answers(page);
      assert.deepEqual(again, expected);
      assert.equal((await info(page)).notice, null);
      assert.deepEqual(await page.evaluate(() => window.events), ["gpu", "moving", "cpu", "moving", "gpu"]);
    } finally {
      await withGpu.close();
    }
  },
);

test(
  "a page that is not isolated computes on one thread, and is told which headers are missing",
  { timeout: 60_000 },
  async () => {
    const bare = await startSite({ isolated: false });
    try {
      const page = await (await browser.newContext()).newPage();
      await connectIn(page, bare.origin, MODEL, CPU);
      assert.equal(await page.evaluate(() => globalThis.crossOriginIsolated), false);
      const { notice } = await info(page);
      assert.match(
        notice,
        /one thread.*Cross-Origin-Opener-Policy: same-origin.*Cross-Origin-Embedder-Policy: require-corp/,
      );
      assert.equal(page.workers().length, 1, "no threads");
      const { choices } = await ask(page, "completions", { ...STREAMS.greedy, max_tokens: 20 });
      assert.ok(choices[0].text.length > 0);
    } finally {
      await bare.close();
    }
  },
);

test("threads that never start cost the threads, and are told", { timeout: 60_000 }, async () => {
  const page = await tab({ ...CPU, workerUrl: "/faulty/no-threads/worker.js" });
  const { notice } = await info(page);
  assert.match(notice, /one thread.*2 threads did not start.*snippets/);
  const { choices } = await ask(page, "completions", { ...STREAMS.greedy, max_tokens: 20 });
  assert.ok(choices[0].text.length > 0);
});

test("without SharedWorker the page has all to itself", { timeout: 60_000 }, async () => {
  const page = await (await browser.newContext()).newPage();
  await page.addInitScript(() => delete globalThis.SharedWorker);
  await connectIn(page, site.origin, MODEL, CPU);
  assert.equal((await info(page)).kind, "cpu");
  assert.equal(pools(page), 1);
  const { choices } = await ask(page, "completions", { ...STREAMS.greedy, max_tokens: 20 });
  assert.ok(choices[0].text.length > 0);
});

for (const [fault, words] of [
  ["no-relaxed-simd", "does not know relaxed SIMD"],
  ["wrong-relaxed-simd", "computes relaxed SIMD wrong"],
]) {
  test(`a browser that ${words} gets the module without it`, { timeout: 60_000 }, async () => {
    const before = site.fetched("/lib/tilewright_cpu_plain_bg.wasm");
    const page = await tab({ ...CPU, workerUrl: `/faulty/${fault}/worker.js` });
    assert.equal(site.fetched("/lib/tilewright_cpu_plain_bg.wasm"), before + 1);
    const { device, notice } = await info(page);
    assert.match(device, /CPU/);
    assert.doesNotMatch(device, /relaxed/);
    assert.equal(notice, null, "with all its threads");
    const { choices } = await ask(page, "completions", { ...STREAMS.greedy, max_tokens: 20 });
    assert.ok(choices[0].text.length > 0);
  });
}

test(
  "a model that memory has no room for is an error that says so, and the worker serves the next one",
  { timeout: 120_000 },
  async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${site.origin}/empty.html`);
    const options = { ...CPU, workerUrl: "/faulty/small-memory/worker.js" };
    // Weights of one, keys and values of the other.
    for (const model of ["/synthetic/wide/", "/synthetic/long/"]) {
      const error = await connectError(page, model, options);
      assert.equal(error.code, "out_of_memory", JSON.stringify(error));
      assert.match(error.message, /smaller/);
    }
    await connectIn(page, site.origin, MODEL, options);
    const { choices } = await ask(page, "completions", { ...STREAMS.greedy, max_tokens: 20 });
    assert.ok(choices[0].text.length > 0);
  },
);

test("a model too large for 4 GiB is refused before it is downloaded", { timeout: 60_000 }, async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${site.origin}/empty.html`);
  const error = await connectError(page, "/huge/model.gguf", CPU);
  assert.equal(error.code, "model_too_large", JSON.stringify(error));
  assert.match(error.message, /5000000000 bytes.*4 GiB.*smaller/);
});

test("where nothing can be kept the model works all the same, with a notice", { timeout: 60_000 }, async () => {
  const page = await tab({ ...CPU, workerUrl: "/faulty/no-storage/worker.js" });
  assert.match((await info(page)).notice, /keep no files.*private/);
  assert.deepEqual(await list(page), []);
  const full = await tab({ ...CPU, workerUrl: "/faulty/full-disk/worker.js" });
  assert.match((await info(full)).notice, /storage for the site is full.*delete models/);
  assert.deepEqual(
    (await list(page)).map(({ complete }) => complete),
    [false],
  );
});

test("models are listed with their sizes, and deleted", { timeout: 60_000 }, async () => {
  const page = await tab();
  const [stored, ...others] = await list(page);
  assert.deepEqual(others, []);
  assert.equal(stored.url, `${site.origin}${MODEL}`);
  assert.ok(stored.complete && stored.bytes > 300_000 && stored.bytes === stored.total, JSON.stringify(stored));
  await page.evaluate(async (url) => (await import("/lib/tilewright.js")).deleteStoredModel(url), stored.url);
  assert.deepEqual(await list(page), []);
  const again = page.evaluate(async (url) => (await import("/lib/tilewright.js")).deleteStoredModel(url), stored.url);
  await assert.rejects(again, /is not kept in this browser/);
});

test("the models page shows what is kept, and deletes it", { timeout: 60_000 }, async () => {
  const page = await tab();
  await page.goto(`${site.origin}/models.html`);
  const row = page.getByRole("listitem");
  await row.waitFor();
  const text = await row.innerText();
  assert.match(text, /llama/);
  assert.match(text, /\d+ kB/);
  await page.getByRole("button", { name: "Delete llama" }).click();
  await page.getByText("None is kept").waitFor();
  assert.equal(await row.count(), 0);
});

test("the chat page says what the CPU lacks", { timeout: 60_000 }, async () => {
  const bare = await startSite({ isolated: false });
  try {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${bare.origin}/?model=/with-template/llama/`);
    await page.getByRole("status").filter({ hasText: "Cross-Origin-Opener-Policy" }).waitFor();
    assert.match(await page.locator("tw-status dl").innerText(), /CPU/);
  } finally {
    await bare.close();
  }
});

test("the page that houses the pool stays responsive while it streams", { timeout: 120_000 }, async (t) => {
  const page = await tab(CPU, "/synthetic/long/");
  await page.evaluate(() => {
    window.longTasks = [];
    new PerformanceObserver((list) =>
      window.longTasks.push(...list.getEntries().map(({ duration }) => duration)),
    ).observe({
      type: "longtask",
    });
  });
  assert.equal(pools(page), 1);
  // Time of the processor and not of the clock: whatever else the machine does stretches the one and not the other.
  const devtools = await context.newCDPSession(page);
  await devtools.send("Performance.enable");
  const seconds = async () => {
    const { metrics } = await devtools.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "ThreadTime").value;
  };
  const prompt = Array.from({ length: 4000 }, (_, index) => 3 + ((index * 7) % 380));
  const [before, began] = [await seconds(), performance.now()];
  await beginStream(page, "long", { prompt, max_tokens: 60, ignore_eos: true, temperature: 0 });
  const { ended } = await chunks(page, "long", Infinity);
  const took = (performance.now() - began) / 1e3;
  const share = ((await seconds()) - before) / took;
  assert.equal(ended, "done");
  t.diagnostic(`the page's own thread computed for ${(100 * share).toFixed(1)} % of ${took.toFixed(1)} s`);
  // If the pool were there, it would be nearly all, or as much of it as the machine has to give.
  assert.ok(share < 0.1, `${share}`);
  const longest = Math.max(0, ...(await page.evaluate(() => window.longTasks)));
  t.diagnostic(`longest task of 50 ms or more: ${longest} ms`);
  assert.ok(longest < 50 * ROOM, `${longest} ms`);
});

test("in Firefox the CPU computes for two tabs, and streams survive their host tab", { timeout: 360_000 }, async () => {
  const firefox = await launchFirefox();
  try {
    const [host, reader] = [await firefox.newPage(), await firefox.newPage()];
    for (const page of [host, reader]) await connectIn(page, site.origin, SLOW, CPU);
    assert.equal((await info(reader)).kind, "cpu");
    assert.equal((await info(reader)).notice, null);
    const expected = await answers(reader);
    await begin(reader);
    await host.close();
    await another(reader);
    await saysTheSame(reader, expected);
  } finally {
    await firefox.close();
  }
});
