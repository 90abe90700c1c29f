import { expect, test } from "vitest";
import { clients } from "./clients";
import { sequence, snapshot } from "./snapshot.fixture";

const state = { visible: true, focused: false, frozen: false, counter: 0 };

test("a client is what its page, its window and its requests say", () => {
  const views = clients(
    snapshot({
      you: 2,
      clients: [
        { ...state, client: 3, visible: false },
        { ...state, client: 2, focused: true, counter: 77 },
        { ...state, client: 4, frozen: true },
        { ...state, client: 5 },
      ],
      pages: [
        { client: 2, title: "Notes", url: "http://localhost:1/notes.html?a=1" },
        { client: 3, title: "", url: "https://elsewhere.example/x" },
      ],
      running: [sequence({ client: 3 }), sequence({ client: 2 })],
      waiting: [sequence({ client: 3, request: 2 })],
    }),
    "http://localhost:1",
  );
  expect(views.map(({ client, seen, class: rank }) => [client, seen, rank])).toEqual([
    [2, "focused", 0],
    [3, "hidden", 2],
    [4, "frozen", undefined],
    [5, "visible", 1],
  ]);
  expect(views[0]).toMatchObject({
    title: "Notes",
    address: "/notes.html?a=1",
    isThisTab: true,
    running: 1,
    computed: 77,
  });
  expect(views[1]).toMatchObject({
    title: "A page without a title",
    address: "https://elsewhere.example/x",
    waiting: 1,
  });
});

test("who is named anywhere is listed, once", () => {
  const views = clients(
    snapshot({
      pages: [{ client: 9, title: "t", url: "u" }],
      running: [sequence({ client: 8 }), sequence({ client: 9 })],
    }),
    "http://localhost",
  );
  expect(views.map(({ client, seen }) => [client, seen])).toEqual([
    [8, "unknown"],
    [9, "unknown"],
  ]);
});
