// Every kernel against its CPU twin in real browsers: Chromium's compiler for WGSL is Tint, Firefox's is naga, and below them
// are SwiftShader and lavapipe. The module itself draws variants and shapes from a seed (web/src/kernel_check.rs). All of a
// round natively is `cargo test -p tilewright-autotune`; each browser has a third, and the two run side by side, since SwiftShader
// waits for its compiler and Firefox for its clock, a tenth of a second for each answer.
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { launchChromium, launchFirefox } from "./browsers.mjs";
import { startSite } from "./site.mjs";

const ROWS = [1, 2, 3, 5, 8, 17, 33, 70];
const FORMS = {
  matvec: ["plain", "accumulate", "gate", "qkv", "head"],
  matvec_serial: ["plain", "accumulate"],
  matvec_packed: ["plain", "accumulate", "gate", "qkv", "head"],
  matmul: ["plain", "accumulate"],
  matmul_packed: ["plain", "accumulate", "head"],
  subgroup_matmul_packed: ["plain", "accumulate", "gate", "qkv", "head"],
};
const QUANTIZED = ["q4 by 32", "q4m by 32", "q8 by 32", "q8m by 32", "q8 by 16"];
const FORMATS = ["f32", "f16", "bf16", ...QUANTIZED];
const TOLERANCE = 2e-3;
/** All there are: engine/src/kernels has one WGSL file for each. */
const KERNELS = (await readdir(join(import.meta.dirname, "../../engine/src/kernels")))
  .filter((file) => file.endsWith(".wgsl"))
  .map((file) => file.replace(".wgsl", ""))
  .sort();

/** Which third of the products, and whether there is f16: lavapipe below Firefox has it, SwiftShader hasn't. */
const BROWSERS = { Chromium: [launchChromium, 0, false], Firefox: [launchFirefox, 1, true] };

let site;
before(async () => (site = await startSite()));
after(() => site?.close());

describe("kernels", { concurrency: 2 }, () => {
  for (const [name, [launch, from, halves]] of Object.entries(BROWSERS)) {
    test(`in ${name} every kernel does what its CPU twin does`, { timeout: 900_000 }, async (t) => {
      const browser = await launch();
      try {
        const page = await browser.newPage();
        await page.goto(`${site.origin}/empty.html`);
        await checkAll(page, from, halves, (text) => t.diagnostic(text));
        if (name === "Chromium") await checkSubgroups(page, await browser.newPage());
      } finally {
        await browser.close();
      }
    });
  }
});

async function checkAll(page, from, halves, tell) {
  const started = performance.now();
  const some = { seed: 2026, rounds: 1, tolerance: TOLERANCE, others: false, every: 3, from, subgroups: false };
  const report = await page.evaluate(check, { ...some, others: true });
  const seconds = Math.round((performance.now() - started) / 1e3);
  const products = report.checks.filter((check) => check.op);
  const inHalves = products.filter(({ variant }) => variant.halves === true);
  tell(
    `${products.length} products and ${report.checks.length - products.length} others in ${seconds} s, ` +
      `largest error of a product ${Math.max(...products.map(({ error }) => error))}, ` +
      `of ${inHalves.length} in f16 ${Math.max(0, ...inHalves.map(({ error }) => error))}`,
  );
  assertRight(report);
  assert.equal(report.subgroup, 1);
  assert.equal(report.halves, halves);
  assert.deepEqual([...new Set(inHalves.map(({ kernel }) => kernel))].sort(), halves ? ["matmul", "matvec"] : []);
  assertProducts(products);
  assert.deepEqual([...new Set(report.checks.map(({ kernel }) => kernel))].sort(), KERNELS);

  // That a check can fail: no kernel adds up in its twin's order, and one that is refused is told apart from the others.
  const few = { ...some, every: 24 };
  const strict = await page.evaluate(check, { ...few, tolerance: 0 });
  assert.ok(strict.wrong > strict.checks.length / 2, `${strict.wrong} of ${strict.checks.length} differ at all`);
  assert.throws(() => assertRight(strict), /matvec/);
  const refusing = await page.evaluate(check, { ...few, refuse: ["matmul"] });
  for (const { kernel, refused, right } of refusing.checks) {
    assert.deepEqual([refused !== null, right], [kernel === "matmul", kernel !== "matmul"], `${kernel}: ${refused}`);
  }
  assert.equal(refusing.refused, refusing.checks.filter(({ kernel }) => kernel === "matmul").length);
  assert.ok(refusing.refused > 0);
}

