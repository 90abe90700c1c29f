// The tuning page in Chromium, on a GPU in software and the small fixture model: a tuning from nothing, its export, the import
// of it in a fresh profile, files that are none, a reset, two tabs, two engines, an answer meanwhile, and no GPU.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { abortStream, beginStream, connectIn, look, until } from "./library.mjs";
import { startSite } from "./site.mjs";

// Not by itself, so that the button has something to do; and a part of a second, because compiling takes a program that
// pretends to be a GPU many times as long as measuring.
const PAGE = "/autotune.html?model=/fixtures/llama/&device=gpu&tuning=off&seconds=0.05";
const BY_ITSELF = "/autotune.html?model=/fixtures/llama/&device=gpu";
const WITHOUT_GPU = "/autotune.html?model=/fixtures/llama/&device=cpu";
const LIMIT = { timeout: 450_000 };

let site, browser, exported;

before(async () => {
  site = await startSite();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await site?.close();
});

async function openPage(context, path = PAGE) {
  const page = await context.newPage();
  page.setDefaultTimeout(180_000);
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  await page.goto(site.origin + path);
  await page.locator("tw-autotune-controls").waitFor();
  return { page, faults };
}

/** What the tuner says, as the page has it. */
const status = (page) => page.evaluate(() => document.querySelector("tw-autotune").tuner.status);

const button = (page, name) => page.locator("tw-autotune-controls").getByRole("button", { name, exact: true });

/** Presses "Tune now" once nothing else goes on, and gives what the tuner says at the end. */
async function tune(page) {
  await until(
    "what is known is adopted",
    () => status(page),
    ({ state }) => state === "done",
  );
  const begun = await page.evaluateHandle(() => {
    const { tuner } = document.querySelector("tw-autotune");
    const begun = new Promise((resolve) => {
      tuner.addEventListener("change", () => tuner.status.state === "done" || resolve());
    });
    return { begun };
  });
  await button(page, "Tune now").click();
  await begun.evaluate(({ begun }) => begun);
  return ended(page);
}

function ended(page) {
  return until(
    "the tuning is done",
    () => status(page),
    ({ state }) => state === "done" || state === "failed",
    360_000,
  );
}

async function importFile(page, name, text) {
  await page
    .locator("tw-autotune-controls input[type=file]")
    .setInputFiles({ name, mimeType: "application/json", buffer: Buffer.from(text) });
  const note = page.locator("tw-autotune-taken");
  await note.getByText(name).waitFor();
  return note.locator("div").innerText();
}

test(
  "the page tunes, shows what it tried, exports it, and the same profile measures nothing again",
  LIMIT,
  async () => {
    const context = await browser.newContext({ acceptDownloads: true });
    try {
      const { page, faults } = await openPage(context);
      const tuned = await tune(page);
      assert.equal(tuned.error, null);
      assert.ok(tuned.measured > 0 && tuned.records[0] === tuned.measured, JSON.stringify(tuned.records));
      await page.getByRole("heading", { name: "Nothing left to measure" }).waitFor();

      const rows = page.locator("tw-autotune-operations tbody th button");
      assert.equal(await rows.count(), tuned.operations.length);
      const most = tuned.operations.reduce((a, b) => (b.tried > a.tried ? b : a));
      await rows.nth(tuned.operations.indexOf(most)).click();
      const details = page.locator("tw-autotune-details");
      await until(
        "a row for each variant that was tried",
        () => details.locator("table tbody tr td.note").count(),
        (count) => count === most.tried,
      );
      assert.match(
        await details.locator(".plot").getAttribute("aria-label"),
        new RegExp(`^${most.tried} variants? in the order tried: times from`),
      );

      const errors = await details.locator("table tbody td[title^='Largest relative difference']").allInnerTexts();
      assert.ok(
        errors.length === most.tried && errors.every((error) => /^(0|\d\.\de−\d+)$/.test(error)),
        String(errors),
      );

      // The fastest first, until a heading says otherwise.
      const heading = (name) => details.getByRole("columnheader", { name });
      const order = async () => (await details.locator("table tbody tr:has(td.note) th").allInnerTexts()).map(Number);
      const byNumber = Array.from({ length: most.tried }, (_, i) => i + 1);
      assert.equal(await heading("Time").getAttribute("aria-sort"), "ascending");
      await heading("Tried").getByRole("button").click();
      assert.deepEqual(await order(), byNumber);
      await heading("Tried").getByRole("button").click();
      assert.equal(await heading("Tried").getAttribute("aria-sort"), "descending");
      assert.equal(await heading("Time").getAttribute("aria-sort"), null);
      assert.deepEqual(await order(), byNumber.reverse());

      const [download] = await Promise.all([page.waitForEvent("download"), button(page, "Export").click()]);
      assert.equal(download.suggestedFilename(), "tilewright-tuning-llama.json");
      exported = await readFile(await download.path(), "utf8");
      const { format, records } = JSON.parse(exported);
      assert.equal(format, "tilewright-tuning");
      assert.equal(records.length, tuned.measured);

      await page.reload();
      await page.locator("tw-autotune-controls").waitFor();
      const again = await tune(page);
      assert.equal(again.measured, 0);
      assert.deepEqual(again.records, tuned.records);
      await page.getByText("nothing was measured this time").waitFor();
      assert.deepEqual(faults, []);
    } finally {
      await context.close();
    }
  },
);

