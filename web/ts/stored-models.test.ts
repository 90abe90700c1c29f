import { expect, test } from "vitest";
import type { Manifest } from "./file-store.js";
import { gather } from "./stored-models.js";

const file = (fields: Partial<Manifest>): Manifest => ({
  format: 2,
  url: "https://a.example/m/x",
  model: "https://a.example/m/",
  etag: null,
  length: 10,
  segmentBytes: 4,
  segments: [],
  bytes: 10,
  complete: true,
  since: 5,
  ...fields,
});

test("a model is all its files together, and whole if they are", () => {
  const [model] = gather([file({}), file({ length: 30, bytes: 8, complete: false, since: 3 })]);
  expect(model).toEqual({
    url: "https://a.example/m/",
    bytes: 18,
    total: 40,
    complete: false,
    since: new Date(3),
  });
});

test("the newest model comes first, and notes of missing files are none", () => {
  const missing = file({ model: "https://a.example/none/", bytes: 0, length: 0, missing: true });
  const models = gather([file({}), missing, file({ model: "https://a.example/new/", since: 9, length: undefined })]);
  expect(models.map(({ url, total }) => [url, total])).toEqual([
    ["https://a.example/new/", null],
    ["https://a.example/m/", 10],
  ]);
});