/** SwiftShader has subgroups of four. */
async function checkSubgroups(page, another) {
  const some = { seed: 7, rounds: 1, tolerance: TOLERANCE, others: false, every: 11 };
  const report = await page.evaluate(check, some);
  assertRight(report);
  assert.equal(report.subgroup, 4);
  const shuffling = report.checks.filter(({ variant }) => variant.subgroups === true);
  assert.deepEqual([...new Set(shuffling.map(({ kernel }) => kernel))].sort(), ["matvec", "matvec_packed"]);

  // A browser that offers them and then opens no device with them.
  await another.goto(`${site.origin}/empty.html`);
  await another.evaluate(() => {
    const { requestDevice } = GPUAdapter.prototype;
    window.refused = 0;
    GPUAdapter.prototype.requestDevice = function (descriptor) {
      if (![...(descriptor?.requiredFeatures ?? [])].includes("subgroups")) return requestDevice.call(this, descriptor);
      window.refused += 1;
      return Promise.reject(new TypeError("no such feature"));
    };
  });
  const without = await another.evaluate(check, { ...some, every: 40 });
  assertRight(without);
  assert.deepEqual([without.subgroup, await another.evaluate(() => window.refused)], [1, 1]);
}

function assertRight({ checks, right, wrong, refused }) {
  const bad = checks.filter(({ right, error, allowed }) => !right || error === null || error > allowed);
  assert.deepEqual(bad, [], `${bad.length} of ${checks.length} kernels are not right: ${JSON.stringify(bad)}`);
  assert.deepEqual([right, wrong, refused], [checks.length, 0, 0]);
}

/** Every kernel with everything that can be fused to it, every format, and every number of rows. */
function assertProducts(products) {
  const seen = (of) => new Set(products.map(of));
  const forms = seen(({ kernel, op }) => `${kernel} ${op.form}`);
  for (const [kernel, expected] of Object.entries(FORMS)) {
    for (const form of expected) assert.ok(forms.has(`${kernel} ${form}`), `${kernel} ${form}`);
  }
  const formats = seen(({ kernel, op: { format, group } }) => {
    const operands = kernel.endsWith("_packed") ? "integers" : "floats";
    return `${operands}, ${format}${group ? ` by ${group}` : ""}`;
  });
  for (const format of FORMATS) assert.ok(formats.has(`floats, ${format}`), format);
  for (const format of QUANTIZED) assert.ok(formats.has(`integers, ${format}`), format);
  const rows = new Set(products.map(({ op }) => op.rows));
  assert.deepEqual(
    [...rows].sort((a, b) => a - b),
    ROWS,
  );
  assert.ok(products.some(({ op }) => op.outputs % 2 === 1));
  assert.ok(products.every(({ op }) => op.inputs % 32 === 0));
  assert.ok(products.every(({ error, allowed }) => error <= TOLERANCE && allowed <= TOLERANCE));
}

/** In the page: the module's own door to its kernels. */
async function check(request) {
  if (!window.checkKernels) {
    const { default: start, check_kernels: checkKernels } = await import("/lib/tilewright_web.js");
    await start({ module_or_path: await WebAssembly.compileStreaming(fetch("/lib/tilewright_web_bg.wasm")) });
    window.checkKernels = checkKernels;
  }
  const thrown = (error) => {
    throw new Error(error.message); // an ErrorObject, which the drivers would not print
  };
  return JSON.parse(await window.checkKernels(JSON.stringify(request)).catch(thrown));
}
