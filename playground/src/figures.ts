// Numbers as people read them.
const figures = [0, 1, 2].map((digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits }));
const whole = figures[0]!;

export function count(value: number, digits: 0 | 1 | 2 = 0): string {
  return figures[digits]!.format(value);
}

/** Megabytes of 10^6 bytes, as download pages say it; `like` keeps two figures in one unit. */
export function bytes(value: number, like = value): string {
  if (like >= 1e9) return `${(value / 1e9).toFixed(2)} GB`;
  if (like >= 1e6) return `${(value / 1e6).toFixed(1)} MB`;
  return `${Math.round(value / 1e3)} kB`;
}

export function duration(ms: number): string {
  const s = ms / 1000;
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 10) return `${Number.isInteger(s) ? s : s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.round(s / 360) / 10} h`;
}

export function rate(perSecond: number): string {
  return perSecond < 100 ? perSecond.toFixed(1) : whole.format(perSecond);
}

/** Microseconds as milliseconds, or seconds where there are many; three figures, for times that are compared. */
export function stepTime(us: number): string {
  const ms = us / 1000;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** A number with its noun. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
