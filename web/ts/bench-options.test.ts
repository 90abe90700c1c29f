import { describe, expect, test } from "vitest";
import { readBenchOptions } from "./bench-options.js";
import { TilewrightError } from "./errors.js";

function refusal(options: unknown): { param: string | null; message: string } {
  try {
    readBenchOptions(options);
  } catch (error) {
    if (error instanceof TilewrightError && error.code === "benchmark_option") return error.toJSON();
    throw error;
  }
  throw new Error("the options were taken");
}

describe("the options of a benchmark", () => {
  test("are those of the issue's targets unless said otherwise", () => {
    expect(readBenchOptions({})).toEqual({
      request: {
        model: "smollm2-135m-instruct",
        shape: null,
        prompt: 480,
        generate: 128,
        concurrency: [1, 8, 32],
        repeats: 3,
        kv_mib: null,
        max_rows: null,
        sampling: {},
      },
      device: "auto",
      threads: null,
      endToEnd: false,
      tune: null,
    });
  });

  test("name a shape or a model, and not both", () => {
    expect(readBenchOptions({ shape: "qwen2-0.5b" }).request).toMatchObject({
      model: "qwen2-0.5b",
      shape: "qwen2-0.5b",
    });
    expect(refusal({ shape: "qwen2-0.5b", model: "/m.gguf" }).message).toContain("model or a shape");
  });

  test.each([
    ["prompt", 0],
    ["prompt", 4.5],
    ["prompt", "480"],
    ["prompt", 2 ** 32],
    ["generate", 1],
    ["repeats", -1],
    ["threads", 0],
    ["concurrency", []],
    ["concurrency", [1, 0]],
    ["concurrency", 8],
    ["device", "tpu"],
    ["shape", 5],
    ["endToEnd", "yes"],
    ["tune", "yes"],
    ["tune", [3]],
    ["promt", 480],
  ])("%s %j is refused by name", (name, value) => {
    const { param, message } = refusal({ [name]: value });
    expect(param).toBe(name);
    expect(message).toContain(name);
  });

  test("time no requests to a shape, which has no vocabulary", () => {
    expect(refusal({ shape: "qwen2-0.5b", endToEnd: true }).param).toBe("endToEnd");
    expect(refusal("qwen2-0.5b").message).toContain("object");
  });
});
