// The model that comes with the site, on the chat page and through the library: one prompt of the reference, since a GPU in
// software takes its time. The page and the request share the engine, so the model is loaded once.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { ask, connectIn } from "./library.mjs";
import { vocabularyOf } from "./reference.mjs";
import { fixtures, site as siteFolder, startSite } from "./site.mjs";

const MODEL_FILE = "models/SmolLM2-135M-Instruct.Q4_1.gguf";

let site, browser, context, reference, words;
before(async () => {
  site = await startSite();
  browser = await launchChromium();
  context = await browser.newContext();
  const references = JSON.parse(await readFile(join(fixtures, "smollm2-135m-instruct/reference.json"), "utf8"));
  reference = references.find(({ name }) => name === "capital");
  words = (await vocabularyOf(join(siteFolder, MODEL_FILE))).map((bytes) => Buffer.from(bytes).toString("utf8"));
});
after(async () => {
  await browser?.close();
  await site.close();
});

test(
  "the chat page loads the model that comes with the site and answers a typed question",
  { timeout: 240_000 },
  async () => {
    const page = await context.newPage();
    await page.goto(`${site.origin}/?device=gpu`);
    await page.getByRole("progressbar").waitFor();
    await page.evaluate(() => {
      const settings = { temperature: 0, repetitionPenalty: 1, maxTokens: 24 };
      localStorage.setItem("tilewright.settings", JSON.stringify(settings));
    });
    await page.getByText("swiftshader").waitFor({ timeout: 60_000 });
    await page.getByLabel("Message").fill(reference.messages[0].content);
    await page.getByLabel("Message").press("Enter");
    await page.getByRole("button", { name: "Regenerate" }).waitFor({ timeout: 180_000 });
    assert.equal(await page.locator("tw-turn .prose").innerText(), reference.output);
    const status = await page.locator("tw-status dl").innerText();
    assert.match(status, /[\d.]+ tokens\/s/);
    assert.match(status, new RegExp(`${reference.prompt_ids.length + reference.greedy.length} of 8,192 tokens`));
  },
);

test("in Chromium SmolLM2 gives the reference's tokens and log-probabilities", { timeout: 240_000 }, async (t) => {
  const page = await context.newPage();
  await connectIn(page, site.origin, undefined);
  assert.equal(site.fetched(`/${MODEL_FILE}`), 1, "the chat page's engine is used");
  const { error, choices, usage } = await ask(page, "chat.completions", {
    messages: reference.messages,
    temperature: 0,
    max_tokens: reference.n,
    logprobs: true,
    top_logprobs: 10,
  });
  assert.equal(error, undefined);
  assert.equal(usage.prompt_tokens, reference.prompt_ids.length);
  let furthest = 0;
  for (const [i, { id, top }] of reference.greedy.entries()) {
    const ours = choices[0].logprobs.content[i];
    if (!ours && words[id] === "<|im_end|>") break; // the end of the answer is no part of it
    assert.ok(ours, `the answer ends before token ${i}`);
    for (const [rank, [, logprob]] of top.entries()) {
      furthest = Math.max(furthest, Math.abs(ours.top_logprobs[rank].logprob - logprob));
    }
    assert.ok(furthest <= 0.02, `a log-probability at token ${i} is ${furthest} away from the reference`);
    if (ours.token !== words[id]) {
      assert.ok(top[0][1] - top[1][1] <= 0.02, `token ${i} is ${ours.token} and not ${words[id]}, and no near tie`);
      return; // a near tie: the two texts differ from here on
    }
  }
  t.diagnostic(
    `the furthest log-probability of ${reference.greedy.length} tokens is ${furthest.toExponential(1)} away`,
  );
  assert.equal(choices[0].message.content, reference.output);
  assert.equal(choices[0].finish_reason, "stop");
});
