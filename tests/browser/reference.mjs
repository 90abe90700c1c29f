// The reference outputs in tests/fixtures, and how near ours must be.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gguf } from "@huggingface/gguf";
import { fixtures } from "./site.mjs";

/** The tensors of a safetensors file: length of the header (u64), header (JSON), data. */
export async function readSafetensors(file) {
  const bytes = await readFile(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + headerBytes));
  const tensors = {};
  for (const [name, { dtype, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [start, end] = offsets.map((offset) => 8 + headerBytes + offset);
    const data = bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + end);
    if (dtype === "F32") tensors[name] = new Float32Array(data);
    else if (dtype === "I64") tensors[name] = Array.from(new BigInt64Array(data), Number);
    else throw new Error(`${file}: ${name} is ${dtype}, which these tests do not read`);
  }
  return tensors;
}

/** What `transformers` computed for a checkpoint; tests/fixtures/README.md says what each tensor is. */
export function expected(name) {
  return readSafetensors(join(fixtures, name, "expected.safetensors"));
}

/** The largest share of the tolerance 1e-3 + 2e-3 |x| that any logit uses; above 1 is too far. */
export function worst(logits, reference) {
  if (logits.length !== reference.length)
    throw new Error(`${logits.length} logits, the reference has ${reference.length}`);
  let share = 0;
  reference.forEach((x, i) => {
    const used = Math.abs(logits[i] - x) / (1e-3 + 2e-3 * Math.abs(x));
    share = used <= share ? share : used; // a NaN stays
  });
  return share;
}

/** GPT-2's alphabet: the character that stands for each byte in a byte-level vocabulary. */
const byteOf = (() => {
  const printable = [...range(33, 126), ...range(161, 172), ...range(174, 255)];
  const map = new Map(printable.map((byte) => [String.fromCharCode(byte), byte]));
  let next = 256;
  for (let byte = 0; byte < 256; byte += 1) if (!printable.includes(byte)) map.set(String.fromCharCode(next++), byte);
  return map;
})();

/** The bytes of a byte-level vocabulary's entry; entries with other characters (special tokens) are their own text. */
export function tokenBytes(entry) {
  const bytes = [...entry].map((character) => byteOf.get(character));
  return bytes.includes(undefined) ? [...Buffer.from(entry)] : bytes;
}

/** A token as the completions API writes it: its text, or its bytes where they are no text. */
export function written(bytes) {
  const text = Buffer.from(bytes).toString("utf8");
  return text.includes("\uFFFD")
    ? `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`
    : text;
}

/** The entries of a GGUF's byte-level vocabulary, as bytes. */
export async function vocabularyOf(file) {
  const { metadata } = await gguf(file, { allowLocalFile: true });
  return metadata["tokenizer.ggml.tokens"].map(tokenBytes);
}

/**
 * The Kullback-Leibler divergence sum p log(p / q) of two distributions of which each gives the log-probabilities of its best
 * tokens, in nats. What only one of them names counts with all others as one token, so this is at most that of the whole
 * distributions.
 */
export function divergence(p, q) {
  const shared = Object.keys(p).filter((token) => token in q);
  const terms = shared.map((token) => [Math.exp(p[token]), Math.exp(q[token])]);
  const rest = [0, 1].map((side) => 1 - terms.reduce((sum, term) => sum + term[side], 0));
  if (rest.every((share) => share > 1e-6)) terms.push(rest);
  return terms.reduce((sum, [a, b]) => sum + a * Math.log(a / b), 0);
}

function range(first, last) {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
