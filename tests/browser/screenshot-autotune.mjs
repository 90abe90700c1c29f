// The pictures of the tuning page: a tuning of the model that comes with the site, ten times as long as by default so that there
// is a search to see, with the operation open that was searched most. `cargo xtask screenshot` builds the site first. On a GPU in
// software this takes some minutes.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { launchChromium } from "./browsers.mjs";
import { until } from "./library.mjs";
import { startSite } from "./site.mjs";

const SECONDS = 30;
const TUNING_MS = 1_800_000;

const folder = resolve(import.meta.dirname, "../../docs");
await mkdir(folder, { recursive: true });
const site = await startSite();
const browser = await launchChromium();
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 1180 }, deviceScaleFactor: 1.5 });
  const page = await context.newPage();
  await page.goto(`${site.origin}/autotune.html?device=gpu&tuning=off&seconds=${SECONDS}`);
  await page.locator("tw-autotune-controls").waitFor({ timeout: TUNING_MS });
  const status = () => page.evaluate(() => document.querySelector("tw-autotune").tuner.status);
  const done = ({ state }) => state === "done" || state === "failed";
  await until("what is known is adopted", status, done, TUNING_MS);
  await page.getByRole("button", { name: "Tune now" }).click();
  await until("the tuning is done", status, (now) => done(now) && now.measured > 0, TUNING_MS);
  const { operations, phases } = await page.evaluate(() => {
    const { operations } = document.querySelector("tw-autotune").tuner.status;
    return { operations, phases: [...new Set(operations.map(({ phase }) => phase))] };
  });
  // Of the first phase, so that it can be seen without scrolling.
  const first = operations.filter(({ phase }) => phase === phases[0]);
  const most = first.reduce((a, b) => (b.tried > a.tried ? b : a));
  const row = page.locator("tw-autotune-operations").first().getByRole("button", { name: most.label });
  await row.click();
  await row.blur();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(1000); // transitions, and the plot in its new colours
    const path = join(folder, `autotune-${colorScheme}.png`);
    await page.screenshot({ path });
    console.log(`Wrote ${path}`);
  }
} finally {
  await browser.close();
  await site.close();
}
