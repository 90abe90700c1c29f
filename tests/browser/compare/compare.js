// Ours and @wllama/wllama side by side: one page, one GGUF, the same words, alternating.
//
// Both are timed from outside, in the same way: a streamed completion, from the call to its first chunk (the prompt) and
// from there to its last (decoding). So each pays for its own worker, tokenizer and messages. Where wllama's own clock (`timings`)
// says more, that figure is taken, so that no ratio flatters us; both are kept. The first round compiles kernels and fills
// caches, and is dropped.
//
// `cargo xtask bench` builds a site around this file (`wl/` is wllama, `versions.json` says which) and drives it; on a host
// without Rust or Node anything that opens a page and waits for `runCompare` does.
const OPTIONS = {
  /** A GGUF of this site. */
  model: "models/SmolLM2-135M-Instruct.Q4_1.gguf",
  prompt: 480,
  generate: 128,
  /** The first is dropped. */
  rounds: 4,
  /** Ours, as `connect` takes it; wllama's contestants say theirs. */
  device: "auto",
  /** Of both, on the CPU; 0 is ours by default, and wllama's as many as the machine has cores. */
  threads: 0,
  contestants: ["tilewright", "wllama-gpu", "wllama-cpu"],
};

/** Each is one token of the common vocabularies, with the blank before it. */
const WORDS = "time year people way day man thing woman life child world school state family student group".split(" ");

window.runCompare = async (given = {}) => {
  const options = read(given);
  const versions = await (await fetch("./versions.json")).json();
  const contestants = [];
  for (const name of options.contestants) contestants.push(await enter(name, options));
  try {
    for (let round = 0; round < options.rounds; round++) {
      for (const contestant of contestants) {
        if (!contestant.complete) continue;
        try {
          const sample = await time(contestant, prompt(options.prompt, round), options);
          if (round > 0) contestant.samples.push(sample);
          say(`round ${round}: ${contestant.name} ${JSON.stringify(sample)}`);
        } catch (error) {
          contestant.error = words(error);
          contestant.complete = undefined;
        }
      }
    }
  } finally {
    for (const contestant of contestants) await contestant.leave?.();
  }
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const { vendor = "", architecture = "", description = "" } = adapter?.info ?? {};
  const results = contestants.map(({ name, on, load_ms, samples, error }) => ({
    name,
    on,
    load_ms,
    samples,
    ...(error === undefined ? { median: median(samples) } : { error }),
  }));
  return {
    model: options.model.split("/").at(-1),
    prompt: options.prompt,
    generate: options.generate,
    rounds: options.rounds,
    versions,
    user_agent: navigator.userAgent,
    cores: navigator.hardwareConcurrency,
    date: new Date().toISOString().slice(0, 10),
    adapter: adapter ? { vendor, architecture, description, f16: adapter.features.has("shader-f16") } : null,
    contestants: results,
    ratios: ratios(results),
  };
};

function read(given) {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(OPTIONS, name)) {
      throw new TypeError(`there is no option ${name}; there are ${Object.keys(OPTIONS).join(", ")}`);
    }
  }
  const options = { ...OPTIONS, ...given };
  for (const [name, least] of Object.entries({ prompt: 1, generate: 2, rounds: 2, threads: 0 })) {
    if (!Number.isInteger(options[name]) || options[name] < least) {
      throw new TypeError(`${name} has to be a whole number of ${least} or more, not ${options[name]}`);
    }
  }
  for (const name of options.contestants) {
    if (!Object.hasOwn(ENTER, name))
      throw new TypeError(`there is no contestant ${name}; there are ${Object.keys(ENTER).join(", ")}`);
  }
  return options;
}

/** Loads a contestant's engine; one that can't run here says why, and the others run. */
async function enter(name, options) {
  const started = performance.now();
  try {
    const entered = await ENTER[name](options);
    say(`${name} is ready`);
    return { name, samples: [], load_ms: performance.now() - started, ...entered };
  } catch (error) {
    return { name, samples: [], error: words(error) };
  }
}

const ENTER = {
  async tilewright({ model, device, threads }) {
    const { connect } = await import("./lib/tilewright.js");
    const address = new URL(model, location.href).href;
    const tw = await connect({ model: address, device, ...(threads > 0 ? { threads } : {}) });
    return {
      on: tw.device,
      leave: () => tw.close(),
      complete: (text, tokens) =>
        tw.completions.create({
          prompt: text,
          max_tokens: tokens,
          temperature: 0,
          ignore_eos: true,
          cache_salt: crypto.randomUUID(),
          stream: true,
          stream_options: { include_usage: true },
        }),
    };
  },
  "wllama-gpu": (options) => wllama(options, true),
  "wllama-cpu": (options) => wllama(options, false),
};

