// Numbers as people read them.
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value: number): string {
  return whole.format(value);
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
