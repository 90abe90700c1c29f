// The pictures in the README: the chat page in a real conversation with the model that comes with the site, light and dark.
// `cargo xtask screenshot` builds the site first. On a GPU in software this takes some minutes.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { launchChromium } from "./browsers.mjs";
import { startSite } from "./site.mjs";

const QUESTIONS = ["What is the capital of France?", "Write a Python function that adds two numbers."];
const ANSWER_MS = 900_000;

const folder = resolve(import.meta.dirname, "../../docs");
await mkdir(folder, { recursive: true });
const site = await startSite();
const browser = await launchChromium();
try {
  const context = await browser.newContext({ viewport: { width: 1200, height: 760 }, deviceScaleFactor: 2 });
  await context.addInitScript(() => {
    const settings = { temperature: 0, repetitionPenalty: 1, maxTokens: 160 };
    localStorage.setItem("tilewright.settings", JSON.stringify(settings));
  });
  const page = await context.newPage();
  await page.goto(site.origin);
  await page.locator("tw-status dl").waitFor({ timeout: ANSWER_MS });
  for (const [i, question] of QUESTIONS.entries()) {
    await page.getByLabel("Message").fill(question);
    await page.getByLabel("Message").press("Enter");
    await page
      .locator("tw-turn")
      .nth(2 * i + 1)
      .getByRole("button", { name: "Regenerate" })
      .waitFor({ timeout: ANSWER_MS });
  }
  await page.locator("body").click({ position: { x: 5, y: 400 } }); // no caret in the picture
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(500); // transitions
    const path = join(folder, `chat-${colorScheme}.png`);
    await page.screenshot({ path });
    console.log(`Wrote ${path}`);
  }
} finally {
  await browser.close();
  await site.close();
}
