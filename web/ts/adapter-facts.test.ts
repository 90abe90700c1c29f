import { expect, test } from "vitest";
import { adapterFacts } from "./adapter-facts.js";

const CHROMIUM =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const SAFARI =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15";
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";

function browserOf(navigator: object): unknown {
  return (JSON.parse(adapterFacts({}, navigator)) as { browser: unknown }).browser;
}

test("browsers are told by their engine, its major version and the system", () => {
  expect(browserOf({ userAgent: CHROMIUM })).toEqual({ name: "Chromium", version: "156", os: "Linux" });
  expect(browserOf({ userAgent: SAFARI })).toEqual({ name: "Safari", version: "26", os: "Mac OS X" });
  expect(browserOf({ userAgent: FIREFOX })).toEqual({ name: "Firefox", version: "153", os: "Linux" });
  expect(browserOf({})).toEqual({ name: "", version: "", os: "" });
});

test("limits are read wherever the browser keeps them, in one order, and features too", () => {
  // As in browsers: accessors of a prototype.
  const limits = Object.create({ maxBufferSize: 4, maxBindGroups: 8, words: "none" }) as object;
  const facts = JSON.parse(adapterFacts({ info: { vendor: "nvidia" }, features: new Set(["b", "a"]), limits }, {})) as {
    vendor: string;
    features: string[];
    limits: string;
  };
  expect(facts.vendor).toBe("nvidia");
  expect(facts.features).toEqual(["a", "b"]);
  expect(facts.limits).toBe("maxBindGroups=8 maxBufferSize=4");
});
