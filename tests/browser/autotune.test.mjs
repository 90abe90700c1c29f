// The tuning page in Chromium, on a GPU in software and the small fixture model: a tuning from nothing, its export, the import
// of it in a fresh profile, and files that are none.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { until } from "./library.mjs";
import { startSite } from "./site.mjs";

// Not by itself, so that the button has something to do; and a part of a second, because compiling takes a program that
// pretends to be a GPU many times as long as measuring.
const PAGE = "/autotune.html?model=/fixtures/llama/&device=gpu&tuning=off&seconds=0.05";
const LIMIT = { timeout: 150_000 };

let site, browser, exported;

before(async () => {
  site = await startSite();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await site?.close();
});

async function openPage(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  await page.goto(site.origin + PAGE);
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
  await button(page, "Tune now").click();
  await page.waitForTimeout(500); // it starts
  return until(
    "the tuning is done",
    () => status(page),
    ({ state }) => state === "done" || state === "failed",
    120_000,
  );
}

async function importFile(page, name, text) {
  await page
    .locator("tw-autotune-controls input[type=file]")
    .setInputFiles({ name, mimeType: "application/json", buffer: Buffer.from(text) });
  const note = page.locator("tw-autotune-taken");
  await note.getByText(name).waitFor();
  return note.innerText();
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

      const { length } = JSON.parse(exported).records;
      const note = await importFile(page, "tuning.json", exported);
      assert.ok(note.startsWith(`${length} taken from tuning.json`), note);
      assert.deepEqual((await status(page)).records.slice(0, 2), [0, length]);

      const { measured, error } = await tune(page);
      assert.equal(error, null);
      assert.equal(measured, 0);
      assert.match(await importFile(page, "once-more.json", exported), /Nothing new in once-more\.json/);
      assert.deepEqual(faults, []);
    } finally {
      await context.close();
    }
  },
);
