// The pictures of the tuning page down to its first phase: some seconds of tuning on the small fixture model, and the operation of
// the phase with most variants opened.
// `cargo xtask screenshot` builds the site first.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { launchChromium } from "./browsers.mjs";
import { startSite } from "./site.mjs";

const PAGE = "/autotune.html?model=/fixtures/llama/&device=gpu&tuning=off&seconds=3";

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
  const tried = await page.evaluate(() => {
    const { operations } = document.querySelector("tw-autotune").tuner.status;
    return operations.filter(({ phase }) => phase === operations[0].phase).map(({ tried }) => tried);
  });
  const phase = page.locator("tw-autotune-operations").first();
  await phase
    .locator("tbody th button")
    .nth(tried.indexOf(Math.max(...tried)))
    .click();
  await page.mouse.move(0, 0); // nothing is pointed at
  await page.locator("tw-autotune-details table").first().waitFor();
  const { y, height } = await phase.boundingBox();
  await page.setViewportSize({ width: 1280, height: Math.ceil(y + height + 16) });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(1000);
    const path = join(folder, `autotune-${colorScheme}.png`);
    await page.screenshot({ path });
    console.log(`Wrote ${path}`);
  }
} finally {
  await browser.close();
  await site.close();
}
