// The pictures of the tuning page: a second of tuning on the small fixture model, and the operation with most variants opened.
// `cargo xtask screenshot` builds the site first.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { launchChromium } from "./browsers.mjs";
import { startSite } from "./site.mjs";

const PAGE = "/autotune.html?model=/fixtures/llama/&device=gpu&tuning=off&seconds=1";

const folder = resolve(import.meta.dirname, "../../docs");
await mkdir(folder, { recursive: true });
const site = await startSite();
const browser = await launchChromium();
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 1000 }, deviceScaleFactor: 1.5 });
  const page = await context.newPage();
  await page.goto(site.origin + PAGE);
  const inState = (...states) =>
    page.waitForFunction(
      (states) => states.includes(document.querySelector("tw-autotune")?.tuner.status?.state),
      states,
      { polling: 100, timeout: 240_000 },
    );
  await inState("done");
  await page.locator("tw-autotune-controls").getByRole("button", { name: "Tune now", exact: true }).click();
  await inState("tuning", "trying", "failed");
  await inState("done", "failed");
  const operations = await page.evaluate(() => document.querySelector("tw-autotune").tuner.status.operations);
  const most = operations.reduce((best, { tried }, i) => (tried > operations[best].tried ? i : best), 0);
  await page.locator("tw-autotune-operations tbody th button").nth(most).click();
  await page.locator("tw-autotune-details table").first().waitFor();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(1000);
    const path = join(folder, `autotune-${colorScheme}.png`);
    await page.screenshot({ path, fullPage: true });
    console.log(`Wrote ${path}`);
  }
} finally {
  await browser.close();
  await site.close();
}