async function wllama({ model, threads, prompt, generate }, gpu) {
  const { Wllama } = await import("./wl/index.js");
  const w = new Wllama({ default: new URL("wl/wasm/wllama.wasm", location.href).href }, { suppressNativeLog: true });
  if (gpu) {
    if (!w.isSupportWebGPU()) throw new Error("wllama finds no WebGPU that it can use in this browser");
    // llama.cpp asks for it with its device, and where that is refused wllama computes on the CPU without a word.
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter?.features.has("shader-f16"))
      throw new Error("wllama's WebGPU needs shader-f16, which this browser does not offer for this GPU");
  }
  await w.loadModelFromUrl(new URL(model, location.href).href, {
    n_gpu_layers: gpu ? 99 : 0,
    ...(threads > 0 ? { n_threads: threads } : { n_threads: navigator.hardwareConcurrency }),
    n_ctx: Math.ceil((prompt + generate + 64) / 256) * 256,
    n_parallel: 1,
    useCache: false,
  });
  return {
    on: gpu ? "WebGPU (all layers)" : `CPU, ${w.getNumThreads()} threads`,
    leave: () => w.exit(),
    complete: (text, tokens) =>
      w.createCompletion({
        prompt: text,
        max_tokens: tokens,
        temperature: 0,
        ignore_eos: true,
        cache_prompt: false,
        stream: true,
        stream_options: { include_usage: true },
      }),
  };
}

/** Others' words in each round, so that no beginning is found computed. */
function prompt(length, round) {
  return Array.from({ length }, (_, i) => ` ${WORDS[(i * 7 + round * 5 + Math.floor(i / 16)) % WORDS.length]}`).join(
    "",
  );
}

async function time({ complete }, text, { generate }) {
  const started = performance.now();
  let [first, last, chunks, usage, timings] = [0, 0, 0, undefined, undefined];
  for await (const chunk of await complete(text, generate)) {
    if (chunk.choices?.length > 0) {
      last = performance.now();
      first ||= last;
      chunks += 1;
    }
    usage = chunk.usage ?? usage;
    timings = chunk.timings ?? timings;
  }
  const prompted = usage?.prompt_tokens ?? timings?.prompt_n;
  const decoded = usage?.completion_tokens ?? timings?.predicted_n ?? chunks;
  if (first === 0 || decoded < 2) throw new Error("it answered with no tokens");
  const outside = {
    prefill_tokens_per_s: (prompted / (first - started)) * 1e3,
    decode_tokens_per_s: ((decoded - 1) / (last - first)) * 1e3,
  };
  // llama.cpp's own clock starts later and stops earlier than a page's, and wllama may bring its first tokens together.
  const own = {
    prefill_tokens_per_s: timings?.prompt_per_second ?? 0,
    decode_tokens_per_s: timings?.predicted_per_second ?? 0,
  };
  return {
    prompt_tokens: prompted,
    completion_tokens: decoded,
    ttft_ms: first - started,
    prefill_tokens_per_s: Math.max(outside.prefill_tokens_per_s, own.prefill_tokens_per_s),
    decode_tokens_per_s: Math.max(outside.decode_tokens_per_s, own.decode_tokens_per_s),
    ...(timings ? { outside, own } : {}),
  };
}

/** Of each figure by itself. */
function median(samples) {
  const middle = (name) => {
    const values = samples.map((sample) => sample[name]).sort((a, b) => a - b);
    const half = values.length / 2;
    return values.length % 2 ? values[Math.floor(half)] : (values[half - 1] + values[half]) / 2;
  };
  const names = ["prompt_tokens", "completion_tokens", "ttft_ms", "prefill_tokens_per_s", "decode_tokens_per_s"];
  return Object.fromEntries(names.map((name) => [name, middle(name)]));
}

/** Ours over each of the others. */
function ratios([ours, ...others]) {
  const over = (a, b, name) => a.median[name] / b.median[name];
  if (ours?.name !== "tilewright" || !ours.median) return [];
  return others
    .filter(({ median }) => median)
    .map((other) => ({
      over: other.name,
      prefill: over(ours, other, "prefill_tokens_per_s"),
      decode: over(ours, other, "decode_tokens_per_s"),
    }));
}

function words(error) {
  return error instanceof Error ? error.message : String(error?.message ?? error);
}

function say(line) {
  document.querySelector("#said").append(`${line}\n`);
  console.log(line);
}
