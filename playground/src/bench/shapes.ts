// The shapes that the engine knows, as the form offers them; bench.test.mjs compares the names with the engine's own.
export interface ShapeChoice {
  name: string;
  /** Of made-up 4-bit weights. */
  bytes: number;
}

export const SHAPES: readonly ShapeChoice[] = [
  { name: "smollm2-135m", bytes: 76e6 },
  { name: "qwen2-0.5b", bytes: 278e6 },
  { name: "qwen2-1.5b", bytes: 868e6 },
  { name: "llama-3.2-1b", bytes: 695e6 },
  { name: "llama-3.2-3b", bytes: 1807e6 },
  { name: "llama-3.1-8b", bytes: 4517e6 },
];
