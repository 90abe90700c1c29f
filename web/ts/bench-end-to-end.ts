/**
 * The same figures as a page sees them: streamed requests through `connect()`, with tokenizer, scheduler, worker and all.
 *
 * Prompts are ids, so that their length is exact; each request has a cache of its own, so that no beginning is found computed.
 */

import type { BenchOptions, Figures, ReadOptions } from "./bench-options.js";
import { connect, type Tilewright } from "./client.js";

/** Several requests at once. */
export interface EndToEndRun {
  concurrency: number;
  /** From a request to its first token: the median of all requests. */
  ttft_ms: number;
  /** Of one request, after its first token: the median. */
  decode_tokens_per_s: number;
  /** All tokens of all answers over the time from the first request to the last answer's end. */
  tokens_per_s: number;
  ms: number;
}

export interface EndToEnd {
  /** What `connect` took; short where another tab had the model open. */
  load_ms: number;
  device: string;
  runs: EndToEndRun[];
}

interface Answer {
  ttft_ms: number;
  decode_tokens_per_s: number;
  tokens: number;
}

/** Times streamed requests to the model. */
export async function endToEnd(
  { request, device, threads }: Omit<ReadOptions, "endToEnd" | "tune">,
  { signal, onProgress }: { signal: AbortSignal | undefined; onProgress: BenchOptions["onProgress"] | undefined },
): Promise<EndToEnd> {
  const started = performance.now();
  const tw = await connect({
    model: request.model,
    device,
    ...(threads === null ? {} : { threads }),
    ...(signal ? { signal } : {}),
  });
  try {
    const load_ms = performance.now() - started;
    const runs: EndToEndRun[] = [];
    const of = request.concurrency.length * request.repeats;
    for (const concurrency of request.concurrency) {
      await together(tw, concurrency, request.prompt, Math.min(request.generate, 4), signal);
      const tries: EndToEndRun[] = [];
      for (let repeat = 0; repeat < request.repeats; repeat++) {
        tries.push(await together(tw, concurrency, request.prompt, request.generate, signal));
        onProgress?.({
          phase: "end to end",
          done: runs.length * request.repeats + tries.length,
          of,
          last: figures(tries.at(-1), request),
        });
      }
      runs.push(medianBy(tries, (run) => run.ms));
    }
    return { load_ms, device: tw.device, runs };
  } finally {
    tw.close();
  }
}

function figures(run: EndToEndRun | undefined, { prompt }: ReadOptions["request"]): Figures {
  const { concurrency = 0, ttft_ms = 0, tokens_per_s = 0, decode_tokens_per_s = 0 } = run ?? {};
  return {
    concurrency,
    prefill_tokens_per_s: (prompt / ttft_ms) * 1e3,
    decode_tokens_per_s: tokens_per_s,
    decode_step_ms: 1e3 / decode_tokens_per_s,
  };
}

async function together(
  tw: Tilewright,
  concurrency: number,
  prompt: number,
  generate: number,
  signal: AbortSignal | undefined,
): Promise<EndToEndRun> {
  const started = performance.now();
  const ask = (_: unknown, index: number): Promise<Answer> => one(tw, index, prompt, generate, signal);
  const answers = await Promise.all(Array.from({ length: concurrency }, ask));
  const ms = performance.now() - started;
  const tokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
  return {
    concurrency,
    ttft_ms: median(answers.map((answer) => answer.ttft_ms)),
    decode_tokens_per_s: median(answers.map((answer) => answer.decode_tokens_per_s)),
    tokens_per_s: (tokens / ms) * 1e3,
    ms,
  };
}

async function one(
  tw: Tilewright,
  index: number,
  length: number,
  generate: number,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const { vocabulary } = tw.info;
  const prompt = Array.from({ length }, (_, i) => (index * 7919 + i * 104_729 + 11) % vocabulary);
  const started = performance.now();
  const stream = await tw.completions.create(
    {
      prompt,
      max_tokens: generate,
      temperature: 0,
      ignore_eos: true,
      cache_salt: crypto.randomUUID(),
      stream: true,
      stream_options: { include_usage: true },
    },
    signal ? { signal } : {},
  );
  let [first, last, tokens] = [0, 0, 0];
  for await (const chunk of stream) {
    if (chunk.choices.length > 0) {
      last = performance.now();
      first ||= last;
    }
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  return { ttft_ms: first - started, decode_tokens_per_s: ((tokens - 1) / (last - first)) * 1e3, tokens };
}

function median(values: number[]): number {
  return medianBy(values, (value) => value);
}

function medianBy<T>(values: T[], key: (value: T) => number): T {
  const middle = values.toSorted((a, b) => key(a) - key(b))[Math.floor(values.length / 2)];
  if (middle === undefined) throw new RangeError("a median needs a value");
  return middle;
}
