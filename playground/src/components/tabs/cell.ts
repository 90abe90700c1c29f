// One cell of the block picture, on a canvas: the picture and its legend draw the same.
//
// A kind is told by its form, its owner by its colour: an empty frame is free, a small square inside is cached (there, but nobody's),
// a stroke across is being freed, full is in use, and full with a hole is shared, divided among its owners.
import { inkOn, shade } from "../../tabs/palette";
import type { BlockView } from "../../tabs/blocks";
import type { ClientMarks } from "../../tabs/client-marks";

export interface CellColours {
  theme: "light" | "dark";
  frame: string;
  neutral: string;
  page: string;
}

export const CELL_COLOURS: Readonly<Record<"light" | "dark", CellColours>> = {
  light: { theme: "light", frame: "#dcd8ce", neutral: "#85837c", page: "#ffffff" },
  dark: { theme: "dark", frame: "#474d59", neutral: "#868c98", page: "#1c1f25" },
};

/** More owners than this would be slivers. */
const MOST_PARTS = 4;

/** Draws at whole device pixels. */
export function paintCell(
  context: CanvasRenderingContext2D,
  { kind, owners }: BlockView,
  x: number,
  y: number,
  size: number,
  marks: ClientMarks,
  colours: CellColours,
  /** Is there room for the owner's number? */
  numbered = false,
): void {
  const line = Math.max(1, Math.round(size / 22));
  if (kind === "free" || kind === "cached" || kind === "fenced") {
    context.fillStyle = colours.frame;
    context.fillRect(x, y, size, size);
    context.fillStyle = colours.page;
    context.fillRect(x + line, y + line, size - 2 * line, size - 2 * line);
    if (kind === "cached") {
      const inset = Math.max(1, Math.round(size * 0.29));
      context.fillStyle = colours.neutral;
      context.fillRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset);
    } else if (kind === "fenced") {
      context.strokeStyle = colours.neutral;
      context.lineWidth = Math.max(1, size / 7);
      context.beginPath();
      context.moveTo(x + line, y + size - line);
      context.lineTo(x + size - line, y + line);
      context.stroke();
    }
    return;
  }
  const parts = owners.slice(0, MOST_PARTS);
  if (parts.length === 0) {
    context.fillStyle = colours.neutral; // held by a request that the snapshot does not list
    context.fillRect(x, y, size, size);
  }
  parts.forEach((owner, i) => {
    const from = Math.round((size * i) / parts.length);
    context.fillStyle = shade(marks.slot(owner), colours.theme);
    context.fillRect(x + from, y, Math.round((size * (i + 1)) / parts.length) - from, size);
  });
  if (kind === "used" && numbered && parts.length === 1) {
    context.fillStyle = inkOn(shade(marks.slot(parts[0]!), colours.theme));
    context.font = `600 ${Math.round(size * 0.45)}px "Inter Variable", sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(String(parts[0]), x + size / 2, y + size * 0.54, size);
  }
  if (kind === "shared") {
    const hole = Math.max(1, Math.round(size * 0.26));
    const inset = Math.floor((size - hole) / 2);
    context.fillStyle = colours.page;
    context.fillRect(x + inset, y + inset, size - 2 * inset, size - 2 * inset);
  }
}
