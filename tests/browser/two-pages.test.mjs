// Two pages of one browser, one engine: both stream at once, one request is aborted, one page is closed in the middle of an
// answer, and the other page never notices. The same story in Chromium and in Firefox.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchChromium, launchFirefox } from "./browsers.mjs";
import { abortStream, ask, beginStream, connectIn, streamed, until } from "./library.mjs";
import { startSite } from "./site.mjs";

const MODEL = "/synthetic/long/";
// It babbles for as long as it is let: some seconds, so that a busy machine comes to close a page before the end. Firefox's tokens come
// more slowly.
const BASE = { prompt: [1, 20, 30, 40, 50], ignore_eos: true, temperature: 1, seed: 7 };

let site;
before(async () => (site = await startSite()));
after(() => site.close());

test(
  "in Chromium two pages stream from one engine, and go on when the other aborts and closes",
  { timeout: 540_000 },
  async () => {
    const browser = await launchChromium();
    try {
      const context = await browser.newContext(); // one profile: pages of two contexts share no worker
      await twoPages(await context.newPage(), await context.newPage(), 3000);
    } finally {
      await browser.close();
    }
  },
);

test(
  "in Firefox two pages stream from one engine, and go on when the other aborts and closes",
  { timeout: 540_000 },
  async () => {
    const browser = await launchFirefox();
    try {
      await twoPages(await browser.newPage(), await browser.newPage(), 800);
    } finally {
      await browser.close();
    }
  },
);

async function twoPages(first, second, tokens) {
  const long = { ...BASE, max_tokens: tokens };
  const fetchedBefore = site.fetched(`${MODEL}model.safetensors`);
  const [info] = await Promise.all([connectIn(first, site.origin, MODEL), connectIn(second, site.origin, MODEL)]);
  assert.match(info.device, /WebGPU/);
  assert.equal(site.fetched(`${MODEL}model.safetensors`) - fetchedBefore, 1, "one engine loaded the weights once");

  await Promise.all([beginStream(first, "aborted", long), beginStream(second, "goes on", long)]);
  const chunks = (page, name, count) =>
    until(
      `${count} chunks of the stream that ${name}`,
      () => streamed(page, name),
      ({ at, ended }) => at.length >= count || ended,
    );
  await Promise.all([chunks(first, "aborted", 8), chunks(second, "goes on", 8)]);
  // The page that is hidden hears four times a second.
  const [one, other] = await until(
    "both streaming at the same time",
    () => Promise.all([streamed(first, "aborted"), streamed(second, "goes on")]),
    ([one, other]) => (one.at[0] < other.at.at(-1) && other.at[0] < one.at.at(-1)) || one.ended || other.ended,
  );
  assert.equal(one.ended, undefined);
  assert.equal(other.ended, undefined);

  await abortStream(first, "aborted");
  const aborted = await until(
    "the abort",
    () => streamed(first, "aborted"),
    ({ ended }) => ended,
  );
  assert.equal(aborted.ended, "AbortError");
  assert.ok(aborted.at.length < long.max_tokens);
  const afterAbort = await streamed(second, "goes on");
  await chunks(second, "goes on", afterAbort.at.length + 8);

  await beginStream(first, "closed", long);
  await chunks(first, "closed", 3);
  await first.close();
  const afterClose = await streamed(second, "goes on");
  assert.equal(afterClose.ended, undefined, "the other page still had an answer to come when this one closed");

  const whole = await until(
    "the end of the answer",
    () => streamed(second, "goes on"),
    ({ ended }) => ended,
  );
  assert.equal(whole.ended, "done");
  assert.equal(whole.reason, "length");
  assert.equal(whole.usage.completion_tokens, long.max_tokens);
  assert.equal(whole.usage.prompt_tokens, long.prompt.length);

  // The same request alone gives the same text: sharing the engine changed nothing but the time.
  const alone = await ask(second, "completions", { ...long, max_tokens: 24 });
  assert.equal(alone.error, undefined);
  assert.ok(whole.text.startsWith(alone.choices[0].text.replace(/\uFFFD+$/, "")));
  assert.equal(site.fetched(`${MODEL}model.safetensors`) - fetchedBefore, 1);
}
