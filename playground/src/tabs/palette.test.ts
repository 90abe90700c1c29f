import {
  type Color,
  differenceCiede2000,
  filterDeficiencyDeuter,
  filterDeficiencyProt,
  filterDeficiencyTrit,
  parse,
  wcagContrast,
} from "culori";
import { expect, test } from "vitest";
import { PALETTE, inkOn } from "./palette";

const PAGES = { light: ["#fbfaf7", "#ffffff"], dark: ["#14161a", "#1c1f25"] } as const;
const EYES: Record<string, { see: (colour: Color) => Color; apart: number }> = {
  "all cones": { see: (colour) => colour, apart: 18 },
  "no green cones": { see: filterDeficiencyDeuter(1), apart: 14 },
  "no red cones": { see: filterDeficiencyProt(1), apart: 14 },
  "no blue cones": { see: filterDeficiencyTrit(1), apart: 10 },
};

const difference = differenceCiede2000();

for (const theme of ["light", "dark"] as const) {
  const colours = PALETTE.map((shade) => shade[theme]);

  for (const [eyes, { see, apart }] of Object.entries(EYES)) {
    test(`any two colours of the ${theme} theme can be told apart by eyes with ${eyes}`, () => {
      const seen = colours.map((colour) => see(parse(colour)!));
      const pairs = seen.flatMap((one, i) => seen.slice(i + 1).map((other) => difference(one, other)));
      expect(Math.min(...pairs)).toBeGreaterThanOrEqual(apart);
    });
  }

  test(`every colour of the ${theme} theme stands out from the page, and a number can be read on it`, () => {
    for (const colour of colours) {
      for (const page of PAGES[theme]) expect(wcagContrast(colour, page)).toBeGreaterThanOrEqual(3);
      expect(wcagContrast(colour, inkOn(colour))).toBeGreaterThanOrEqual(4.5);
    }
  });
}
