// The tabs page beside two pages that stream from a small model: it shows both, asks only while someone looks, and is
// itself no more than one more client.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { abortStream, ask, beginStream, connectIn, streamed, until } from "./library.mjs";
import { startSite } from "./site.mjs";

const MODEL = "/fixtures/llama/";
/** It has the context for answers that are not over before the page has shown all of them that a test wants to see. */
const LONG_MODEL = "/synthetic/long/";
const LONG = { ignore_eos: true, temperature: 1, seed: 7 };

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

/** The tabs page, with a count of its questions to the engine in `window.asked`. */
async function openTabs(path = `/tabs.html?model=${MODEL}&device=gpu`) {
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  await page.addInitScript(() => {
    window.asked = 0;
    const post = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (message, ...rest) {
      if (message?.type === "inspect") window.asked += 1;
      return post.call(this, message, ...rest);
    };
  });
  await page.goto(site.origin + path);
  return { page, faults };
}

const asked = (page) => page.evaluate(() => window.asked);

/** How many questions the page asks a second, in a second from now by the page's own clock. */
function askedASecond(page) {
  return page.evaluate(async () => {
    const [before, began] = [window.asked, performance.now()];
    await new Promise((later) => setTimeout(later, 1000));
    return (window.asked - before) / ((performance.now() - began) / 1000);
  });
}

/** Makes the page believe that the user looks at another tab, or back at it: headless pages are always visible. */
function show(page, visible) {
  return page.evaluate((visible) => {
    Object.defineProperty(document, "visibilityState", { value: visible ? "visible" : "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, visible);
}

test(
  "two pages that stream are both listed, with their requests, their rows in a step and their blocks",
  { timeout: 180_000 },
  async () => {
    const pages = await Promise.all([context.newPage(), context.newPage()]);
    for (const page of pages) await connectIn(page, site.origin, LONG_MODEL, { tuning: "off" });
    const bodies = pages.map((_, i) => ({ ...LONG, prompt: [1, 20 + i, 30, 40, 50, 60 + i] }));
    const unwatched = [];
    for (const [i, body] of bodies.entries()) {
      unwatched.push((await ask(pages[i], "completions", { ...body, max_tokens: 24 })).choices[0].text);
    }
    const { page, faults } = await openTabs(`/tabs.html?model=${LONG_MODEL}&device=gpu`);
    const listed = page.locator("tw-tabs-clients li");
    await until(
      "three clients on the list",
      () => listed.count(),
      (count) => count === 3,
    );
    await page.getByText("Nothing to do").waitFor();
    assert.equal(await page.locator("tw-tabs-clients").getByText("this tab").count(), 1);
    assert.equal(await page.locator("tw-tabs-clients").getByText("/empty.html").count(), 2);

    await Promise.all(pages.map((page, i) => beginStream(page, "long", { ...bodies[i], max_tokens: 6000 })));
    const clientsOf = (locator) =>
      locator.evaluateAll((rows) => [...new Set(rows.map((row) => row.dataset.client))].filter(Boolean).sort());
    const busy = await until(
      "both in one step, in the queue and in the picture",
      async () => ({
        step: await clientsOf(page.locator("tw-tabs-step li[data-client]")),
        queue: await clientsOf(page.locator("tw-tabs-queue li")),
        blocks: await clientsOf(page.locator("tw-tabs-blocks li[data-client]")),
      }),
      ({ step, queue, blocks }) => step.length === 2 && queue.length === 2 && blocks.length === 2,
    );
    assert.deepEqual(busy.step, busy.queue);
    assert.deepEqual(busy.blocks, busy.queue);
    await until(
      "a rate",
      () => page.locator("tw-tabs-summary dl").innerText(),
      (summary) => /[1-9][\d.]*\s+tokens\/s\s+decode rows/.test(summary),
    );
    assert.match(await page.locator("tw-tabs-plot .plot").getAttribute("aria-label"), /last \d+ steps/);
    assert.equal(await page.locator("tw-tabs-plot canvas").count(), 1, "the steps are drawn");

    // The picture in words: some block is held by a client of the queue.
    const picture = page.locator("tw-tabs-blocks .picture");
    await picture.focus();
    let words = "";
    for (let i = 0; i < 64 && !/request \d+ of client/.test(words); i++) {
      await picture.press("ArrowRight");
      words = await page.locator("tw-tabs-blocks [aria-live]").innerText();
    }
    const [, owner] = /request \d+ of client (\d+)/.exec(words) ?? [];
    assert.ok(busy.queue.includes(owner), `${owner} of ${busy.queue}`);

    for (const [i, streaming] of pages.entries()) {
      // As much as it said unwatched is enough: the whole answer would take minutes on a busy machine.
      const same = unwatched[i].replace(/\uFFFD+$/, "");
      const watched = await until(
        "as much as it said unwatched",
        () => streamed(streaming, "long"),
        ({ text, ended }) => text.length >= same.length || ended,
      );
      assert.equal(watched.ended, undefined, "it is in the middle of its answer");
      assert.equal(watched.text.slice(0, same.length), same, "watching changed nothing");
      await abortStream(streaming, "long");
      const { ended } = await until(
        "the end of the answer",
        () => streamed(streaming, "long"),
        ({ ended }) => ended,
      );
      assert.equal(ended, "AbortError");
    }
    await page.getByText("Nothing to do").waitFor();
    assert.deepEqual(faults, []);

    await pages[1].close();
    await until(
      "the closed page's row to go",
      () => listed.count(),
      (count) => count === 2,
    );
  },
);

test("it asks about ten times a second, and not at all while hidden or paused", { timeout: 120_000 }, async () => {
  const { page } = await openTabs();
  await page.locator("tw-tabs-clients li").first().waitFor();
  const often = await askedASecond(page);
  assert.ok(often >= 2 && often <= 12, `${often} questions in a second`);

  await show(page, false);
  assert.equal(await askedASecond(page), 0, "hidden");
  await show(page, true);
  assert.ok((await askedASecond(page)) > 0, "shown again");

  await page.getByRole("button", { name: "Pause" }).click();
  assert.equal(await askedASecond(page), 0, "paused");
  await page.getByRole("button", { name: "Go on" }).click();
  assert.ok((await askedASecond(page)) > 0, "gone on");

  // Closed, it is no client any more.
  const other = await openTabs();
  const listed = other.page.locator("tw-tabs-clients li");
  await until(
    "both tabs pages on the list",
    () => listed.count(),
    (count) => count === 2,
  );
  await page.close();
  await until(
    "the closed one's row to go",
    () => listed.count(),
    (count) => count === 1,
  );
});

test(
  "a model that is not there is explained, and the way to the chat and back is open",
  { timeout: 60_000 },
  async () => {
    const { page } = await openTabs("/tabs.html?model=/fixtures/nothing/");
    await page.getByRole("heading", { name: "The model was not found" }).waitFor();
    assert.equal(await asked(page), 0);
    await page.getByRole("link", { name: "Chat", exact: true }).click();
    await page.waitForURL(`${site.origin}/?model=/fixtures/nothing/`);
    const [tabs] = await Promise.all([
      context.waitForEvent("page"),
      page.getByRole("link", { name: "Tabs (opens in a new tab)" }).click(),
    ]);
    assert.equal(tabs.url(), `${site.origin}/tabs.html?model=/fixtures/nothing/`);
  },
);