test(
  "a fresh profile takes the file and measures nothing; what is no such file is refused in words",
  LIMIT,
  async () => {
    const context = await browser.newContext();
    try {
      const { page, faults } = await openPage(context);
      assert.deepEqual((await status(page)).records.slice(0, 2), [0, 0]);

      const newer = await importFile(page, "newer.json", '{"format": "tilewright-tuning", "schema": 99}');
      assert.match(newer, /newer\.json was not imported/);
      assert.match(newer, /99/);
      assert.match(await importFile(page, "torn.json", exported.slice(0, 200)), /torn\.json was not imported/);

      const { records, trials } = JSON.parse(exported);
      const { length } = records;
      const note = await importFile(page, "tuning.json", exported);
      assert.ok(note.startsWith(`${length + trials.length} taken from tuning.json`), note);
      assert.deepEqual((await status(page)).records.slice(0, 2), [0, length]);

      // Each winner is checked for its answer, at most; nothing is searched, and nothing is timed, even when asked to.
      const adopted = await until(
        "what was imported is checked",
        () => status(page),
        ({ state }) => state === "done" || state === "failed",
      );
      assert.equal(adopted.error, null);
      assert.ok(adopted.operations.every(({ tried, state }) => tried === 0 && state === "known"));
      const again = await tune(page);
      assert.equal(again.measured, 0);
      await page.getByText("nothing was measured this time").waitFor();
      assert.equal((await status(page)).records[1], length);
      assert.match(await importFile(page, "once-more.json", exported), /Nothing new in once-more\.json/);

      // A reset asks first.
      await button(page, "Reset").click();
      await button(page, "Keep it").click();
      assert.equal((await status(page)).records[1], length);
      await button(page, "Reset").click();
      await button(page, "Forget it").click();
      const forgotten = await until(
        "everything is forgotten",
        () => status(page),
        ({ state, records }) => state === "done" && records[1] === 0,
      );
      assert.equal(forgotten.records[0], 0);
      assert.ok(forgotten.operations.every(({ state }) => state === "waiting"));
      await page.getByRole("heading", { name: "Not all is measured here" }).waitFor();
      assert.deepEqual(faults, []);
    } finally {
      await context.close();
    }
  },
);

test(
  "two tabs that open at once tune once, and what one of them pauses is paused in the other; a later load measures nothing",
  { timeout: 900_000 },
  async () => {
    const context = await browser.newContext();
    let laterContext;
    try {
      const [one, other] = await Promise.all([openPage(context, BY_ITSELF), openPage(context, BY_ITSELF)]);
      await until(
        "something is measured by itself",
        () => status(one.page),
        ({ state, measured }) => state === "tuning" && measured > 0,
      );
      await button(other.page, "Pause").click();
      await one.page.getByRole("heading", { name: "Paused" }).waitFor();
      await button(one.page, "Resume").click();
      await other.page.getByRole("heading", { name: "Paused" }).waitFor({ state: "detached" });

      const [tuned, same] = await Promise.all([ended(one.page), ended(other.page)]);
      assert.equal(tuned.error, null);
      assert.deepEqual([same.measured, same.records], [tuned.measured, tuned.records]);
      assert.equal(tuned.records[0], tuned.measured);
      const file = await one.page.evaluate(() => document.querySelector("tw-autotune").tuner.file());
      const variants = JSON.parse(file).records.map(({ shape, kernel, parameters }) =>
        JSON.stringify([shape, kernel, parameters]),
      );
      assert.equal(new Set(variants).size, variants.length, "no variant was measured twice");

      // The same storage under another engine: a worker outlives its pages for as long as the browser likes.
      laterContext = await browser.newContext({ storageState: await context.storageState({ indexedDB: true }) });
      const later = await openPage(laterContext, BY_ITSELF);
      const again = await ended(later.page);
      assert.equal(again.measured, 0);
      assert.deepEqual(again.records, tuned.records);
      assert.ok(again.operations.every(({ state }) => state === "known"));
      await later.page.getByText("nothing was measured this time").waitFor();
      assert.deepEqual([...one.faults, ...other.faults, ...later.faults], []);
    } finally {
      await laterContext?.close();
      await context.close();
    }
  },
);

