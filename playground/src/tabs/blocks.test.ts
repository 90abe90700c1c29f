import { expect, test } from "vitest";
import { blocks, countBlocks, describeBlock } from "./blocks";
import { sequence, snapshot } from "./snapshot.fixture";

const busy = snapshot({
  blocks: ["free", "cached", { fenced: 7 }, { referenced: 1 }, { referenced: 3 }, { referenced: 2 }],
  running: [
    sequence({ client: 5, request: 1, block_table: [4, 3] }),
    sequence({ client: 2, request: 9, block_table: [4, 5] }),
    sequence({ client: 2, request: 10, block_table: [4, 5] }),
  ],
});

test("each block is what the engine says, and belongs to those whose tables name it", () => {
  expect(blocks(busy).map(({ kind, owners }) => [kind, ...owners])).toEqual([
    ["free"],
    ["cached"],
    ["fenced"],
    ["used", 5],
    ["shared", 2, 5],
    ["shared", 2],
  ]);
});

test("a block whose owner or kind changes changes its look", () => {
  const looks = blocks(busy).map(({ look }) => look);
  expect(new Set(looks).size).toBe(looks.length);
});

test("the legend counts each block once, and a shared one for each of its owners", () => {
  const counts = countBlocks(blocks(busy));
  expect(counts).toMatchObject({ total: 6, free: 1, cached: 1, fenced: 1, used: 1, shared: 2 });
  expect(Object.fromEntries(counts.byClient)).toEqual({ 2: 2, 5: 2 });
});

test("a block that is held by a request not listed is in use all the same", () => {
  const [block] = blocks(snapshot({ blocks: [{ referenced: 1 }] }));
  expect(block).toMatchObject({ kind: "used", owners: [] });
});

test("a block is told in words: what it does, and for which requests", () => {
  const words = busy.blocks.map((_, id) => describeBlock(busy, id));
  expect(words[0]).toBe("Free");
  expect(words[1]).toMatch(/^Cached/);
  expect(words[2]).toMatch(/step 7/);
  expect(words[3]).toBe("Held by request 1 of client 5");
  expect(words[4]).toBe("Shared by request 1 of client 5, request 9 of client 2 and request 10 of client 2");
  expect(describeBlock(busy, 6)).toBe("");
});
