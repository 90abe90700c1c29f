import { expect, test } from "vitest";
import { threadCount } from "./threads.js";

test("one core is left for the page where there are more than two", () => {
  expect([undefined, 0, 1, 2, 3, 4, 8, 64].map((cores) => threadCount(cores))).toEqual([1, 1, 1, 2, 2, 3, 7, 16]);
});

test("whoever asks for a number of threads gets it, within what a browser bears", () => {
  expect([1, 2, 8, 100].map((asked) => threadCount(4, asked))).toEqual([1, 2, 8, 16]);
});
