// What the user chose about answers, remembered across visits and shared by every tab.
const KEY = "tilewright.settings";

export interface Settings {
  systemPrompt: string;
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  repetitionPenalty: number;
  maxTokens: number;
  /** Empty: another answer every time. */
  seed: number | null;
}

export const DEFAULTS: Readonly<Settings> = {
  systemPrompt: "",
  // What the card of the embedded model recommends; small models wander at more.
  temperature: 0.2,
  topP: 0.9,
  topK: 40,
  minP: 0.05,
  repetitionPenalty: 1,
  maxTokens: 512,
  seed: null,
};

/** A slider's or field's range: what the form offers and what a stored value is held to. */
export const RANGES = {
  temperature: { min: 0, max: 2, step: 0.05 },
  topP: { min: 0.05, max: 1, step: 0.05 },
  topK: { min: 0, max: 200, step: 1 },
  minP: { min: 0, max: 0.5, step: 0.01 },
  repetitionPenalty: { min: 1, max: 2, step: 0.05 },
  maxTokens: { min: 1, max: 32768, step: 1 },
  seed: { min: 0, max: 4294967295, step: 1 },
} as const;

export function loadSettings(): Settings {
  const settings: Settings = { ...DEFAULTS };
  let stored: unknown;
  try {
    stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return settings;
  }
  if (typeof stored !== "object" || stored === null) return settings;
  const values = stored as Record<string, unknown>;
  if (typeof values.systemPrompt === "string") settings.systemPrompt = values.systemPrompt;
  for (const name of Object.keys(RANGES) as (keyof typeof RANGES)[]) {
    const value = values[name];
    if (typeof value === "number" && Number.isFinite(value)) settings[name] = held(name, value);
  }
  return settings;
}

export function storeSettings(settings: Settings): void {
  localStorage.setItem(KEY, JSON.stringify(settings));
}

/** The value inside its range, whole where the step is. */
export function held(name: keyof typeof RANGES, value: number): number {
  const { min, max, step } = RANGES[name];
  const inside = Math.min(max, Math.max(min, value));
  return step === 1 ? Math.round(inside) : inside;
}

/** The request's fields, as the OpenAI protocol and its common extensions name them. */
export function sampling(settings: Settings): Record<string, number> {
  return {
    temperature: settings.temperature,
    top_p: settings.topP,
    top_k: settings.topK,
    min_p: settings.minP,
    repetition_penalty: settings.repetitionPenalty,
    max_tokens: settings.maxTokens,
    ...(settings.seed === null ? {} : { seed: settings.seed }),
  };
}
