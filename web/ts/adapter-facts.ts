/**
 * What tells one GPU and browser from another, for the tuning database: what was measured on one holds for its equals only.
 *
 * Browsers say little on purpose. The limits go in as a text, of which only a hash is kept: two drivers of one GPU may allow
 * different kernels.
 */

/** As much of an adapter as is looked at. */
export interface AdapterLike {
  info?: {
    vendor?: string;
    architecture?: string;
    device?: string;
    description?: string;
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
  };
  features?: Iterable<string>;
  limits?: object;
}

interface NavigatorLike {
  userAgent?: string;
  userAgentData?: { brands?: { brand: string; version: string }[]; platform?: string };
  platform?: string;
}

/** `Facts` of `web/src/tuning.rs`, as JSON. */
export function adapterFacts({ info = {}, features = [], limits = {} }: AdapterLike, navigator: NavigatorLike): string {
  const names = new Set<string>();
  for (let at: unknown = limits; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
  }
  const values = limits as Record<string, unknown>;
  const numbers = [...names].filter((name) => typeof values[name] === "number").sort();
  return JSON.stringify({
    vendor: info.vendor ?? "",
    architecture: info.architecture ?? "",
    device: info.device ?? "",
    description: info.description ?? "",
    subgroup_min: info.subgroupMinSize ?? 0,
    subgroup_max: info.subgroupMaxSize ?? 0,
    features: [...features].sort(),
    limits: numbers.map((name) => `${name}=${String(values[name])}`).join(" "),
    browser: browser(navigator),
  });
}

/** Engines before the browsers built on them: what compiles kernels is the engine's. */
const ENGINES: readonly [string, RegExp][] = [
  ["Firefox", /Firefox\/(\d+)/],
  ["Chromium", /Chrom(?:e|ium)\/(\d+)/],
  ["Safari", /Version\/(\d+).*Safari/],
];

function browser({ userAgent = "", userAgentData, platform = "" }: NavigatorLike): object {
  const os = userAgentData?.platform ?? systemOf(userAgent) ?? platform;
  for (const [name, pattern] of ENGINES) {
    const version = pattern.exec(userAgent)?.[1];
    if (version !== undefined) return { name, version, os };
  }
  return { name: "", version: "", os };
}

function systemOf(userAgent: string): string | undefined {
  const systems = ["Android", "Windows", "iPhone", "iPad", "Mac OS X", "CrOS", "Linux"];
  return systems.find((system) => userAgent.includes(system));
}
