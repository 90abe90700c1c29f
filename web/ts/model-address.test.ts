import { describe, expect, test } from "vitest";
import { TilewrightError } from "./errors.js";
import { fileNameOf, fileUrl, readModelAddress } from "./model-address.js";

const read = (written?: string): ReturnType<typeof readModelAddress> =>
  readModelAddress(written, "https://site.example/app/page.html", "https://site.example/app/lib/tilewright-worker.js");

describe("a model's address", () => {
  test.each([undefined, "smollm2-135m-instruct"])(
    "%s is the embedded default, beside the library's folder",
    (written) => {
      expect(read(written)).toEqual({
        id: "smollm2-135m-instruct",
        url: "https://site.example/app/models/SmolLM2-135M-Instruct.Q4_1.gguf",
        layout: "gguf",
      });
    },
  );

  test.each([
    ["https://a.example/m/x.Q4_0.gguf?download=true", "x.Q4_0", "https://a.example/m/x.Q4_0.gguf?download=true"],
    ["/x.GGUF", "x", "https://site.example/x.GGUF"],
    ["./m/my%20model.gguf#top", "my model", "https://site.example/app/m/my%20model.gguf"],
    ["org/name/sub/x.gguf", "x", "https://huggingface.co/org/name/resolve/main/sub/x.gguf"],
    ["https://huggingface.co/org/name/blob/main/x.gguf", "x", "https://huggingface.co/org/name/resolve/main/x.gguf"],
  ])("%s is a GGUF file", (written, id, url) => {
    expect(read(written)).toEqual({ id, url, layout: "gguf" });
  });

  test.each([
    ["https://a.example/models/tiny", "tiny", "https://a.example/models/tiny/"],
    ["../models/tiny/", "tiny", "https://site.example/models/tiny/"],
    ["https://a.example/", "a.example", "https://a.example/"],
    ["org/na.me", "org/na.me", "https://huggingface.co/org/na.me/resolve/main/"],
    ["org/name@v1.0", "org/name", "https://huggingface.co/org/name/resolve/v1.0/"],
    ["https://huggingface.co/org/name", "org/name", "https://huggingface.co/org/name/resolve/main/"],
    ["https://huggingface.co/org/name/tree/dev", "org/name", "https://huggingface.co/org/name/resolve/dev/"],
  ])("%s is a folder in Hugging Face layout", (written, id, url) => {
    expect(read(written)).toEqual({ id, url, layout: "huggingface" });
  });

  test.each(["", "llama", "file:///etc/passwd", "javascript:alert(1)", "a b/c d", "__proto__", "http://"])(
    "%j is refused in words",
    (written) => {
      expect(() => read(written)).toThrow(
        expect.objectContaining({ code: "model_address_not_understood", param: "model" }),
      );
    },
  );

  test("one shard alone is refused with what to give instead", () => {
    expect(() => read("https://a.example/model-00001-of-00002.safetensors")).toThrow(/give the folder/);
  });
});

describe("a file of a model", () => {
  const folder = read("https://a.example/models/tiny?token=1");
  const file = read("https://a.example/my%20model.gguf");

  test("lies in the folder, with the folder's query", () => {
    expect(fileUrl(folder, "config.json")).toBe("https://a.example/models/tiny/config.json?token=1");
  });

  test("is the GGUF itself under its own name", () => {
    expect(fileNameOf(file)).toBe("my model.gguf");
    expect(fileUrl(file, "my model.gguf")).toBe("https://a.example/my%20model.gguf");
  });

  test.each(["../x", "a/b", "a\\b", "https:x", "..", ".", "", "x?y", "x#y", "%2e%2e"])(
    "is never %j: an index cannot point outside its folder",
    (name) => {
      expect(() => fileUrl(folder, name)).toThrow(TilewrightError);
      expect(() => fileUrl(file, name)).toThrow(TilewrightError);
    },
  );
});
