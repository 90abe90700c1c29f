// Debian's Chromium and Firefox ESR, headless, with WebGPU computed in software (SwiftShader, lavapipe). Neither package
// here brings a browser of its own.
import { chromium } from "playwright-core";
import puppeteer from "puppeteer-core";

const CHROMIUM = process.env.TILEWRIGHT_CHROMIUM ?? "/usr/bin/chromium";
const FIREFOX = process.env.TILEWRIGHT_FIREFOX ?? "/usr/bin/firefox-esr";

const QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
const ADAPTERS = {
  swiftshader: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  /** The machine's own, through Vulkan. */
  default: ["--enable-unsafe-webgpu", "--use-angle=vulkan", "--enable-features=Vulkan", "--disable-vulkan-surface"],
};
/** A container without user namespaces has no sandbox; root may not use one. */
const SANDBOX = process.getuid?.() === 0 ? ["--no-sandbox"] : [];

/** Chromium through playwright-core, which switches the back/forward cache off unless told otherwise. */
export function launchChromium({ gpu = true, adapter = "swiftshader", backForwardCache = false } = {}) {
  return chromium.launch({
    executablePath: CHROMIUM,
    ignoreDefaultArgs: backForwardCache ? ["--disable-back-forward-cache"] : [],
    args: [...SANDBOX, ...QUIET, ...(gpu ? ADAPTERS[adapter] : ["--disable-gpu", "--disable-features=WebGPU"])],
  });
}

/** Firefox through puppeteer-core and WebDriver BiDi. WebGPU is off on Linux until these two are set. */
export function launchFirefox() {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    headless: true,
    extraPrefsFirefox: { "dom.webgpu.enabled": true, "gfx.webgpu.ignore-blocklist": true },
    protocolTimeout: 300_000,
  });
}
