// The chat page as a user meets it, on a small fixture that babbles: what is tested is the page, not the model.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { startSite } from "./site.mjs";

const MODEL = "/with-template/llama/";
const LIMIT = { timeout: 120_000 };

let site, browser, context, page, faults;

before(async () => {
  site = await startSite();
  browser = await launchChromium();
  // One profile for all: the engine outlives each test's page.
  context = await browser.newContext();
});
after(async () => {
  await browser?.close();
  await site.close();
});
beforeEach(async () => {
  ({ page, faults } = await openChat());
  await page.evaluate(() => localStorage.clear());
  await limitAnswers(40);
});
afterEach(() => page.close());

/** How long answers may be from now on, and what else the settings drawer stores. */
function limitAnswers(maxTokens, more = {}) {
  return page.evaluate((settings) => localStorage.setItem("tilewright.settings", JSON.stringify(settings)), {
    maxTokens,
    ...more,
  });
}

/** The chat page, ready to answer. */
async function openChat() {
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol.startsWith("http") && origin !== site.origin) faults.push(`${request.url()} is on another site`);
  });
  await page.goto(`${site.origin}/?model=${MODEL}&device=gpu`);
  await page.getByText("swiftshader").waitFor();
  return { page, faults };
}

async function say(text, key = "Enter") {
  await page.getByLabel("Message").fill(text);
  await page.getByLabel("Message").press(key);
}

/**
 * Has the page write down how long the drawn answer is, at each frame that the stop button is there: whoever looks from here
 * may find the answer at its end.
 */
function noteLengths() {
  return page.evaluate(() => {
    window.lengths = [];
    const { shadowRoot } = document.querySelector("tw-app");
    const note = () => {
      const drawn = shadowRoot.querySelector("tw-turn:last-of-type")?.shadowRoot.querySelector(".prose");
      const stop = shadowRoot.querySelector("tw-composer").shadowRoot.querySelector("[aria-label='Stop the answer']");
      const { length } = drawn?.textContent.trim() ?? "";
      if (stop && drawn && length !== window.lengths.at(-1)) window.lengths.push(length);
      requestAnimationFrame(note);
    };
    note();
  });
}

const answer = () => page.locator("tw-turn .prose").last();
const answered = () => page.getByRole("button", { name: "Regenerate" }).waitFor({ timeout: 60_000 });

test("a typed question gets a streamed answer, and the status line says how fast it came", LIMIT, async () => {
  await limitAnswers(400, { temperature: 0 });
  await noteLengths();
  await say("Hello there");
  await answered();
  assert.notEqual((await page.evaluate(() => window.lengths)).length, 0, "it could be stopped while it came");
  assert.notEqual((await answer().innerText()).trim(), "");

  const status = await page.locator("tw-status dl").innerText();
  assert.match(status, /llama/, "the model");
  assert.match(status, /swiftshader.*WebGPU/i, "the device");
  assert.match(status, /[\d.]+ tokens\/s/);
  assert.match(status, /First token\s+[\d.]+ m?s/);
  // The template puts <s> before the message; the vocabulary has one token for each byte.
  assert.match(status, new RegExp(`${1 + "Hello there".length + 400} of 512 tokens`));
  assert.deepEqual(faults, []);
});

test("an answer grows on the page while it streams", LIMIT, async () => {
  await limitAnswers(480, { temperature: 0 });
  await noteLengths();
  await say("Grow");
  await answered();
  const lengths = await page.evaluate(() => window.lengths);
  // Not each is longer than the one before: what turns out to be markup is drawn in fewer characters.
  assert.ok(new Set(lengths).size >= 4, `${lengths} are its lengths before its end`);
  assert.ok(lengths.at(-1) > lengths[0], `${lengths}`);
});

test("the stop button and Escape end an answer, which stays and can be made again", LIMIT, async () => {
  // An answer that is drawn may end at once; the most probable one to this question goes on to the limit.
  await limitAnswers(480, { temperature: 0 });
  for (const [round, stop] of [
    () => page.getByRole("button", { name: "Stop the answer" }).click(),
    () => page.keyboard.press("Escape"),
  ].entries()) {
    if (round > 0) await page.getByRole("button", { name: "New chat" }).click();
    await say("Go on and on");
    await answer().waitFor();
    await page.waitForFunction(
      () => document.querySelector("tw-app").shadowRoot.querySelector("tw-turn:last-of-type").text.length > 5,
    );
    await stop();
    await page.getByText("You stopped this answer").last().waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
  }
  await limitAnswers(10, { temperature: 0 });
  await page.getByRole("button", { name: "Regenerate" }).click();
  await page.getByText("reached its token limit").waitFor();
  assert.equal(await page.locator("tw-turn").count(), 2, "the answer was replaced, not added");
});

