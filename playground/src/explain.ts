// An error as a person should read it: what happened, the library's own words (they name the file, the address, the number),
// what to do here on this page, and the button that does it.
export interface Explanation {
  title: string;
  detail: string;
  advice: string;
  /** What the card's button does; `none` where trying again cannot help. */
  remedy: "retry" | "new-chat" | "none";
}

type Known = Omit<Explanation, "detail">;

const address = "Check the address after ?model=, or leave it out to use the model that comes with this site.";

const unsupported: Known = {
  title: "This model can't be used",
  advice: "Choose another model after ?model=, or leave it out to use the one that comes with this site.",
  remedy: "none",
};

const noChat: Known = {
  title: "This model can't chat",
  advice:
    "Choose a model that was trained for conversations, or leave ?model= out to use the one that comes with this site.",
  remedy: "none",
};

const noWebGpu: Known = {
  title: "This browser has no WebGPU",
  advice:
    "Use a recent Chrome, Edge, Firefox or Safari with hardware acceleration turned on in its settings; then reload this page. Without ?device=gpu the CPU computes.",
  remedy: "retry",
};

const download: Known = {
  title: "The model could not be downloaded",
  advice: "Check your connection. What has arrived is kept, so trying again goes on from there.",
  remedy: "retry",
};

const restart: Known = {
  title: "The engine stopped",
  advice: "Try again: the engine is started anew, and the model is loaded from this browser.",
  remedy: "retry",
};

/** By `code`, the field of an error that is meant for programs. */
const KNOWN: Readonly<Record<string, Known>> = {
  model_address_not_understood: { title: "That is not a model's address", advice: address, remedy: "none" },
  model_address_is_a_part: { title: "That is a part of a model", advice: address, remedy: "none" },
  file_not_found: { title: "The model was not found", advice: address, remedy: "retry" },
  access_denied: { title: "The model may not be read", advice: address, remedy: "retry" },
  download_failed: download,
  download_stalled: download,
  download_truncated: download,
  file_changed: { ...download, advice: "Try again: the file is fetched from its start." },
  file_damaged: {
    title: "The model's file is damaged",
    advice: "Get the file again from where it was made, or choose another model.",
    remedy: "retry",
  },
  file_too_large: unsupported,
  file_not_readable: unsupported,
  file_name_not_allowed: unsupported,
  model_not_supported: unsupported,
  model_too_large: unsupported,
  out_of_memory: {
    title: "There is not enough memory for this model",
    advice: "Close other tabs and try again, or choose a smaller or a more strongly quantized model.",
    remedy: "retry",
  },
  device_unknown: {
    title: "There is no such device",
    advice: "Write ?device=auto, ?device=gpu or ?device=cpu, or leave it out.",
    remedy: "none",
  },
  pool_failed: restart,
  threads_did_not_start: restart,
  webgpu_unavailable: noWebGpu,
  webgpu_no_adapter: noWebGpu,
  insecure_context: {
    title: "This page is not secure",
    advice: "Open it over https, or at http://localhost.",
    remedy: "none",
  },
  gpu_failed: {
    title: "The GPU could not take the model",
    advice: "Close other tabs and programs that use the GPU, then try again, or choose a smaller model.",
    remedy: "retry",
  },
  context_length_exceeded: {
    title: "The conversation is too long for this model",
    advice: "Start a new chat, or ask with fewer words.",
    remedy: "new-chat",
  },
  capacity_reduced: {
    title: "The conversation no longer fits",
    advice: "Start a new chat.",
    remedy: "new-chat",
  },
  no_chat_template: noChat,
  chat_template_error: noChat,
  messages_refused: {
    title: "The model does not take this conversation",
    advice: "Start a new chat; if there is a system prompt in the settings, try without it.",
    remedy: "new-chat",
  },
  invalid_value: {
    title: "The request was not accepted",
    advice: "Look at the settings (the sliders at the top), then try again.",
    remedy: "retry",
  },
  queue_full: {
    title: "The engine has too much to do",
    advice: "Wait until other tabs have their answers, then try again.",
    remedy: "retry",
  },
  device_lost: restart,
  engine_crashed: restart,
  engine_ended: restart,
  shut_down: restart,
  worker_gone: restart,
  worker_restarted: restart,
  worker_silent: restart,
  not_loaded: {
    title: "The model is not loaded any more",
    advice: "Ask something in any tab, or try again here: the model is loaded from this browser.",
    remedy: "retry",
  },
  benchmark_option: {
    title: "This can't be timed",
    advice: "Change what the message names, then run it again.",
    remedy: "none",
  },
  benchmark_failed: {
    title: "The benchmark broke off",
    advice: "Try it with shorter prompts or fewer at once.",
    remedy: "retry",
  },
  worker_failed: {
    title: "The engine could not be started",
    advice: "Reload the page. If that does not help, the site was not built or copied completely.",
    remedy: "retry",
  },
  library_file_missing: {
    title: "A part of this site is missing",
    advice: "The site was not built or copied completely: run `cargo xtask build`.",
    remedy: "retry",
  },
  message_not_understood: {
    title: "This page is of another version",
    advice: "Reload every tab of this site.",
    remedy: "none",
  },
  protocol_mismatch: {
    title: "This page is of another version",
    advice: "Reload every tab of this site.",
    remedy: "none",
  },
};

const UNKNOWN: Known = {
  title: "Something went wrong",
  advice: "Try again. If it happens again, reload the page.",
  remedy: "retry",
};

export function explain(error: unknown): Explanation {
  const { code, message } = parts(error);
  const known = Object.hasOwn(KNOWN, code) ? KNOWN[code] : undefined;
  return { ...(known ?? UNKNOWN), detail: sentence(message) };
}

/** The library writes its messages to follow a colon; on a card they stand alone. */
function sentence(message: string): string {
  const first = /^\p{Ll}+(?=[\s,])/u.test(message) ? message.charAt(0).toUpperCase() + message.slice(1) : message;
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

function parts(error: unknown): { code: string; message: string } {
  const fields = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  return {
    code: typeof fields.code === "string" ? fields.code : "",
    message: typeof fields.message === "string" && fields.message !== "" ? fields.message : String(error),
  };
}
