// The benchmark page on SwiftShader: its report says what was asked and hangs together, and what can't be timed is refused in
// words that name the option or the numbers, with the page as usable as before. How fast anything is, is no test.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { startSite } from "./site.mjs";

const SHAPES = ["smollm2-135m", "qwen2-0.5b", "qwen2-1.5b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"];
/** The model that comes with the site. */
const GGUF = "models/SmolLM2-135M-Instruct.Q4_1.gguf";
const LIMIT = { timeout: 300_000 };

let site, browser, page;

before(async () => {
  site = await startSite();
  browser = await launchChromium();
  page = await browser.newPage();
  page.setDefaultTimeout(240_000);
  await page.goto(
    `${site.origin}/bench.html?model=/with-template/llama/&prompt=8&generate=4&concurrency=1,2&repeats=1`,
  );
  await page.waitForFunction(() => window.runBench);
});

after(async () => {
  await browser?.close();
  await site?.close();
});

function run(options) {
  return page.evaluate(
    (options) =>
      window
        .runBench(options)
        .catch((error) => ({ error: { name: error.name, ...JSON.parse(JSON.stringify(error)) } })),
    options,
  );
}

/** That figures follow from one another, whatever they are. */
function assertConsistent(report, { prompt, generate, concurrency, repeats }) {
  assert.deepEqual([report.prompt, report.generate, report.repeats], [prompt, generate, repeats]);
  assert.deepEqual(
    report.runs.map((run) => run.concurrency),
    concurrency,
  );
  for (const run of report.runs) {
    assert.ok(run.prefill_tokens_per_s > 0 && run.decode_step_ms > 0, JSON.stringify(run));
    const tokens = (run.decode_tokens_per_s * run.decode_step_ms) / 1e3;
    assert.ok(Math.abs(tokens - run.concurrency) < 1e-6, `${tokens} tokens a step for ${run.concurrency} sequences`);
    assert.equal(run.samples.length, repeats);
    assert.ok(run.samples.some((sample) => sample.decode_step_ms === run.decode_step_ms));
    assert.equal(run.last_ids.length, Math.min(generate - 1, 8));
  }
  // Sequences don't see each other: the first one's tokens are the same in any company.
  assert.deepEqual(report.runs.at(-1).last_ids, report.runs[0].last_ids);
}

test("a shape is timed on the GPU, in a SharedWorker whose heap stays small", LIMIT, async () => {
  const asked = { prompt: 8, generate: 4, concurrency: [1, 2], repeats: 2 };
  const report = await run({ shape: "smollm2-135m", device: "gpu", ...asked });
  assert.equal(report.error, undefined, JSON.stringify(report.error));
  assertConsistent(report, asked);
  assert.equal(report.model, "smollm2-135m");
  assert.equal(report.worker, "shared");
  assert.match(report.device, /swiftshader/i);
  assert.ok(report.adapter.software && report.adapter.features.length > 0);
  assert.equal(report.adapter.f16, report.adapter.features.includes("shader-f16"));
  // 134.5 million weights in 4 bits and a half, and the norms.
  assert.ok(Math.abs(report.weights_bytes / 75.7e6 - 1) < 0.01, String(report.weights_bytes));
  assert.ok(report.weight_bytes_per_step <= report.weights_bytes && report.dispatches_per_step > 0);
  assert.ok(report.load_ms > 0 && report.kv_bytes > 0 && report.scratch_bytes > 0 && report.max_rows > 0);
  assert.ok(report.wasm_heap_bytes < 64 * 2 ** 20, `${report.wasm_heap_bytes} bytes of heap for one slab of weights`);
  assert.match(report.user_agent, /Chrome/);
  assert.ok(report.version && report.build);
});

test("a GGUF goes to the GPU without its weights ever lying in the wasm heap", LIMIT, async (t) => {
  const asked = { prompt: 8, generate: 4, concurrency: [1], repeats: 1 };
  const report = await run({ model: `${site.origin}/${GGUF}`, device: "gpu", ...asked });
  assert.equal(report.error, undefined, JSON.stringify(report.error));
  assertConsistent(report, asked);
  assert.match(report.device, /swiftshader/i);
  // A heap of wasm never shrinks, so what it is in the end is the most that it ever was.
  t.diagnostic(`${report.wasm_heap_bytes} bytes of heap, ${report.weights_bytes} of weights`);
  assert.ok(report.weights_bytes > 64 * 2 ** 20, String(report.weights_bytes));
  assert.ok(report.wasm_heap_bytes < 64 * 2 ** 20, String(report.wasm_heap_bytes));
});

test("on the CPU it is the pool that is timed, on as many threads as are asked for", LIMIT, async () => {
  const asked = { prompt: 4, generate: 3, concurrency: [1], repeats: 1 };
  const ids = [];
  for (const [threads, words] of [
    [1, /CPU with relaxed SIMD, 1 thread$/],
    [3, /CPU with relaxed SIMD, 3 threads$/],
  ]) {
    const report = await run({ model: `${site.origin}/fixtures/llama/`, device: "cpu", threads, ...asked });
    assert.equal(report.error, undefined, JSON.stringify(report.error));
    assertConsistent(report, asked);
    assert.match(report.device, words);
    assert.equal(report.adapter, null);
    assert.equal(report.notice, null);
    assert.equal(report.dispatches_per_step, 0);
    ids.push(report.runs[0].last_ids);
  }
  assert.deepEqual(ids[0], ids[1]);
});

