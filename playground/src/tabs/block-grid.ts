// Where each block's cell is: the largest cells with which all fit into the width and a height that is still one picture.
//
// Everything is in device pixels and whole, so that edges are crisp on any screen.

export interface Grid {
  columns: number;
  rows: number;
  /** From one cell's edge to the next one's. */
  pitch: number;
  /** The painted part of it. */
  cell: number;
  width: number;
  height: number;
}

/** In CSS pixels. */
const LARGEST = 34;
const SMALLEST = 4;

/** `width` and `mostHeight` in CSS pixels; the last only bends for blocks of the smallest size. */
export function grid(count: number, width: number, mostHeight: number, scale: number): Grid {
  const across = Math.max(1, Math.floor(width * scale));
  let pitch = Math.floor(LARGEST * scale);
  const smallest = Math.ceil(SMALLEST * scale);
  const rowsAt = (pitch: number): number => Math.ceil(count / Math.max(1, Math.floor(across / pitch)));
  while (pitch > smallest && rowsAt(pitch) * pitch > mostHeight * scale) pitch -= 1;
  const columns = Math.max(1, Math.floor(across / pitch));
  const rows = rowsAt(pitch);
  const gap = Math.max(1, Math.round(pitch * (pitch > 12 * scale ? 0.1 : 0.14)));
  return {
    columns,
    rows,
    pitch,
    cell: pitch - gap,
    width: Math.min(columns, Math.max(1, count)) * pitch,
    height: rows * pitch,
  };
}

/** The block at a point, in device pixels from the picture's corner. */
export function blockAt({ columns, pitch }: Grid, count: number, x: number, y: number): number | undefined {
  const [column, row] = [Math.floor(x / pitch), Math.floor(y / pitch)];
  const id = row * columns + column;
  return column >= 0 && column < columns && row >= 0 && id < count ? id : undefined;
}

/** Where an arrow key leads. */
export function neighbour({ columns }: Grid, count: number, id: number, key: string): number | undefined {
  const to = {
    ArrowLeft: id - 1,
    ArrowRight: id + 1,
    ArrowUp: id - columns,
    ArrowDown: id + columns,
    Home: 0,
    End: count - 1,
  }[key];
  if (to === undefined) return undefined;
  return to >= 0 && to < count ? to : id;
}
