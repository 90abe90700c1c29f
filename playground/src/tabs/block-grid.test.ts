import { expect, test } from "vitest";
import { blockAt, grid, neighbour } from "./block-grid";

test("12 blocks are large, and 10 000 fit into one picture", () => {
  const few = grid(12, 1200, 320, 1);
  expect(few.cell).toBeGreaterThan(24);
  expect(few.rows).toBe(1);
  const many = grid(10_000, 1200, 320, 1);
  expect(many.height).toBeLessThanOrEqual(320);
  expect(many.cell).toBeGreaterThanOrEqual(3);
  expect(many.columns * many.rows).toBeGreaterThanOrEqual(10_000);
});

test("a narrow page makes the picture higher before cells become too small to see", () => {
  const { pitch, width, height } = grid(10_000, 350, 320, 1);
  expect(pitch).toBe(4);
  expect(width).toBeLessThanOrEqual(350);
  expect(height).toBeGreaterThan(320);
});

test("on a fine screen cells are as large in CSS pixels, and whole in device pixels", () => {
  for (const scale of [1, 1.25, 2, 3]) {
    const { pitch, cell } = grid(500, 800, 300, scale);
    expect(Number.isInteger(pitch) && Number.isInteger(cell) && cell < pitch).toBe(true);
    expect(pitch / scale).toBeGreaterThan(15);
  }
});

test("every block is found at its own cell, and nothing beside them", () => {
  const places = grid(30, 200, 300, 2);
  for (let id = 0; id < 30; id++) {
    const x = (id % places.columns) * places.pitch + 1;
    const y = Math.floor(id / places.columns) * places.pitch + 1;
    expect(blockAt(places, 30, x, y)).toBe(id);
  }
  expect(blockAt(places, 30, -1, 0)).toBeUndefined();
  expect(blockAt(places, 30, places.columns * places.pitch + 1, 0)).toBeUndefined();
});

test("arrow keys stay inside the picture", () => {
  const places = grid(30, 200, 300, 1);
  expect(neighbour(places, 30, 0, "ArrowLeft")).toBe(0);
  expect(neighbour(places, 30, 0, "ArrowDown")).toBe(places.columns);
  expect(neighbour(places, 30, 29, "ArrowRight")).toBe(29);
  expect(neighbour(places, 30, 7, "End")).toBe(29);
  expect(neighbour(places, 30, 7, "x")).toBeUndefined();
});

test("no blocks make no picture, and no error", () => {
  expect(grid(0, 500, 300, 1).rows).toBe(0);
});
