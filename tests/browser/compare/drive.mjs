// Opens compare.html of the site in TILEWRIGHT_SITE and prints what it found as JSON. `cargo xtask bench` calls this:
// node drive.mjs '{"adapter":"swiftshader","device":"gpu","compare":{"prompt":480,...}}'
import { launchChromium } from "../browsers.mjs";
import { startSite } from "../site.mjs";

const { adapter, device, compare } = JSON.parse(process.argv[2]);
const site = await startSite();
const browser = await launchChromium({ gpu: device === "gpu", adapter });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on("console", (message) => console.error(message.text()));
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(`${site.origin}/compare.html`);
  await page.waitForFunction(() => window.runCompare);
  const found = await page.evaluate((options) => window.runCompare(options), compare);
  console.log(JSON.stringify({ ...found, chromium: browser.version(), device, launched_with: adapter }));
} finally {
  await browser.close();
  await site.close();
}
