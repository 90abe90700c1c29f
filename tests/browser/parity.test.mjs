// What Chromium's GPU computes, against the reference: the fixtures `llama` and `llama3-rope`, whose reference outputs
// `transformers` made in float32. The device is SwiftShader, so this holds on any machine.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { ask, connectIn } from "./library.mjs";
import { expected, tokenBytes, worst, written } from "./reference.mjs";
import { fixtures, startSite } from "./site.mjs";

let site, browser, page;
before(async () => {
  site = await startSite();
  browser = await launchChromium();
  page = await browser.newPage();
});
after(async () => {
  await browser?.close();
  await site.close();
});

for (const name of ["llama", "llama3-rope"]) {
  test(
    `in Chromium every logit of ${name} is as near to the reference as it must be`,
    { timeout: 120_000 },
    async (t) => {
      const reference = await expected(name);
      const { prompt_ids: prompt, ragged_ids: ragged, ragged_lengths: lengths } = reference;
      const vocabulary = reference.prompt_logits.length / prompt.length;
      await page.goto(`${site.origin}/empty.html`);
      await page.evaluate(loadLogits, `/fixtures/${name}/`);
      const logits = (ids, lengths, rows) => page.evaluate(computeLogits, { ids, lengths, rows });
      const lastOf = (all) => {
        const ends = lengths.map((_, i) => lengths.slice(0, i + 1).reduce((sum, length) => sum + length, 0));
        return ends.flatMap((end) => all.slice((end - 1) * vocabulary, end * vocabulary));
      };

      const shares = {
        "the prompt at once": worst(await logits(prompt, [prompt.length], prompt.length), reference.prompt_logits),
        "the prompt in chunks of 7": worst(await logits(prompt, [prompt.length], 7), reference.prompt_logits),
        "the prompt row by row": worst(await logits(prompt, [prompt.length], 1), reference.prompt_logits),
        "ragged prompts in one batch": worst(lastOf(await logits(ragged, lengths, 1024)), reference.ragged_logits),
        "ragged prompts in chunks of 5": worst(lastOf(await logits(ragged, lengths, 5)), reference.ragged_logits),
      };
      for (const [what, share] of Object.entries(shares)) {
        t.diagnostic(`${name}, ${what}: ${(share * 100).toFixed(2)}% of the tolerance`);
        assert.ok(share <= 1, `${what} is ${share} times the tolerance away from the reference`);
      }
    },
  );

  test(`in Chromium ${name} greedily says what the reference says`, { timeout: 120_000 }, async () => {
    const { prompt_ids: prompt, greedy_ids: greedy } = await expected(name);
    const { model } = JSON.parse(await readFile(join(fixtures, name, "tokenizer.json"), "utf8"));
    const entries = Object.entries(model.vocab).sort(([, a], [, b]) => a - b);
    const words = entries.map(([entry]) => written(tokenBytes(entry)));

    await connectIn(page, site.origin, `/fixtures/${name}/`);
    const body = { prompt, max_tokens: greedy.length, temperature: 0, ignore_eos: true, logprobs: 2 };
    const { error, choices } = await ask(page, "completions", body);
    assert.equal(error, undefined);
    const { tokens, top_logprobs: top } = choices[0].logprobs;
    for (const [i, id] of greedy.entries()) {
      if (tokens[i] === words[id]) continue;
      const [best, second] = Object.values(top[i]).sort((a, b) => b - a);
      assert.ok(
        best - second < 0.02,
        `token ${i} is ${tokens[i]} and not ${words[id]}, and no near tie (${best}, ${second})`,
      );
      return; // a near tie: the two texts differ from here on
    }
    assert.equal(tokens.length, greedy.length);
  });
}

/** In the page: the module's own door to logits, past scheduler and sampler. */
async function loadLogits(folder) {
  const { default: start, Logits } = await import("/lib/tilewright_web.js");
  await start({ module_or_path: await WebAssembly.compileStreaming(fetch("/lib/tilewright_web_bg.wasm")) });
  const files = {
    async text(name) {
      const response = await fetch(folder + name);
      return response.ok ? response.text() : undefined;
    },
    async open(name) {
      const bytes = new Uint8Array(await (await fetch(folder + name)).arrayBuffer());
      let rest = [bytes.slice(0, 1001), bytes.slice(1001)]; // a cut in the middle of the header
      return { length: bytes.length, next: async () => rest.shift(), cancel: () => (rest = []) };
    },
  };
  window.logits = await Logits.load(undefined, files);
}

async function computeLogits({ ids, lengths, rows }) {
  const thrown = (error) => {
    throw new Error(error.message); // an ErrorObject, which Playwright would not print
  };
  return Array.from(await window.logits.run(new Uint32Array(ids), new Uint32Array(lengths), rows).catch(thrown));
}
