// The colours that stand for clients.
//
// Eight, in an order that puts the most different ones first, each with one shade for light pages and one for dark ones, of
// the same hue, so that a client stays "the orange one" when the theme changes. They were found by a search from hand-picked
// hues: any two are at least 14 apart (CIEDE2000) for eyes without red or green cones and 10 for eyes without blue ones, 18
// otherwise, and each has a contrast of 3:1 to the page; palette.test.ts holds them to it. No larger set passed: from the ninth client on
// colours repeat. So no picture relies on colour alone: a client's number stands beside its colour, and pointing at one
// client dims the others.

export interface Shade {
  light: string;
  dark: string;
}

export const PALETTE: readonly Shade[] = [
  { light: "#637df2", dark: "#7fa7ff" }, // cobalt
  { light: "#d8700f", dark: "#e9842d" }, // orange
  { light: "#00806c", dark: "#1fae8e" }, // teal
  { light: "#cb608f", dark: "#f693b6" }, // rose
  { light: "#674abf", dark: "#955fe5" }, // violet
  { light: "#6b5300", dark: "#e8cf4a" }, // ochre
  { light: "#004d68", dark: "#a5e3ff" }, // sea
  { light: "#8e1220", dark: "#c8442f" }, // brick
];

/** The colour in one theme, for a canvas. */
export function shade(slot: number, theme: "light" | "dark"): string {
  return PALETTE[slot % PALETTE.length]![theme];
}

/** The colour as CSS that follows the theme. */
export function cssColour(slot: number): string {
  const { light, dark } = PALETTE[slot % PALETTE.length]!;
  return `light-dark(${light}, ${dark})`;
}

/** Black or white, whichever reads better on the colour. */
export function inkOn(colour: string): "#000" | "#fff" {
  const [r, g, b] = [1, 3, 5].map((at) => linear(parseInt(colour.slice(at, at + 2), 16) / 255)) as [
    number,
    number,
    number,
  ];
  // WCAG's relative luminance; 0.179 is where black and white have the same contrast.
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/** As CSS that follows the theme. */
export function cssInk(slot: number): string {
  const { light, dark } = PALETTE[slot % PALETTE.length]!;
  return `light-dark(${inkOn(light)}, ${inkOn(dark)})`;
}

function linear(channel: number): number {
  return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
}
