// What the form holds, from the address bar or by default, and as the options of `runBench`.
import type { BenchOptions } from "tilewright/bench";

export interface Choice {
  what: "shape" | "model";
  shape: string;
  /** Empty: the model that comes with the site. */
  model: string;
  device: "auto" | "gpu" | "cpu";
  /** Empty: as many as suit the machine. */
  threads: string;
  prompt: string;
  generate: string;
  /** Numbers with commas or blanks between them. */
  concurrency: string;
  repeats: string;
  endToEnd: boolean;
}

export function choiceOf(search: string): Choice {
  const asked = new URLSearchParams(search);
  const device = asked.get("device");
  return {
    what: asked.has("model") ? "model" : "shape",
    shape: asked.get("shape") ?? "smollm2-135m",
    model: asked.get("model") ?? "",
    device: device === "gpu" || device === "cpu" ? device : "auto",
    threads: asked.get("threads") ?? "",
    prompt: asked.get("prompt") ?? "480",
    generate: asked.get("generate") ?? "128",
    concurrency: asked.get("concurrency") ?? "1, 8, 32",
    repeats: asked.get("repeats") ?? "3",
    endToEnd: asked.has("endToEnd"),
  };
}

/** What is no number stays what it was written as, for `runBench` to refuse in words. */
export function optionsOf(choice: Choice): BenchOptions {
  const { what, shape, model, device, endToEnd } = choice;
  return {
    ...(what === "shape" ? { shape } : model.trim() === "" ? {} : { model: model.trim() }),
    device,
    ...(device === "cpu" && choice.threads.trim() !== "" ? { threads: number(choice.threads) } : {}),
    prompt: number(choice.prompt),
    generate: number(choice.generate),
    concurrency: choice.concurrency
      .split(/[\s,;]+/)
      .filter((part) => part !== "")
      .map(number),
    repeats: number(choice.repeats),
    ...(what === "model" && endToEnd ? { endToEnd } : {}),
  };
}

function number(text: string): number {
  const value = Number(text);
  return text.trim() === "" || Number.isNaN(value) ? (text as unknown as number) : value;
}
