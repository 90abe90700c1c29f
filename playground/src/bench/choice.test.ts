import { describe, expect, test } from "vitest";
import { choiceOf, optionsOf } from "./choice";

describe("the form", () => {
  test("is filled from the address", () => {
    const choice = choiceOf("?shape=qwen2-0.5b&prompt=16&generate=8&concurrency=1,4&repeats=1&device=gpu");
    expect(optionsOf(choice)).toEqual({
      shape: "qwen2-0.5b",
      device: "gpu",
      prompt: 16,
      generate: 8,
      concurrency: [1, 4],
      repeats: 1,
    });
  });

  test("counts threads on the CPU only, where a number is given", () => {
    expect(optionsOf(choiceOf("?device=cpu&threads=2"))).toMatchObject({ device: "cpu", threads: 2 });
    expect(optionsOf(choiceOf("?device=cpu"))).not.toHaveProperty("threads");
    expect(optionsOf(choiceOf("?device=gpu&threads=2"))).not.toHaveProperty("threads");
  });

  test("names a model, or none for the site's own", () => {
    expect(optionsOf(choiceOf("?model=/m.gguf&endToEnd"))).toMatchObject({ model: "/m.gguf", endToEnd: true });
    expect(optionsOf(choiceOf("?model="))).not.toHaveProperty("model");
    expect(optionsOf(choiceOf("?model="))).not.toHaveProperty("shape");
  });

  test("leaves what is no number as it was written, to be refused in words", () => {
    const choice = { ...choiceOf(""), prompt: "many", generate: " ", concurrency: "1 two; 3" };
    expect(optionsOf(choice)).toMatchObject({ prompt: "many", generate: " ", concurrency: [1, "two", 3] });
  });
});
