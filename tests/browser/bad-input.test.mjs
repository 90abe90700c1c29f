// What goes wrong, as the library tells it (type, code, a message that names the thing) and as the page words it. After each
// failure the same worker answers a request of a page that was there all along.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchChromium } from "./browsers.mjs";
import { ask, connectError, connectIn } from "./library.mjs";
import { startSite } from "./site.mjs";

let site, browser, context, bystander;
before(async () => {
  site = await startSite();
  browser = await launchChromium();
  context = await browser.newContext();
  bystander = await context.newPage();
  await connectIn(bystander, site.origin, "/with-template/llama/");
});
after(async () => {
  await browser?.close();
  await site.close();
});

async function theWorkerStillAnswers() {
  const body = { prompt: [1, 50, 60], max_tokens: 3, ignore_eos: true };
  const { error, usage } = await ask(bystander, "completions", body);
  assert.equal(error, undefined);
  assert.equal(usage.completion_tokens, 3);
}

/** Models that can't be had: what the library says, and the heading of the page's card. */
const MODELS = [
  {
    what: "a model address that answers 404",
    model: "/nowhere/model.gguf",
    code: "file_not_found",
    names: /\/nowhere\/model\.gguf.*404/,
    heading: "The model was not found",
  },
  {
    what: "a GGUF that ends too early",
    model: "/cut/model.gguf",
    code: "file_damaged",
    names: /model\.gguf/,
    heading: "The model's file is damaged",
  },
  {
    what: "safetensors that end too early",
    model: "/cut/llama/",
    code: "file_damaged",
    names: /model\.safetensors/,
    heading: "The model's file is damaged",
  },
  {
    what: "a family that nobody knows",
    model: "/unknown-family/llama/",
    code: "model_not_supported",
    names: /mystery/i,
    heading: "This model can't be used",
  },
  {
    what: "a missing tokenizer",
    model: "/no-tokenizer/llama/",
    code: "file_not_found",
    names: /tokenizer\.json/,
    heading: "The model was not found",
  },
];

for (const { what, model, code, names, heading } of MODELS) {
  test(`${what} is an error that names it, and words on the page`, { timeout: 60_000 }, async () => {
    const error = await connectError(bystander, model);
    assert.equal(error?.name, "TilewrightError");
    assert.equal(error.type, "model_load_error");
    assert.equal(error.code, code, error.message);
    assert.equal(error.param, "model");
    assert.match(error.message, names);
    await theWorkerStillAnswers();
    await thePageSays(model, heading, names);
  });
}

test("an address that is none is an error before anything is fetched", async () => {
  const error = await connectError(bystander, "not an address");
  assert.deepEqual(
    [error.type, error.code, error.param],
    ["invalid_request_error", "model_address_not_understood", "model"],
  );
  await thePageSays("not an address", "That is not a model's address", /not an address/);
});

test(
  "a model address that stalls is an error after the time that the page gives it",
  { timeout: 120_000 },
  async () => {
    const model = "/stalled/llama/";
    const failed = connectError(bystander, model, { stallMs: 5000 });
    const page = await openPage(model); // joins the load that is under way
    await page.getByText(/ of \d+/).waitFor({ timeout: 30_000 });
    const error = await failed;
    assert.deepEqual([error.type, error.code], ["model_load_error", "download_stalled"]);
    assert.match(error.message, /stalled\/llama\/model\.safetensors/);
    await theWorkerStillAnswers();
    await theCardSays(page, "The model could not be downloaded", /model\.safetensors/);
    await page.getByRole("button", { name: "Try again" }).waitFor();
    await page.close();
  },
);

