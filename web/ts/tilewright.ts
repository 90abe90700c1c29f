/**
 * `import { connect } from "tilewright"`: a language model in this browser, behind OpenAI's chat and text completions.
 *
 * ```js
 * const tw = await connect({ onProgress: (p) => console.log(p.loaded, p.total) });
 * const stream = await tw.chat.completions.create({ messages: [{ role: "user", content: "Hi!" }], stream: true });
 * for await (const chunk of stream) console.log(chunk.choices[0]?.delta.content);
 * ```
 */

export { connect } from "./client.js";
export type { ConnectOptions, Create, DeviceEvent, RequestOptions, Tilewright } from "./client.js";
export type { ChunkStream } from "./chunk-stream.js";
export { TilewrightError } from "./errors.js";
export type { ErrorObject } from "./errors.js";
export { DEFAULT_MODEL } from "./model-address.js";
export { deleteStoredModel, storedModels } from "./stored-models.js";
export type { StoredModel } from "./stored-models.js";
export type { DeviceChoice, ModelInfo, Progress, TuningMode } from "./protocol.js";
export type * from "./openai.js";
export type * from "./snapshot.js";
export type * from "./tuning.js";
