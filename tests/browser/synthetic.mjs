// A model that nobody trained: the fixture's architecture and tokenizer, larger and with a long context, its weights made up
// when it is first asked for. It babbles, but a step of it costs what steps of its size cost, which is what tests of the
// scheduler measure.
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const HEAD_DIM = 64;
const VOCABULARY = 384;

/** By folder: `wide` costs what its weights cost, `long` has a context to fill and costs little. */
const SIZES = {
  wide: { hidden: 768, intermediate: 3072, layers: 3, heads: 4, kvHeads: 2 },
  long: { hidden: 128, intermediate: 256, layers: 2, heads: 2, kvHeads: 1 },
};

/** A file of one of the models, in Hugging Face layout; `undefined` if there is none of that name. */
export async function syntheticFile(fixture, size, name) {
  if (!Object.hasOwn(SIZES, size)) return undefined;
  const { hidden, intermediate, layers, heads, kvHeads } = SIZES[size];
  switch (name) {
    case "config.json": {
      const config = JSON.parse(await readFile(join(fixture, name), "utf8"));
      Object.assign(config, {
        hidden_size: hidden,
        intermediate_size: intermediate,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: kvHeads,
        head_dim: HEAD_DIM,
        max_position_embeddings: 8192,
        vocab_size: VOCABULARY,
        tie_word_embeddings: true,
      });
      return Buffer.from(JSON.stringify(config));
    }
    case "tokenizer.json":
      return readFile(join(fixture, name));
    case "model.safetensors":
      return (made[size] ??= makeWeights(SIZES[size]));
    default:
      return undefined;
  }
}

const made = {};

/** bf16, as it needs no rounding here: the upper half of an f32. */
function makeWeights({ hidden, intermediate, layers, heads, kvHeads }) {
  const shapes = { "model.embed_tokens.weight": [VOCABULARY, hidden], "model.norm.weight": [hidden] };
  for (let layer = 0; layer < layers; layer += 1) {
    const named = (name, shape) => (shapes[`model.layers.${layer}.${name}.weight`] = shape);
    named("input_layernorm", [hidden]);
    named("post_attention_layernorm", [hidden]);
    named("self_attn.q_proj", [heads * HEAD_DIM, hidden]);
    named("self_attn.k_proj", [kvHeads * HEAD_DIM, hidden]);
    named("self_attn.v_proj", [kvHeads * HEAD_DIM, hidden]);
    named("self_attn.o_proj", [hidden, heads * HEAD_DIM]);
    named("mlp.gate_proj", [intermediate, hidden]);
    named("mlp.up_proj", [intermediate, hidden]);
    named("mlp.down_proj", [hidden, intermediate]);
  }
  const header = {};
  let end = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 2 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "BF16", shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const file = Buffer.alloc(8 + json.length + end);
  file.writeBigUInt64LE(BigInt(json.length));
  json.copy(file, 8);
  const data = file.subarray(8 + json.length);
  let state = 1;
  for (const { shape, data_offsets } of Object.values(header)) {
    const spread = shape.length === 1 ? 0 : 2 / Math.sqrt(shape[1]);
    for (let at = data_offsets[0]; at < data_offsets[1]; at += 2) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Knuth's linear congruential generator
      const value = spread === 0 ? 1 : (state / 2 ** 31 - 1) * spread;
      data.writeUInt16LE(upperHalf(value), at);
    }
  }
  return file;
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
function upperHalf(value) {
  float[0] = value;
  return bits[0] >>> 16;
}