test("a shape is timed on the CPU, which a GPU in software leaves it to", LIMIT, async () => {
  const asked = { prompt: 8, generate: 4, concurrency: [1, 2], repeats: 1 };
  const report = await run({ shape: "smollm2-135m", device: "auto", ...asked });
  assert.equal(report.error, undefined, JSON.stringify(report.error));
  assertConsistent(report, asked);
  assert.match(report.device, /CPU/);
  const taken = report.weights_bytes + report.kv_bytes;
  assert.ok(report.wasm_heap_bytes > taken && report.wasm_heap_bytes < 2 * taken, JSON.stringify(report));
});

test("streamed requests to a model are timed as a page sees them", LIMIT, async () => {
  const asked = { prompt: 6, generate: 4, concurrency: [1, 3], repeats: 1 };
  const report = await run({
    model: `${site.origin}/with-template/llama/`,
    device: "cpu",
    threads: 1,
    endToEnd: true,
    ...asked,
  });
  assert.equal(report.error, undefined, JSON.stringify(report.error));
  assertConsistent(report, asked);
  const { runs, device, load_ms } = report.end_to_end;
  assert.match(device, /CPU.*1 thread$/);
  assert.ok(load_ms > 0);
  assert.deepEqual(
    runs.map((run) => run.concurrency),
    asked.concurrency,
  );
  for (const run of runs) {
    assert.ok(run.ttft_ms > 0 && run.ttft_ms < run.ms, JSON.stringify(run));
    const tokens = (run.tokens_per_s * run.ms) / 1e3;
    assert.ok(Math.abs(tokens - run.concurrency * asked.generate) < 1e-6, `${tokens} tokens`);
  }
});

test("an option that can't be is refused by its name", LIMIT, async () => {
  for (const [options, param, words] of [
    [{ shape: "smollm2-135m", prompt: 0 }, "prompt", "not 0"],
    [{ shape: "smollm2-135m", generate: 1 }, "generate", "2 or more"],
    [{ shape: "smollm2-135m", threads: 0.5 }, "threads", "not 0.5"],
    [{ shape: "smollm2-135m", concurrency: [] }, "concurrency", "[1, 8, 32]"],
    [{ shape: "smollm2-135m", tokens: 5 }, "tokens", "there is no option tokens"],
    [{ shape: "smollm2-135m", prompt: 8190, generate: 3 }, "prompt", "8192"],
    [{ model: "what?" }, "model", "what?"],
  ]) {
    const { error } = await run(options);
    assert.equal(error?.name, "TilewrightError", JSON.stringify(options));
    assert.equal(error.param, param);
    assert.ok(error.message.includes(words), error.message);
  }
});

test("a shape that nobody knows is refused with those that there are, which the form offers", LIMIT, async () => {
  const { error } = await run({ shape: "gpt-5" });
  assert.equal(error.param, "shape");
  for (const shape of SHAPES) assert.ok(error.message.includes(shape), error.message);
  await page.getByText("A shape", { exact: true }).click();
  const offered = await page
    .locator("tw-bench-form select[name=shape] option")
    .evaluateAll((options) => options.map((option) => option.value));
  assert.deepEqual(offered, SHAPES);
  await page.getByText("A model", { exact: true }).click();
});

test("runs that the memory for keys and values can't hold end with both numbers", LIMIT, async () => {
  const { error } = await run({ shape: "smollm2-135m", prompt: 256, generate: 4, concurrency: [4], kv_mib: 4 });
  assert.equal(error.code, "benchmark_option");
  // 4 sequences of 260 tokens in blocks of 16.
  assert.match(error.message, /4 sequences of 260 tokens need 68 KV blocks/);
  assert.match(error.message, /4 MiB hold 5/);
});

test("the page runs what its form says, shows the figures, and after a refusal runs again", LIMIT, async () => {
  const field = (name) => page.locator(`tw-bench-form input[name=${name}]`);
  const runs = page.getByRole("button", { name: "Run" });
  await field("prompt").fill("lots");
  await runs.click();
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.innerText(), /prompt has to be a whole number/i);
  await field("prompt").fill("8");
  await runs.click();
  const rows = page.locator("tw-bench-results tbody tr");
  await rows.first().waitFor();
  assert.equal(await rows.count(), 2);
  assert.match(await rows.first().innerText(), /^1\s/);
  assert.equal(await alert.count(), 0);
});

test("a stopped benchmark leaves the page ready for the next", LIMIT, async () => {
  // So long that it is not over before the button is found.
  await page.locator("tw-bench-form input[name=repeats]").fill("500");
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByRole("button", { name: "Run" }).waitFor();
  const stopped = await page.evaluate(async () => {
    const controller = new AbortController();
    const run = window.runBench({ shape: "smollm2-135m", signal: controller.signal });
    setTimeout(() => controller.abort(), 300);
    return run.then(
      () => "resolved",
      (error) => error.name,
    );
  });
  assert.equal(stopped, "AbortError");
});