test(
  "a prompt longer than the context is an error with both numbers, and the page offers a new chat",
  { timeout: 60_000 },
  async () => {
    const { error } = await ask(bystander, "completions", { prompt: new Array(600).fill(7), max_tokens: 1 });
    assert.deepEqual(
      [error.type, error.code, error.param],
      ["invalid_request_error", "context_length_exceeded", "prompt"],
    );
    assert.match(error.message, /600.*512/);
    await theWorkerStillAnswers();

    const page = await openPage("/with-template/llama/");
    await page.getByText("swiftshader").waitFor();
    await page.getByLabel("Message").fill("long ".repeat(200));
    await page.getByLabel("Message").press("Enter");
    await theCardSays(page, "The conversation is too long for this model", /1,?000.*512/);
    await page.getByRole("button", { name: "New chat" }).last().click();
    await page.getByRole("heading", { name: "A language model, in your browser" }).waitFor();
    await page.close();
  },
);

test("fields that can't be are errors that name the field", { timeout: 60_000 }, async () => {
  const messages = [{ role: "user", content: "Hi" }];
  const cases = [
    [{ messages, temperature: "hot" }, "temperature"],
    [{ messages, top_p: 7 }, "top_p"],
    [{ messages: [] }, "messages"],
    [{ messages: [{ role: "wizard", content: "Hi" }] }, "messages[0].role"],
    [{ messages, max_tokens: 0 }, "max_tokens"],
    [{ messages, n: 2 }, "n"],
  ];
  for (const [body, param] of cases) {
    const { error } = await ask(bystander, "chat.completions", body);
    assert.equal(error?.type, "invalid_request_error", param);
    assert.equal(error.param, param, error.message);
    assert.ok(error.message.includes(param.replace(/\[.*/, "")), error.message);
  }
  await theWorkerStillAnswers();
});

for (const [what, model, type, code] of [
  ["without a chat template", "/fixtures/llama/", "invalid_request_error", "no_chat_template"],
  ["with a chat template that does not parse", "/broken-template/llama/", "server_error", "chat_template_error"],
]) {
  test(`a model ${what} refuses chats, in words, and completes text`, { timeout: 60_000 }, async () => {
    const page = await openPage(model);
    await page.getByText("swiftshader").waitFor();
    await page.getByLabel("Message").fill("Hi");
    await page.getByLabel("Message").press("Enter");
    await theCardSays(page, "This model can't chat", /template/);

    await connectIn(page, site.origin, model);
    const { error } = await ask(page, "chat.completions", { messages: [{ role: "user", content: "Hi" }] });
    assert.deepEqual([error?.type, error?.code, error?.param], [type, code, "messages"], error?.message);
    const { usage } = await ask(page, "completions", { prompt: "Hi", max_tokens: 2, ignore_eos: true });
    assert.equal(usage.completion_tokens, 2);
    await page.close();
  });
}

test(
  "whoever insists on the GPU hears that there is no WebGPU, and the page says what to do",
  { timeout: 60_000 },
  async () => {
    const without = await launchChromium({ gpu: false });
    try {
      const page = await without.newPage();
      await page.goto(`${site.origin}/empty.html`);
      const error = await connectError(page, "/fixtures/llama/", { device: "gpu" });
      assert.equal(error?.type, "device_error");
      assert.match(error.code, /^webgpu_/);
      assert.match(error.message, /WebGPU/);
      await page.goto(`${site.origin}/?device=gpu`);
      await theCardSays(page, "This browser has no WebGPU", /WebGPU/);
      await page.getByText("Use a recent Chrome").waitFor();
    } finally {
      await without.close();
    }
  },
);

async function openPage(model) {
  const page = await context.newPage();
  await page.goto(`${site.origin}/?device=gpu&model=${encodeURIComponent(model)}`);
  return page;
}

async function thePageSays(model, heading, names) {
  const page = await openPage(model);
  await theCardSays(page, heading, names);
  await page.close();
}

async function theCardSays(page, heading, names) {
  const card = page.locator("tw-trouble .card");
  await card.waitFor({ timeout: 20_000 });
  const words = await card.innerText();
  assert.ok(words.startsWith(heading), words);
  assert.match(words, names);
  assert.ok((await card.locator(".advice").innerText()).length > 10, "and what to do");
}
