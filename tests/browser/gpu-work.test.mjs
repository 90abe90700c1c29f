// What the engine asks of WebGPU, counted where it asks: the watched worker wraps the browser's own methods, so that nothing
// is missed because somebody forgot to count it. Once a model answers, a step makes no object of the GPU but its own command
// encoder, and is one submit, one pass and one write; and the buffers alive are those that the engine says it has.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { WATCHED, ask, connectIn, inspect, until, worked } from "./library.mjs";
import { startSite } from "./site.mjs";

const LIMIT = { timeout: 180_000 };
const TOKENS = 60;
const REQUEST = { prompt: [1, 20, 30, 40, 50], max_tokens: TOKENS, ignore_eos: true, temperature: 0 };
/**
 * All that a step asks for. WebGPU has no encoder that can be used twice; one is the only object that a step makes. The copy
 * is of the chosen tokens, to where they can be read.
 */
const OF_A_STEP = {
  createCommandEncoder: 1,
  beginComputePass: 1,
  copyBufferToBuffer: 1,
  finish: 1,
  submit: 1,
  writeBuffer: 1,
};

let site, browser, page, info;
before(async () => {
  site = await startSite();
  browser = await launchChromium();
  page = await browser.newPage();
  // Without a tuner, which makes what it measures.
  info = await connectIn(page, site.origin, "/synthetic/wide/", { ...WATCHED, tuning: "off" });
});
after(async () => {
  await browser?.close();
  await site?.close();
});

/** What has been asked of the GPU so far, and the steps so far, with none under way. */
async function atRest() {
  const { steps } = await until(
    "an engine with nothing to do",
    () => inspect(page),
    ({ running, waiting, in_flight }) => running.length + waiting.length + in_flight.length === 0,
  );
  return { ...(await worked(page)), steps };
}

test("a step is one submit, one pass and one write, and makes nothing but its encoder", LIMIT, async (t) => {
  const first = await ask(page, "completions", REQUEST);
  const before = await atRest();
  const { choices, usage } = await ask(page, "completions", REQUEST);
  const after = await atRest();
  assert.equal(choices[0].text, first.choices[0].text);
  assert.equal(usage.completion_tokens, TOKENS);

  const last = before.steps.at(-1).step;
  const steps = after.steps.filter(({ step }) => step > last).length;
  const asked = Object.entries(after.calls).map(([name, count]) => [name, count - (before.calls[name] ?? 0)]);
  const inSteps = Object.fromEntries(asked.filter(([, count]) => count > 0));
  t.diagnostic(`${steps} steps: ${JSON.stringify(inSteps)}; before them ${JSON.stringify(before.calls)}`);
  assert.equal(steps, TOKENS, "the prompt's, which says the first token, and one for each other");
  assert.deepEqual(
    inSteps,
    Object.fromEntries(Object.entries(OF_A_STEP).map(([name, count]) => [name, count * steps])),
  );
  assert.deepEqual(after.bytes, before.bytes);
});

test("buffers are never more than the engine says, and a twentieth of the weights", LIMIT, async (t) => {
  await ask(page, "completions", REQUEST);
  const { bytes } = await atRest();
  const { weights, kv, scratch } = info.memory;
  t.diagnostic(
    `buffers of ${bytes.live} bytes, ${bytes.most} at most; ${weights} of weights, ${kv} of keys and values, ${scratch} beside them`,
  );
  assert.ok(bytes.live >= weights + kv, `${bytes.live} bytes can't be all buffers`);
  assert.ok(bytes.most <= weights + kv + scratch + 0.05 * weights, `${bytes.most}`);
});