test("Shift+Enter starts a new line and Enter sends", LIMIT, async () => {
  const field = page.getByLabel("Message");
  await field.fill("first");
  await field.press("Shift+Enter");
  await field.pressSequentially("second");
  assert.equal(await field.inputValue(), "first\nsecond");
  await field.press("Enter");
  await page.locator("tw-turn .said").waitFor();
  assert.equal(await page.locator("tw-turn .said").innerText(), "first\nsecond");
  assert.equal(await field.inputValue(), "");
});

test(
  "a question that comes while the model loads waits, can be taken back, and is answered when the model is there",
  LIMIT,
  async () => {
    // The library, and so the model, comes when the test lets it.
    let come;
    const library = new Promise((resolve) => (come = resolve));
    const early = await context.newPage();
    try {
      await early.route("**/lib/tilewright.js*", async (route) => {
        await library;
        await route.continue();
      });
      await early.goto(`${site.origin}/?model=${MODEL}&device=gpu`);
      const field = early.getByLabel("Message");
      const waits = early.getByText("It will be sent as soon as the model is ready");
      await field.fill("Hurry");
      await field.press("Enter");
      await waits.waitFor();
      await field.press("Escape");
      await waits.waitFor({ state: "detached" });
      await early.getByRole("button", { name: "Send" }).click();
      await early.getByRole("button", { name: "Don't send" }).click();
      await field.press("Enter");
      await field.pressSequentially("!");
      await waits.waitFor({ state: "detached" });
      await field.press("Enter");
      await waits.waitFor();
      assert.equal(await field.inputValue(), "Hurry!");
      come();
      await early.locator("tw-turn .prose").waitFor({ timeout: 60_000 });
      assert.equal(await early.locator("tw-turn .said").innerText(), "Hurry!");
      assert.equal(await field.inputValue(), "");
      assert.equal(await waits.count(), 0);
    } finally {
      come();
      await early.close();
    }
  },
);

test("a new chat is empty, and a reload of the tab keeps the conversation", LIMIT, async () => {
  await say("Remember me");
  await answered();
  const said = await answer().innerText();
  await page.reload();
  await page.getByText("swiftshader").waitFor();
  assert.equal(await answer().innerText(), said);
  await page.getByRole("button", { name: "New chat" }).click();
  await page.getByRole("heading", { name: "A language model, in your browser" }).waitFor();
  assert.equal(await page.locator("tw-turn").count(), 0);
});

test("settings are remembered, and the next answer uses them", LIMIT, async () => {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("textbox", { name: "System prompt" }).fill("Be brief");
  const limit = page.getByRole("spinbutton", { name: "Max tokens" });
  await limit.fill("7");
  await limit.press("Tab");
  await page.getByRole("slider", { name: "Temperature" }).press("Home");
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  const stored = await page.evaluate(() => JSON.parse(localStorage.getItem("tilewright.settings")));
  assert.deepEqual([stored.systemPrompt, stored.maxTokens, stored.temperature], ["Be brief", 7, 0]);

  await say("Hi");
  await page.getByText("reached its token limit").waitFor();
  const used = "1 Be brief 1 Hi".replaceAll(/ 1 |1 /g, "<").length + 7; // <s> is one token
  assert.match(await page.locator("tw-status dl").innerText(), new RegExp(`${used} of 512 tokens`));

  // The same question at temperature 0 has the same answer.
  const once = await answer().innerText();
  await page.getByRole("button", { name: "Regenerate" }).click();
  await page.getByText("reached its token limit").waitFor();
  assert.equal(await answer().innerText(), once);
});

test("two tabs of the chat share one engine", LIMIT, async () => {
  const before = site.fetched(`${MODEL}model.safetensors`);
  const other = await openChat();
  assert.equal(site.fetched(`${MODEL}model.safetensors`), before, "the second tab loaded nothing");
  await say("From the first tab");
  await other.page.getByLabel("Message").fill("From the second tab");
  await other.page.getByLabel("Message").press("Enter");
  await Promise.all([answered(), other.page.getByRole("button", { name: "Regenerate" }).waitFor({ timeout: 60_000 })]);
  assert.equal(await page.getByText("From the second tab").count(), 0);
  await other.page.close();
});

test("light and dark follow the system until the user chooses", LIMIT, async () => {
  const becomes = (scheme) =>
    page.waitForFunction((scheme) => getComputedStyle(document.documentElement).colorScheme === scheme, scheme);
  await page.emulateMedia({ colorScheme: "dark" });
  await becomes("dark");
  await page.getByRole("button", { name: "Light colours" }).click();
  await becomes("light");
  await page.reload();
  await page.getByRole("button", { name: "Dark colours" }).waitFor();
  await becomes("light");
});
