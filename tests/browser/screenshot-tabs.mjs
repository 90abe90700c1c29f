// The pictures of the tabs page: four pages that ask again and again, three of them with one system prompt, on the small
// fixture model, because a real one on a GPU in software takes a second for each step. `cargo xtask screenshot` builds the site first.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { launchChromium } from "./browsers.mjs";
import { connectIn } from "./library.mjs";
import { startSite } from "./site.mjs";

const MODEL = "/with-template/llama/";
const PAGES = [
  { title: "Chat", system: true, tokens: 150, atOnce: 2 },
  { title: "Notes", system: true, tokens: 110, atOnce: 1 },
  { title: "Mail", system: true, tokens: 90, atOnce: 1 },
  { title: "Translate", system: false, tokens: 180, atOnce: 2 },
];
const WARM_UP_MS = 12_000;

const folder = resolve(import.meta.dirname, "../../docs");
await mkdir(folder, { recursive: true });
const site = await startSite();
const browser = await launchChromium();
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 1000 }, deviceScaleFactor: 1.5 });
  const pages = [];
  for (const { title } of PAGES) {
    const page = await context.newPage();
    await page.goto(`${site.origin}/empty.html?${title.toLowerCase()}`);
    await page.evaluate((title) => (document.title = title), title);
    await connectIn(page, site.origin, MODEL);
    pages.push(page);
  }
  const tabs = await context.newPage();
  await tabs.goto(`${site.origin}/tabs.html?model=${MODEL}&device=gpu`);
  await tabs.locator("tw-tabs-clients li").first().waitFor();
  await Promise.all(pages.map((page, i) => page.evaluate(askOnAndOn, { ...PAGES[i], i })));
  await tabs.waitForTimeout(WARM_UP_MS);
  for (const colorScheme of ["light", "dark"]) {
    await tabs.emulateMedia({ colorScheme });
    await tabs.waitForTimeout(1000);
    await tabs.waitForFunction(manyRows, undefined, { polling: 20, timeout: 120_000 });
    const path = join(folder, `tabs-${colorScheme}.png`);
    await tabs.screenshot({ path, fullPage: true });
    console.log(`Wrote ${path}`);
  }
} finally {
  await browser.close();
  await site.close();
}

/** In a page: asks, and when the answer is there asks something else, until the page is closed. */
function askOnAndOn({ system, tokens, atOnce, i }) {
  let asked = 0;
  const ask = async () => {
    for (;;) {
      const content =
        (system ? "You answer briefly. ".repeat(6) : "") +
        `Question ${asked++} of page ${i}: ${"how do tides work? ".repeat(1 + ((asked * 7 + i * 3) % 7))}`;
      const messages = [{ role: "user", content }];
      const stream = await window.tw.chat.completions.create({ messages, max_tokens: tokens, stream: true });
      for await (const chunk of stream) void chunk;
      await new Promise((later) => setTimeout(later, 100));
    }
  };
  for (let k = 0; k < atOnce; k++) setTimeout(() => void ask(), k * 700);
}

/** In the tabs page: are there rows of several pages, a prompt's among them, and blocks of every common kind? */
function manyRows() {
  const part = (name) => document.querySelector("tw-tabs").shadowRoot.querySelector(name).shadowRoot;
  const rows = [...part("tw-tabs-step").querySelectorAll("li[data-client]")].map((row) => row.textContent);
  const has = (kind) => part("tw-tabs-blocks").querySelector(`[data-kind=${kind}] b`).textContent !== "0";
  return rows.length >= 3 && rows.some((row) => row.includes("prefill")) && has("shared") && has("cached");
}
