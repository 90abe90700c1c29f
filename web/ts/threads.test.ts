import { expect, test } from "vitest";
import { threadCount } from "./threads.js";

test("one core is left for the page where there are more than two", () => {
  expect([undefined, 0, 1, 2, 3, 4, 8, 64].map(threadCount)).toEqual([1, 1, 1, 2, 2, 3, 7, 16]);
});
