import { expect, test } from "vitest";
import { ClientMarks } from "./client-marks";
import { PALETTE } from "./palette";

test("as many clients as there are colours have one each, whatever their numbers", () => {
  const marks = new ClientMarks();
  const clients = [3, 11, 19, 27, 35, 43, 51, 59];
  marks.keep(clients);
  expect(new Set(clients.map((client) => marks.slot(client))).size).toBe(PALETTE.length);
});

test("a client keeps its colour when others come and go", () => {
  const marks = new ClientMarks();
  marks.keep([1, 2, 9]);
  const [two, nine] = [marks.slot(2), marks.slot(9)];
  marks.keep([2, 9]);
  marks.keep([2, 9, 17, 25]);
  expect([marks.slot(2), marks.slot(9)]).toEqual([two, nine]);
});

test("more clients than colours share them evenly", () => {
  const marks = new ClientMarks();
  const clients = Array.from({ length: 20 }, (_, i) => i + 1);
  marks.keep(clients);
  const uses = new Map<number, number>();
  for (const client of clients) uses.set(marks.slot(client), (uses.get(marks.slot(client)) ?? 0) + 1);
  expect(Math.max(...uses.values())).toBe(3);
});

test("the same clients have the same colours on another page", () => {
  const [one, other] = [new ClientMarks(), new ClientMarks()];
  one.keep([4, 7, 12]);
  other.keep([12, 7, 4]);
  expect([4, 7, 12].map((client) => one.slot(client))).toEqual([4, 7, 12].map((client) => other.slot(client)));
});