test(
  "engines of two models take turns, and the second measures nothing that the first has measured",
  LIMIT,
  async () => {
    const context = await browser.newContext();
    try {
      const other = BY_ITSELF.replace("/fixtures/llama/", "/with-template/llama/");
      const pages = await Promise.all([openPage(context, BY_ITSELF), openPage(context, other)]);
      // One waits for its turn then; asked to begin anew, it must not keep the turn that it no longer waits for.
      await until(
        "one of them measures",
        () => Promise.all(pages.map(({ page }) => status(page))),
        (both) => both.some(({ state }) => state === "tuning"),
      );
      const states = await Promise.all(pages.map(({ page }) => status(page)));
      const waiting = pages[states.findIndex(({ state }) => state !== "tuning")].page;
      await waiting.evaluate(() => document.querySelector("tw-autotune").tuner.start(false));
      const [one, two] = await Promise.all(pages.map(({ page }) => ended(page)));
      await until(
        "nobody has the turn to tune",
        () => waiting.evaluate(() => navigator.locks.query()),
        ({ held, pending }) => [...held, ...pending].every(({ name }) => name !== "tilewright tuning"),
      );
      assert.deepEqual([one.error, two.error], [null, null]);
      assert.equal(Math.min(one.measured, two.measured), 0);
      assert.ok(Math.max(one.measured, two.measured) > 0);
      assert.ok([one, two].every(({ operations }) => operations.every(({ default_us: us }) => us > 0)));
      assert.deepEqual(
        pages.flatMap(({ faults }) => faults),
        [],
      );
    } finally {
      await context.close();
    }
  },
);

test("a model's tuner measures nothing while another model answers, and goes on after that", LIMIT, async () => {
  const context = await browser.newContext();
  try {
    const asker = await context.newPage();
    await connectIn(asker, site.origin, "/synthetic/long/", { tuning: "off" });
    const { page, faults } = await openPage(context, BY_ITSELF);
    const seen = () => status(page);
    await until("something is measured", seen, ({ measured }) => measured > 0);
    // Thousands of tokens, and another answer long before one ends: between two the tuner may rightly measure something.
    const long = { prompt: [3, 4, 5], max_tokens: 6000, temperature: 0, ignore_eos: true };
    const answers = [];
    const keepAnswering = async () => {
      const { running, waiting } = await look(asker);
      if ([...running, ...waiting].some(({ tokens }) => tokens < long.max_tokens / 2)) return;
      answers.push(`answer ${answers.length + 1}`);
      await beginStream(asker, answers.at(-1), long);
    };
    const seenMeanwhile = async () => {
      await keepAnswering();
      return seen();
    };
    const { measured: reached } = await until("it gives way", seenMeanwhile, ({ waiting }) => waiting);
    const end = Date.now() + 2_000;
    while (Date.now() < end) assert.equal((await seenMeanwhile()).measured, reached);
    for (const answer of answers) await abortStream(asker, answer);
    await until("it goes on", seen, ({ measured, waiting }) => measured > reached && !waiting);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
});

test("a page whose model runs on the CPU says that there is no GPU to tune, and its buttons know", LIMIT, async () => {
  const context = await browser.newContext();
  try {
    const { page, faults } = await openPage(context, WITHOUT_GPU);
    await page.getByRole("heading", { name: "No GPU to tune" }).waitFor();
    for (const name of ["Tune now", "Pause", "Measure everything again"]) {
      assert.equal(await button(page, name).isDisabled(), true, name);
    }
    // A file may be brought and taken all the same, here by dropping it on the page.
    const dragged = await page.evaluateHandle((text) => {
      const dragged = new DataTransfer();
      dragged.items.add(new File([text], "dropped.json", { type: "application/json" }));
      return dragged;
    }, exported);
    await page.dispatchEvent("body", "dragover", { dataTransfer: dragged });
    await page.getByText("Drop a file of measurements").waitFor();
    await page.dispatchEvent("body", "drop", { dataTransfer: dragged });
    await page.locator("tw-autotune-taken").getByText("taken from dropped.json").waitFor();
    assert.equal(await page.getByText("Drop a file of measurements").count(), 0);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
});
