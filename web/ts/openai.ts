/**
 * The part of OpenAI's API that is answered here, as types: requests for chat and text completions, their responses and
 * their chunks. Field names are OpenAI's; what comes from other servers of this protocol (`top_k`, `min_p`, ...) says so.
 */

/** One message of a conversation. */
export interface ChatMessage {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  content: string | readonly TextPart[] | null;
  name?: string;
}

/** A piece of a message; text is the only kind that the models here read. */
export interface TextPart {
  type: "text";
  text: string;
}

/** How tokens are chosen, common to both endpoints. */
export interface SamplingFields {
  /** 0 is greedy; 1 is the model's own distribution. */
  temperature?: number | null;
  top_p?: number | null;
  /** Only the k most likely tokens (not in OpenAI's API). */
  top_k?: number | null;
  /** Only tokens at least this fraction as likely as the likeliest (not in OpenAI's API). */
  min_p?: number | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  /** Above 1: tokens that occurred already become less likely (not in OpenAI's API). */
  repetition_penalty?: number | null;
  /** Token id to what is added to its logit, -100 to 100. */
  logit_bias?: Record<string, number> | null;
  /** The same seed, prompt and settings give the same answer. */
  seed?: number | null;
  /** Texts that end the answer, at most 4. */
  stop?: string | readonly string[] | null;
  /** Token ids that end the answer (not in OpenAI's API). */
  stop_token_ids?: readonly number[] | null;
  /** Go on past the model's own end (not in OpenAI's API). */
  ignore_eos?: boolean | null;
}

/** How a request shares the engine with others, common to both endpoints (not in OpenAI's API). */
export interface SchedulingFields {
  /**
   * `batch`: nobody waits for the answer, so it comes after everything that someone does, in whatever tab. By default a tab
   * that has the focus goes before one that is merely visible, and that before a hidden one.
   */
  priority?: "interactive" | "batch" | null;
  /**
   * Requests share what is computed for equal beginnings of their prompts, over all tabs of this site, unless their salts
   * differ. A salt hides how long a prompt took from others who might guess at it.
   */
  cache_salt?: string | null;
}

/** Fields of this client, which never reach the model. */
export interface ClientFields {
  /** Cancels the request, as with `fetch`. May be given in the second argument instead. */
  signal?: AbortSignal;
}

export interface StreamOptions {
  /** A last chunk with `usage` and no choices. */
  include_usage?: boolean | null;
}

/** What `chat.completions.create` takes. */
export interface ChatCompletionRequest extends SamplingFields, SchedulingFields, ClientFields {
  messages: readonly ChatMessage[];
  /** If given, the id of the model that is loaded. */
  model?: string;
  max_completion_tokens?: number | null;
  /** The older name of `max_completion_tokens`. */
  max_tokens?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  n?: 1 | null;
  stream?: boolean | null;
  stream_options?: StreamOptions | null;
  user?: string;
}

/** What `completions.create` takes. */
export interface CompletionRequest extends SamplingFields, SchedulingFields, ClientFields {
  /** Raw text, or token ids. */
  prompt: string | readonly number[];
  model?: string;
  max_tokens?: number | null;
  logprobs?: number | null;
  n?: 1 | null;
  stream?: boolean | null;
  stream_options?: StreamOptions | null;
  user?: string;
}

/** Why an answer ended: the model or a stop text ended it, or it reached its most tokens. */
export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** Of the prompt's tokens, those that were there from an earlier request and not computed again. */
  prompt_tokens_details?: { cached_tokens: number };
}

export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes: number[] | null;
}

export interface ChatLogprobs {
  content: (TokenLogprob & { top_logprobs: TokenLogprob[] })[] | null;
}

export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[] | null;
  text_offset: number[];
}

export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: {
    index: number;
    message: { role: "assistant"; content: string | null; refusal?: string | null };
    logprobs: ChatLogprobs | null;
    finish_reason: FinishReason;
  }[];
  usage: Usage;
}

export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: number;
    delta: { role?: "assistant"; content?: string | null };
    logprobs?: ChatLogprobs | null;
    finish_reason: FinishReason | null;
  }[];
  usage?: Usage | null;
}

/** A text completion; a stream's chunks have the same shape. */
export interface Completion {
  id: string;
  object: "text_completion";
  created: number;
  model: string;
  choices: {
    index: number;
    text: string;
    logprobs: CompletionLogprobs | null;
    finish_reason: FinishReason | null;
  }[];
  usage?: Usage | null;
}
